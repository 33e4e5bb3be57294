#include "http/range.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum one_range { ONE_GOOD, ONE_BEYOND, ONE_INVALID };

/* "-5": the last five bytes. */
static enum one_range parse_suffix(struct span len, int64_t size, struct range *out_range)
{
	int64_t n;

	if (len.len == 0 || len.at[0] == '-' || parse_i64(len, &n) < 0)
		return ONE_INVALID;
	if (n == 0 || size == 0)
		return ONE_BEYOND;
	n = n < size ? n : size;
	*out_range = (struct range){ size - n, n };
	return ONE_GOOD;
}

static enum one_range parse_one(struct span piece, int64_t size, struct range *out_range)
{
	const char *dash = memchr(piece.at, '-', piece.len);
	struct span first, last;
	int64_t start, end;

	if (!dash)
		return ONE_INVALID;
	first = span_trim((struct span){ piece.at, (size_t)(dash - piece.at) });
	last = span_trim((struct span){ dash + 1, piece.len - (size_t)(dash + 1 - piece.at) });
	if (first.len == 0)
		return parse_suffix(last, size, out_range);
	if (parse_i64(first, &start) < 0 || start < 0)
		return ONE_INVALID;
	if (start >= size)
		return ONE_BEYOND;
	end = size - 1;
	if (last.len > 0 && (parse_i64(last, &end) < 0 || end < start))
		return ONE_INVALID;
	end = end < size - 1 ? end : size - 1;
	*out_range = (struct range){ start, end - start + 1 };
	return ONE_GOOD;
}

/* An empty file has nothing to narrow, but for a suffix, which asks for bytes that it has not. */
static bool is_suffix(struct span piece)
{
	return piece.at[0] == '-';
}

enum range_result range_parse(struct span field, int64_t size, struct ranges *out_ranges)
{
	static const char unit[] = "bytes=";
	bool is_beyond = false, has_suffix = false, is_too_much = false;
	struct span rest = field, piece;
	int64_t total = 0;

	out_ranges->n = 0;
	if (field.len == 0)
		return RANGE_WHOLE;
	if (field.len < sizeof unit - 1 || memcmp(field.at, unit, sizeof unit - 1) != 0)
		return RANGE_INVALID;
	rest.at += sizeof unit - 1;
	rest.len -= sizeof unit - 1;
	while (span_next(&rest, ",", &piece)) {
		struct range range;

		has_suffix = has_suffix || is_suffix(piece);
		switch (parse_one(piece, size, &range)) {
		case ONE_INVALID:
			return RANGE_INVALID;
		case ONE_BEYOND:
			is_beyond = true;
			continue;
		case ONE_GOOD:
			break;
		}
		/* Go on reading: what follows may be invalid. */
		if (out_ranges->n < RANGES_MAX)
			out_ranges->list[out_ranges->n] = range;
		out_ranges->n++;
		is_too_much = is_too_much || range.len > size - total;
		total += is_too_much ? 0 : range.len;
	}
	if (out_ranges->n == 0 && is_beyond)
		return size > 0 || has_suffix ? RANGE_UNSATISFIABLE : RANGE_WHOLE;
	if (out_ranges->n == 0 || out_ranges->n > RANGES_MAX || is_too_much) {
		out_ranges->n = 0;
		return RANGE_WHOLE;
	}
	return RANGE_PARTS;
}

struct span content_range_format(const struct range *r, int64_t size, char out[CONTENT_RANGE_MAX])
{
	int n;

	if (r)
		n = snprintf(out, CONTENT_RANGE_MAX, "bytes %" PRId64 "-%" PRId64 "/%" PRId64,
		             r->start, r->start + r->len - 1, size);
	else
		n = snprintf(out, CONTENT_RANGE_MAX, "bytes */%" PRId64, size);
	return (struct span){ out, (size_t)n };
}
