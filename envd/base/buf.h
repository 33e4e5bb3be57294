/*
 * A growable byte buffer with a hard maximum.
 *
 * Failure is sticky: an append that would pass max (-ENOBUFS) or finds no memory (-ENOMEM) leaves
 * the content as it was, sets error, and so do all later appends; encoders append without looking
 * and check buf_error once. Appended bytes must not overlap the buffer itself.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

struct buf {
	uint8_t *data;
	size_t len;
	size_t cap;
	size_t max; /* bytes, never below len; 0 in a zeroed buf: nothing fits until buf_init */
	int error;  /* 0, -ENOBUFS or -ENOMEM */
	bool fixed; /* data is the caller's (buf_init_fixed) */
};

void buf_init(struct buf *b, size_t max);
/* Lives in the caller's memory of size > 0 bytes, takes size - 1 of content, never allocates. */
void buf_init_fixed(struct buf *b, void *memory, size_t size);
void buf_deinit(struct buf *b);

/* Empties it and clears the error; keeps the memory unless it is larger than keep_max bytes. */
void buf_reset(struct buf *b, size_t keep_max);

int buf_reserve(struct buf *b, size_t extra); /* 0 or the negative errno, which also sticks */

/* Room for exactly len bytes that the caller fills; NULL on failure. */
uint8_t *buf_extend(struct buf *b, size_t len) MUST_CHECK;

void buf_append(struct buf *b, const void *data, size_t len);
void buf_append_byte(struct buf *b, uint8_t byte);
void buf_append_text(struct buf *b, const char *text);
void buf_appendf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Drops bytes from the front and moves the rest there: once for each batch, not for each byte. */
void buf_consume(struct buf *b, size_t len);
void buf_truncate(struct buf *b, size_t len);

static inline int buf_error(const struct buf *b)
{
	return b->error;
}
