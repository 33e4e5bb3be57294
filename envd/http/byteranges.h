/*
 * The body of an answer with several ranges: multipart/byteranges (RFC 9110 14.6), byte for byte as
 * Go's http.ServeContent writes it, but for the boundary. Pure, except where it says so.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "http/range.h"

/* Characters: 30 random bytes in hex, which no file can be made to contain. */
#define BYTERANGES_BOUNDARY_LEN 60u

/* Bytes of the media type of the whole; those of http/media_type.h are far below. */
#define BYTERANGES_TYPE_MAX 80u

/* Bytes of what stands before a part, and a NUL: the boundary, two fields, line ends. */
#define BYTERANGES_HEAD_MAX                                                                        \
	(BYTERANGES_BOUNDARY_LEN + CONTENT_RANGE_MAX + BYTERANGES_TYPE_MAX +                       \
	 sizeof "\r\n--\r\nContent-Range: \r\nContent-Type: \r\n\r\n")

/* Bytes of the Content-Type field, and a NUL. */
#define BYTERANGES_CONTENT_TYPE_MAX                                                                \
	(BYTERANGES_BOUNDARY_LEN + sizeof "multipart/byteranges; boundary=")

/* Bytes of a whole whose parts can be framed, so that the length of it all is a number. */
#define BYTERANGES_SIZE_MAX (INT64_MAX - (int64_t)((RANGES_MAX + 1) * BYTERANGES_HEAD_MAX))

struct byteranges {
	const struct range *parts; /* borrowed */
	size_t n_parts;
	int64_t size;     /* bytes of the whole, BYTERANGES_SIZE_MAX at most */
	struct span type; /* of the whole; borrowed */
	char boundary[BYTERANGES_BOUNDARY_LEN + 1];
};

/* Asks the kernel for random bytes, which may wait at boot: from a pool job. */
void byteranges_draw_boundary(char out[BYTERANGES_BOUNDARY_LEN + 1]);

struct span byteranges_content_type(const struct byteranges *b,
                                    char out[BYTERANGES_CONTENT_TYPE_MAX]);

/* What stands before part i, or, with i == n_parts, behind the last one. */
struct span byteranges_head(const struct byteranges *b, size_t i, char out[BYTERANGES_HEAD_MAX]);

/* Bytes of it all: the parts and what stands around them. */
int64_t byteranges_length(const struct byteranges *b);
