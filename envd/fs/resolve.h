/*
 * Where a path leads when every link in it is followed: up to 255 of them, as Go's EvalSymlinks has it;
 * the C library and the kernel give up after 40. Blocks: pool jobs only.
 */
#pragma once

#include "base/macros.h"

#define RESOLVE_LINKS_MAX 255u

/* Bytes of a path while it is resolved: links may lead to links, each as long as the kernel takes. */
#define RESOLVE_PATH_MAX (2u * 1024u * 1024u)

/*
 * path      absolute; "." and "..", which goes back from where a link has led, are allowed
 * out_path  allocated: what it leads to, clean; of a failure the part of the way that failed
 * returns   0, or a negative errno: -ENOENT something is missing, -ENOTDIR a file is no directory,
 *           -ELOOP there are more links than RESOLVE_LINKS_MAX, -ENOMEM, or what the lstat said
 */
int resolve_path(const char *path, char **out_path) MUST_CHECK;
