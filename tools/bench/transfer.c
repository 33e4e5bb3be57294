/*
 * One file up or down.
 *
 *     transfer HOST PORT PROTOCOL CODING TARGET down BYTES
 *     transfer HOST PORT PROTOCOL CODING TARGET up FILE
 *
 * PROTOCOL is h1 or h2, CODING identity or gzip. A download must bring BYTES (0: any, being compressed).
 * What is uploaded is FILE as it is, in memory before. Prints the seconds from the request, on a fresh
 * connection, to the end of the response.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "http2.h"

struct transfer {
	bool is_h2, is_gzip;
	const char *target;
	const char *body; /* NULL: a download */
	size_t n_body;
};

static void map_body(struct transfer *t, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		fail("open %s: %s", path, strerror(errno));
	t->n_body = (size_t)st.st_size;
	t->body = mmap(NULL, t->n_body, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (t->body == MAP_FAILED)
		fail("mmap %s: %s", path, strerror(errno));
	close(fd);
}

static uint64_t over_h1(const struct transfer *t, int fd)
{
	const char *coding = !t->is_gzip ? ""
	                     : t->body   ? "Content-Encoding: gzip\r\n"
	                                 : "Accept-Encoding: gzip\r\n";
	char head[1024];
	int len = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: envd\r\n%s",
	                   t->body ? "POST" : "GET", t->target, coding);

	if (t->body)
		len += snprintf(head + len, sizeof(head) - (size_t)len,
		                "Content-Type: application/octet-stream\r\nContent-Length: %zu\r\n",
		                t->n_body);
	len += snprintf(head + len, sizeof(head) - (size_t)len, "\r\n");
	send_all(fd, head, (size_t)len, t->body ? MSG_MORE : 0);
	send_all(fd, t->body, t->n_body, 0);
	return response_wait(fd);
}

static uint64_t over_h2(const struct transfer *t, int fd)
{
	struct http2_request request = { .body = t->body, .n_body = t->n_body };
	struct http2_field *field = request.fields;

	*field++ = (struct http2_field){ ":method", t->body ? "POST" : "GET" };
	*field++ = (struct http2_field){ ":scheme", "http" };
	*field++ = (struct http2_field){ ":authority", "envd" };
	*field++ = (struct http2_field){ ":path", t->target };
	if (t->body)
		*field++ = (struct http2_field){ "content-type", "application/octet-stream" };
	if (t->is_gzip)
		*field++ = (struct http2_field){ t->body ? "content-encoding" : "accept-encoding",
			                         "gzip" };
	return http2_exchange(fd, &request);
}

int main(int argc, char **argv)
{
	struct transfer t = { 0 };
	struct sockaddr_in where;
	uint64_t wanted = 0, n;
	double begin, end;
	int fd;

	if (argc != 8)
		fail("usage: transfer HOST PORT h1|h2 identity|gzip TARGET up|down FILE|BYTES");
	where = address_of(argv[1], argv[2]);
	t.is_h2 = strcmp(argv[3], "h2") == 0;
	t.is_gzip = strcmp(argv[4], "gzip") == 0;
	t.target = argv[5];
	if (strcmp(argv[6], "up") == 0)
		map_body(&t, argv[7]);
	else
		wanted = strtoull(argv[7], NULL, 10);
	fd = call_open(&where);
	begin = now_s();
	n = t.is_h2 ? over_h2(&t, fd) : over_h1(&t, fd);
	end = now_s();
	if (wanted != 0 && n != wanted)
		fail("the response has %llu bytes", (unsigned long long)n);
	printf("%.6f\n", end - begin);
	return 0;
}
