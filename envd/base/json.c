/*
 * yyjson behind our limits: it has none of its own for depth and memory.
 *
 * Its values lie in one block: in the tree itself when the worst case fits, else allocated.
 */
#include "base/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#include "base/buf.h"
#include "base/mem.h"

_Static_assert(JSON_PADDING >= YYJSON_PADDING_SIZE, "what yyjson writes behind the text");

/* yyjson takes no pointers to const, and changes nothing. */
static yyjson_val *yy(const struct json *value)
{
	return (yyjson_val *)(uintptr_t)value;
}

static const struct json *not_yy(const yyjson_val *value)
{
	return (const struct json *)(const void *)value;
}

static void *values_alloc(void *ctx, size_t size)
{
	struct json_doc *doc = ctx;

	if (size > JSON_MEMORY_MAX) {
		doc->over_limit = true;
		return NULL;
	}
	return try_malloc(size);
}

static void *values_realloc(void *ctx, void *values, size_t old_size, size_t size)
{
	struct json_doc *doc = ctx;

	UNUSED(old_size);
	if (size > JSON_MEMORY_MAX) {
		doc->over_limit = true;
		return NULL;
	}
	return try_realloc(values, size);
}

static void values_free(void *ctx, void *values)
{
	UNUSED(ctx);
	free(values);
}

static void choose_allocator(struct json_doc *doc, size_t len, yyjson_alc *out_alc)
{
	*out_alc = (yyjson_alc){ values_alloc, values_realloc, values_free, doc };
	if (len < sizeof doc->room &&
	    yyjson_read_max_memory_usage(len, YYJSON_READ_INSITU) < sizeof doc->room)
		yyjson_alc_pool_init(out_alc, doc->room, sizeof doc->room);
}

/* The closing quote of the string that begins at p, or end. */
static const char *find_string_end(const char *p, const char *end)
{
	const char *start = p, *quote, *backslash;

	for (; (quote = memchr(p, '"', (size_t)(end - p))); p = quote + 1) {
		backslash = quote;
		while (backslash > start && backslash[-1] == '\\')
			backslash--;
		if ((quote - backslash) % 2 == 0)
			return quote;
	}
	return end;
}

/* Brackets that do not match are the parser's to find, no deeper than we have counted. */
static bool nests_too_deep(const char *text, size_t len)
{
	const char *end = text + len;
	size_t depth = 0;

	if (len <= JSON_DEPTH_MAX)
		return false;
	for (const char *p = text; p < end; p++) {
		if (*p == '"')
			p = find_string_end(p + 1, end);
		else if ((*p == '[' || *p == '{') && ++depth > JSON_DEPTH_MAX)
			return true;
		else if ((*p == ']' || *p == '}') && depth > 0)
			depth--;
	}
	return false;
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdefABCDEF";
	const char *found = c ? strchr(digits, c) : NULL;

	if (!found)
		return -1;
	return (int)(found - digits < 16 ? found - digits : found - digits - 6);
}

/* The value of the \uXXXX at p, or -1. */
static int read_escape(const char *p, const char *end)
{
	int unit = 0, digit;

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++) {
		digit = hex_digit(p[i]);
		if (digit < 0)
			return -1;
		unit = unit << 4 | digit;
	}
	return unit;
}

static bool is_high_surrogate(int unit)
{
	return unit >= 0xD800 && unit <= 0xDBFF;
}

static bool is_low_surrogate(int unit)
{
	return unit >= 0xDC00 && unit <= 0xDFFF;
}

/* Rewrites the escapes of lone surrogates; outside strings a backslash is an error anyway. */
static void repair_escapes(char *text, size_t len)
{
	char *end = text + len;
	int unit;

	for (char *p = text; (p = memchr(p, '\\', (size_t)(end - p)));) {
		unit = read_escape(p, end);
		if (is_high_surrogate(unit) && is_low_surrogate(read_escape(p + 6, end))) {
			p += 12;
			continue;
		}
		if (is_high_surrogate(unit) || is_low_surrogate(unit))
			memcpy(p + 2, "FFFD", 4);
		p += MIN(2, end - p);
	}
}

/* Each byte becomes three at most. All at once: a buffer that moves would leave copies behind. */
static int repair_bytes(struct json_doc *doc, char **text, size_t *len)
{
	struct buf copy;

	if (utf8_is_valid(*text, *len))
		return 0;
	buf_init(&copy, JSON_MEMORY_MAX);
	if (buf_reserve(&copy, 3 * *len + JSON_PADDING) < 0)
		return buf_error(&copy);
	utf8_append_repaired(&copy, *text, *len);
	*len = copy.len;
	doc->repaired = *text = (char *)TAKE_PTR(copy.data);
	doc->repaired_size = copy.len;
	return 0;
}

static int refuse(struct json_doc *doc, const char *why, size_t at)
{
	doc->error = why;
	doc->error_at = at;
	return -EINVAL;
}

void json_init(struct json_doc *doc)
{
	doc->root = NULL;
	doc->values = NULL;
	doc->repaired = NULL;
	doc->over_limit = false;
	doc->error = NULL;
	doc->error_at = 0;
}

int json_parse(struct json_doc *doc, char *text, size_t len, unsigned flags)
{
	const yyjson_read_flag how = YYJSON_READ_INSITU | YYJSON_READ_NUMBER_AS_RAW |
	                             (flags & JSON_FIRST ? YYJSON_READ_STOP_WHEN_DONE : 0);
	yyjson_read_err err;
	yyjson_doc *values;
	yyjson_alc alc;
	int rc;

	if (flags & JSON_REPAIR) {
		repair_escapes(text, len);
		rc = repair_bytes(doc, &text, &len);
		if (rc < 0)
			return rc;
	}
	if (nests_too_deep(text, len))
		return refuse(doc, "exceeded max recursion depth", 0);

	/* In place, the parser's only end is a NUL. */
	memset(text + len, 0, JSON_PADDING);
	choose_allocator(doc, len, &alc);
	values = yyjson_read_opts(text, len, how, &alc, &err);
	if (!values && err.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
		return doc->over_limit ? -ENOBUFS : -ENOMEM;
	if (!values)
		return refuse(doc, err.msg, err.pos);
	doc->values = values;
	doc->root = not_yy(yyjson_doc_get_root(values));
	return 0;
}

void json_deinit(struct json_doc *doc)
{
	if (doc->values)
		yyjson_doc_free(TAKE_PTR(doc->values));
	if (doc->repaired) {
		explicit_bzero(doc->repaired, doc->repaired_size);
		free(TAKE_PTR(doc->repaired));
	}
	doc->root = NULL;
}

enum json_type json_type(const struct json *value)
{
	switch (yyjson_get_type(yy(value))) {
	case YYJSON_TYPE_BOOL:
		return JSON_BOOL;
	case YYJSON_TYPE_RAW:
		return JSON_NUMBER;
	case YYJSON_TYPE_STR:
		return JSON_STRING;
	case YYJSON_TYPE_ARR:
		return JSON_ARRAY;
	case YYJSON_TYPE_OBJ:
		return JSON_OBJECT;
	default:
		return JSON_NULL;
	}
}

size_t json_count(const struct json *value)
{
	return yyjson_is_ctn(yy(value)) ? yyjson_get_len(yy(value)) : 0;
}

bool json_bool(const struct json *value)
{
	return yyjson_is_true(yy(value));
}

struct span json_string(const struct json *value)
{
	if (!yyjson_is_str(yy(value)))
		return (struct span){ "", 0 };
	return (struct span){ yyjson_get_str(yy(value)), yyjson_get_len(yy(value)) };
}

bool json_string_was_escaped(const struct json *value)
{
	const uint8_t tag = yyjson_get_tag(yy(value));

	return yyjson_is_str(yy(value)) && tag != (YYJSON_TYPE_STR | YYJSON_SUBTYPE_NOESC);
}

struct span json_number(const struct json *value)
{
	if (!yyjson_is_raw(yy(value)))
		return (struct span){ "", 0 };
	return (struct span){ yyjson_get_raw(yy(value)), yyjson_get_len(yy(value)) };
}

int json_i64(const struct json *value, int64_t *out_value)
{
	return parse_i64(json_number(value), out_value);
}

const struct json *json_first(struct json_iter *it, const struct json *parent, struct span *out_key)
{
	it->has_keys = yyjson_is_obj(yy(parent));
	it->left = json_count(parent);
	it->at = it->left > 0 ? not_yy(unsafe_yyjson_get_first(yy(parent))) : NULL;
	return json_next(it, out_key);
}

const struct json *json_next(struct json_iter *it, struct span *out_key)
{
	const struct json *value = it->at;

	*out_key = (struct span){ "", 0 };
	if (it->left == 0)
		return NULL;
	it->left--;
	if (it->has_keys) {
		*out_key = json_string(value);
		value = not_yy(yy(value) + 1);
	}
	it->at = not_yy(unsafe_yyjson_get_next(yy(value)));
	return value;
}
