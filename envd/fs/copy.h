/*
 * A copy of a file, or of a directory with all that is in it, on whatever file system: data, owner,
 * mode, times, attributes; links as links, devices and FIFOs as such, holes as holes, several names of
 * one file as that. Blocks: pool jobs only.
 *
 * For moves: what could not be removed afterwards is refused before. Only complete copies are of use:
 * what a failure leaves is the caller's to remove.
 */
#pragma once

#include <stdatomic.h>

#include "base/err.h"
#include "base/macros.h"

/* Bytes of the names of the directories that a copy is within. */
#define COPY_NAMES_MAX (64u * 1024u * 1024u)

struct copy {
	int from_dir; /* open, borrowed; O_PATH will do */
	const char *from_name;
	const char *shown_dir; /* what from_dir is called in texts */
	int to_dir;
	const char *to_name;             /* must not be there */
	const atomic_bool *is_abandoned; /* when it becomes true, it ends */
};

/*
 * returns 0, or -1 with e:
 *   ERR_CANCELED  it was abandoned
 *   ERR_INTERNAL  "copy <path>: <why>", with the source's path: nothing that is read must be a mount point
 *                 (device or resource busy), immutable or append-only (operation not permitted), or the
 *                 copy itself (invalid argument)
 */
int copy_tree(const struct copy *c, struct err *e) MUST_CHECK;
