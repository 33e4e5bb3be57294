/*
 * A new directory for a user, with the parents that it lacks. Blocks: pool jobs only.
 * Source: filesystem.md 3, MakeDir.
 */
#pragma once

#include <sys/types.h>

#include "base/err.h"
#include "base/macros.h"

/*
 * path     absolute
 * returns  0, or -1 with e:
 *            ERR_EXISTS    there is a directory already
 *            ERR_INVALID   there is something else
 *            ERR_INTERNAL  all else
 */
int make_dir(const char *path, uid_t uid, gid_t gid, struct err *e) MUST_CHECK;
