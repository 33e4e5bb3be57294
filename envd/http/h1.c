/*
 * HTTP/1.0 and 1.1 on one connection: one request at a time, in the order they came.
 *
 * Two halves move apart from each other. Input: head → body → done. Output: idle → waiting (the
 * exchange is out, no answer yet) → streaming (answer begun) → done. When both are done the next
 * head is read, until then later requests wait in the connection, and beyond HTTP_PENDING_MAX in
 * the kernel.
 *
 *   answers unread       no further request is begun while EXCHANGE_SEND_HIGH bytes are queued
 *   no answer in sight   the owner may take for ever; a client that goes away is noticed
 *   answer, body unread  at most HTTP_DRAIN_MAX of it are dropped, then the connection ends
 *   peer ends its side   an answer that was not begun is given, a begun one is for nobody: stop
 *   anything malformed   refused before there is an exchange; in the body the owner is told
 *
 * An exchange is given back by its owner (x becomes NULL here), or by conn's on_gone.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "http/chunked.h"
#include "http/conn.h"
#include "http/h1_head.h"
#include "http/h1_request.h"
#include "http/h1_response.h"
#include "http/limits.h"

enum h1_in { H1_IN_HEAD, H1_IN_BODY, H1_IN_DONE };
enum h1_out { H1_OUT_IDLE, H1_OUT_WAITING, H1_OUT_STREAMING, H1_OUT_DONE };

struct h1 {
	struct conn *conn;
	struct h1_exchange *x; /* somebody owns it */
	enum h1_in in;
	enum h1_out out;

	struct buf head; /* a header block that came in pieces */
	struct h1_scan scan;

	/* the body of the current request, also after its exchange has gone back */
	struct chunked chunked;
	bool is_chunked;
	uint64_t body_left; /* bytes of a declared length still to come */
	size_t credit;      /* bytes the owner may still be given */
	size_t n_drained;
	enum exchange_body_end end;

	bool reading;  /* the owner wants the body */
	bool end_due;  /* on_body_end has not been told */
	bool closes;   /* the connection ends after this response */
	bool hung_up;  /* the peer has ended its side, with input unread */
	bool in_input; /* h1_on_input is running and will look again */
	bool choked;   /* the next request waits for the queue */
};

/* What a step may take from. */
struct h1_input {
	const uint8_t *at;
	size_t len;
	bool handed_over; /* h1 is freed */
};

static void h1_take(struct h1_input *in, size_t n)
{
	in->at += n;
	in->len -= n;
}

static struct server *h1_server(const struct h1 *h)
{
	return conn_server(h->conn);
}

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

static void h1_body_ended(struct h1 *h, enum exchange_body_end how)
{
	h->in = H1_IN_DONE;
	h->end = how;
	h->end_due = true;
	if (how != EXCHANGE_BODY_COMPLETE)
		h->closes = true;
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
static void h1_finished(struct h1 *h)
{
	h->out = H1_OUT_DONE;
	h->x = NULL;
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

/* ---- the response ---- */

static bool h1_status_has_body(int status)
{
	return status >= 200 && status != 204 && status != 304;
}

/*
 * Whether the connection can go on after a response that starts now. A client that still waits for
 * a 100 may or may not send its body; a long rest of one is not worth reading.
 */
static void h1_decide_close(struct h1 *h, const struct h1_exchange *q)
{
	if (server_is_draining(h1_server(h)))
		h->closes = true;
	if (h->in != H1_IN_BODY || h->reading)
		return;
	if (q->continue_due || (!h->is_chunked && h->body_left > HTTP_DRAIN_MAX))
		h->closes = true;
}

static struct h1_head_spec h1_head_spec(struct h1 *h, const struct h1_exchange *q, int status,
                                        const struct http_field *fields, size_t n)
{
	return (struct h1_head_spec){
		.x = &q->x,
		.status = status,
		.fields = fields,
		.n_fields = n,
		.date = server_date(h1_server(h)),
	};
}

static void h1_answer(struct exchange *x, int status, const struct http_field *fields, size_t n,
                      struct span body)
{
	struct h1_exchange *q = CONTAINER_OF(x, struct h1_exchange, x);
	struct h1 *h = q->h1;
	struct h1_head_spec spec = h1_head_spec(h, q, status, fields, n);
	char small[H1_HEAD_SMALL];
	size_t size = h1_head_size(&spec);
	CLEANUP(freep) char *large = size > sizeof small ? try_malloc(size) : NULL;
	struct iovec pieces[2];

	if (size > sizeof small && !large) {
		conn_close(h->conn);
		h1_finished(h);
		return;
	}
	h1_decide_close(h, q);
	if (h->in == H1_IN_BODY && !h->is_chunked && h->body_left > HTTP_DRAIN_MAX)
		h->closes = true; /* nobody will read it any more */
	spec.close = h->closes;
	spec.framing = h1_status_has_body(status) ? H1_LENGTH : H1_NO_LENGTH;
	spec.length = (int64_t)body.len;
	pieces[0].iov_base = large ? large : small;
	pieces[0].iov_len = h1_head_write(&spec, pieces[0].iov_base);
	pieces[1] = (struct iovec){ (void *)(uintptr_t)body.at, body.len };
	if (!h1_status_has_body(status) || span_equal(x->request.method, "HEAD"))
		pieces[1].iov_len = 0;
	conn_write(h->conn, pieces, pieces[1].iov_len > 0 ? 2 : 1);
	h1_finished(h);
}

static bool h1_announces_trailers(const struct http_field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (span_equal_nocase(fields[i].name, "trailer"))
			return true;
	}
	return false;
}

static enum h1_framing h1_choose_framing(struct h1 *h, struct h1_exchange *q, int status,
                                         int64_t content_length)
{
	q->no_body = !h1_status_has_body(status) || span_equal(q->x.request.method, "HEAD");
	q->left = content_length;
	if (!h1_status_has_body(status))
		return H1_NO_LENGTH;
	if (content_length >= 0)
		return H1_LENGTH;
	if (q->x.request.version != HTTP_1_0) {
		q->chunks = !q->no_body;
		return H1_CHUNKED;
	}
	q->until_close = true;
	h->closes = true;
	return H1_NO_LENGTH;
}

static void h1_begin(struct exchange *x, int status, const struct http_field *fields, size_t n,
                     int64_t content_length)
{
	struct h1_exchange *q = CONTAINER_OF(x, struct h1_exchange, x);
	struct h1 *h = q->h1;
	struct h1_head_spec spec = h1_head_spec(h, q, status, fields, n);
	char *head = arena_alloc(&x->memory, h1_head_size(&spec));

	h->out = H1_OUT_STREAMING;
	if (!head) {
		conn_close(h->conn);
		return;
	}
	h1_decide_close(h, q);
	spec.framing = h1_choose_framing(h, q, status, content_length);
	spec.length = content_length;
	spec.close = h->closes;
	q->sends_trailers = q->chunks && (h1_announces_trailers(fields, n) ||
	                                  h1_announces_trailers(x->extra, x->n_extra));
	q->head = (struct span){ head, h1_head_write(&spec, head) };
}

static struct iovec h1_iovec(struct span s)
{
	return (struct iovec){ (void *)(uintptr_t)s.at, s.len };
}

/* The head goes out once. */
static size_t h1_put_head(struct h1_exchange *q, struct iovec *out)
{
	if (!q->head.at)
		return 0;
	*out = h1_iovec(q->head);
	q->head = (struct span){ 0 };
	return 1;
}

static bool h1_send(struct exchange *x, const struct iovec *pieces, size_t n)
{
	struct h1_exchange *q = CONTAINER_OF(x, struct h1_exchange, x);
	struct conn *c = q->h1->conn;
	struct iovec all[EXCHANGE_IOV_MAX + 3];
	char line[H1_CHUNK_LINE_MAX];
	size_t n_all = 0, total = 0;

	for (size_t i = 0; i < n; i++)
		total += pieces[i].iov_len;
	n_all += h1_put_head(q, all);
	if (total > 0 && !q->no_body) {
		ASSERT(q->left < 0 || total <= (size_t)q->left);
		q->left -= q->left < 0 ? 0 : (int64_t)total;
		if (q->chunks)
			all[n_all++] = (struct iovec){ line, h1_chunk_line(line, total) };
		memcpy(all + n_all, pieces, n * sizeof *pieces);
		n_all += n;
		if (q->chunks)
			all[n_all++] = h1_iovec(SPAN("\r\n"));
	}
	if (n_all > 0)
		conn_write(c, all, n_all);
	q->want_proceed = conn_queued(c) >= EXCHANGE_SEND_HIGH;
	return !q->want_proceed;
}

static void h1_finish(struct exchange *x, const struct http_field *trailers, size_t n)
{
	struct h1_exchange *q = CONTAINER_OF(x, struct h1_exchange, x);
	struct h1 *h = q->h1;
	struct span last = SPAN("0\r\n\r\n");
	struct iovec all[2];
	size_t n_all = 0;

	n_all += h1_put_head(q, all);
	if (q->chunks && q->sends_trailers && n > 0)
		last = h1_last_chunk(&x->memory, trailers, n);
	if (q->chunks && last.at)
		all[n_all++] = h1_iovec(last);
	if (n_all > 0)
		conn_write(h->conn, all, n_all);
	/* Short of what was declared, the client must see a cut, not wait for the rest. */
	if (!last.at || (!q->no_body && q->left > 0))
		conn_close_after_flush(h->conn);
	h1_finished(h);
}

static void h1_abort(struct exchange *x)
{
	struct h1_exchange *q = CONTAINER_OF(x, struct h1_exchange, x);
	struct h1 *h = q->h1;

	if (h->out != H1_OUT_STREAMING || q->head.at)
		conn_close(h->conn);
	else if (q->until_close)
		conn_reset(h->conn); /* an orderly end would say that this was all */
	else
		conn_close_after_flush(h->conn);
	h1_finished(h);
}

/* ---- the request body ---- */

static void h1_read(struct exchange *x)
{
	struct h1_exchange *q = CONTAINER_OF(x, struct h1_exchange, x);
	struct h1 *h = q->h1;
	struct iovec piece = h1_iovec(SPAN("HTTP/1.1 100 Continue\r\n\r\n"));

	if (h->reading)
		return;
	h->reading = true;
	if (q->continue_due && h->out == H1_OUT_WAITING && h->in == H1_IN_BODY)
		conn_write(h->conn, &piece, 1);
	q->continue_due = false;
	if (h->in == H1_IN_BODY)
		conn_deadline(h->conn, HTTP_BODY_IDLE_MS);
	if (!h->in_input)
		conn_resume(h->conn);
}

static void h1_consumed(struct exchange *x, size_t len)
{
	struct h1_exchange *q = CONTAINER_OF(x, struct h1_exchange, x);
	struct h1 *h = q->h1;
	bool was_starved = h->credit == 0;

	ASSERT(len <= EXCHANGE_WINDOW - h->credit);
	h->credit += len;
	if (was_starved && len > 0 && !h->in_input)
		conn_resume(h->conn);
}

static const struct http_field *h1_trailers(const struct exchange *x, size_t *out_n)
{
	const struct h1_exchange *q = (const void *)x; /* its first member */

	*out_n = q->n_trailers;
	return q->trailers;
}

static void h1_release(struct exchange *x)
{
	h1_request_free(x);
}

static const struct exchange_wire h1_wire = {
	.read = h1_read,
	.consumed = h1_consumed,
	.answer = h1_answer,
	.begin = h1_begin,
	.send = h1_send,
	.finish = h1_finish,
	.abort = h1_abort,
	.trailers = h1_trailers,
	.release = h1_release,
};

/* The trailer section's fields, in the exchange's memory. False: malformed. */
static bool h1_parse_trailers(struct h1_exchange *q, const struct chunked *k)
{
	size_t n = k->scan.n_lines - 1; /* one was there before the first */
	struct http_field *fields;
	char *lines;

	if (n == 0)
		return true;
	fields = arena_alloc(&q->x.memory, n * sizeof *fields);
	lines = arena_strndup(&q->x.memory, (const char *)k->trailer.data, k->trailer.len);
	if (!fields || !lines)
		return false;
	if (h1_fields_parse(lines, k->trailer.len, fields, n, &n) != H1_FIELDS_OK)
		return false;
	q->trailers = fields;
	q->n_trailers = n;
	return true;
}

static void h1_chunked_ended(struct h1 *h)
{
	bool sound = h->chunked.state == CHUNKED_DONE;

	if (sound && h->x)
		sound = h1_parse_trailers(h->x, &h->chunked);
	h1_body_ended(h, sound ? EXCHANGE_BODY_COMPLETE : EXCHANGE_BODY_MALFORMED);
}

/* Finds the next piece of at most max bytes, and whether the body ends with it. */
static void h1_decode_body(struct h1 *h, struct h1_input *in, size_t max, const uint8_t **out_body,
                           size_t *out_len)
{
	if (h->is_chunked) {
		h1_take(in, chunked_feed(&h->chunked, in->at, in->len, max, out_body, out_len));
		if (h->chunked.state >= CHUNKED_DONE)
			h1_chunked_ended(h);
		return;
	}
	*out_body = in->at;
	*out_len = (size_t)MIN(MIN(in->len, max), h->body_left);
	h1_take(in, *out_len);
	h->body_left -= *out_len;
	if (h->body_left == 0)
		h1_body_ended(h, EXCHANGE_BODY_COMPLETE);
}

/* Nobody wants this body any more. */
static bool h1_drain_body(struct h1 *h, struct h1_input *in)
{
	const uint8_t *body;
	size_t before = in->len, len;

	h1_decode_body(h, in, SIZE_MAX, &body, &len);
	h->n_drained += before - in->len;
	if (h->n_drained > HTTP_DRAIN_MAX || (h->in == H1_IN_DONE && h->closes)) {
		conn_close_after_flush(h->conn);
		return false;
	}
	return true;
}

static bool h1_step_body(struct h1 *h, struct h1_input *in)
{
	const uint8_t *body;
	size_t len;

	if (in->len == 0)
		return false;
	if (!h->x)
		return h1_drain_body(h, in);
	if (!h->reading)
		return false;
	h1_decode_body(h, in, h->credit, &body, &len);
	if (len == 0)
		return h->in == H1_IN_DONE;
	h->credit -= len;
	conn_deadline(h->conn, h->hung_up ? HTTP_HANGUP_MS : HTTP_BODY_IDLE_MS);
	h->x->x.ops->on_body(&h->x->x, body, len);
	return true;
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

/* True: h is freed. */
static bool h1_upgrade(struct h1 *h, struct h1_exchange *q)
{
	struct conn *c = h->conn;

	if (!q->h2c.at || !h2_start_upgraded(c, q->h2c, &q->x.request))
		return false;
	h1_request_free(&q->x);
	buf_deinit(&h->head);
	free(h);
	return true;
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
	switch (h1_scan(&h->scan, data, len)) {
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

/* As far as it goes. Answers to pipelined requests go out together. */
static void h1_advance(struct h1 *h, struct conn *c, struct h1_input *in)
{
	bool corked = false;

	while (h1_step(h, in)) {
		if (!corked && h->in == H1_IN_HEAD && in->len > 0) {
			corked = true;
			conn_cork(c);
		}
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
	}
}

static void h1_on_hangup(struct conn *c)
{
	struct h1 *h = conn_state(c);

	if (h->out == H1_OUT_STREAMING) {
		conn_close(c);
	} else if (h->x && h->in == H1_IN_BODY) {
		h->hung_up = true;
		conn_deadline(c, HTTP_HANGUP_MS);
	}
}

static void h1_on_drained(struct conn *c)
{
	struct h1 *h = conn_state(c);

	if (h->choked)
		conn_resume(c);
	h1_proceed(h);
}

static void h1_on_timeout(struct conn *c)
{
	struct h1 *h = conn_state(c);
	bool wants_body = h->in == H1_IN_BODY && h->reading && h->credit > 0;

	if (h->in == H1_IN_HEAD && h->head.len > 0)
		h1_refuse_status(h, 408);
	else if (!h->x)
		conn_close_after_flush(c); /* idle, or its unread body takes too long */
	else if (h->hung_up || wants_body)
		conn_close(c);
	else
		conn_deadline(c, HTTP_IDLE_MS);
}

static void h1_on_shutdown(struct conn *c)
{
	struct h1 *h = conn_state(c);

	if (h->in == H1_IN_HEAD && h->head.len == 0)
		conn_close_after_flush(c);
	else
		h->closes = true;
}

static void h1_on_gone(struct conn *c)
{
	struct h1 *h = conn_state(c);
	struct h1_exchange *q = TAKE_PTR(h->x);

	h1_drop_head(h);
	buf_deinit(&h->head);
	if (h->is_chunked)
		chunked_deinit(&h->chunked);
	free(h);
	if (!q)
		return;
	q->h1 = NULL;
	exchange_gone(&q->x, h1_request_free);
}

const struct conn_protocol h1_protocol = {
	.name = "http/1",
	.on_input = h1_on_input,
	.on_eof = h1_on_eof,
	.on_hangup = h1_on_hangup,
	.on_drained = h1_on_drained,
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
