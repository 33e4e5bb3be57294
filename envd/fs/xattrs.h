/*
 * All extended attributes of one open file or directory to another. Blocks: pool jobs only.
 */
#pragma once

#include "base/macros.h"

/*
 * Access lists that the other one has inherited from where it was made go. What its file system has no
 * place for, and what only the system may set (security labels, access lists), is left out if it has
 * to be.
 *
 * returns  0 or a negative errno: an attribute of the user's is lost
 */
int xattrs_copy(int from_fd, int to_fd) MUST_CHECK;
