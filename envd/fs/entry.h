/*
 * What there is to say about one path: its lstat, where a link leads, the names of its owners, its
 * metadata. Blocks: pool jobs only. What an entry points to lives in the arena it was read into.
 * Source: filesystem.md 2 (EntryInfo semantics), newer.md F.1.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/arena.h"
#include "base/macros.h"
#include "fs/metadata.h"
#include "host/owners.h"

/* Bytes: a letter for each of thirteen facts, nine of rwx, NUL. */
#define ENTRY_PERMISSIONS_MAX 24u

enum entry_type { ENTRY_OTHER, ENTRY_FILE, ENTRY_DIRECTORY };

struct entry {
	const char *name; /* the last component as on disk, not always UTF-8; "/" for the root */
	const char *path; /* as it was asked for */
	enum entry_type type; /* of what a link leads to; ENTRY_OTHER when it leads nowhere */
	bool is_symlink;
	int64_t size;  /* bytes; of a link: of its text */
	uint32_t mode; /* permission bits of what a link leads to; 0 when it leads nowhere */
	char permissions[ENTRY_PERMISSIONS_MAX]; /* of the link itself, as Go prints a mode */
	const char *owner, *group; /* of the link itself; an id without a name: decimal */
	struct timespec modified;  /* of the link itself */
	const char *
		symlink_target; /* fully resolved; its own path if it leads nowhere; NULL: no link */
	struct metadata metadata; /* of what a link leads to */
};

/*
 * path     absolute; copied into the arena
 * returns  0 or a negative errno of the lstat; -ENOMEM when the arena is full
 */
int entry_read(const char *path, struct owners *owners, struct arena *memory,
               struct entry *out_entry) MUST_CHECK;

/* An entry of an open directory, for long lists. Borrowed: name and path must live as long as the
 * arena's content. */
struct entry_place {
	int dir_fd;
	const char *name;
	const char *path; /* what it is called in the answer */
	/* Where it is, for what the kernel finds by path only: metadata, and where a link leads. NULL:
	 * longer than a path may be; then it is found by dir_fd in /proc, which takes twice as long. */
	const char *real_path;
};

int entry_read_at(const struct entry_place *place, struct owners *owners, struct arena *memory,
                  struct entry *out_entry) MUST_CHECK;

/* As Go prints the type and permission bits of st_mode: "-rw-r--r--", "dtrwxrwxrwx", "Lrwxrwxrwx". */
void entry_format_mode(mode_t mode, char out[ENTRY_PERMISSIONS_MAX]);
