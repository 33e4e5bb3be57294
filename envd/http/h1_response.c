#include "http/h1_response.h"

#include <stdio.h>
#include <string.h>

/* Bytes for what is written besides the fields: status line, date, length, connection. */
#define H1_HEAD_OWN 256u

const char *h1_status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} texts[] = {
		{ 100, "Continue" },
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 206, "Partial Content" },
		{ 301, "Moved Permanently" },
		{ 302, "Found" },
		{ 304, "Not Modified" },
		{ 307, "Temporary Redirect" },
		{ 308, "Permanent Redirect" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 406, "Not Acceptable" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 411, "Length Required" },
		{ 412, "Precondition Failed" },
		{ 413, "Request Entity Too Large" },
		{ 415, "Unsupported Media Type" },
		{ 416, "Requested Range Not Satisfiable" },
		{ 417, "Expectation Failed" },
		{ 422, "Unprocessable Entity" },
		{ 425, "Too Early" },
		{ 428, "Precondition Required" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
		{ 507, "Insufficient Storage" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (texts[i].status == status)
			return texts[i].text;
	}
	return "";
}

/* ---- writing ---- */

static char *h1_put(char *at, const char *text, size_t len)
{
	memcpy(at, text, len);
	return at + len;
}

static char *h1_put_text(char *at, const char *text)
{
	return h1_put(at, text, strlen(text));
}

/* Line ends in a value would begin another field: they, and NUL, become spaces. */
static char *h1_put_clean(char *at, struct span s)
{
	bool suspect = false;

	for (size_t i = 0; i < s.len; i++) {
		at[i] = s.at[i];
		suspect |= (uint8_t)at[i] <= '\r';
	}
	for (size_t i = 0; suspect && i < s.len; i++) {
		if (at[i] == '\r' || at[i] == '\n' || at[i] == '\0')
			at[i] = ' ';
	}
	return at + s.len;
}

static char *h1_put_field(char *at, const struct http_field *f)
{
	at = h1_put_clean(at, f->name);
	at = h1_put(at, ": ", 2);
	at = h1_put_clean(at, f->value);
	return h1_put(at, "\r\n", 2);
}

static char *h1_put_number(char *at, uint64_t n)
{
	char digits[20];
	size_t i = sizeof digits;

	do
		digits[--i] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	return h1_put(at, digits + i, sizeof digits - i);
}

static size_t h1_fields_size(const struct http_field *fields, size_t n)
{
	size_t size = 0;

	for (size_t i = 0; i < n; i++)
		size += fields[i].name.len + fields[i].value.len + 4;
	return size;
}

size_t h1_head_size(const struct h1_head_spec *h)
{
	return H1_HEAD_OWN + h1_fields_size(h->fields, h->n_fields) +
	       h1_fields_size(h->x->extra, h->x->n_extra);
}

static char *h1_put_framing(char *at, const struct h1_head_spec *h)
{
	if (h->framing == H1_LENGTH) {
		at = h1_put_text(at, "Content-Length: ");
		at = h1_put_number(at, (uint64_t)h->length);
		at = h1_put(at, "\r\n", 2);
	} else if (h->framing == H1_CHUNKED) {
		at = h1_put_text(at, "Transfer-Encoding: chunked\r\n");
	}
	if (h->close)
		return h1_put_text(at, "Connection: close\r\n");
	if (h->x->request.version == HTTP_1_0)
		return h1_put_text(at, "Connection: keep-alive\r\n");
	return at;
}

size_t h1_head_write(const struct h1_head_spec *h, char *out)
{
	char *at = out;

	at = h1_put_text(at, h->x->request.version == HTTP_1_0 ? "HTTP/1.0 " : "HTTP/1.1 ");
	at = h1_put_number(at, (uint64_t)h->status);
	*at++ = ' ';
	at = h1_put_text(at, h1_status_text(h->status));
	at = h1_put(at, "\r\n", 2);
	for (size_t i = 0; i < h->n_fields; i++)
		at = h1_put_field(at, &h->fields[i]);
	for (size_t i = 0; i < h->x->n_extra; i++)
		at = h1_put_field(at, &h->x->extra[i]);
	at = h1_put_text(at, "Date: ");
	at = h1_put(at, h->date.at, h->date.len);
	at = h1_put(at, "\r\n", 2);
	at = h1_put_framing(at, h);
	at = h1_put(at, "\r\n", 2);
	return (size_t)(at - out);
}

size_t h1_refusal_write(const struct h1_refusal *r, char out[H1_REFUSAL_MAX])
{
	char line[H1_REFUSAL_MAX / 4];
	int n;

	n = snprintf(line, sizeof line, "%d %s%s%s", r->status, h1_status_text(r->status),
	             r->detail ? ": " : "", r->detail ? r->detail : "");
	ASSERT(n > 0 && (size_t)n < sizeof line);
	n = snprintf(out, H1_REFUSAL_MAX,
	             "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
	             "Connection: close\r\n\r\n%s",
	             line, r->body ? r->body : line);
	ASSERT(n > 0 && (size_t)n < H1_REFUSAL_MAX);
	return (size_t)n;
}

size_t h1_chunk_line(char *out, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	char digits[16];
	size_t i = sizeof digits;
	char *at;

	do
		digits[--i] = hex[len % 16];
	while ((len /= 16) > 0);
	at = h1_put(out, digits + i, sizeof digits - i);
	at = h1_put(at, "\r\n", 2);
	return (size_t)(at - out);
}

struct span h1_last_chunk(struct arena *memory, const struct http_field *trailers, size_t n)
{
	char *out = arena_alloc(memory, h1_fields_size(trailers, n) + sizeof "0\r\n\r\n");
	char *at = out;

	if (!out)
		return (struct span){ 0 };
	at = h1_put(at, "0\r\n", 3);
	for (size_t i = 0; i < n; i++)
		at = h1_put_field(at, &trailers[i]);
	at = h1_put(at, "\r\n", 2);
	return (struct span){ out, (size_t)(at - out) };
}
