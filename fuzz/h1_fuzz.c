/*
 * A client's bytes through a real connection on a real loop, twice: all at once, and in pieces.
 * How the bytes were cut must not show in what the server answers.
 *
 * The first byte of an input chooses the size of the pieces; the rest is HTTP/1. What the handler
 * does depends on the length of the path, so that it is the same both times.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/macros.h"
#include "http/conn.h"
#include "http/server.h"

#define FUZZ_INPUT_MAX  65536u
#define FUZZ_OUTPUT_MAX (64u * 1024u * 1024u)
#define FUZZ_TURNS      6u /* after the last byte, until all has been said */

enum mode { MODE_AT_ONCE, MODE_ANSWER, MODE_STREAM, MODE_HOLD, N_MODES };

static struct loop loop;
static struct server *server;
static struct buf output;

/* The exchange that is out: never more than one on one connection. */
static struct {
	struct exchange *x;
	enum mode mode;
	size_t n_body;
	uint32_t sum;
} now;

static void answer_sum(void)
{
	struct http_field field = HTTP_FIELD("X-Mode", "answer");
	char text[64];

	snprintf(text, sizeof text, "%zu bytes, sum %u\n", now.n_body, now.sum);
	exchange_answer(&now.x, 200, &field, 1, span_of(text));
}

static void on_body(struct exchange *x, const uint8_t *data, size_t len)
{
	ASSERT(len > 0);
	for (size_t i = 0; i < len; i++)
		now.sum = now.sum * 31 + data[i];
	now.n_body += len;
	exchange_consumed(x, len);
}

static void on_body_end(struct exchange *x, enum exchange_body_end how)
{
	struct http_field trailer = HTTP_FIELD("X-End", "1");
	const struct http_field *trailers;
	struct iovec piece;
	size_t n;

	trailers = exchange_trailers(x, &n);
	if (how != EXCHANGE_BODY_COMPLETE) {
		exchange_abort(&now.x);
	} else if (now.mode == MODE_ANSWER) {
		answer_sum();
	} else {
		piece.iov_base = &now.sum;
		piece.iov_len = sizeof now.sum;
		exchange_send(x, &piece, 1);
		exchange_finish(&now.x, n ? trailers : &trailer, n ? n : 1);
	}
}

static void on_stop(struct exchange *x)
{
	ASSERT(x == now.x);
	exchange_abort(&now.x);
}

static const struct exchange_ops ops = {
	.on_body = on_body,
	.on_body_end = on_body_end,
	.on_stop = on_stop,
};

static void on_request(void *ctx, struct exchange *x)
{
	static const struct http_field announced = HTTP_FIELD("Trailer", "X-End");

	UNUSED(ctx);
	ASSERT(!now.x);
	now.mode = (enum mode)(x->request.path.len % N_MODES);
	if (now.mode == MODE_AT_ONCE) {
		exchange_add_field(x, "X-Path", x->request.path);
		exchange_answer(&x, 200, x->request.fields, x->request.n_fields, x->request.host);
		return;
	}
	now.x = x;
	now.n_body = 0;
	now.sum = 0;
	exchange_own(x, &ops, NULL);
	if (now.mode == MODE_STREAM)
		exchange_begin(x, 200, &announced, 1, -1);
	if (now.mode != MODE_HOLD)
		exchange_read(x);
}

/* ---- the client ---- */

static bool turn(int fd)
{
	size_t before = output.len;
	char data[16384];
	ssize_t n;

	uv_run(&loop.uv, UV_RUN_NOWAIT);
	while ((n = recv(fd, data, sizeof data, MSG_DONTWAIT)) > 0)
		buf_append(&output, data, (size_t)n);
	return output.len > before;
}

static void give(int fd, const uint8_t *data, size_t len, size_t slice)
{
	while (len > 0) {
		ssize_t n = send(fd, data, MIN(len, slice), MSG_DONTWAIT | MSG_NOSIGNAL);

		turn(fd);
		if (n <= 0)
			return;
		data += n;
		len -= (size_t)n;
	}
}

/* What is held is answered when nothing else happens any more. */
static void settle(int fd)
{
	unsigned quiet = 0;

	while (quiet < FUZZ_TURNS || now.x) {
		quiet = turn(fd) ? 0 : quiet + 1;
		if (quiet < FUZZ_TURNS || !now.x)
			continue;
		if (now.mode == MODE_HOLD)
			answer_sum();
		else
			exchange_abort(&now.x);
		quiet = 0;
	}
}

static void drop_dates(void)
{
	static const char name[] = "\r\nDate: ";
	const size_t len = sizeof name - 1 + 29;
	uint8_t *at = output.data, *date;

	while (output.len > 0 && (date = memmem(at, output.len - (size_t)(at - output.data), name,
	                                        sizeof name - 1))) {
		size_t rest = output.len - (size_t)(date - output.data);

		if (rest < len)
			return;
		memmove(date, date + len, rest - len);
		output.len -= len;
		at = date;
	}
}

static struct buf converse(const uint8_t *data, size_t size, size_t slice)
{
	int fds[2];

	buf_init(&output, FUZZ_OUTPUT_MAX);
	ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	ASSERT(conn_new(server, fds[1]));
	give(fds[0], data, size, slice);
	shutdown(fds[0], SHUT_WR);
	settle(fds[0]);
	close(fds[0]);
	while (server_n_connections(server) > 0)
		uv_run(&loop.uv, UV_RUN_NOWAIT);
	ASSERT(!now.x);
	drop_dates();
	return output;
}

/* After Upgrade: h2c, frames: they may come in another order. */
static bool has_switched(const struct buf *b)
{
	return b->len > 0 &&
	       memmem(b->data, b->len, HTTP_SWITCHING_H2C, sizeof HTTP_SWITCHING_H2C - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t slices[] = { 1, 2, 3, 7, 16, 61, 251, 1021 };
	struct buf whole, pieces;

	if (size < 2 || size > FUZZ_INPUT_MAX)
		return 0;
	if (!server) {
		ASSERT(loop_init(&loop) == 0);
		server = server_new(&loop, on_request, NULL);
	}
	if (memcmp(data + 1, "PRI *", MIN(size - 1, 5u)) == 0)
		return 0; /* HTTP/2 has a target of its own */
	whole = converse(data + 1, size - 1, FUZZ_INPUT_MAX);
	pieces = converse(data + 1, size - 1, slices[data[0] % ARRAY_SIZE(slices)]);
	if (!has_switched(&whole)) {
		ASSERT(whole.len == pieces.len);
		ASSERT(whole.len == 0 || memcmp(whole.data, pieces.data, whole.len) == 0);
	}
	buf_deinit(&whole);
	buf_deinit(&pieces);
	return 0;
}
