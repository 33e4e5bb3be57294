/*
 * All names in a directory, to be gone through one by one. Blocks: pool jobs only.
 */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "base/macros.h"

/*
 * Bytes of all that are held, where the first NAMES_FREE_MAX of each are free: two of the largest
 * listings, however many go on at once. A small directory can be read in any case.
 */
#define NAMES_TOTAL_MAX (128u * 1024u * 1024u)
#define NAMES_FREE_MAX  4096u

struct names {
	struct buf bytes; /* one behind the other, each with its type before and a NUL behind it */
	size_t at;        /* in bytes, of the next one */
	size_t n, n_next; /* of the sorted ones */
	struct name_key *sorted; /* NULL: in no order */
	size_t charged;          /* to NAMES_TOTAL_MAX */
};

/*
 * max      bytes that they may take
 * returns  0, or a negative errno with what was read before it; -ENOBUFS when they take more than max,
 *          or with those of others more than NAMES_TOTAL_MAX
 */
int names_read(struct names *names, int dir_fd, size_t max) MUST_CHECK;
void names_deinit(struct names *names); /* zeroed ones too */

/* Byte by byte. -ENOMEM; -ENOBUFS when with their order they take more than that, too. */
int names_sort(struct names *names, size_t max) MUST_CHECK;

/* NULL behind the last. out_type: DT_DIR and so on, DT_UNKNOWN; may be NULL. */
const char *names_next(struct names *names, unsigned char *out_type);

size_t names_memory(const struct names *names); /* bytes */

/* For tests: bytes charged to NAMES_TOTAL_MAX. */
size_t names_charged(void);
