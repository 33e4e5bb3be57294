/*
 * HTTP/1.0 and 1.1 on one connection: one request at a time, in the order they came.
 *
 * Two halves move apart from each other. Input: head → body → done. Output: idle → waiting (the
 * exchange is out, no answer yet) → streaming (answer begun) → done. When both are done the next
 * head is read, until then later requests wait in the connection, and beyond HTTP_PENDING_MAX in
 * the kernel.
 *
 *   requests waiting     those of HTTP_TURN_MS, then other connections have a turn
 *   answers unread       no further request is begun while EXCHANGE_SEND_HIGH bytes are queued
 *   no answer in sight   the owner may take for ever; it is told of a client that goes or hangs up
 *   answer, body unread  at most HTTP_DRAIN_MAX of it are dropped, then the connection ends
 *   peer ends its side   an answer that was not begun is given, a begun one is for nobody: stop
 *   anything malformed   refused before there is an exchange; in the body the owner is told
 *
 * An exchange is given back by its owner (x becomes NULL here), or by conn's on_gone.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/h1.h"
#include "http/h1_response.h"
#include "http/limits.h"

/* ---- refusing ---- */

static void h1_refuse(struct h1 *h, const struct h1_refusal *why)
{
	char text[H1_REFUSAL_MAX];
	struct iovec piece = { text, h1_refusal_write(why, text) };

	conn_write(h->conn, &piece, 1);
	conn_close_after_flush(h->conn);
}

static void h1_refuse_status(struct h1 *h, int status)
{
	h1_refuse(h, &(struct h1_refusal){ .status = status });
}

/* ---- from one request to the next ---- */

static void h1_drop_head(struct h1 *h)
{
	server_discharge_head(h1_server(h), h->head.len);
	buf_reset(&h->head, 0);
}

static void h1_next_request(struct h1 *h)
{
	if (h->is_chunked)
		chunked_deinit(&h->chunked);
	h->is_chunked = false;
	h->in = H1_IN_HEAD;
	h->out = H1_OUT_IDLE;
	h->scan = (struct h1_scan){ 0 };
	h->reading = h->end_due = false;
	conn_deadline(h->conn, HTTP_IDLE_MS);
}

/* Both halves may be done now. Returns whether the next request may be read. */
static bool h1_turn(struct h1 *h)
{
	if (h->in != H1_IN_DONE || h->out != H1_OUT_DONE)
		return false;
	if (h->closes) {
		conn_close_after_flush(h->conn);
		return false;
	}
	h1_next_request(h);
	return true;
}

/* The response is complete; what is unread of the request must not be taken for the next one. */
void h1_finished(struct h1 *h)
{
	h->out = H1_OUT_DONE;
	h->x = NULL;
	conn_give_back(h->conn, true);
	if (h->in == H1_IN_BODY) {
		if (h->closes) {
			conn_close_after_flush(h->conn);
			return;
		}
		h->n_drained = 0;
		conn_deadline(h->conn, HTTP_DRAIN_MS);
	}
	if (h->in_input)
		return;
	if (h->in == H1_IN_BODY || (h1_turn(h) && conn_kept(h->conn) > 0))
		conn_resume(h->conn);
}

static bool h1_step_done(struct h1 *h)
{
	if (h->end_due && h->reading && h->x) {
		h->end_due = false;
		h->x->x.ops->on_body_end(&h->x->x, h->end);
		return true;
	}
	return h1_turn(h);
}

/* ---- the request head ---- */

static void h1_free(struct h1 *h)
{
	h1_drop_head(h);
	buf_deinit(&h->head);
	if (h->is_chunked)
		chunked_deinit(&h->chunked);
	free(h);
}

/* True: h is freed. */
static bool h1_upgrade(struct h1 *h, struct h1_exchange *q)
{
	if (!q->h2c.at || !h2_start_upgraded(h->conn, q->h2c, &q->x.request))
		return false;
	h1_request_free(&q->x);
	h1_free(h);
	return true;
}

/* Once, when the first line of the connection is there. */
static bool h1_starts_wrong(struct h1 *h, const char *data, size_t len)
{
	const char *line = data + h->scan.start, *cr;

	if (h->started || h->scan.n_lines == 0)
		return false;
	h->started = true;
	cr = memchr(line, '\r', len - h->scan.start);
	return h1_is_wrong_preface((struct span){ line, (size_t)(cr - line) });
}

/* It refuses what is left of the line just as well: no preface ends where this one does. */
static void h1_leave_to_h2(struct h1 *h, struct h1_input *in)
{
	h2_start(h->conn);
	if (conn_is_closing(h->conn))
		return; /* no memory */
	h1_free(h);
	in->handed_over = true;
}

static void h1_expectation_failed(struct h1 *h, struct h1_exchange *q)
{
	struct exchange *x = &q->x;

	h->closes = true;
	exchange_answer(&x, 417, NULL, 0, SPAN(""));
}

static bool h1_serve(struct h1 *h, struct h1_input *in, const char *head, size_t len)
{
	struct h1_refusal why;
	struct h1_exchange *q = h1_request_new(h1_server(h), head, len, h->scan.n_lines, &why);

	h1_drop_head(h);
	if (!q) {
		h1_refuse(h, &why);
		return false;
	}
	if (h1_upgrade(h, q)) {
		in->handed_over = true;
		return false;
	}
	q->h1 = h;
	q->x.wire = &h1_wire;
	h->x = q;
	h->out = H1_OUT_WAITING;
	h->closes = !q->keep_alive || h->closes;
	h->credit = EXCHANGE_WINDOW;
	h->body_left = q->chunked ? 0 : (uint64_t)q->x.request.content_length;
	h->is_chunked = q->chunked;
	if (h->is_chunked)
		chunked_init(&h->chunked);
	if (q->x.request.has_body)
		h->in = H1_IN_BODY;
	else
		h1_body_ended(h, EXCHANGE_BODY_COMPLETE);
	if (q->expects_other)
		h1_expectation_failed(h, q);
	else
		server_request(h1_server(h), &q->x);
	ASSERT(!h->x || exchange_is_owned(&h->x->x));
	return true;
}

/* The head has not come in one piece: what there is of it is kept. Returns whether that is so. */
static bool h1_keep_head(struct h1 *h, struct h1_input *in)
{
	size_t n = MIN(in->len, HTTP_HEADER_MAX - h->head.len);

	if (h->head.len == 0)
		conn_deadline(h->conn, HTTP_HEADER_MS);
	if (!server_charge_head(h1_server(h), n)) {
		h1_refuse_status(h, 503);
		return false;
	}
	buf_append(&h->head, in->at, n);
	if (buf_error(&h->head)) {
		server_discharge_head(h1_server(h), n);
		h1_refuse_status(h, 503);
		return false;
	}
	return true;
}

static bool h1_step_head(struct h1 *h, struct h1_input *in)
{
	size_t had = h->head.len;
	const char *data = (const char *)in->at;
	size_t len = in->len;
	enum h1_scan_result found;

	if (len == 0)
		return false;
	h->choked = conn_queued(h->conn) >= EXCHANGE_SEND_HIGH;
	if (h->choked)
		return false;
	if (had > 0) {
		if (!h1_keep_head(h, in))
			return false;
		data = (const char *)h->head.data;
		len = h->head.len;
	}
	found = h1_scan(&h->scan, data, len);
	if (h1_starts_wrong(h, data, len)) {
		h1_leave_to_h2(h, in);
		return false;
	}
	switch (found) {
	case H1_SCAN_COMPLETE:
		h1_take(in, h->scan.end - had);
		return h1_serve(h, in, data + h->scan.start, h->scan.end - h->scan.start);
	case H1_SCAN_BROKEN:
		h1_refuse_status(h, 400);
		return false;
	default:
		if (had == 0 && !h1_keep_head(h, in))
			return false;
		h1_take(in, in->len);
		if (h->head.len >= HTTP_HEADER_MAX)
			h1_refuse_status(h, 431);
		return false;
	}
}

/* ---- what the connection tells ---- */

static bool h1_step(struct h1 *h, struct h1_input *in)
{
	if (conn_is_closing(h->conn))
		return false;
	switch (h->in) {
	case H1_IN_HEAD:
		return h1_step_head(h, in);
	case H1_IN_BODY:
		return h1_step_body(h, in);
	default:
		return h1_step_done(h);
	}
}

static bool h1_turn_is_long(const struct conn *c)
{
	uint64_t began_ms = loop_now_ms(server_loop(conn_server(c)));

	return uv_hrtime() / 1000000 - began_ms >= HTTP_TURN_MS;
}

/* As far as it goes. Answers to pipelined requests go out together. */
static void h1_advance(struct h1 *h, struct conn *c, struct h1_input *in)
{
	bool corked = false;

	while (h1_step(h, in)) {
		if (h->in != H1_IN_HEAD || in->len == 0)
			continue;
		/* There is one more. */
		if (h1_turn_is_long(c)) {
			conn_resume(c);
			break;
		}
		if (!corked)
			conn_cork(c);
		corked = true;
	}
	if (corked)
		conn_uncork(c);
}

/* The owner was asked to wait for the queue, which is empty. Returns whether it was told so. */
static bool h1_proceed(struct h1 *h)
{
	if (!h->x || !h->x->want_proceed || conn_queued(h->conn) > 0)
		return false;
	h->x->want_proceed = false;
	h->x->x.ops->on_proceed(&h->x->x);
	return true;
}

static bool h1_unchoke(struct h1 *h)
{
	return h->choked && conn_queued(h->conn) < EXCHANGE_SEND_HIGH && !conn_is_closing(h->conn);
}

static size_t h1_on_input(struct conn *c, const uint8_t *data, size_t len)
{
	struct h1 *h = conn_state(c);
	struct h1_input in = { .at = data, .len = len };

	h->in_input = true;
	do {
		h1_advance(h, c, &in);
		if (in.handed_over)
			return len - in.len;
	} while (h1_proceed(h) || h1_unchoke(h)); /* what was corked may be out already */
	h->in_input = false;
	return len - in.len;
}

static void h1_on_eof(struct conn *c)
{
	struct h1 *h = conn_state(c);

	if (!h->x) {
		conn_close_after_flush(c);
	} else if (h->out == H1_OUT_STREAMING) {
		conn_close(c);
	} else {
		h->closes = true;
		if (h->in == H1_IN_BODY)
			h1_body_ended(h, EXCHANGE_BODY_CUT);
		if (h->reading)
			conn_resume(c); /* to tell */
		exchange_hang_up(&h->x->x);
	}
}

static void h1_on_hangup(struct conn *c)
{
	struct h1 *h = conn_state(c);

	if (h->out == H1_OUT_STREAMING) {
		conn_close(c);
		return;
	}
	if (!h->x)
		return;
	if (h->in == H1_IN_BODY) {
		h->hung_up = true;
		if (!conn_is_lent(c))
			conn_deadline(c, HTTP_HANGUP_MS);
	}
	exchange_hang_up(&h->x->x);
}

/* However long it takes to read, that is not the peer's time. */
static void h1_on_readable(struct conn *c)
{
	struct h1 *h = conn_state(c);

	conn_deadline(c, 0);
	h->x->x.ops->on_readable(&h->x->x);
}

static void h1_on_drained(struct conn *c)
{
	struct h1 *h = conn_state(c);

	if (h->choked)
		conn_resume(c);
	h1_proceed(h);
}

static void h1_on_file_sent(struct conn *c, int error)
{
	struct h1 *h = conn_state(c);

	h->x->x.ops->on_file_sent(&h->x->x, error);
}

static void h1_on_timeout(struct conn *c)
{
	struct h1 *h = conn_state(c);
	bool wants_body = h->in == H1_IN_BODY && h->reading && h->credit > 0;

	if (h->in == H1_IN_HEAD && h->head.len > 0)
		h1_refuse_status(h, 408);
	else if (!h->x)
		conn_close_after_flush(c); /* idle, or its unread body takes too long */
	else if (wants_body || (h->hung_up && h->in == H1_IN_BODY))
		conn_close(c);
	else
		conn_deadline(c, HTTP_IDLE_MS);
}

static void h1_on_shutdown(struct conn *c)
{
	struct h1 *h = conn_state(c);

	if (h->in == H1_IN_HEAD && h->head.len == 0)
		conn_close_idle(c);
	else
		h->closes = true;
}

static void h1_on_gone(struct conn *c)
{
	struct h1 *h = conn_state(c);
	struct h1_exchange *q = TAKE_PTR(h->x);

	h1_free(h);
	if (!q)
		return;
	q->h1 = NULL;
	h1_request_forget_server(q);
	exchange_gone(&q->x, h1_request_free);
}

const struct conn_protocol h1_protocol = {
	.on_input = h1_on_input,
	.on_readable = h1_on_readable,
	.on_eof = h1_on_eof,
	.on_hangup = h1_on_hangup,
	.on_drained = h1_on_drained,
	.on_file_sent = h1_on_file_sent,
	.on_timeout = h1_on_timeout,
	.on_shutdown = h1_on_shutdown,
	.on_gone = h1_on_gone,
};

void h1_start(struct conn *c)
{
	struct h1 *h = xcalloc(1, sizeof *h);

	h->conn = c;
	buf_init(&h->head, HTTP_HEADER_MAX);
	conn_set_protocol(c, &h1_protocol, h);
}
