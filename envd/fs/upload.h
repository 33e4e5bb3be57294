/*
 * Writing one file for a user: an existing one keeps its inode, mode and links and changes its owner;
 * a new one and its missing directories are the user's. Not atomic: a reader sees it grow, and what
 * was written before an error stays. Blocks: pool jobs only.
 * Source: files_http.md 3, "Writing one file"; pitfalls.md 43 to 48.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/macros.h"
#include "fs/metadata.h"

#define UPLOAD_FILE_MODE 0666 /* before the umask */

/*
 * Bytes. Content of up to this is written in one call, however it came, to a file that exists and has
 * no blocks: a write to one of /proc or /sys is a command, and cannot be longer than a page. All else
 * is written as it comes, and seen at once.
 */
#define UPLOAD_HELD_MAX 4096u

struct upload {
	int fd;     /* -1: none is open; so a struct upload begins as UPLOAD_NONE */
	char *path; /* NULL: none */
	int64_t announced;
	size_t n_held;
	bool is_held; /* nothing has been written yet */
	char held[UPLOAD_HELD_MAX];
};

#define UPLOAD_NONE ((struct upload){ .fd = -1 })

/*
 * Makes missing directories, opens and empties the file. Regular files and character devices are
 * written; a device keeps its owner.
 *
 * path       absolute; copied
 * announced  bytes that the client spoke of, for the text of a full disk; 0: it did not
 * returns    0, or -1 with e, whose text is the answer's:
 *              ERR_INVALID   a directory, or nothing that can be written
 *              ERR_LIMIT     no inode is left
 *              ERR_INTERNAL  all else
 */
int upload_open(struct upload *u, const char *path, uid_t uid, gid_t gid, int64_t announced,
                struct err *e) MUST_CHECK;

/* returns  0, or -1 with ERR_LIMIT (the disk is full) or ERR_INTERNAL */
int upload_write(struct upload *u, const void *data, size_t len, struct err *e) MUST_CHECK;

/*
 * Writes what is held, makes the metadata exactly this, and closes the file.
 *
 * returns  0, or -1 as upload_write; the file is open still
 */
int upload_finish(struct upload *u, const struct metadata *m, struct err *e) MUST_CHECK;

/* Closes what is open; may repeat. */
void upload_deinit(struct upload *u);
