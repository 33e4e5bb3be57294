/*
 * HTTP/2 on a connection (RFC 9113), by nghttp2. See h2_session.h for the files beside this one.
 *
 * Rules
 *   - input is given to nghttp2 in slices, each looked at by h2_guard.c first, and only while
 *     little output waits: a peer that does not read is not read from
 *   - output is collected by one task and written once
 *   - a connection error leaves by h2_fail: a GOAWAY, all exchanges gone, the conn closed
 *   - draining takes two GOAWAYs (RFC 9113 6.8): the first only warns, the second, one round trip
 *     later, names the last stream that is served
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/mem.h"
#include "http/h2_session.h"

/* Bytes of HTTP2-Settings: seven settings are defined, each six bytes; unknown ones have room. */
#define H2_UPGRADE_SETTINGS_MAX 240u

#define H2_GOAWAY_SIZE 17u /* frame header, last stream, error code */

static const struct state_rule drain_rules[] = {
	[H2_DRAIN_NOT] = { "serving", BIT(H2_DRAIN_NOTICED) },
	[H2_DRAIN_NOTICED] = { "noticed", BIT(H2_DRAIN_LAST) },
	[H2_DRAIN_LAST] = { "last", 0 },
};

static void put_u32(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 24);
	at[1] = (uint8_t)(v >> 16);
	at[2] = (uint8_t)(v >> 8);
	at[3] = (uint8_t)v;
}

void h2_wake(struct h2 *h)
{
	if (!h->ended)
		loop_defer(h->loop, &h->flush);
}

void h2_fail(struct h2 *h, uint32_t error_code)
{
	if (h->failed || h->ended)
		return;
	h->failed = true;
	h->error = error_code;
	h2_wake(h);
}

static uint32_t error_code_of(int rc)
{
	switch (rc) {
	case NGHTTP2_ERR_FLOODED:
	case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS:
		return NGHTTP2_ENHANCE_YOUR_CALM;
	case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
		return NGHTTP2_PROTOCOL_ERROR;
	default:
		return NGHTTP2_INTERNAL_ERROR;
	}
}

bool h2_check(struct h2 *h, int rc)
{
	if (rc >= 0 || !(nghttp2_is_fatal(rc) || rc == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS))
		return true;
	h2_fail(h, error_code_of(rc));
	return false;
}

static void h2_drop_streams(struct h2 *h)
{
	struct h2_stream *s;

	while ((s = LIST_FIRST(&h->streams, struct h2_stream, link)))
		h2_stream_closed(s);
}

/* The last word on this connection; nothing is read or framed after it. */
static void h2_end(struct h2 *h)
{
	h->ended = true;
	loop_undefer(&h->flush);
	conn_close_after_flush(h->conn);
	h2_drop_streams(h);
}

/* Written by hand: nghttp2 may be the one that has failed, and it would put it behind the rest. */
static void h2_end_with_error(struct h2 *h)
{
	uint8_t frame[H2_GOAWAY_SIZE] = { [2] = 8, [3] = NGHTTP2_GOAWAY };
	struct iovec piece = { frame, sizeof frame };

	put_u32(frame + 9, (uint32_t)nghttp2_session_get_last_proc_stream_id(h->session));
	put_u32(frame + 13, h->error);
	log_event_limited(LOG_DEBUG, "http", "HTTP/2 connection ended with an error",
	                  log_str("error", nghttp2_http2_strerror(h->error)));
	conn_write(h->conn, &piece, 1);
	h2_end(h);
}

/* One deadline, for what has to come next; streams have their own (h2_stream_watch). */
static void h2_set_deadline(struct h2 *h)
{
	static const uint32_t after_ms[] = {
		[H2_WAITS_NOT] = 0,
		[H2_WAITS_INPUT] = HTTP_HEADER_MS,
		[H2_WAITS_DRAIN] = HTTP_DRAIN_MS,
		[H2_WAITS_REQUEST] = HTTP_IDLE_MS,
	};
	int waits = H2_WAITS_NOT;

	if (!h->settled || h2_guard_is_waiting(&h->guard))
		waits = H2_WAITS_INPUT;
	else if (h->drain.now == H2_DRAIN_NOTICED)
		waits = H2_WAITS_DRAIN;
	else if (!h->n_streams)
		waits = H2_WAITS_REQUEST;

	if ((int)h->deadline == waits &&
	    (waits != H2_WAITS_INPUT || !h->settled || h->deadline_of == h->guard.n_begun))
		return;
	h->deadline = waits;
	h->deadline_of = h->guard.n_begun;
	conn_deadline(h->conn, after_ms[waits]);
}

static bool h2_is_done(const struct h2 *h)
{
	if (h->more_output || nghttp2_session_want_write(h->session))
		return false;
	return !nghttp2_session_want_read(h->session) ||
	       (h->drain.now == H2_DRAIN_LAST && !h->n_streams);
}

void h2_drain_last(struct h2 *h)
{
	int32_t id = nghttp2_session_get_last_proc_stream_id(h->session);

	if (h->drain.now != H2_DRAIN_NOTICED)
		return;
	state_move(&h->drain, H2_DRAIN_LAST);
	h2_check(h, nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR, NULL,
	                                  0));
	h2_wake(h);
}

/* Moves frames from nghttp2 to the conn while that has room. */
static void h2_pump(struct h2 *h)
{
	h->more_output = false;
	while (!h->failed && !conn_is_closing(h->conn)) {
		const uint8_t *data;
		ssize_t n;

		if (conn_queued(h->conn) >= H2_OUTPUT_HIGH) {
			h->more_output = true;
			return;
		}
		n = nghttp2_session_mem_send(h->session, &data);
		if (!h2_check(h, (int)n) || n <= 0)
			return;
		conn_write(h->conn, &(struct iovec){ h2_unconst(data), (size_t)n }, 1);
	}
}

static void h2_tell_owners(struct h2 *h)
{
	struct list batch = LIST_INIT(batch);
	struct h2_stream *s;

	if (list_is_empty(&h->ready))
		return;
	list_insert_before(&h->ready, &batch);
	list_remove(&h->ready);
	while ((s = LIST_FIRST(&batch, struct h2_stream, ready_link))) {
		list_remove(&s->ready_link);
		h2_stream_tell(s);
	}
}

/* Everything that is due after something has happened: tells, writes, ends, waits. */
static void h2_advance(struct h2 *h)
{
	if (h->ended)
		return;
	conn_cork(h->conn);
	if (!h->failed) {
		h2_tell_owners(h);
		h2_pump(h);
	}
	if (h->failed)
		h2_end_with_error(h);
	conn_uncork(h->conn);
	if (h->ended)
		return;
	if (h2_is_done(h)) {
		h2_end(h);
		return;
	}
	/* What did not fit goes on when the socket has taken the rest, or else in the next turn. */
	if (!list_is_empty(&h->ready) || (h->more_output && !conn_queued(h->conn)))
		h2_wake(h);
	h2_set_deadline(h);
}

static void h2_on_flush(struct task *task)
{
	struct h2 *h = CONTAINER_OF(task, struct h2, flush);
	struct h2_stream *s = TAKE_PTR(h->upgraded);

	if (s)
		h2_request_complete(s, false);
	h2_advance(h);
}

static void h2_take_slice(struct h2 *h, const uint8_t *data, size_t len)
{
	uint32_t error = NGHTTP2_NO_ERROR;
	size_t fine = h2_guard_input(&h->guard, data, len, loop_now_ms(h->loop), &error);
	ssize_t n = nghttp2_session_mem_recv(h->session, data, fine);

	if (n < 0)
		h2_fail(h, error_code_of((int)n));
	else if (fine < len)
		h2_fail(h, error);
}

/* Tries the socket once more before the client has to wait for it. */
static bool h2_has_room(struct h2 *h)
{
	if (conn_queued(h->conn) < H2_OUTPUT_HIGH)
		return true;
	conn_uncork(h->conn);
	conn_cork(h->conn);
	return conn_queued(h->conn) < H2_OUTPUT_HIGH;
}

static size_t h2_on_input(struct conn *c, const uint8_t *data, size_t len)
{
	struct h2 *h = conn_state(c);
	size_t taken = 0, n;

	conn_cork(c);
	h->n_handed_over = 0;
	while (taken < len && !h->failed && !h->ended) {
		if (!h2_has_room(h)) {
			h->input_paused = true;
			break;
		}
		if (h->n_handed_over >= H2_REQUESTS_PER_TURN) {
			conn_resume(c);
			break;
		}
		n = MIN(len - taken, H2_INPUT_SLICE);
		h2_take_slice(h, data + taken, n);
		h2_pump(h);
		taken += n;
	}
	conn_uncork(c);
	if (h->failed || h->ended)
		taken = len;
	h2_advance(h);
	return taken;
}

/*
 * A client that has ended its side can neither open windows nor cancel; for a stream that says
 * nothing for hours it is the only sign that the client is gone.
 */
static void h2_on_eof(struct conn *c)
{
	struct h2 *h = conn_state(c);

	if (!h->ended)
		h2_end(h);
}

static void h2_on_drained(struct conn *c)
{
	struct h2 *h = conn_state(c);

	h2_advance(h);
	if (h->input_paused && !h->ended && conn_queued(c) < H2_OUTPUT_HIGH) {
		h->input_paused = false;
		conn_resume(c);
	}
}

static void h2_on_timeout(struct conn *c)
{
	struct h2 *h = conn_state(c);
	int waited = h->deadline;

	if (h->ended)
		return;
	h->deadline = H2_WAITS_NOT;
	switch (waited) {
	case H2_WAITS_INPUT:
		h2_fail(h, NGHTTP2_ENHANCE_YOUR_CALM);
		break;
	case H2_WAITS_DRAIN:
		h2_drain_last(h);
		break;
	case H2_WAITS_REQUEST:
		h2_check(h, nghttp2_session_terminate_session(h->session, NGHTTP2_NO_ERROR));
		break;
	default:
		break;
	}
	h2_advance(h);
}

static void h2_on_shutdown(struct conn *c)
{
	struct h2 *h = conn_state(c);

	if (h->ended || h->drain.now != H2_DRAIN_NOT)
		return;
	state_move(&h->drain, H2_DRAIN_NOTICED);
	if (h2_check(h, nghttp2_submit_shutdown_notice(h->session)))
		h2_check(h, nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL));
	h2_wake(h);
}

static void h2_free(struct h2 *h)
{
	h->ended = true;
	loop_undefer(&h->flush);
	h2_drop_streams(h);
	nghttp2_session_del(h->session);
	free(h);
}

static void h2_on_gone(struct conn *c)
{
	h2_free(conn_state(c));
}

const struct conn_protocol h2_protocol = {
	.on_input = h2_on_input,
	.on_eof = h2_on_eof,
	.on_drained = h2_on_drained,
	.on_timeout = h2_on_timeout,
	.on_shutdown = h2_on_shutdown,
	.on_gone = h2_on_gone,
};

/* NULL: no memory. Nothing has been changed or written. */
static struct h2 *h2_new(struct conn *c, uint32_t opened_id)
{
	CLEANUP(freep) struct h2 *h = xcalloc(1, sizeof *h);

	h->conn = c;
	h->server = conn_server(c);
	h->loop = server_loop(h->server);
	h->flush.run = h2_on_flush;
	list_init(&h->streams);
	list_init(&h->ready);
	h2_guard_init(&h->guard, opened_id, loop_now_ms(h->loop));
	state_init(&h->drain, drain_rules, ARRAY_SIZE(drain_rules), H2_DRAIN_NOT, "h2", 0);
	if (h2_frames_new_session(&h->session, h) < 0)
		return NULL;
	return TAKE_PTR(h);
}

static void h2_take_conn(struct h2 *h)
{
	conn_set_protocol(h->conn, &h2_protocol, h);
	h2_set_deadline(h);
	if (server_is_draining(h->server))
		h2_on_shutdown(h->conn);
	h2_wake(h);
}

void h2_start(struct conn *c)
{
	struct h2 *h = h2_new(c, 0);

	if (!h) {
		conn_close(c);
		return;
	}
	h2_take_conn(h);
}

/* Stream 1 is half closed already; its request is handed over when h1 is out of the way. */
static bool h2_adopt_upgraded(struct h2 *h, const uint8_t *settings, size_t len,
                              const struct http_request *request)
{
	struct h2_stream *s = h2_stream_new(h, 1);
	bool is_head = span_equal(request->method, "HEAD");

	if (!s || !h2_request_copy(s, request))
		return false;
	h->upgraded = s;
	return nghttp2_session_upgrade2(h->session, settings, len, is_head, s) == 0;
}

bool h2_start_upgraded(struct conn *c, struct span settings, const struct http_request *request)
{
	struct iovec piece = { h2_unconst(HTTP_SWITCHING_H2C), sizeof(HTTP_SWITCHING_H2C) - 1 };
	uint8_t payload[H2_UPGRADE_SETTINGS_MAX / 4 * 3 + 3];
	ptrdiff_t n = -EINVAL;
	struct h2 *h;

	if (settings.len <= H2_UPGRADE_SETTINGS_MAX)
		n = base64_decode(payload, settings.at, settings.len);
	if (n < 0)
		return false;
	h = h2_new(c, 1);
	if (!h)
		return false;
	if (!h2_adopt_upgraded(h, payload, (size_t)n, request)) {
		h2_free(h);
		return false;
	}
	conn_cork(c);
	conn_write(c, &piece, 1);
	h2_take_conn(h);
	h2_pump(h);
	conn_uncork(c);
	return true;
}
