/*
 * A gzip stream that is made piece by piece, by zlib: for content that is too large to be compressed
 * in one go (http/coding.h does that). Belongs to one thread at a time, and is slow: pool jobs only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "base/text.h"

struct deflater;

/* Bytes of memory of one, for content of any length; little content takes less. */
#define DEFLATER_MEMORY (264u * 1024u)

/* size: bytes that will come at most; -1: any number. NULL: no memory. */
struct deflater *deflater_new(int64_t size) MUST_CHECK;
void deflater_free(struct deflater *d); /* NULL is nothing */

/*
 * Takes from the front of *in and writes to out, until one of them is used up.
 *
 * is_last  no more comes behind *in; stays true once it was
 * returns  bytes written
 */
size_t deflater_run(struct deflater *d, struct span *in, bool is_last, void *out, size_t room);

/* Bytes that the stream of len bytes has at most, before the first of them. */
size_t deflater_bound(struct deflater *d, size_t len);

/* All of the stream has been written. */
bool deflater_is_over(const struct deflater *d);
