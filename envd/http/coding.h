/*
 * gzip by zlib, both ways, for one message at a time.
 *
 * Output is bounded by the target's max; input that would pass it is -ENOBUFS (a bomb), broken or
 * cut input -EBADMSG.
 */
#pragma once

#include <stddef.h>

struct buf;

/* Whole messages. Multi-member input is accepted. */
int gzip_compress(struct buf *out, const void *data, size_t len);
int gzip_decompress(struct buf *out, const void *data, size_t len);
