/*
 * Output of one process to a healthy reader, beside one that has stopped reading for good.
 *
 *     output_stuck HOST PORT CODEC SECONDS STUCK
 *
 * The stuck one is a Connect stream that reads its start event and nothing else; with STUCK 0 there
 * is none, which is the floor. The healthy one is the Start stream. Prints the bytes that it gets in
 * SECONDS, then kills the process.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "client.h"

static const char line_base64[] = "Cg==";

static char *const command[] = { "/bin/sh", "-c", "read line; exec cat /dev/zero", NULL };

static uint64_t read_for(struct stream *s, double seconds)
{
	double end = now_s() + seconds, left = seconds;

	for (; left > 0; left = end - now_s()) {
		struct pollfd polled = { .fd = s->response.fd, .events = POLLIN };

		if (poll(&polled, 1, (int)(left * 1e3) + 1) > 0)
			stream_read(s, READ_MAX);
	}
	return s->n_bytes;
}

int main(int argc, char **argv)
{
	struct stream healthy, stuck;
	struct sockaddr_in where;
	uint64_t n_bytes;
	int calls;

	if (argc != 6)
		fail("usage: output_stuck HOST PORT CODEC SECONDS STUCK");
	where = address_of(argv[1], argv[2]);
	calls = call_open(&where);
	stream_open(&healthy, &where, codec_of(argv[3]));
	stream_open(&stuck, &where, codec_of(argv[3]));
	stream_start(&healthy, command, true);
	stream_wait_start(&healthy);
	if (atoi(argv[5]) > 0) {
		stream_connect(&stuck, healthy.pid);
		stream_wait_start(&stuck);
	}
	call_send_input(calls, healthy.pid, line_base64);
	response_wait(calls);
	n_bytes = read_for(&healthy, atof(argv[4]));
	call_kill(calls, healthy.pid);
	response_wait(calls);
	printf("%llu\n", (unsigned long long)n_bytes);
	return 0;
}
