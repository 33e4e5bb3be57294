/*
 * A header block becomes a struct http_request. nghttp2 has checked the grammar: which
 * pseudo-header fields there must be, names in lower case, no connection-specific fields, content
 * length against body.
 */
#include <string.h>

#include "base/macros.h"
#include "http/h2_session.h"

/* Bytes that RFC 9113 6.5.2 adds to each field of a list. */
#define H2_FIELD_OVERHEAD 32u

/* Header bytes of a stream that nobody counts: what usual requests have. */
#define H2_HEAD_FREE 4096u

/* Then they are charged to the server in steps of so many. */
#define H2_HEAD_STEP 16384u

/*
 * Bytes of a header list up to which a refusal is still worded (431). Beyond it is a bomb, of which
 * nghttp2 would check each expanded byte: the stream is reset and the rest only decoded.
 */
#define H2_HEADER_GIVE_UP (2u * HTTP_HEADER_MAX)

#define H2_FIELDS_FIRST 16u /* fields of the first table; usual requests have fewer */

static bool request_charge(struct h2_stream *s)
{
	size_t bytes = s->fields.bytes + s->trailers.bytes;

	while (bytes > H2_HEAD_FREE + s->charged) {
		if (!server_charge_head(s->server, H2_HEAD_STEP))
			return false;
		s->charged += H2_HEAD_STEP;
	}
	return true;
}

static bool fields_grow(struct h2_fields *f, struct arena *arena)
{
	size_t cap = f->cap ? f->cap * 2 : H2_FIELDS_FIRST;
	struct http_field *at;

	if (f->n < f->cap)
		return true;
	at = arena_alloc(arena, cap * sizeof *at);
	if (!at)
		return false;
	if (f->n > 0)
		memcpy(at, f->at, f->n * sizeof *at);
	f->at = at;
	f->cap = cap;
	return true;
}

static struct span request_copy_span(struct h2_stream *s, struct span text)
{
	char *at = arena_strndup(&s->arena, text.at, text.len);

	return at ? (struct span){ at, text.len } : (struct span){ 0 };
}

/* False: too many or too large. */
static bool request_append(struct h2_stream *s, struct h2_fields *f, size_t bytes_max,
                           struct span name, struct span value)
{
	struct http_field field;

	f->bytes += name.len + value.len + H2_FIELD_OVERHEAD;
	if (f->bytes > bytes_max || f->n >= HTTP_FIELDS_MAX)
		return false;
	if (!request_charge(s) || !fields_grow(f, &s->arena))
		return false;
	field.name = request_copy_span(s, name);
	field.value = request_copy_span(s, value);
	if (!field.name.at || !field.value.at)
		return false;
	f->at[f->n++] = field;
	return true;
}

static struct span *request_pseudo(struct h2_stream *s, struct span name)
{
	if (span_equal(name, ":method"))
		return &s->method;
	if (span_equal(name, ":path"))
		return &s->path;
	if (span_equal(name, ":authority"))
		return &s->authority;
	return NULL;
}

/* Pseudo-header fields count like the others but are no fields of the request. */
static bool request_set_pseudo(struct h2_stream *s, struct span name, struct span value)
{
	struct span *pseudo = request_pseudo(s, name);

	s->fields.bytes += name.len + value.len + H2_FIELD_OVERHEAD;
	if (s->fields.bytes > HTTP_HEADER_MAX || !request_charge(s))
		return false;
	if (pseudo)
		*pseudo = request_copy_span(s, value);
	return !pseudo || pseudo->at;
}

bool h2_request_add(struct h2_stream *s, struct span name, struct span value)
{
	bool fits;

	if (s->refusal) {
		s->fields.bytes += name.len + value.len + H2_FIELD_OVERHEAD;
		return s->fields.bytes <= H2_HEADER_GIVE_UP;
	}
	if (name.len > 0 && name.at[0] == ':')
		fits = request_set_pseudo(s, name, value);
	else
		fits = request_append(s, &s->fields, HTTP_HEADER_MAX, name, value);
	if (!fits)
		s->refusal = 431;
	return true;
}

void h2_request_add_trailer(struct h2_stream *s, struct span name, struct span value)
{
	if (exchange_is_owned(&s->x) &&
	    !request_append(s, &s->trailers, HTTP_TRAILER_MAX, name, value))
		h2_stream_reset(s, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void request_split_target(struct h2_stream *s)
{
	struct http_request *r = &s->x.request;
	const char *mark = s->path.len ? memchr(s->path.at, '?', s->path.len) : NULL;

	r->path = s->path.len ? s->path : (struct span){ "", 0 }; /* CONNECT has none */
	r->query = (struct span){ "", 0 };
	if (!mark)
		return;
	r->path.len = (size_t)(mark - s->path.at);
	r->query = (struct span){ mark + 1, s->path.len - r->path.len - 1 };
}

/* False: host and :authority name different hosts, which makes it malformed (RFC 9113 8.3.1). */
static bool request_set_host(struct h2_stream *s)
{
	const struct http_field *host = exchange_field(&s->x, "host");

	s->x.request.host = s->authority.len || !host ? s->authority : host->value;
	if (!host || !s->authority.len)
		return true;
	return host->value.len == s->authority.len &&
	       strncasecmp(host->value.at, s->authority.at, s->authority.len) == 0;
}

static void request_set_expectation(struct h2_stream *s)
{
	const struct http_field *expect = exchange_field(&s->x, "expect");

	if (!expect)
		return;
	if (!span_equal_nocase(expect->value, "100-continue"))
		s->refusal = 417;
	s->x.request.expects_continue = s->x.request.has_body;
}

static void request_set_length(struct h2_stream *s)
{
	const struct http_field *length = exchange_field(&s->x, "content-length");

	s->x.request.content_length = s->x.request.has_body ? -1 : 0;
	if (length && parse_i64(length->value, &s->x.request.content_length) < 0)
		s->x.request.content_length = -1; /* beyond 63 bits; nghttp2 has refused it */
}

static void request_refuse(struct h2_stream *s)
{
	static const struct http_field text =
		HTTP_FIELD("Content-Type", "text/plain; charset=utf-8");

	if (s->refusal == 431)
		h2_response_answer(&s->x, 431, &text, 1,
		                   SPAN("431 Request Header Fields Too Large"));
	else
		h2_response_answer(&s->x, s->refusal, NULL, 0, (struct span){ "", 0 });
}

void h2_request_complete(struct h2_stream *s, bool has_body)
{
	struct http_request *r = &s->x.request;

	state_move(&s->request, has_body ? H2_REQUEST_BODY : H2_REQUEST_ENDED);
	r->version = HTTP_2;
	r->method = s->method;
	r->fields = s->fields.at;
	r->n_fields = s->fields.n;
	r->has_body = has_body;
	request_split_target(s);
	if (!request_set_host(s) || !exchange_path_is_sound(r->path)) {
		h2_stream_reset(s, NGHTTP2_PROTOCOL_ERROR);
		return;
	}
	request_set_length(s);
	request_set_expectation(s);
	s->h2->n_handed_over++;
	if (s->refusal)
		request_refuse(s);
	else
		server_request(s->server, &s->x);
}

/* Fields that spoke of the HTTP/1.1 connection and not of the request. */
static bool request_is_about_connection(struct span name)
{
	static const char *const names[] = {
		"connection", "http2-settings",    "keep-alive", "proxy-connection",
		"te",         "transfer-encoding", "upgrade",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (span_equal(name, names[i]))
			return true;
	return false;
}

static bool request_copy_target(struct h2_stream *s, const struct http_request *from)
{
	size_t len = from->path.len + (from->query.len ? from->query.len + 1 : 0);
	char *at = arena_alloc(&s->arena, len + 1);

	if (!at)
		return false;
	memcpy(at, from->path.at, from->path.len);
	if (from->query.len) {
		at[from->path.len] = '?';
		memcpy(at + from->path.len + 1, from->query.at, from->query.len);
	}
	s->path = (struct span){ at, len };
	return true;
}

bool h2_request_copy(struct h2_stream *s, const struct http_request *from)
{
	s->method = request_copy_span(s, from->method);
	s->authority = request_copy_span(s, from->host);
	if (!s->method.at || !s->authority.at || !request_copy_target(s, from))
		return false;
	for (size_t i = 0; i < from->n_fields; i++) {
		const struct http_field *f = &from->fields[i];

		if (!request_is_about_connection(f->name) &&
		    !request_append(s, &s->fields, HTTP_HEADER_MAX, f->name, f->value))
			return false;
	}
	return true;
}
