/*
 * The body of an HTTP/1 request: its framing, its owner's credit, its trailers, and what happens to
 * it when nobody wants it any more.
 */
#include "http/h1.h"
#include "http/limits.h"

void h1_body_ended(struct h1 *h, enum exchange_body_end how)
{
	h->in = H1_IN_DONE;
	h->end = how;
	h->end_due = true;
	if (how != EXCHANGE_BODY_COMPLETE)
		h->closes = true;
}

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

bool h1_step_body(struct h1 *h, struct h1_input *in)
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
