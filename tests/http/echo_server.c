/*
 * The smallest user of envd/http, to try clients and load on the transport alone:
 *
 *   GET  /health   204, as the daemon's
 *   GET  /hello    a constant
 *   POST /echo     the body back as it comes, with its trailers
 *   GET  /stream?N N chunks of 1,000 bytes, with back-pressure
 *   POST /sink     the number of bytes received
 *
 * http-echo-server [ADDR:]PORT; ends on SIGTERM after draining.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/server.h"

#define ECHO_STREAM_PIECE 1000u

struct echo {
	struct exchange *x;
	uint64_t left;  /* pieces still to send, or bytes received */
	bool to_stream; /* else echo or sink */
	bool to_sink;
};

static void echo_free(struct echo *e)
{
	free(e);
}

static void echo_stream(struct echo *e)
{
	static const char piece[ECHO_STREAM_PIECE] = { 'x' };
	struct iovec iov = { (void *)(uintptr_t)piece, sizeof piece };

	while (e->left > 0) {
		e->left--;
		if (!exchange_send(e->x, &iov, 1))
			return;
	}
	exchange_finish(&e->x, NULL, 0);
	echo_free(e);
}

static void echo_on_body(struct exchange *x, const uint8_t *data, size_t len)
{
	struct echo *e = x->data;
	struct iovec iov = { (void *)(uintptr_t)data, len };

	e->left += len;
	if (!e->to_sink)
		(void)exchange_send(x, &iov, 1);
	exchange_consumed(x, len);
}

static void echo_on_body_end(struct exchange *x, enum exchange_body_end how)
{
	struct echo *e = x->data;
	char text[32];
	const struct http_field *trailers;
	size_t n;

	if (how != EXCHANGE_BODY_COMPLETE) {
		exchange_abort(&e->x);
	} else if (e->to_sink) {
		snprintf(text, sizeof text, "%llu\n", (unsigned long long)e->left);
		exchange_answer(&e->x, 200, NULL, 0, span_of(text));
	} else {
		trailers = exchange_trailers(x, &n);
		exchange_finish(&e->x, trailers, n);
	}
	echo_free(e);
}

static void echo_on_proceed(struct exchange *x)
{
	struct echo *e = x->data;

	if (e->to_stream)
		echo_stream(e);
}

static void echo_on_stop(struct exchange *x)
{
	struct echo *e = x->data;

	exchange_abort(&e->x);
	echo_free(e);
}

static const struct exchange_ops echo_ops = {
	.on_body = echo_on_body,
	.on_body_end = echo_on_body_end,
	.on_proceed = echo_on_proceed,
	.on_stop = echo_on_stop,
};

static void echo_take(struct exchange *x, bool to_stream, bool to_sink)
{
	struct echo *e = xcalloc(1, sizeof *e);
	struct http_field fields[] = { HTTP_FIELD("Content-Type", "application/octet-stream"),
		                       HTTP_FIELD("Trailer", "X-Sum") };

	*e = (struct echo){ .x = x, .to_stream = to_stream, .to_sink = to_sink };
	exchange_own(x, &echo_ops, e);
	if (!to_sink)
		exchange_begin(x, 200, fields, to_stream ? 1 : 2, -1);
	if (to_stream) {
		e->left = strtoull(x->request.query.len ? x->request.query.at : "1", NULL, 10);
		echo_stream(e);
		return;
	}
	exchange_read(x);
}

static void on_request(void *ctx, struct exchange *x)
{
	struct http_field fields[] = { HTTP_FIELD("Cache-Control", "no-store"),
		                       HTTP_FIELD("Content-Type", "") };

	UNUSED(ctx);
	if (span_equal(x->request.path, "/health")) {
		exchange_add_field(x, "Vary", SPAN("Origin"));
		exchange_answer(&x, 204, fields, 2, SPAN(""));
	} else if (span_equal(x->request.path, "/hello")) {
		exchange_answer(&x, 200, fields, 1, SPAN("Hello, world!\n"));
	} else if (span_equal(x->request.path, "/echo")) {
		echo_take(x, false, false);
	} else if (span_equal(x->request.path, "/sink")) {
		echo_take(x, false, true);
	} else if (span_equal(x->request.path, "/stream")) {
		echo_take(x, true, false);
	} else {
		exchange_answer(&x, 404, NULL, 0, SPAN("404 page not found\n"));
	}
}

static struct server *server;

static void on_server_closed(void *ctx)
{
	uv_close(ctx, NULL);
}

static void on_signal(uv_signal_t *signal, int number)
{
	UNUSED(number);
	if (!server)
		return;
	server_close(TAKE_PTR(server), on_server_closed, signal);
}

int main(int argc, char **argv)
{
	struct loop loop;
	uv_signal_t term;
	struct err e = { 0 };
	char where[64];

	ASSERT(loop_init(&loop) == 0);
	server = server_new(&loop, on_request, NULL);
	snprintf(where, sizeof where, "tcp:%s%s", argc > 1 && strchr(argv[1], ':') ? "" : ":",
	         argc > 1 ? argv[1] : "0");
	if (server_listen(server, where, &e) < 0) {
		fprintf(stderr, "%s\n", err_text(&e));
		return 1;
	}
	fprintf(stderr, "port %d\n", server_port(server));
	uv_signal_init(&loop.uv, &term);
	uv_signal_start(&term, on_signal, SIGTERM);
	loop_run(&loop);
	loop_deinit(&loop);
	return 0;
}
