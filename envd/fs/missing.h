/*
 * The missing directories of a path, made for a user (EnsureDirs of filesystem.md 1). Blocks: pool
 * jobs only.
 */
#pragma once

#include <sys/types.h>

#include "base/err.h"
#include "base/macros.h"

#define MISSING_DIR_MODE 0755 /* before the umask */

/*
 * Makes path and every ancestor that is not there, and gives what it made, or found made in the same
 * moment by somebody else, to the user. Existing directories stay as they are.
 *
 * path     absolute
 * returns  0, or -1 with ERR_INTERNAL and the text of filesystem.md 1; errno_of, if not NULL, is why
 */
int missing_dirs_make(const char *path, uid_t uid, gid_t gid, int *out_errno,
                      struct err *e) MUST_CHECK;

/* The same for the directory that path is in. */
int missing_parents_make(const char *path, uid_t uid, gid_t gid, int *out_errno,
                         struct err *e) MUST_CHECK;
