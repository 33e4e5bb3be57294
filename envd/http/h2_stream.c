/*
 * One stream: its life, its request body, and the wire behind its exchange.
 *
 * Body bytes are charged twice. The stream's window opens again when the owner has consumed them,
 * so a slow owner stops its own peer. The connection's window opens at once, up to H2_HELD_MAX, so
 * that it stops nobody else's.
 */
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "http/h2_session.h"

/* Bytes of a stream's block for exchange_add_field: what CORS adds. */
#define H2_STREAM_EXTRA 768u

/* The arena rounds up, keeps names apart from values, and has the tables of fields; what the peer
 * sends is counted apart. */
#define H2_STREAM_ARENA_MAX (3u * HTTP_HEADER_MAX)

_Static_assert(sizeof(struct h2_stream) + H2_STREAM_EXTRA + 1536 <= SERVER_BLOCK,
               "room for a usual request");

static const struct state_rule request_rules[] = {
	[H2_REQUEST_HEAD] = { "head", BIT(H2_REQUEST_BODY) | BIT(H2_REQUEST_ENDED) },
	[H2_REQUEST_BODY] = { "body", BIT(H2_REQUEST_ENDED) },
	[H2_REQUEST_ENDED] = { "ended", BIT(H2_REQUEST_TOLD) },
	[H2_REQUEST_TOLD] = { "told", 0 },
};

static const struct state_rule response_rules[] = {
	[H2_RESPONSE_OPEN] = { "open", BIT(H2_RESPONSE_BEGUN) | BIT(H2_RESPONSE_FINISHED) |
	                                       BIT(H2_RESPONSE_ABORTED) },
	[H2_RESPONSE_BEGUN] = { "begun", BIT(H2_RESPONSE_SENDING) | BIT(H2_RESPONSE_FINISHED) |
	                                         BIT(H2_RESPONSE_ABORTED) },
	[H2_RESPONSE_SENDING] = { "sending", BIT(H2_RESPONSE_FINISHED) | BIT(H2_RESPONSE_ABORTED) },
	[H2_RESPONSE_FINISHED] = { "finished", 0 },
	[H2_RESPONSE_ABORTED] = { "aborted", 0 },
};

static void stream_on_stall(struct timer *timer)
{
	struct h2_stream *s = CONTAINER_OF(timer, struct h2_stream, stall);

	h2_stream_reset(s, s->lingering ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL);
}

struct h2_stream *h2_stream_new(struct h2 *h, int32_t id)
{
	struct h2_stream *s = server_take_block(h->server);

	if (!s)
		return NULL;
	memset(s, 0, sizeof *s);
	s->h2 = h;
	s->server = h->server;
	s->id = id;
	s->stall.on_due = stream_on_stall;
	exchange_init(&s->x, &h2_wire, s->first, H2_STREAM_EXTRA);
	arena_init(&s->arena, H2_STREAM_ARENA_MAX, s->first + H2_STREAM_EXTRA,
	           SERVER_BLOCK - sizeof *s - H2_STREAM_EXTRA);
	state_init(&s->request, request_rules, ARRAY_SIZE(request_rules), H2_REQUEST_HEAD,
	           "h2 request", (uint64_t)id);
	state_init(&s->response, response_rules, ARRAY_SIZE(response_rules), H2_RESPONSE_OPEN,
	           "h2 response", (uint64_t)id);
	buf_init(&s->in, EXCHANGE_WINDOW);
	buf_init(&s->out, HTTP_QUEUE_MAX);
	list_append(&h->streams, &s->link);
	h->n_streams++;
	return s;
}

static struct h2_stream *stream_deinit(struct exchange *x)
{
	struct h2_stream *s = CONTAINER_OF(x, struct h2_stream, x);

	exchange_deinit(&s->x);
	arena_deinit(&s->arena);
	return s;
}

static void stream_give_block(struct exchange *x)
{
	struct h2_stream *s = stream_deinit(x);

	server_give_block(s->server, s);
}

/* Its owner had it longer than the connection: the server may be gone too. */
static void stream_free(struct exchange *x)
{
	free(stream_deinit(x));
}

/* Returns n bytes of body to the connection's window, as far as they were not returned before. */
static void stream_unhold(struct h2_stream *s, size_t n)
{
	struct h2 *h = s->h2;

	s->held_bytes -= n;
	h->held_bytes -= n;
	if (h->owed_bytes && h->held_bytes <= H2_HELD_MAX) {
		h2_check(h, nghttp2_session_consume_connection(h->session, h->owed_bytes));
		h->owed_bytes = 0;
		h2_wake(h);
	}
}

void h2_stream_closed(struct h2_stream *s)
{
	struct h2 *h = s->h2;

	stream_unhold(s, s->held_bytes);
	h->n_streams--;
	if (h->upgraded == s)
		h->upgraded = NULL;
	if (h->deadline == H2_WAITS_REQUEST)
		h->deadline = H2_WAITS_NOT; /* the time between requests begins anew */
	list_remove(&s->link);
	list_remove(&s->ready_link);
	timer_stop(&h->loop->timers, &s->stall);
	server_discharge_head(s->server, s->charged);
	buf_deinit(&s->in);
	h2_response_deinit(s);
	s->h2 = NULL;
	/* May free s, may call anybody. */
	exchange_gone(&s->x, exchange_is_owned(&s->x) ? stream_free : stream_give_block);
}

void h2_stream_reset(struct h2_stream *s, uint32_t error_code)
{
	h2_check(s->h2,
	         nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, error_code));
	h2_wake(s->h2);
}

/* A stream may wait as long as nobody owes it anything. */
void h2_stream_watch(struct h2_stream *s)
{
	bool wants_body =
		s->reading && s->request.now == H2_REQUEST_BODY && exchange_is_owned(&s->x);
	struct timers *timers = &s->h2->loop->timers;
	uint64_t after_ms = wants_body ? HTTP_BODY_IDLE_MS : 0;

	if (h2_response_waits(s))
		after_ms = HTTP_WRITE_STALL_MS;
	if (s->lingering)
		return;
	if (after_ms)
		timer_start(timers, &s->stall, after_ms);
	else
		timer_stop(timers, &s->stall);
}

/*
 * The response is out before the request is: most of what is still to come is on its way already,
 * and a reset would hide the answer from clients that send first and read then. In the end they
 * are told not to go on, which is no error (RFC 9113 8.1).
 */
void h2_stream_linger(struct h2_stream *s)
{
	if (s->request.now > H2_REQUEST_BODY || s->lingering)
		return;
	s->lingering = true;
	timer_start(&s->h2->loop->timers, &s->stall, HTTP_DRAIN_MS);
	if (s->dropped_bytes > HTTP_DRAIN_MAX)
		h2_stream_reset(s, NGHTTP2_NO_ERROR);
}

void h2_stream_make_ready(struct h2_stream *s)
{
	if (!list_is_linked(&s->ready_link))
		list_append(&s->h2->ready, &s->ready_link);
	h2_wake(s->h2);
}

/* ---- request body ---- */

static void stream_hold(struct h2_stream *s, size_t len)
{
	struct h2 *h = s->h2;

	s->held_bytes += len;
	h->held_bytes += len;
	if (h->held_bytes > H2_HELD_MAX)
		h->owed_bytes += len;
	else
		h2_check(h, nghttp2_session_consume_connection(h->session, len));
}

/* Body that nobody wants any more. Beyond the limit the stream's window stays shut. */
static void stream_drop(struct h2_stream *s, size_t len)
{
	struct h2 *h = s->h2;
	bool fits = s->dropped_bytes <= HTTP_DRAIN_MAX;

	s->dropped_bytes += len;
	h2_check(h, nghttp2_session_consume_connection(h->session, len));
	if (s->dropped_bytes <= HTTP_DRAIN_MAX)
		h2_check(h, nghttp2_session_consume_stream(h->session, s->id, len));
	else if (fits && s->lingering)
		h2_stream_reset(s, NGHTTP2_NO_ERROR);
}

void h2_stream_on_data(struct h2_stream *s, const uint8_t *data, size_t len)
{
	if (!exchange_is_owned(&s->x)) {
		stream_drop(s, len);
		return;
	}
	stream_hold(s, len);
	s->got_body = true;
	h2_stream_watch(s);
	if (s->reading && !s->in.len) {
		s->x.ops->on_body(&s->x, data, len);
		return;
	}
	buf_append(&s->in, data, len);
	if (buf_error(&s->in))
		h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
}

void h2_stream_on_request_end(struct h2_stream *s)
{
	if (s->request.now != H2_REQUEST_BODY)
		return;
	state_move(&s->request, H2_REQUEST_ENDED);
	h2_stream_watch(s);
	if (s->reading)
		h2_stream_make_ready(s);
}

static void stream_tell_body(struct h2_stream *s)
{
	CLEANUP(buf_deinit) struct buf body = s->in;

	buf_init(&s->in, EXCHANGE_WINDOW);
	if (body.len)
		s->x.ops->on_body(&s->x, body.data, body.len);
}

/* s lives through all of it: only nghttp2 closes streams, and it is not called meanwhile. */
void h2_stream_tell(struct h2_stream *s)
{
	if (exchange_is_owned(&s->x) && s->reading)
		stream_tell_body(s);
	if (exchange_is_owned(&s->x) && s->reading && s->request.now == H2_REQUEST_ENDED) {
		state_move(&s->request, H2_REQUEST_TOLD);
		s->x.ops->on_body_end(&s->x, EXCHANGE_BODY_COMPLETE);
	}
	if (exchange_is_owned(&s->x) && s->file_ended) {
		s->file_ended = false;
		s->x.ops->on_file_sent(&s->x, s->file_error);
	}
	if (exchange_is_owned(&s->x) && h2_response_may_proceed(s)) {
		s->wants_proceed = false;
		s->x.ops->on_proceed(&s->x);
	}
}

/* ---- the wire ---- */

static void wire_read(struct exchange *x)
{
	struct h2_stream *s = CONTAINER_OF(x, struct h2_stream, x);

	if (s->reading)
		return;
	s->reading = true;
	if (x->request.expects_continue && s->request.now == H2_REQUEST_BODY && !s->got_body)
		h2_response_continue(s);
	h2_stream_watch(s);
	if (s->in.len || s->request.now == H2_REQUEST_ENDED)
		h2_stream_make_ready(s);
}

static void wire_consumed(struct exchange *x, size_t len)
{
	struct h2_stream *s = CONTAINER_OF(x, struct h2_stream, x);
	struct h2 *h = s->h2;

	ASSERT(len <= s->held_bytes);
	h2_check(h, nghttp2_session_consume_stream(h->session, s->id, len));
	stream_unhold(s, len);
	h2_wake(h);
}

static void wire_abort(struct exchange *x)
{
	struct h2_stream *s = CONTAINER_OF(x, struct h2_stream, x);

	state_move(&s->response, H2_RESPONSE_ABORTED);
	h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
}

static const struct http_field *wire_trailers(const struct exchange *x, size_t *out_n)
{
	const struct h2_stream *s = (const void *)x; /* its first member */

	*out_n = s->trailers.n;
	return s->trailers.at;
}

/* The rest of the body is nobody's; the stream lives until the response is out. */
static void wire_release(struct exchange *x)
{
	struct h2_stream *s = CONTAINER_OF(x, struct h2_stream, x);
	size_t held = s->held_bytes;

	buf_deinit(&s->in);
	s->wants_proceed = s->file_ended = false;
	file_pipe_free(TAKE_PTR(s->file));
	h2_check(s->h2, nghttp2_session_consume_stream(s->h2->session, s->id, held));
	stream_unhold(s, held);
	h2_stream_watch(s);
	h2_wake(s->h2);
}

const struct exchange_wire h2_wire = {
	.read = wire_read,
	.consumed = wire_consumed,
	.answer = h2_response_answer,
	.begin = h2_response_begin,
	.send = h2_response_send,
	.send_file = h2_response_send_file,
	.finish = h2_response_finish,
	.abort = wire_abort,
	.trailers = wire_trailers,
	.release = wire_release,
};
