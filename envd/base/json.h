/*
 * Reading JSON: a read-only tree over the caller's text, parsed in place.
 *
 * The text must be writable, live as long as the tree and have JSON_PADDING writable bytes behind
 * it. Strings and numbers are spans into it, unescaped, with a NUL behind each one (a string may
 * hold others); whoever owns the text may change a string he has read.
 *
 * RFC 8259 and nothing more: no comments, trailing commas, NaN or second value, no byte order mark.
 * Invalid UTF-8 and lone surrogates are refused, or become U+FFFD with JSON_REPAIR. Members keep
 * their order and may repeat: what a repeated or a differently written name means is the caller's,
 * who walks them with json_next and compares as his rules say.
 *
 *     CLEANUP(json_deinit) struct json_doc doc;
 *     struct json_iter it;
 *
 *     json_init(&doc);
 *     rc = json_parse(&doc, text, len, JSON_REPAIR);
 *     for (value = json_first(&it, doc.root, &key); value; value = json_next(&it, &key))
 *             if (span_equal_nocase(key, "accessToken")) ...
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "base/text.h"

#define JSON_PADDING   4u     /* bytes behind the text that parsing may write */
#define JSON_DEPTH_MAX 10000u /* arrays in arrays, as Go's decoders */

/* Bytes of values, 16 each; reserved at the rate of 2.7 for each byte of text, touched as used.
 * A text of 64 MiB that is mostly strings passes, one of nothing but zeros does not. */
#define JSON_MEMORY_MAX (192u * 1024u * 1024u)

#define JSON_ROOM 8192u /* bytes within the tree: no allocation for texts of up to 650 bytes */

/* How a text is parsed. */
#define JSON_REPAIR BIT(0) /* replace what is not Unicode instead of refusing it */
#define JSON_FIRST  BIT(1) /* what follows the first value is ignored, as Go's Decoder does */

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json; /* a value; borrowed from its tree */

struct json_doc {
	const struct json *root;
	void *values;
	char *repaired; /* own copy of a text that had to grow; wiped before it is freed */
	size_t repaired_size;
	bool over_limit;
	const char *error; /* after -EINVAL: why, static */
	size_t error_at;   /* and where: byte of the text */
	_Alignas(16) char room[JSON_ROOM];
};

void json_init(struct json_doc *doc);
void json_deinit(struct json_doc *doc);

/* Once after json_init. -EINVAL: not JSON, or too deep; -ENOBUFS: more values than
 * JSON_MEMORY_MAX; -ENOMEM. */
int json_parse(struct json_doc *doc, char *text, size_t len, unsigned flags) MUST_CHECK;

enum json_type json_type(const struct json *value);
size_t json_count(const struct json *value); /* elements, or members; 0 for other types */

/* Of a value that has this type; else false or an empty span. */
bool json_bool(const struct json *value);
struct span json_string(const struct json *value);
bool json_string_was_escaped(const struct json *value); /* its text had a backslash */
struct span json_number(const struct json *value);      /* as written */

/* -EINVAL: not a number, or has a fraction or exponent; -ERANGE. */
int json_i64(const struct json *value, int64_t *out_value) MUST_CHECK;

struct json_iter {
	const struct json *at;
	size_t left;
	bool has_keys;
};

/* Children in order, NULL after the last one and for values without; the key is empty in arrays. */
const struct json *json_first(struct json_iter *it, const struct json *parent,
                              struct span *out_key);
const struct json *json_next(struct json_iter *it, struct span *out_key);
