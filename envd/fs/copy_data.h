/*
 * The bytes of one open file into another: within the kernel where both file systems can, else through
 * a buffer. Blocks: pool jobs only.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"

/* Bytes that are copied at a time; between two of them is the time to stop. */
#define COPY_DATA_STEP (4u * 1024u * 1024u)

/* From the best to what always works. */
enum copy_way { COPY_BY_RANGE, COPY_BY_SENDFILE, COPY_BY_BUFFER };

struct copy_data {
	int from_fd, to_fd;              /* borrowed; their positions change */
	const atomic_bool *is_abandoned; /* when it becomes true, it ends; NULL: never */
	enum copy_way way;               /* zero to begin with; goes on when one does not work */
};

/*
 * Copies len bytes, or as many as there are.
 *
 * out_copied  may be NULL; set on failure, too
 * returns     0, or a negative errno; -ECANCELED when it was abandoned
 */
int copy_data_range(struct copy_data *c, off_t from, off_t to, uint64_t len,
                    uint64_t *out_copied) MUST_CHECK;

/*
 * All of a file to where the other one ends. Holes stay holes; a file of /proc or /sys is what can be
 * read of it, whatever its size is said to be.
 *
 * to       the other one's size
 * out_len  bytes that it is longer; may be NULL; set on failure, too
 */
int copy_data_all(struct copy_data *c, off_t to, uint64_t *out_len) MUST_CHECK;
