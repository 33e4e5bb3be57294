/*
 * The common rules for a path that a client names (filesystem.md 1): `~`, relative to the user's
 * home, the default working directory for an empty one. Pure: nothing is looked at on disk.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/macros.h"
#include "base/text.h"

struct user;

/*
 * path      as sent; "" means the default working directory, or the home where there is none
 * workdir   the default working directory, may be NULL; follows the rules itself
 * out_path  allocated; absolute. An absolute path comes back unchanged, others are cleaned
 * returns   0, or -1 with ERR_INVALID for "~name"
 */
int path_resolve(const struct user *user, const char *workdir, const char *path, char **out_path,
                 struct err *e) MUST_CHECK;

/* "." and empty parts are gone, ".." has taken a part away, no slash at the end; allocated. */
char *path_clean(const char *absolute);

/* The clean directory that it is in, slashes at the end ignored; allocated. "/" is in itself. */
char *path_parent(const char *absolute);

/* Its last component, slashes behind it ignored; borrowed. That of "/" is empty. */
struct span path_last(const char *absolute);

/* Whether its last part says so: it ends with a slash, "." or "..". */
bool path_names_directory(const char *absolute);

/* base and s joined and cleaned; absolute, whatever base is; allocated. */
char *path_join(const char *base, const char *s);
