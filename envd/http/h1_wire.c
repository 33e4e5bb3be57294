/*
 * What the owner of an HTTP/1 exchange may call: its answer, written out at once, and the leave to
 * send the body. Whatever is to be told comes later, from h1_on_input.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/h1.h"
#include "http/h1_response.h"
#include "http/limits.h"

/* Bytes of one send that wait for the end of a held response: a last event and the like. */
#define H1_HOLD_MAX 4096u

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
		conn_close_after_flush(h->conn);
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
		conn_close_after_flush(h->conn);
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

/* What is large goes out at once: to join it to the rest, it would have to be copied. */
static void h1_hold(struct h1_exchange *q, size_t total)
{
	if (!q->x.held || q->corks || total > H1_HOLD_MAX)
		return;
	q->corks = true;
	conn_cork(q->h1->conn);
}

static void h1_let_go(struct h1_exchange *q)
{
	if (q->corks)
		conn_uncork(q->h1->conn);
	q->corks = false;
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
	h1_hold(q, total);
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

static void h1_send_file(struct exchange *x, struct http_file *file, int64_t offset, int64_t len)
{
	struct h1_exchange *q = CONTAINER_OF(x, struct h1_exchange, x);
	struct conn *c = q->h1->conn;
	struct iovec head;

	ASSERT(!q->no_body && len <= q->left);
	q->left -= len;
	q->want_proceed = false;
	if (h1_put_head(q, &head) > 0)
		conn_write(c, &head, 1);
	conn_send_file(c, file, offset, len);
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
	h1_let_go(q);
	h1_finished(h);
}

static void h1_abort(struct exchange *x)
{
	struct h1_exchange *q = CONTAINER_OF(x, struct h1_exchange, x);
	struct h1 *h = q->h1;

	/* An orderly end would say that this was all, if the head is out. */
	if (q->until_close && !q->head.at)
		conn_reset(h->conn);
	else
		conn_close_after_flush(h->conn); /* answers to earlier requests may be queued */
	h1_let_go(q);
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
	if (!was_starved || len == 0)
		return;
	if (h->in == H1_IN_BODY && !h->hung_up && !conn_is_lent(h->conn))
		conn_deadline(h->conn, HTTP_BODY_IDLE_MS);
	if (!h->in_input)
		conn_resume(h->conn);
}

static int h1_divert(struct exchange *x, uint64_t *out_left)
{
	struct h1 *h = CONTAINER_OF(x, struct h1_exchange, x)->h1;
	int fd;

	if (h->in != H1_IN_BODY || h->is_chunked || !h->reading || h->in_input)
		return -1;
	fd = conn_divert(h->conn);
	if (fd >= 0)
		*out_left = h->body_left;
	return fd;
}

static void h1_diverted(struct exchange *x, size_t len, bool more)
{
	struct h1 *h = CONTAINER_OF(x, struct h1_exchange, x)->h1;

	ASSERT(len <= h->body_left);
	h->body_left -= len;
	conn_deadline(h->conn, h->hung_up ? HTTP_HANGUP_MS : HTTP_BODY_IDLE_MS);
	if (h->body_left == 0)
		h1_body_ended(h, EXCHANGE_BODY_COMPLETE);
	conn_give_back(h->conn, !more || h->body_left == 0);
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

const struct exchange_wire h1_wire = {
	.read = h1_read,
	.consumed = h1_consumed,
	.divert = h1_divert,
	.diverted = h1_diverted,
	.answer = h1_answer,
	.begin = h1_begin,
	.send = h1_send,
	.send_file = h1_send_file,
	.finish = h1_finish,
	.abort = h1_abort,
	.trailers = h1_trailers,
	.release = h1_release,
};
