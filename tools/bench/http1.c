#define _GNU_SOURCE
#include "http1.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "client.h"

static void response_on_field(struct response *r)
{
	static const char length[] = "Content-Length:", coding[] = "Transfer-Encoding:";

	if (strncasecmp(r->line, length, sizeof(length) - 1) == 0)
		r->n_left = strtoull(r->line + sizeof(length) - 1, NULL, 10);
	else if (strncasecmp(r->line, coding, sizeof(coding) - 1) == 0)
		r->is_chunked = true;
}

static void response_on_body_end(struct response *r)
{
	r->part = RESPONSE_HEAD;
	r->is_over = true;
}

static void response_on_head_end(struct response *r)
{
	if (r->is_chunked)
		r->part = RESPONSE_SIZE;
	else if (r->n_left > 0)
		r->part = RESPONSE_BODY;
	else
		response_on_body_end(r);
}

static void response_on_line(struct response *r)
{
	switch (r->part) {
	case RESPONSE_HEAD:
		if (strncmp(r->line, "HTTP/", 5) == 0 && !strstr(r->line, " 200"))
			fail("a request was refused: %s", r->line);
		if (r->line[0] == '\0')
			response_on_head_end(r);
		else
			response_on_field(r);
		return;
	case RESPONSE_SIZE:
		r->n_left = strtoull(r->line, NULL, 16);
		r->part = r->n_left > 0 ? RESPONSE_CHUNK : RESPONSE_TRAILER;
		return;
	case RESPONSE_CHUNK_END:
		r->part = RESPONSE_SIZE;
		return;
	default:
		if (r->line[0] == '\0')
			response_on_body_end(r);
	}
}

static void response_add_to_line(struct response *r, char c)
{
	if (c != '\n') {
		if (c != '\r' && r->n_line < sizeof(r->line) - 1)
			r->line[r->n_line++] = c;
		return;
	}
	r->line[r->n_line] = '\0';
	r->n_line = 0;
	response_on_line(r);
}

static void response_on_bytes(struct response *r, size_t len)
{
	r->n_bytes += len;
	r->n_left -= len;
	if (r->n_left > 0)
		return;
	if (r->part == RESPONSE_CHUNK)
		r->part = RESPONSE_CHUNK_END;
	else
		response_on_body_end(r);
}

void response_read(struct response *r, size_t len, response_sink *sink, void *data)
{
	static char buffer[READ_MAX];
	const char *at = buffer;
	ssize_t left = recv(r->fd, buffer, len < sizeof(buffer) ? len : sizeof(buffer), 0);

	if (left <= 0)
		fail("a response broke off: %s", left < 0 ? strerror(errno) : "closed");
	while (left > 0) {
		size_t n = (uint64_t)left < r->n_left ? (size_t)left : (size_t)r->n_left;

		if (r->part != RESPONSE_CHUNK && r->part != RESPONSE_BODY) {
			response_add_to_line(r, *at++);
			left--;
			continue;
		}
		if (sink)
			sink(data, at, n);
		at += n;
		left -= (ssize_t)n;
		response_on_bytes(r, n);
	}
}

/* Bytes that nobody wants to see are dropped by the kernel: their copy would cost more than sendfile. */
static void response_drop(struct response *r)
{
	ssize_t n = recv(r->fd, NULL, r->n_left, MSG_TRUNC);

	if (n <= 0)
		fail("a response broke off: %s", n < 0 ? strerror(errno) : "closed");
	response_on_bytes(r, (size_t)n);
}

void response_begin(struct response *r, int fd)
{
	*r = (struct response){ .fd = fd };
}

uint64_t response_wait(int fd)
{
	struct response r;

	response_begin(&r, fd);
	while (!r.is_over) {
		if (r.part == RESPONSE_BODY && r.n_left > READ_MAX)
			response_drop(&r);
		else
			response_read(&r, READ_MAX, NULL, NULL);
	}
	return r.n_bytes;
}

void send_all(int fd, const void *bytes, size_t len, int flags)
{
	const char *at = bytes;

	while (len > 0) {
		ssize_t n = send(fd, at, len, flags | MSG_NOSIGNAL);

		if (n < 0)
			fail("send: %s", strerror(errno));
		at += n;
		len -= (size_t)n;
	}
}
