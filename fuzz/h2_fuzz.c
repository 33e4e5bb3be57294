/*
 * A client's bytes after the HTTP/2 preface, through a real connection, on a real loop.
 *
 * The first byte of an input says in which pieces the rest arrives, so that every partial read
 * happens, and how the server's handlers behave; the rest are frames.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/mem.h"
#include "http/conn.h"
#include "http/server.h"

#define FUZZ_OWNED_MAX   64
#define FUZZ_INPUT_MAX   65536u
#define FUZZ_BODY_ECHOED 4096u

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

static struct loop loop;
static struct server *server;
static struct exchange *owned[FUZZ_OWNED_MAX];
static size_t n_owned;
static uint8_t behaviour;

static struct exchange **slot_of(struct exchange *x)
{
	return x->data;
}

static void on_body(struct exchange *x, const uint8_t *data, size_t len)
{
	struct iovec piece = { (void *)(uintptr_t)data, MIN(len, (size_t)FUZZ_BODY_ECHOED) };

	if (!x->answered)
		exchange_begin(x, 200, NULL, 0, -1);
	exchange_send(x, &piece, 1);
	if (!(behaviour & 0x80))
		exchange_consumed(x, len);
}

static void on_body_end(struct exchange *x, enum exchange_body_end how)
{
	struct http_field trailer = HTTP_FIELD("X-End", "1");
	size_t n;

	UNUSED(how);
	exchange_trailers(x, &n);
	if (!x->answered)
		exchange_begin(x, 200, NULL, 0, -1);
	exchange_finish(slot_of(x), &trailer, n ? 1 : 0);
}

static void on_proceed(struct exchange *x)
{
	exchange_finish(slot_of(x), NULL, 0);
}

static void on_stop(struct exchange *x)
{
	if (!(behaviour & 0x40)) /* else much later */
		exchange_abort(slot_of(x));
}

static const struct exchange_ops ops = {
	.on_body = on_body,
	.on_body_end = on_body_end,
	.on_proceed = on_proceed,
	.on_stop = on_stop,
};

static void on_request(void *ctx, struct exchange *x)
{
	static char much[100000];

	UNUSED(ctx);
	if (n_owned == FUZZ_OWNED_MAX || x->request.path.len % 4 == 1) {
		exchange_answer(&x, 200, x->request.fields, MIN(x->request.n_fields, 4u),
		                x->request.path);
		return;
	}
	owned[n_owned] = x;
	exchange_own(x, &ops, &owned[n_owned++]);
	if (x->request.path.len % 4 == 2) {
		exchange_begin(x, 200, NULL, 0, -1);
		exchange_send(x, &(struct iovec){ much, sizeof much }, 1);
	} else if (x->request.path.len % 4 == 3) {
		exchange_abort(&owned[n_owned - 1]);
		return;
	}
	exchange_read(x);
}

static void turn(int fd)
{
	static char sink[65536];

	uv_run(&loop.uv, UV_RUN_NOWAIT);
	while (!(behaviour & 0x20) && recv(fd, sink, sizeof sink, MSG_DONTWAIT) > 0)
		;
}

static void give(int fd, const void *data, size_t len, size_t slice)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = send(fd, at, MIN(len, slice), MSG_DONTWAIT | MSG_NOSIGNAL);

		turn(fd);
		if (n <= 0)
			return;
		at += n;
		len -= (size_t)n;
	}
}

static void give_back(void)
{
	for (size_t i = 0; i < n_owned; i++)
		if (owned[i])
			exchange_abort(&owned[i]);
	n_owned = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t slices[] = { FUZZ_INPUT_MAX, 1, 9, 100 };
	int fds[2];

	if (size == 0 || size > FUZZ_INPUT_MAX)
		return 0;
	if (!server) {
		ASSERT(loop_init(&loop) == 0);
		server = server_new(&loop, on_request, NULL);
	}
	behaviour = data[0];
	ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	ASSERT(conn_new(server, fds[1]));
	give(fds[0], preface, sizeof preface - 1, FUZZ_INPUT_MAX);
	give(fds[0], data + 1, size - 1, slices[behaviour % ARRAY_SIZE(slices)]);
	for (unsigned i = 0; i < 3; i++)
		turn(fds[0]);
	if (behaviour & 0x10)
		give_back();
	close(fds[0]);
	while (server_n_connections(server) > 0)
		uv_run(&loop.uv, UV_RUN_NOWAIT);
	give_back();
	return 0;
}
