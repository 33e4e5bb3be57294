/*
 * Text from strangers: UTF-8, numbers, percent escapes, header tokens. Pure functions on spans
 * that need no terminating NUL.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

/* A borrowed piece of text; not NUL terminated. */
struct span {
	const char *at;
	size_t len;
};

#define SPAN(literal) ((struct span){ (literal), sizeof(literal) - 1 })

struct span span_of(const char *s); /* NULL gives the empty span */
bool span_equal(struct span a, const char *b);
bool span_equal_nocase(struct span a, const char *b); /* ASCII only */
struct span span_trim(struct span s);                 /* spaces and tabs at both ends */

/*
 * Takes the next piece up to any byte of separators off *rest, trimmed; false at the end. Empty
 * pieces are skipped.
 */
bool span_next(struct span *rest, const char *separators, struct span *out_piece);

bool utf8_is_valid(const char *s, size_t len); /* strict: no surrogates, no overlong forms */

/* Appends s with each maximal invalid sequence replaced by U+FFFD (Unicode 15, 3.9). */
void utf8_append_repaired(struct buf *b, const char *s, size_t len);

/* Decimal integers, whole span, optional sign; -EINVAL or -ERANGE. */
int parse_i64(struct span s, int64_t *out_value);
int parse_u64(struct span s, uint64_t *out_value);

/* Decodes %XX; `+` stays. -EINVAL on a broken escape. The result may contain NUL. */
int percent_decode(struct buf *b, struct span s);

/*
 * Appends s as the inside of a JSON string. Invalid UTF-8 becomes U+FFFD. With html, <, >, &,
 * U+2028 and U+2029 are escaped too, as the reference's REST errors do (wire.md 2.2).
 */
void json_append_string(struct buf *b, const char *s, size_t len, bool html);

/*
 * Appends s in quotes, as Go's %q prints it: what is no printable text is escaped. (Which letters of
 * Unicode print is Go's to know; here all do, but for control characters and odd spaces.)
 */
void quote_append(struct buf *b, const char *s, size_t len);
