/*
 * A file or a tree gets another path: by rename where that is possible, else, across file systems, by a
 * copy that takes its place when it is complete, whereupon the source is removed. Blocks: pool jobs only.
 *
 * Until the copy is complete the source is whole and the destination as it was; a failure leaves it so.
 * Source: filesystem.md 3, Move.
 */
#pragma once

#include <stdatomic.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/macros.h"

struct move {
	const char *source, *destination; /* absolute */
	uid_t uid; /* whose the destination's parents become that are not there */
	gid_t gid;
	const atomic_bool *is_abandoned; /* ends a copy when it becomes true */
};

/*
 * An existing file at the destination is replaced; a directory there refuses. Links are moved as links.
 *
 * returns  0, or -1 with e:
 *            ERR_NOT_FOUND  "source file not found: rename <source> <destination>: ..."
 *            ERR_INTERNAL   "error renaming: rename <source> <destination>: ...", or why the parents
 *                           cannot be made (fs/missing.h)
 *            ERR_CANCELED   it was abandoned
 */
int move_path(const struct move *m, struct err *e) MUST_CHECK;
