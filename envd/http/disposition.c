#include "http/disposition.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"

/* Bytes of the name of a continuation that is looked for. */
#define PIECE_NAME_MAX 64u

static bool is_tspecial(char c)
{
	return c != '\0' && strchr("()<>@,;:\\\"/[]?=", c);
}

static bool is_token_char(char c)
{
	return c > 0x20 && c < 0x7F && !is_tspecial(c);
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static void skip_spaces(struct span *rest)
{
	while (rest->len > 0 && is_space(rest->at[0])) {
		rest->at++;
		rest->len--;
	}
}

static bool take_char(struct span *rest, char c)
{
	if (rest->len == 0 || rest->at[0] != c)
		return false;
	rest->at++;
	rest->len--;
	return true;
}

static struct span take_token(struct span *rest)
{
	struct span token = { rest->at, 0 };

	while (token.len < rest->len && is_token_char(rest->at[token.len]))
		token.len++;
	rest->at += token.len;
	rest->len -= token.len;
	return token;
}

/* A copy in lower case; at is NULL when the arena is full. */
static struct span lower(struct span s, struct arena *memory)
{
	char *copy = arena_strndup(memory, s.at, s.len);

	for (size_t i = 0; copy && i < s.len; i++)
		if (copy[i] >= 'A' && copy[i] <= 'Z')
			copy[i] = (char)(copy[i] | 0x20);
	return (struct span){ copy, s.len };
}

/* ---- reading ---- */

/* A backslash before another character is one: of a path that was not escaped. */
static bool is_escape(struct span s, size_t at)
{
	return s.at[at] == '\\' && at + 1 < s.len && is_tspecial(s.at[at + 1]);
}

/* Behind the opening quote: where the closing one is; false if it is not closed. */
static bool find_quote(struct span rest, size_t *out_at)
{
	for (size_t i = 0; i < rest.len && rest.at[i] != '\r' && rest.at[i] != '\n'; i++) {
		if (rest.at[i] == '"') {
			*out_at = i;
			return true;
		}
		if (is_escape(rest, i))
			i++;
	}
	return false;
}

/* Behind the opening quote; false if it is not closed, or the arena is full. */
static bool take_quoted(struct span *rest, struct arena *memory, struct span *out_value)
{
	size_t quote, len = 0;
	char *text;

	if (!find_quote(*rest, &quote))
		return false;
	text = arena_alloc(memory, quote + 1);
	if (!text)
		return false;
	for (size_t i = 0; i < quote; i++) {
		if (is_escape(*rest, i))
			i++;
		text[len++] = rest->at[i];
	}
	*out_value = (struct span){ text, len };
	rest->at += quote + 1;
	rest->len -= quote + 1;
	return true;
}

static bool take_value(struct span *rest, struct arena *memory, struct span *out_value)
{
	struct span token;

	if (take_char(rest, '"'))
		return take_quoted(rest, memory, out_value);
	token = take_token(rest);
	out_value->at = arena_strndup(memory, token.at, token.len);
	out_value->len = token.len;
	return out_value->at && token.len > 0;
}

static bool take_param(struct span *rest, struct arena *memory, struct disposition_param *out_param)
{
	if (!take_char(rest, ';'))
		return false;
	skip_spaces(rest);
	out_param->name = lower(take_token(rest), memory);
	skip_spaces(rest);
	if (!out_param->name.at || out_param->name.len == 0 || !take_char(rest, '='))
		return false;
	skip_spaces(rest);
	return take_value(rest, memory, &out_param->value);
}

static bool span_same(struct span a, struct span b)
{
	return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

/* Two parameters that differ; saying one twice is allowed. */
static const char *add_param(struct disposition *d, const struct disposition_param *param)
{
	for (size_t i = 0; i < d->n_params; i++) {
		if (!span_same(d->params[i].name, param->name))
			continue;
		return span_same(d->params[i].value, param->value)
		               ? NULL
		               : "mime: duplicate parameter name";
	}
	if (d->n_params == DISPOSITION_PARAMS_MAX)
		return "mime: too many parameters";
	d->params[d->n_params++] = *param;
	return NULL;
}

static bool is_last_semicolon(struct span rest)
{
	if (!take_char(&rest, ';'))
		return false;
	skip_spaces(&rest);
	return rest.len == 0;
}

static const char *check_type(struct span type)
{
	if (take_token(&type).len == 0)
		return "mime: no media type";
	if (type.len == 0)
		return NULL;
	if (!take_char(&type, '/'))
		return "mime: expected slash after first token";
	if (take_token(&type).len == 0)
		return "mime: expected token after slash";
	return type.len == 0 ? NULL : "mime: unexpected content after media subtype";
}

static struct span take_type(struct span *rest)
{
	const char *end = memchr(rest->at, ';', rest->len);
	struct span type = { rest->at, end ? (size_t)(end - rest->at) : rest->len };

	rest->at += type.len;
	rest->len -= type.len;
	skip_spaces(&type);
	while (type.len > 0 && is_space(type.at[type.len - 1]))
		type.len--;
	return type;
}

const char *disposition_parse(struct disposition *d, struct span field, struct arena *memory)
{
	struct span type = field.len > 0 ? take_type(&field) : field;
	const char *error = check_type(type);

	*d = (struct disposition){ .memory = memory, .type = lower(type, memory) };
	while (!error) {
		struct disposition_param param;

		skip_spaces(&field);
		if (field.len == 0 || is_last_semicolon(field))
			return d->type.at ? NULL : "mime: out of memory";
		if (!take_param(&field, memory, &param))
			return "mime: invalid media parameter";
		error = add_param(d, &param);
	}
	return error;
}

/* ---- finding ---- */

static const struct disposition_param *find_raw(const struct disposition *d, const char *name)
{
	for (size_t i = 0; i < d->n_params; i++)
		if (span_equal(d->params[i].name, name))
			return &d->params[i];
	return NULL;
}

/* charset'language'text, of a charset that is UTF-8. */
static bool decode_extended(struct buf *out, struct span value)
{
	const char *first = memchr(value.at, '\'', value.len);
	const char *end = value.at + value.len;
	const char *second = first ? memchr(first + 1, '\'', (size_t)(end - first - 1)) : NULL;
	struct span charset;

	if (!second)
		return false;
	charset = (struct span){ value.at, (size_t)(first - value.at) };
	if (!span_equal_nocase(charset, "utf-8") && !span_equal_nocase(charset, "us-ascii"))
		return false;
	return percent_decode(out, (struct span){ second + 1, (size_t)(end - second - 1) }) == 0;
}

/* Appends the nth piece, plain or encoded. False: there is none. */
static bool append_piece(const struct disposition *d, const char *name, size_t n, struct buf *out)
{
	const struct disposition_param *param;
	char piece[PIECE_NAME_MAX];
	size_t len = out->len;

	(void)snprintf(piece, sizeof piece, "%s*%zu", name, n);
	param = find_raw(d, piece);
	if (param) {
		buf_append(out, param->value.at, param->value.len);
		return true;
	}
	(void)snprintf(piece, sizeof piece, "%s*%zu*", name, n);
	param = find_raw(d, piece);
	if (!param)
		return false;
	/* What cannot be decoded is left out. */
	if (n == 0 ? !decode_extended(out, param->value) : percent_decode(out, param->value) < 0)
		buf_truncate(out, len);
	return true;
}

/* Whether the value stands there in one of the extended forms, which out then holds. */
static bool find_extended(const struct disposition *d, const char *name, struct buf *out)
{
	const struct disposition_param *whole;
	char star[PIECE_NAME_MAX];
	size_t n = 0;

	(void)snprintf(star, sizeof star, "%s*", name);
	whole = find_raw(d, star);
	if (whole)
		return decode_extended(out, whole->value);
	while (append_piece(d, name, n, out))
		n++;
	return n > 0;
}

bool disposition_find(const struct disposition *d, const char *name, struct span *out_value)
{
	const struct disposition_param *plain = find_raw(d, name);
	bool is_extended;
	struct buf text;

	buf_init(&text, d->memory->max);
	is_extended = find_extended(d, name, &text) && buf_error(&text) == 0;
	if (is_extended && text.len > 0) {
		out_value->at = arena_strndup(d->memory, (const char *)text.data, text.len);
		out_value->len = out_value->at ? text.len : 0;
	} else if (is_extended) {
		*out_value = SPAN("");
	} else if (plain) {
		*out_value = plain->value;
	}
	buf_deinit(&text);
	return is_extended || plain;
}

/* ---- writing ---- */

static bool needs_encoding(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((s.at[i] < ' ' || s.at[i] > '~') && s.at[i] != '\t')
			return true;
	return false;
}

static void append_encoded(struct buf *b, struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (is_token_char(s.at[i]) && !strchr("*'%", s.at[i]))
			buf_append_byte(b, (uint8_t)s.at[i]);
		else
			buf_appendf(b, "%%%02X", (uint8_t)s.at[i]);
	}
}

static void append_quoted(struct buf *b, struct span s)
{
	buf_append_byte(b, '"');
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] == '"' || s.at[i] == '\\')
			buf_append_byte(b, '\\');
		buf_append_byte(b, (uint8_t)s.at[i]);
	}
	buf_append_byte(b, '"');
}

void disposition_append_param(struct buf *b, const char *name, struct span value)
{
	struct span rest = value;

	if (needs_encoding(value)) {
		buf_appendf(b, "; %s*=utf-8''", name);
		append_encoded(b, value);
		return;
	}
	buf_appendf(b, "; %s=", name);
	if (take_token(&rest).len > 0 && rest.len == 0)
		buf_append(b, value.at, value.len);
	else
		append_quoted(b, value);
}
