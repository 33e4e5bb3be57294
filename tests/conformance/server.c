/*
 * conformance-server: ConformanceService for the official conformance runner. Tests only.
 *
 * The runner starts one for each configuration, writes a ServerCompatRequest to its stdin (four
 * bytes of length, big endian, and the message), reads a ServerCompatResponse with the port from
 * its stdout, and ends it with SIGTERM.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/arena.h"
#include "base/buf.h"
#include "http/server.h"
#include "loop/loop.h"
#include "rpc/codec.h"
#include "rpc/envelope.h"
#include "rpc/service.h"
#include "tests/conformance/echo.h"
#include "tests/conformance/messages.h"

#define HANDSHAKE_MAX (1024u * 1024u) /* bytes; it holds certificates at the most */
#define HOST          "127.0.0.1"

struct program {
	struct loop loop;
	struct server *server;
	uv_signal_t term;
	const struct rpc_method *methods;
	struct rpc_options options;
};

static void program_on_request(void *ctx, struct exchange *x)
{
	const struct http_field text = HTTP_FIELD("Content-Type", "text/plain; charset=utf-8");
	struct program *p = ctx;

	for (size_t i = 0; i < ECHO_METHODS; i++) {
		if (span_equal(x->request.path, p->methods[i].path)) {
			rpc_serve(&p->loop, &x, &p->methods[i], NULL, NULL, NULL);
			return;
		}
	}
	exchange_answer(&x, 404, &text, 1, SPAN("404 page not found\n"));
}

static void program_on_server_closed(void *ctx)
{
	UNUSED(ctx);
}

static void program_on_term(uv_signal_t *handle, int signum)
{
	struct program *p = handle->data;

	UNUSED(signum);
	uv_close((uv_handle_t *)handle, NULL);
	server_close(p->server, program_on_server_closed, p);
}

/* Frames of the handshake are envelopes without their flags. */
static int read_all(uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = read(STDIN_FILENO, data, len);

		if (n <= 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int take_request(struct program *p, const uint8_t *data, size_t len, struct arena *arena,
                        struct err *e)
{
	ProtobufCMessage *message = NULL;
	const MESSAGE(ServerCompatRequest) * request;

	if (codec_decode(CODEC_PROTO, &DESCRIPTOR(server_compat_request), data, len, arena,
	                 &message, e) < 0 ||
	    !message)
		return -1;
	request = (const void *)message;
	if (request->use_tls)
		return err_set(e, ERR_UNIMPLEMENTED, "no TLS");
	p->options.message_max = request->message_receive_limit;
	return 0;
}

static int read_request(struct program *p, struct err *e)
{
	uint8_t header[4];
	struct arena arena;
	uint8_t *data;
	size_t len;
	int rc;

	if (read_all(header, sizeof header) < 0)
		return err_set(e, ERR_CANCELED, "no handshake");
	len = (size_t)header[0] << 24 | (size_t)header[1] << 16 | (size_t)header[2] << 8 |
	      header[3];
	arena_init(&arena, 2 * HANDSHAKE_MAX, NULL, 0);
	data = len <= HANDSHAKE_MAX ? arena_alloc(&arena, len + 1) : NULL;
	if (!data || read_all(data, len) < 0)
		rc = err_set(e, ERR_INVALID, "broken handshake");
	else
		rc = take_request(p, data, len, &arena, e);
	arena_deinit(&arena);
	return rc;
}

static int write_response(int port, struct err *e)
{
	MESSAGE(ServerCompatResponse)
	response = CONNECTRPC__CONFORMANCE__V1__SERVER_COMPAT_RESPONSE__INIT;
	CLEANUP(buf_deinit) struct buf out = { 0 };
	char host[] = HOST;
	uint8_t header[ENVELOPE_HEADER];

	buf_init(&out, HANDSHAKE_MAX);
	response.host = host;
	response.port = (uint32_t)port;
	if (codec_encode(CODEC_PROTO, &response.base, &out, e) < 0)
		return -1;
	envelope_put_header(header, 0, (uint32_t)out.len);
	if (fwrite(header + 1, 4, 1, stdout) != 1 || fwrite(out.data, out.len, 1, stdout) != 1 ||
	    fflush(stdout) != 0)
		return err_set(e, ERR_CANCELED, "write to the runner");
	return 0;
}

static int program_run(struct program *p, struct err *e)
{
	if (read_request(p, e) < 0)
		return -1;
	p->options.bidi_over_http1 = true;
	p->methods = echo_methods(&p->options);
	echo_set_types();
	p->server = server_new(&p->loop, program_on_request, p);
	if (server_listen(p->server, "tcp:" HOST ":0", e) == 0 &&
	    write_response(server_port(p->server), e) == 0) {
		uv_signal_init(&p->loop.uv, &p->term);
		p->term.data = p;
		uv_signal_start(&p->term, program_on_term, SIGTERM);
		loop_run(&p->loop);
		return 0;
	}
	server_close(p->server, program_on_server_closed, p);
	return -1;
}

int main(void)
{
	static struct program program;
	CLEANUP(err_clear) struct err e = { 0 };
	int rc;

	signal(SIGPIPE, SIG_IGN);
	if (loop_init(&program.loop) < 0)
		return EXIT_FAILURE;
	rc = program_run(&program, &e);
	loop_deinit(&program.loop);
	if (rc < 0)
		fprintf(stderr, "conformance-server: %s\n", err_text(&e));
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
