/*
 * The Range field of a request, as Go's http.ServeContent reads it (files_http.md 1). Pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/* Ranges of one request; with more the field is ignored, like one that asks for more than the whole. */
#define RANGES_MAX 256u

struct range {
	int64_t start;
	int64_t len; /* bytes, at least 1 */
};

struct ranges {
	struct range list[RANGES_MAX];
	size_t n;
};

/* Bytes of a Content-Range: "bytes 0-9/10", and a NUL. */
#define CONTENT_RANGE_MAX 72u

enum range_result {
	RANGE_WHOLE,         /* no field, or nothing in it that narrows: 200 */
	RANGE_PARTS,         /* 206 */
	RANGE_UNSATISFIABLE, /* 416 with Content-Range: bytes * /size, without the space */
	RANGE_INVALID        /* 416 */
};

/*
 * field  empty: there is none
 * size   bytes of the whole
 */
enum range_result range_parse(struct span field, int64_t size, struct ranges *out_ranges);

/* For a Content-Range field. r is NULL: no range of that size was asked for, "bytes * /10" without the
 * space. */
struct span content_range_format(const struct range *r, int64_t size, char out[CONTENT_RANGE_MAX]);
