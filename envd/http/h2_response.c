/*
 * The response of one stream: its fields as HTTP/2 wants them, and a queue that nghttp2 pulls DATA
 * frames from as fast as the client's windows allow.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/mem.h"
#include "http/h2_session.h"

/* Fields with their text behind them, in one allocation. */
struct h2_head {
	size_t n;
	nghttp2_nv nv[];
};

/* Of the head itself: status, length, date. */
#define H2_HEAD_OWN 3u

#define H2_NUMBER_MAX sizeof "-9223372036854775808"

static bool field_is_forbidden(struct span name)
{
	static const char *const names[] = {
		"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (span_equal_nocase(name, names[i]))
			return true;
	return false;
}

static size_t fields_text_bytes(const struct http_field *fields, size_t n)
{
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		bytes += fields[i].name.len + fields[i].value.len;
	return bytes;
}

static struct h2_head *head_new(size_t n_max, size_t text_bytes, uint8_t **out_text)
{
	size_t table = sizeof(struct h2_head) + n_max * sizeof(nghttp2_nv);
	struct h2_head *head = xmalloc(table + text_bytes);

	head->n = 0;
	*out_text = (uint8_t *)head + table;
	return head;
}

/* name and value stay where they are. */
static void head_add(struct h2_head *head, const char *name, struct span value)
{
	head->nv[head->n++] = (nghttp2_nv){
		.name = h2_unconst(name),
		.namelen = strlen(name),
		.value = h2_unconst(value.at),
		.valuelen = value.len,
	};
}

/* nghttp2 lowers the names. A value may not hold what would end a field in HTTP/1. */
static void head_add_field(struct h2_head *head, const struct http_field *f, uint8_t **text)
{
	struct span value = span_trim(f->value);
	nghttp2_nv *nv = &head->nv[head->n];

	if (field_is_forbidden(f->name))
		return;
	*nv = (nghttp2_nv){
		.name = *text,
		.namelen = f->name.len,
		.value = *text + f->name.len,
		.valuelen = value.len,
	};
	memcpy(nv->name, f->name.at, f->name.len);
	for (size_t i = 0; i < value.len; i++) {
		char c = value.at[i];

		nv->value[i] = c == '\r' || c == '\n' || c == '\0' ? ' ' : (uint8_t)c;
	}
	*text += f->name.len + f->value.len;
	head->n++;
}

static struct h2_head *head_of_trailers(const struct http_field *fields, size_t n)
{
	uint8_t *text;
	struct h2_head *head = head_new(n, fields_text_bytes(fields, n), &text);

	for (size_t i = 0; i < n; i++)
		head_add_field(head, &fields[i], &text);
	return head;
}

static struct span head_print(uint8_t **text, int64_t number)
{
	int len = snprintf((char *)*text, H2_NUMBER_MAX, "%" PRId64, number);
	struct span printed = { (char *)*text, (size_t)len };

	*text += len;
	return printed;
}

/* length -1: no Content-Length. */
static struct h2_head *head_of_response(struct h2_stream *s, int status, int64_t length,
                                        const struct http_field *fields, size_t n)
{
	size_t text_bytes =
		fields_text_bytes(fields, n) + fields_text_bytes(s->x.extra, s->x.n_extra);
	uint8_t *text;
	struct h2_head *head =
		head_new(H2_HEAD_OWN + n + s->x.n_extra, text_bytes + 2 * H2_NUMBER_MAX, &text);

	head_add(head, ":status", head_print(&text, status));
	for (size_t i = 0; i < n; i++)
		head_add_field(head, &fields[i], &text);
	for (size_t i = 0; i < s->x.n_extra; i++)
		head_add_field(head, &s->x.extra[i], &text);
	if (length >= 0)
		head_add(head, "content-length", head_print(&text, length));
	head_add(head, "date", server_date(s->server));
	return head;
}

/* ---- the queue ---- */

size_t h2_response_queued(const struct h2_stream *s)
{
	return s->out.len - s->out_sent;
}

bool h2_response_waits(const struct h2_stream *s)
{
	return h2_response_queued(s) > 0 || (s->file && file_pipe_has_some(s->file));
}

static size_t response_send_high(const struct h2_stream *s)
{
	return s->h2->queued_bytes > H2_SEND_TOTAL ? H2_SEND_LEAST : EXCHANGE_SEND_HIGH;
}

bool h2_response_may_proceed(const struct h2_stream *s)
{
	return s->wants_proceed && h2_response_queued(s) <= response_send_high(s) / 2;
}

static void response_queue(struct h2_stream *s, const void *data, size_t len)
{
	if (s->out_left >= 0) {
		len = MIN(len, (uint64_t)s->out_left); /* what was declared is all there is */
		s->out_left -= (int64_t)len;
	}
	if (!len)
		return;
	if (s->out_sent >= s->out.len / 2) {
		buf_consume(&s->out, s->out_sent);
		s->out_sent = 0;
	}
	if (buf_error(&s->out))
		return;
	if (!server_charge_queue(s->server, len)) {
		s->out.error = -ENOBUFS; /* others have it all */
		return;
	}
	server_take_spare(s->server, &s->out);
	buf_append(&s->out, data, len);
	if (buf_error(&s->out))
		server_discharge_queue(s->server, len);
	else
		s->h2->queued_bytes += len;
}

static void response_unqueue(struct h2_stream *s, size_t len)
{
	s->out_sent += len;
	s->h2->queued_bytes -= len;
	server_discharge_queue(s->server, len);
}

void h2_response_deinit(struct h2_stream *s)
{
	response_unqueue(s, h2_response_queued(s));
	buf_deinit(&s->out);
	s->out_sent = 0;
	file_pipe_free(TAKE_PTR(s->file));
	freep(&s->begun);
	freep(&s->trailers_out);
}

static size_t response_dequeue(struct h2_stream *s, uint8_t *to, size_t room)
{
	size_t n = MIN(room, h2_response_queued(s));

	if (!n)
		return 0;
	memcpy(to, s->out.data + s->out_sent, n);
	response_unqueue(s, n);
	if (!h2_response_queued(s)) {
		server_give_spare(s->server, &s->out);
		s->out_sent = 0;
	}
	return n;
}

static void response_end_file(struct h2_stream *s, int error)
{
	file_pipe_free(TAKE_PTR(s->file));
	s->file_error = error;
	s->file_ended = true;
	h2_stream_make_ready(s);
}

static size_t response_read_file(struct h2_stream *s, uint8_t *to, size_t room)
{
	ssize_t n;

	if (!s->file || h2_response_queued(s) > 0)
		return 0;
	n = file_pipe_read(s->file, to, room);
	if (n < 0 || file_pipe_is_over(s->file))
		response_end_file(s, n < 0 ? (int)n : 0);
	return n < 0 ? 0 : (size_t)n;
}

static ssize_t response_on_pull(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                                uint32_t *flags, nghttp2_data_source *source, void *data)
{
	struct h2_stream *s = source->ptr;
	size_t n = response_dequeue(s, to, room);

	UNUSED(data);
	n += response_read_file(s, to + n, room - n);
	if (n > 0)
		h2_stream_watch(s);
	if (h2_response_may_proceed(s))
		h2_stream_make_ready(s);
	if (s->response.now == H2_RESPONSE_FINISHED && !h2_response_queued(s)) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (s->trailers_out) {
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			h2_check(s->h2, nghttp2_submit_trailer(session, id, s->trailers_out->nv,
			                                       s->trailers_out->n));
		}
	} else if (!n) {
		s->out_deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	return (ssize_t)n;
}

static void response_resume(struct h2_stream *s)
{
	if (s->out_deferred) {
		s->out_deferred = false;
		h2_check(s->h2, nghttp2_session_resume_data(s->h2->session, s->id));
	}
	h2_wake(s->h2);
}

static void response_submit(struct h2_stream *s, const struct h2_head *head, bool has_body)
{
	nghttp2_data_provider body = { .source.ptr = s, .read_callback = response_on_pull };

	h2_check(s->h2, nghttp2_submit_response(s->h2->session, s->id, head->nv, head->n,
	                                        has_body ? &body : NULL));
	h2_wake(s->h2);
}

/* A response that is short of memory is cut: the client must not take it for whole. */
static void response_check_queue(struct h2_stream *s)
{
	if (buf_error(&s->out))
		h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
}

/* ---- the wire ---- */

static bool response_has_no_body(const struct h2_stream *s, int status)
{
	return status == 204 || status == 304 || span_equal(s->x.request.method, "HEAD");
}

void h2_response_answer(struct exchange *x, int status, const struct http_field *fields, size_t n,
                        struct span body)
{
	struct h2_stream *s = CONTAINER_OF(x, struct h2_stream, x);
	int64_t length = status == 204 || status == 304 ? -1 : (int64_t)body.len;
	CLEANUP(freep) struct h2_head *head = head_of_response(s, status, length, fields, n);

	state_move(&s->response, H2_RESPONSE_FINISHED);
	s->out_left = -1;
	if (!response_has_no_body(s, status))
		response_queue(s, body.at, body.len);
	response_submit(s, head, h2_response_queued(s) > 0);
	response_check_queue(s);
	h2_stream_watch(s);
}

void h2_response_begin(struct exchange *x, int status, const struct http_field *fields, size_t n,
                       int64_t content_length)
{
	struct h2_stream *s = CONTAINER_OF(x, struct h2_stream, x);

	state_move(&s->response, H2_RESPONSE_BEGUN);
	s->begun = head_of_response(s, status, content_length, fields, n);
	s->no_body = response_has_no_body(s, status);
	s->out_left = content_length;
}

static void response_submit_begun(struct h2_stream *s, bool has_body)
{
	CLEANUP(freep) struct h2_head *head = TAKE_PTR(s->begun);

	response_submit(s, head, has_body);
}

static void response_begin_sending(struct h2_stream *s)
{
	if (!s->begun)
		return;
	state_move(&s->response, H2_RESPONSE_SENDING);
	response_submit_begun(s, true);
}

bool h2_response_send(struct exchange *x, const struct iovec *pieces, size_t n)
{
	struct h2_stream *s = CONTAINER_OF(x, struct h2_stream, x);

	if (s->no_body)
		return true;
	response_begin_sending(s);
	for (size_t i = 0; i < n; i++)
		response_queue(s, pieces[i].iov_base, pieces[i].iov_len);
	response_check_queue(s);
	response_resume(s);
	h2_stream_watch(s);
	s->wants_proceed = h2_response_queued(s) >= response_send_high(s);
	return !s->wants_proceed;
}

static void response_on_file_filled(void *owner, int error)
{
	struct h2_stream *s = owner;

	if (error < 0)
		response_end_file(s, error);
	else
		response_resume(s);
	h2_stream_watch(s);
}

void h2_response_send_file(struct exchange *x, struct http_file *file, int64_t offset, int64_t len)
{
	struct h2_stream *s = CONTAINER_OF(x, struct h2_stream, x);

	ASSERT(!s->no_body && !s->file && len <= s->out_left);
	response_begin_sending(s);
	s->out_left -= len;
	s->wants_proceed = false;
	s->file = file_pipe_new(s->h2->loop, file, offset, len, response_on_file_filled, s);
	/* Without a descriptor, as without memory. */
	if (!s->file)
		h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
}

void h2_response_finish(struct exchange *x, const struct http_field *trailers, size_t n)
{
	struct h2_stream *s = CONTAINER_OF(x, struct h2_stream, x);

	if (s->out_left > 0 && !s->no_body) {
		state_move(&s->response, H2_RESPONSE_ABORTED);
		h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
		return;
	}
	state_move(&s->response, H2_RESPONSE_FINISHED);
	if (n && !s->no_body)
		s->trailers_out = head_of_trailers(trailers, n);
	if (s->begun)
		response_submit_begun(s, s->trailers_out);
	response_resume(s);
}

void h2_response_continue(struct h2_stream *s)
{
	nghttp2_nv status = {
		.name = h2_unconst(":status"),
		.namelen = sizeof ":status" - 1,
		.value = h2_unconst("100"),
		.valuelen = sizeof "100" - 1,
	};

	if (s->response.now > H2_RESPONSE_BEGUN)
		return;
	h2_check(s->h2, nghttp2_submit_headers(s->h2->session, NGHTTP2_FLAG_NONE, s->id, NULL,
	                                       &status, 1, NULL));
	h2_wake(s->h2);
}
