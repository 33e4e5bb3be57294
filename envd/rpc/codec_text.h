/*
 * Values that JSON writes in a form of its own: numbers, times, field masks. Pure.
 *
 * Reading is as Go's protojson does it; all functions want the whole span.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/text.h"

#define TEXT_SECOND_NS 1000000000

/* Numbers in JSON's grammar that are whole, however written: 9, 9.0, 0.9e1. -EINVAL or -ERANGE. */
int text_read_i64(struct span s, int64_t min, int64_t max, int64_t *out_value);
int text_read_u64(struct span s, uint64_t max, uint64_t *out_value);

/* A NUL follows the span. single: rounded to a float, and -ERANGE beyond it. */
int text_read_double(struct span s, bool single, double *out_value);

/* The shortest that reads back as the same number (at some powers of two one digit more); "NaN" and
 * the infinities as strings. */
void text_append_double(struct buf *out, double value, bool single);
void text_append_u64(struct buf *out, uint64_t value);
void text_append_i64(struct buf *out, int64_t value);

/* google.protobuf.Timestamp, RFC 3339, years 1 to 9999. -EINVAL or -ERANGE. */
int text_read_timestamp(struct span s, int64_t *out_seconds, int32_t *out_nanos);
int text_append_timestamp(struct buf *out, int64_t seconds, int32_t nanos);

/* google.protobuf.Duration, "-1.5s", up to 10,000 years; both parts have one sign. */
int text_read_duration(struct span s, int64_t *out_seconds, int32_t *out_nanos);
int text_append_duration(struct buf *out, int64_t seconds, int32_t nanos);

/* One path of a google.protobuf.FieldMask: foo_bar.baz and fooBar.baz. -EINVAL where the way back
 * would not lead to the same path. */
int text_append_path_snake(struct buf *out, struct span camel);
int text_append_path_camel(struct buf *out, struct span snake);

/* The character before, unless it is 0, the JSON name of a field in quotes, and a colon; and whether a
 * text is such a name. */
void text_append_member(struct buf *out, char before, const char *name);
bool text_equal_camel(struct span s, const char *name);
