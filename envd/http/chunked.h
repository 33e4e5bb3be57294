/*
 * Decoder of the chunked transfer coding (RFC 9112 7.1). Incremental, strict, pure.
 *
 * A size is 1 to 15 hexadecimal digits, lines end with CRLF, extensions are skipped within
 * HTTP_CHUNK_LINE_MAX. A sender of little data in much framing is malformed beyond
 * HTTP_CHUNK_EXCESS_MAX. The trailer section is collected, at most HTTP_TRAILER_MAX.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "http/h1_head.h"

enum chunked_state {
	CHUNKED_SIZE,  /* in the digits */
	CHUNKED_SPACE, /* behind them: only an extension may follow */
	CHUNKED_EXTENSION,
	CHUNKED_SIZE_LF,
	CHUNKED_DATA,
	CHUNKED_DATA_CR,
	CHUNKED_DATA_LF,
	CHUNKED_TRAILER,
	CHUNKED_DONE,
	CHUNKED_MALFORMED,
};

struct chunked {
	enum chunked_state state;
	uint64_t left; /* bytes of the chunk that are still to come */
	unsigned n_digits;
	unsigned n_line; /* bytes of the size line */
	size_t excess;
	struct buf trailer; /* with the empty line, when done */
	struct h1_scan scan;
};

void chunked_init(struct chunked *k);
void chunked_deinit(struct chunked *k);

/*
 * Takes framing, and then at most body_max bytes of data in one piece, which *out_body and
 * *out_len name (inside data). Returns how many bytes were taken in all; look at state before the
 * next call. Fewer than len with neither body nor an end: body_max was 0.
 */
size_t chunked_feed(struct chunked *k, const uint8_t *data, size_t len, size_t body_max,
                    const uint8_t **out_body, size_t *out_len);
