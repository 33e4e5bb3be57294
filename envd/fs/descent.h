/*
 * Where a walk is in a tree: the directories from its top down to the current one.
 *
 * Every step is from an open directory to a name in it, so no path is ever too long, and no link and
 * no rename on the way leads elsewhere. Only the top and the last DESCENT_OPEN_MAX directories are
 * open; one further up is opened again from below, by "..", and must be the same directory: by device
 * and inode. Blocks: pool jobs only.
 */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "base/macros.h"

/* Descriptors of one walk beside its top. */
#define DESCENT_OPEN_MAX 16u

/* Bytes of names and of what is remembered of each level: a million levels. */
#define DESCENT_BYTES_MAX (64u * 1024u * 1024u)

struct descent {
	struct buf levels; /* struct descent_level, the top first */
	struct buf names;  /* of all levels but the top, each with a NUL behind it */
};

/* top_fd is borrowed; O_PATH will do, unless its names are read. 0 or a negative errno. */
int descent_init(struct descent *d, int top_fd) MUST_CHECK;
void descent_deinit(struct descent *d); /* zeroed too; closes all */

/* The current directory; -1 after a descent_leave that failed. */
int descent_fd(const struct descent *d);
size_t descent_depth(const struct descent *d);     /* 0: at the top */
const char *descent_name(const struct descent *d); /* of the current directory; not at the top */

/*
 * Into the directory of that name, which must be no link.
 *
 * returns 0, or a negative errno, and it has not moved: what openat says, or -ENOMEM
 */
int descent_enter(struct descent *d, const char *name) MUST_CHECK;

/* Back to where the current directory was entered; not at the top. -ESTALE: that is no longer above it,
 * nor where it was found; then it can only be left, too. */
int descent_leave(struct descent *d) MUST_CHECK;

/* Appends "a/b/c", the way from the top to the current directory; nothing at the top. */
void descent_append_path(const struct descent *d, struct buf *out);
