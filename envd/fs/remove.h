/*
 * Removing a file, or a directory with all that is in it: Go's RemoveAll. Blocks: pool jobs only.
 *
 * Links are removed, never followed. What is added meanwhile is removed as well, and what somebody else
 * removes first is not missed. What cannot be removed stays, and all the rest goes. From a path's last
 * component downward no path is used, so no rename on the way leads elsewhere and no depth is too deep.
 */
#pragma once

#include "base/err.h"
#include "base/macros.h"

/* Bytes of names of directories that are found before they are gone through, for each level: more than
 * these are found in further passes. */
#define REMOVE_BATCH_MAX 65536u

/*
 * path     absolute; slashes at its end are ignored; may be missing
 * returns  0: it is gone; or -1 with ERR_INTERNAL and what failed first, as Go says it:
 *            "unlinkat <path of what could not be removed>: <why>"
 *            "RemoveAll <path>: invalid argument"  its last component is "." or "..": nothing is removed
 */
int remove_tree(const char *path, struct err *e) MUST_CHECK;

/* The same for a name in an open directory; shown_dir is what that is called in texts. */
int remove_tree_at(int dir_fd, const char *name, const char *shown_dir, struct err *e) MUST_CHECK;
