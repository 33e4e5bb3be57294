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
