#include "http/h1_request.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/h1_head.h"
#include "http/limits.h"

static bool h1_refuse(struct h1_refusal *why, int status, const char *detail)
{
	*why = (struct h1_refusal){ .status = status, .detail = detail };
	return false;
}

/* ---- the request line ---- */

/* All of a target but its syntax: no control characters, no spaces. Bytes above 127 pass: curl
 * sends them unescaped, and the reference takes them. */
static bool h1_target_is_sound(struct span t)
{
	for (size_t i = 0; i < t.len; i++) {
		if ((uint8_t)t.at[i] <= ' ' || t.at[i] == 0x7f)
			return false;
	}
	return t.len > 0;
}

/* RFC 3986 3.2.2, without user names. */
static const bool h1_host_chars[256] = {
	['!'] = 1, ['$'] = 1,         ['%'] = 1,         ['&'] = 1,         ['\''] = 1, ['('] = 1,
	[')'] = 1, ['*'] = 1,         ['+'] = 1,         [','] = 1,         ['-'] = 1,  ['.'] = 1,
	[':'] = 1, [';'] = 1,         ['='] = 1,         ['['] = 1,         [']'] = 1,  ['_'] = 1,
	['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

static bool h1_host_is_sound(struct span host)
{
	for (size_t i = 0; i < host.len; i++) {
		if (!h1_host_chars[(uint8_t)host.at[i]])
			return false;
	}
	return true;
}

static bool h1_has_prefix_nocase(struct span s, const char *prefix)
{
	size_t len = strlen(prefix);

	return s.len >= len && span_equal_nocase((struct span){ s.at, len }, prefix);
}

/* "http://host/path": the host in the target wins over the Host field (RFC 9112 3.2.2). */
static bool h1_split_absolute(struct http_request *r, struct span t)
{
	size_t skip = h1_has_prefix_nocase(t, "http://")    ? 7
	              : h1_has_prefix_nocase(t, "https://") ? 8
	                                                    : 0;
	size_t n = 0;

	if (skip == 0)
		return false;
	t.at += skip;
	t.len -= skip;
	while (n < t.len && t.at[n] != '/' && t.at[n] != '?')
		n++;
	r->host = (struct span){ t.at, n };
	if (n == 0 || !h1_host_is_sound(r->host))
		return false;
	r->path = (struct span){ t.at + n, t.len - n };
	return true;
}

static bool h1_split_target(struct http_request *r, struct span t)
{
	const char *mark;

	if (!h1_target_is_sound(t))
		return false;
	if (span_equal(r->method, "CONNECT")) {
		r->path = t; /* an authority, which no route is */
		return true;
	}
	r->path = t;
	if (t.at[0] != '/' && !span_equal(t, "*") && !h1_split_absolute(r, t))
		return false;
	mark = r->path.len > 0 ? memchr(r->path.at, '?', r->path.len) : NULL;
	if (mark) {
		size_t len = (size_t)(mark - r->path.at);

		r->query = (struct span){ mark + 1, r->path.len - len - 1 };
		r->path.len = len;
	}
	if (r->path.len == 0)
		r->path = SPAN("/");
	return exchange_path_is_sound(r->path);
}

/* "HTTP/1.1": 1.2 and later are read as 1.1 (RFC 9110 2.5). */
static int h1_version(struct span v, enum http_version *out)
{
	static const char name[] = "HTTP/";

	if (v.len != 8 || memcmp(v.at, name, 5) != 0 || v.at[6] != '.')
		return 400;
	if (v.at[5] < '0' || v.at[5] > '9' || v.at[7] < '0' || v.at[7] > '9')
		return 400;
	if (v.at[5] != '1')
		return 505;
	*out = v.at[7] == '0' ? HTTP_1_0 : HTTP_1_1;
	return 0;
}

/* line without its CRLF. 0, or the status to refuse with. */
static int h1_request_line(struct http_request *r, struct span line)
{
	const char *first = memchr(line.at, ' ', line.len);
	const char *end = line.at + line.len, *second;
	int status;

	if (!first)
		return 400;
	r->method = (struct span){ line.at, (size_t)(first - line.at) };
	if (!h1_is_token(r->method))
		return 400;
	second = memchr(first + 1, ' ', (size_t)(end - first - 1));
	if (!second)
		return 400; /* HTTP/0.9 */
	status = h1_version((struct span){ second + 1, (size_t)(end - second - 1) }, &r->version);
	if (status != 0)
		return status;
	return h1_split_target(r, (struct span){ first + 1, (size_t)(second - first - 1) }) ? 0
	                                                                                    : 400;
}

bool h1_is_wrong_preface(struct span line)
{
	const char *end = line.at + line.len;
	const char *first = memchr(line.at, ' ', line.len);
	const char *second = first ? memchr(first + 1, ' ', (size_t)(end - first - 1)) : NULL;
	struct span last;

	if (!second)
		return false;
	last = (struct span){ second + 1, (size_t)(end - second - 1) };
	return !memchr(last.at, ' ', last.len) && !h1_has_prefix_nocase(last, "HTTP/");
}

/* ---- what the fields say ---- */

struct h1_facts {
	unsigned n_host, n_length, n_encoding, n_settings;
	struct span host, settings;
	int64_t length; /* -1: not a number */
	bool chunked, close, keep_alive;
	bool option_upgrade, option_settings, upgrade_h2c;
	bool expects_continue, expects_other;
};

static int64_t h1_length(struct span v)
{
	uint64_t n;

	if (v.len == 0 || v.at[0] < '0' || v.at[0] > '9')
		return -1;
	return parse_u64(v, &n) < 0 || n > INT64_MAX ? -1 : (int64_t)n;
}

static void h1_learn_connection(struct h1_facts *f, struct span value)
{
	struct span option;

	while (span_next(&value, ",", &option)) {
		f->close |= span_equal_nocase(option, "close");
		f->keep_alive |= span_equal_nocase(option, "keep-alive");
		f->option_upgrade |= span_equal_nocase(option, "upgrade");
		f->option_settings |= span_equal_nocase(option, "http2-settings");
	}
}

static bool h1_has_item(struct span value, const char *item)
{
	struct span piece;

	while (span_next(&value, ",", &piece)) {
		if (span_equal_nocase(piece, item))
			return true;
	}
	return false;
}

static void h1_learn(struct h1_facts *f, const struct http_field *field)
{
	switch (field->name.len) {
	case 4:
		if (span_equal(field->name, "host")) {
			f->n_host++;
			f->host = field->value;
		}
		break;
	case 6:
		if (span_equal(field->name, "expect") && field->value.len > 0) {
			if (h1_has_item(field->value, "100-continue"))
				f->expects_continue = true;
			else
				f->expects_other = true;
		}
		break;
	case 7:
		if (span_equal(field->name, "upgrade"))
			f->upgrade_h2c |= h1_has_item(field->value, "h2c");
		break;
	case 10:
		if (span_equal(field->name, "connection"))
			h1_learn_connection(f, field->value);
		break;
	case 14:
		if (span_equal(field->name, "content-length")) {
			f->n_length++;
			f->length = h1_length(field->value);
		} else if (span_equal(field->name, "http2-settings")) {
			f->n_settings++;
			f->settings = field->value;
		}
		break;
	case 17:
		if (span_equal(field->name, "transfer-encoding")) {
			f->n_encoding++;
			f->chunked = span_equal_nocase(field->value, "chunked");
		}
		break;
	default:
		break;
	}
}

/* Body framing that two readers could read in two ways is refused (RFC 9112 6.3). */
static bool h1_check_framing(const struct h1_facts *f, const struct http_request *r,
                             struct h1_refusal *why)
{
	if (f->n_encoding > 0 && (f->n_length > 0 || r->version == HTTP_1_0))
		return h1_refuse(why, 400, NULL);
	if (f->n_encoding > 1 || (f->n_encoding == 1 && !f->chunked)) {
		*why = (struct h1_refusal){ .status = 501,
			                    .body = "Unsupported transfer encoding" };
		return false;
	}
	if (f->n_length > 1 || (f->n_length == 1 && f->length < 0))
		return h1_refuse(why, 400, NULL);
	return true;
}

static bool h1_check_host(const struct h1_facts *f, const struct http_request *r,
                          struct h1_refusal *why)
{
	if (f->n_host > 1)
		return h1_refuse(why, 400, NULL);
	if (f->n_host == 0 && r->version != HTTP_1_0 && !span_equal(r->method, "CONNECT"))
		return h1_refuse(why, 400, "missing required Host header");
	if (!h1_host_is_sound(f->host))
		return h1_refuse(why, 400, "malformed Host header");
	return true;
}

static bool h1_apply_fields(struct h1_exchange *q, struct h1_refusal *why)
{
	struct http_request *r = &q->x.request;
	struct h1_facts f = { 0 };

	for (size_t i = 0; i < r->n_fields; i++)
		h1_learn(&f, &r->fields[i]);
	if (!h1_check_framing(&f, r, why) || !h1_check_host(&f, r, why))
		return false;
	if (r->host.len == 0)
		r->host = f.host;
	q->chunked = f.chunked;
	r->content_length = f.chunked ? -1 : f.length;
	r->has_body = f.chunked || f.length > 0;
	q->expects_other = f.expects_other && !f.expects_continue;
	r->expects_continue = f.expects_continue && r->has_body && r->version != HTTP_1_0;
	q->continue_due = r->expects_continue;
	/* What follows a CONNECT would be a tunnel's bytes: nothing we could read as a request. */
	q->keep_alive = !f.close && (r->version != HTTP_1_0 || f.keep_alive) &&
	                !span_equal(r->method, "CONNECT");
	if (f.upgrade_h2c && f.option_upgrade && f.option_settings && f.n_settings == 1 &&
	    !r->has_body && r->version == HTTP_1_1)
		q->h2c = f.settings;
	return true;
}

/* ---- the exchange ---- */

/* One allocation: the struct, the fields, the copied block, and what is left for scratch. */
static struct h1_exchange *h1_request_alloc(struct server *s, size_t len, size_t n_fields,
                                            char **out_head)
{
	size_t fields_size = n_fields * sizeof(struct http_field);
	size_t size = sizeof(struct h1_exchange) + fields_size + len;
	bool is_block = size <= SERVER_BLOCK;
	struct h1_exchange *q;
	char *rest;

	if (!is_block && !server_charge_head(s, size))
		return NULL;
	q = is_block ? server_take_block(s) : try_malloc(size);
	if (!q) {
		server_discharge_head(s, is_block ? 0 : size);
		return NULL;
	}
	memset(q, 0, sizeof *q);
	q->charged = is_block ? 0 : size;
	rest = (char *)(q + 1) + fields_size;
	exchange_init(&q->x, NULL, is_block ? rest + len : NULL,
	              is_block ? SERVER_BLOCK - size : 0);
	q->x.request.fields = (struct http_field *)(q + 1);
	q->server = s;
	q->is_block = is_block;
	*out_head = rest;
	return q;
}

void h1_request_forget_server(struct h1_exchange *q)
{
	server_discharge_head(q->server, q->charged);
	q->charged = 0;
	q->is_block = false;
	q->server = NULL;
}

void h1_request_free(struct exchange *x)
{
	struct h1_exchange *q = CONTAINER_OF(x, struct h1_exchange, x);

	exchange_deinit(x);
	if (q->charged > 0)
		server_discharge_head(q->server, q->charged);
	if (q->is_block)
		server_give_block(q->server, q);
	else
		free(q);
}

static bool h1_request_parse(struct h1_exchange *q, char *head, size_t len, size_t n_fields,
                             struct h1_refusal *why)
{
	struct http_request *r = &q->x.request;
	size_t line_len = (size_t)((char *)memchr(head, '\n', len) - head) + 1;
	struct http_field *fields = (struct http_field *)(q + 1);
	int status = h1_request_line(r, (struct span){ head, line_len - 2 });

	if (status == 505)
		return h1_refuse(why, 505, "unsupported protocol version");
	if (status != 0)
		return h1_refuse(why, status, NULL);
	switch (h1_fields_parse(head + line_len, len - line_len, fields, n_fields, &r->n_fields)) {
	case H1_FIELDS_OK:
		return h1_apply_fields(q, why);
	case H1_FIELDS_NAME:
		return h1_refuse(why, 400, "invalid header name");
	case H1_FIELDS_ENCODING:
		*why = (struct h1_refusal){ .status = 501,
			                    .body = "Unsupported transfer encoding" };
		return false;
	default:
		return h1_refuse(why, 400, NULL);
	}
}

struct h1_exchange *h1_request_new(struct server *s, const char *head, size_t len, size_t n_lines,
                                   struct h1_refusal *why)
{
	size_t n_fields = n_lines - 1;
	struct h1_exchange *q;
	char *copy;

	q = n_fields <= HTTP_FIELDS_MAX ? h1_request_alloc(s, len, n_fields, &copy) : NULL;
	if (!q) {
		h1_refuse(why, n_fields > HTTP_FIELDS_MAX ? 431 : 503, NULL);
		return NULL;
	}
	memcpy(copy, head, len);
	if (!h1_request_parse(q, copy, len, n_fields, why)) {
		h1_request_free(&q->x);
		return NULL;
	}
	return q;
}
