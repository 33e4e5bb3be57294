/*
 * All names in a directory, to be gone through one by one. Blocks: pool jobs only.
 */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "base/macros.h"

struct names {
	struct buf bytes; /* one behind the other, each with its type before and a NUL behind it */
	size_t at;        /* in bytes, of the next one */
	size_t n, n_next; /* of the sorted ones */
	struct name_key *sorted; /* NULL: in no order */
};

/*
 * max      bytes that they may take
 * returns  0, or a negative errno with what was read before it; -ENOBUFS when they take more than max
 */
int names_read(struct names *names, int dir_fd, size_t max) MUST_CHECK;
void names_deinit(struct names *names); /* zeroed ones too */

/* Byte by byte. -ENOMEM; -ENOBUFS when with their order they take more than max, too. */
int names_sort(struct names *names, size_t max) MUST_CHECK;

/* NULL behind the last. out_type: DT_DIR and so on, DT_UNKNOWN; may be NULL. */
const char *names_next(struct names *names, unsigned char *out_type);

size_t names_memory(const struct names *names); /* bytes */
