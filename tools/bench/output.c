/*
 * Output of one process to one or more readers that take all they can get.
 *
 *     output HOST PORT CODEC BYTES READERS
 *
 * The first reader is the Start stream, the others are Connect streams. The process writes BYTES
 * zeros as soon as a line on its stdin tells it that all are there; with one reader at once. Each
 * reader must get them all. Prints the seconds until the last response is over.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "client.h"

#define READERS_MAX 16

static const char line_base64[] = "Cg==";

static double start(struct stream *readers, int n, const char *bytes,
                    const struct sockaddr_in *where)
{
	char script[128],
		*at_once[] = { "head", "-c", (char *)(uintptr_t)bytes, "/dev/zero", NULL };
	char *on_a_line[] = { "/bin/sh", "-c", script, NULL };
	double begin = now_s();
	int calls;

	if (n == 1) {
		stream_start(&readers[0], at_once, false);
		return begin;
	}
	snprintf(script, sizeof(script), "read line; exec head -c %s /dev/zero", bytes);
	stream_start(&readers[0], on_a_line, true);
	stream_wait_start(&readers[0]);
	for (int i = 1; i < n; i++) {
		stream_connect(&readers[i], readers[0].pid);
		stream_wait_start(&readers[i]);
	}
	calls = call_open(where);
	begin = now_s();
	call_send_input(calls, readers[0].pid, line_base64);
	return begin;
}

static void read_all(struct stream *readers, int n)
{
	struct pollfd polled[READERS_MAX];
	int n_left = n;

	for (int i = 0; i < n; i++)
		polled[i] = (struct pollfd){ .fd = readers[i].response.fd, .events = POLLIN };
	while (n_left > 0) {
		poll(polled, (nfds_t)n, -1);
		for (int i = 0; i < n; i++) {
			if (!polled[i].revents)
				continue;
			stream_read(&readers[i], READ_MAX);
			if (!readers[i].response.is_over)
				continue;
			polled[i].fd = -1;
			n_left--;
		}
	}
}

int main(int argc, char **argv)
{
	static struct stream readers[READERS_MAX];
	int n = argc == 6 ? atoi(argv[5]) : 0;
	struct sockaddr_in where;
	double begin, end;

	if (n < 1 || n > READERS_MAX)
		fail("usage: output HOST PORT CODEC BYTES READERS");
	where = address_of(argv[1], argv[2]);
	for (int i = 0; i < n; i++)
		stream_open(&readers[i], &where, codec_of(argv[3]));
	begin = start(readers, n, argv[4], &where);
	read_all(readers, n);
	end = now_s();
	for (int i = 0; i < n; i++) {
		if (readers[i].n_bytes != strtoull(argv[4], NULL, 10))
			fail("reader %d got %llu bytes", i, (unsigned long long)readers[i].n_bytes);
	}
	printf("%.6f\n", end - begin);
	return 0;
}
