#include "rpc/negotiate.h"

#include <errno.h>
#include <string.h>

#include "rpc/protocol.h"

#define CONTENT_TYPE_MAX 64u /* bytes of a canonical type; the longest known one has 44 */

#define KINDS_UNARY  BIT(RPC_UNARY)
#define KINDS_STREAM (BIT(RPC_CLIENT_STREAM) | BIT(RPC_SERVER_STREAM) | BIT(RPC_BIDI_STREAM))
#define KINDS_ALL    (KINDS_UNARY | KINDS_STREAM)

/* Sorted, as Accept-Post lists them. */
static const struct content_type types[] = {
	{ "application/connect+json", &connect_stream, CODEC_JSON, KINDS_STREAM },
	{ "application/connect+json; charset=utf-8", &connect_stream, CODEC_JSON, KINDS_STREAM },
	{ "application/connect+proto", &connect_stream, CODEC_PROTO, KINDS_STREAM },
	{ "application/grpc", &grpc, CODEC_PROTO, KINDS_ALL },
	{ "application/grpc+json", &grpc, CODEC_JSON, KINDS_ALL },
	{ "application/grpc+json; charset=utf-8", &grpc, CODEC_JSON, KINDS_ALL },
	{ "application/grpc+proto", &grpc, CODEC_PROTO, KINDS_ALL },
	{ "application/grpc-web", &grpc_web, CODEC_PROTO, KINDS_ALL },
	{ "application/grpc-web+json", &grpc_web, CODEC_JSON, KINDS_ALL },
	{ "application/grpc-web+json; charset=utf-8", &grpc_web, CODEC_JSON, KINDS_ALL },
	{ "application/grpc-web+proto", &grpc_web, CODEC_PROTO, KINDS_ALL },
	{ "application/json", &connect_unary, CODEC_JSON, KINDS_UNARY },
	{ "application/json; charset=utf-8", &connect_unary, CODEC_JSON, KINDS_UNARY },
	{ "application/proto", &connect_unary, CODEC_PROTO, KINDS_UNARY },
};

static char to_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Appends s in lower case; the text stays a string. */
static bool put_lower(char text[CONTENT_TYPE_MAX], size_t *len, struct span s)
{
	if (s.len >= CONTENT_TYPE_MAX - *len)
		return false;
	for (size_t i = 0; i < s.len; i++)
		text[(*len)++] = to_lower(s.at[i]);
	text[*len] = '\0';
	return true;
}

static struct span split(struct span s, char separator, struct span *out_rest)
{
	const char *at = s.len ? memchr(s.at, separator, s.len) : NULL;
	struct span head = { s.at, at ? (size_t)(at - s.at) : s.len };

	*out_rest = at ? (struct span){ at + 1, s.len - head.len - 1 } : (struct span){ s.at, 0 };
	return span_trim(head);
}

static struct span unquote(struct span s)
{
	if (s.len >= 2 && s.at[0] == '"' && s.at[s.len - 1] == '"')
		return (struct span){ s.at + 1, s.len - 2 };
	return s;
}

/* "Application/JSON ; Charset=\"UTF-8\"" to "application/json; charset=utf-8". */
static bool canonicalize(struct span value, char text[CONTENT_TYPE_MAX])
{
	struct span rest;
	struct span charset = { NULL, 0 };
	size_t len = 0;

	if (!put_lower(text, &len, split(value, ';', &rest)))
		return false;
	while (rest.len > 0) {
		struct span parameter = split(rest, ';', &rest);
		struct span name = split(parameter, '=', &parameter);

		if (name.len == 0)
			continue;
		if (charset.at || !span_equal_nocase(name, "charset"))
			return false;
		charset = unquote(span_trim(parameter));
	}
	if (!charset.at)
		return true;
	return put_lower(text, &len, SPAN("; charset=")) && put_lower(text, &len, charset);
}

static const struct content_type *find_canonical(const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strcmp(types[i].text, text) == 0)
			return &types[i];
	}
	return NULL;
}

const struct content_type *content_type_find(struct span value)
{
	char text[CONTENT_TYPE_MAX] = "";

	/* A NUL would cut the text into a known one. */
	if (value.len == 0 || memchr(value.at, '\0', value.len) || !canonicalize(value, text))
		return NULL;
	return find_canonical(text);
}

const struct content_type *content_type_of_get(struct span encoding)
{
	if (span_equal(encoding, "json"))
		return find_canonical("application/json");
	if (span_equal(encoding, "proto"))
		return find_canonical("application/proto");
	return NULL;
}

void content_type_list(enum rpc_kind kind, struct buf *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (!(types[i].kinds & BIT(kind)))
			continue;
		if (out->len > 0)
			buf_append_text(out, ", ");
		buf_append_text(out, types[i].text);
	}
}

int negotiate_compression(struct span sent, struct span accept, bool *out_request_gzip,
                          bool *out_response_gzip, struct err *e)
{
	struct span name;
	bool request = span_equal(sent, RPC_COMPRESSIONS);
	bool response = request;

	if (!request && sent.len > 0 && !span_equal(sent, "identity"))
		return err_set(e, ERR_UNIMPLEMENTED,
		               "unknown compression \"%.*s\": supported encodings are %s",
		               (int)MIN(sent.len, 256), sent.at, RPC_COMPRESSIONS);
	while (!response && span_next(&accept, ", ", &name))
		response = span_equal(name, RPC_COMPRESSIONS);
	*out_request_gzip = request;
	*out_response_gzip = response;
	return 0;
}

int timeout_parse_connect(struct span value, int64_t *out_ms, struct err *e)
{
	int64_t ms;

	if (value.len == 0) {
		*out_ms = -1;
		return 0;
	}
	if (value.len > 10)
		return err_set(e, ERR_INVALID, "parse timeout: \"%.*s\" has >10 digits",
		               (int)MIN(value.len, 256), value.at);
	if (parse_i64(value, &ms) < 0)
		return err_set(e, ERR_INVALID,
		               "parse timeout: strconv.ParseInt: parsing \"%.*s\": invalid syntax",
		               (int)value.len, value.at);
	*out_ms = MAX(ms, 0);
	return 0;
}

/* Nanoseconds of a grpc-timeout unit, 0 for none. */
static uint64_t unit_ns(char unit)
{
	switch (unit) {
	case 'n':
		return 1;
	case 'u':
		return 1000;
	case 'm':
		return 1000000;
	case 'S':
		return 1000000000ull;
	case 'M':
		return 60 * 1000000000ull;
	case 'H':
		return 3600 * 1000000000ull;
	default:
		return 0;
	}
}

int timeout_parse_grpc(struct span value, int64_t *out_ms, struct err *e)
{
	uint64_t n;
	uint64_t ns;

	if (value.len == 0) {
		*out_ms = -1;
		return 0;
	}
	ns = unit_ns(value.at[value.len - 1]);
	if (ns == 0)
		return err_set(e, ERR_INVALID, "protocol error: timeout has invalid unit '%c'",
		               value.at[value.len - 1]);
	/* At most eight digits and a unit. */
	if (value.len > 9)
		return err_set(e, ERR_INVALID, "protocol error: timeout \"%.*s\" is too long",
		               (int)MIN(value.len, 256), value.at);
	if (parse_u64((struct span){ value.at, value.len - 1 }, &n) < 0)
		return err_set(e, ERR_INVALID, "protocol error: invalid timeout \"%.*s\"",
		               (int)value.len, value.at);
	/* A part of a millisecond is a whole one: only zero has passed already. */
	*out_ms = ns >= 1000000 ? (int64_t)(n * (ns / 1000000))
	                        : (int64_t)((n * ns + 999999) / 1000000);
	return 0;
}

uint64_t keepalive_parse(struct span value)
{
	uint64_t s;

	if (value.len == 0 || value.at[0] == '-' || parse_u64(value, &s) < 0 || s == 0 ||
	    s > RPC_KEEPALIVE_MAX_S)
		s = RPC_KEEPALIVE_DEFAULT_S;
	return s * 1000;
}
