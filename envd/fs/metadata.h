/*
 * Metadata of files: extended attributes user.e2b.<key>. Blocks: pool jobs only.
 * Source: files_http.md 4, filesystem.md 2 and 5.
 */
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/macros.h"

#define METADATA_PREFIX "user.e2b."

#define METADATA_KEY_MAX   246u  /* bytes: a name has 255, with the prefix */
#define METADATA_TOTAL_MAX 4096u /* bytes of all names, prefix included, and values */

/* Bytes of all names of a file's attributes that are looked at, which is the kernel's limit. */
#define METADATA_NAMES_MAX 65536u

struct metadata_pair {
	const char *key; /* without the prefix */
	const char *value;
};

struct metadata {
	const struct metadata_pair *pairs;
	size_t n;
};

/*
 * Whether a client may set it: printable ASCII, and the two limits.
 *
 * returns  0, or -1 with ERR_INVALID and the text of files_http.md 4 without "invalid metadata: "
 */
int metadata_check(const struct metadata *m, struct err *e) MUST_CHECK;

/*
 * What is set on the file that path leads to. Best effort: what cannot be read, or is not UTF-8, is
 * left out. All of it lives in the arena.
 */
struct metadata metadata_read(const char *path, struct arena *memory);

/*
 * Makes the attributes of the open file exactly those; others than user.e2b.* stay. A file system
 * without attributes has none, which is no error.
 *
 * returns  0 or a negative errno; what was changed before stays
 */
int metadata_write(int fd, const struct metadata *m) MUST_CHECK;
