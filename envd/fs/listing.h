/*
 * The entries of a directory, and of those below it. Blocks: pool jobs only.
 *
 * Links on the way to the directory are followed, those in it are listed. What vanishes meanwhile, and
 * what is in a directory that cannot be read, is left out. Source: filesystem.md 3, ListDir.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"
#include "base/macros.h"
#include "fs/entry.h"
#include "host/owners.h"

/* Bytes of the names of the directories that a walk is within, and of their order: a million entries,
 * more than any answer holds. */
#define LISTING_NAMES_MAX (64u * 1024u * 1024u)

struct listing {
	const char *path; /* absolute; entries are called by it, cleaned, and the way from there */
	uint32_t depth;   /* levels below it; 0 means 1 */
	struct owners *owners;
	const atomic_bool *is_abandoned; /* ends the walk when it becomes true */
	/* Each directory is followed by what is in it; names are in the order of their bytes. The entry
	 * is gone after the call. -1 with e ends the walk. */
	int (*on_entry)(void *ctx, const struct entry *entry, struct err *e);
	void *ctx;
};

/*
 * returns 0, or -1 with what on_entry said, or e:
 *   ERR_NOT_FOUND     "path not found: lstat <path>: no such file or directory"
 *   ERR_PRECONDITION  "cyclic symlink or chain >255 links at ..."
 *   ERR_INVALID       "path is not a directory: <where the path leads>"
 *   ERR_INTERNAL      "error resolving symlink: ...", "error reading directory <directory>: ..."
 *   ERR_LIMIT         LISTING_NAMES_MAX
 *   ERR_CANCELED      it was abandoned
 */
int listing_walk(const struct listing *l, struct err *e) MUST_CHECK;
