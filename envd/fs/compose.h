/*
 * Files, one behind the other, become one new file, which takes the destination's place when it is
 * complete; then they are removed. Blocks: pool jobs only.
 *
 * Until then the sources are whole and the destination is as it was; a failure leaves it so. The new
 * file has mode, owner and metadata of a new file, not of the one it replaces.
 * Source: files_http.md 5, steps 5 to 10.
 *
 *     compose_add ... compose_run, compose_deinit
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/macros.h"

/* Of one file. What is uploaded in parts elsewhere has 10,000 of them; here each is a path in memory
 * for as long as it takes. */
#define COMPOSE_SOURCES_MAX 16384u

struct compose_source;

struct compose {
	/* The caller's, before the first compose_add; the rest begins zeroed. */
	const char *destination; /* absolute */
	uid_t uid;               /* whose it becomes, and its missing directories */
	gid_t gid;
	const atomic_bool *is_abandoned; /* ends the copy when it becomes true */
	/* Of compose_add. */
	struct compose_source *sources;
	size_t n_sources, n_room;
};

/*
 * Another source, at most COMPOSE_SOURCES_MAX. It may be the same as one before; it is refused when it
 * is the file that the destination leads to, by whatever path.
 *
 * path     absolute; copied
 * shown    how the client has named it
 * returns  0, or -1 with e:
 *            ERR_INVALID    the destination itself, or no regular file
 *            ERR_NOT_FOUND  it cannot be looked at
 */
int compose_add(struct compose *c, const char *path, const char *shown, struct err *e) MUST_CHECK;

/*
 * Makes the file and removes the sources, of which those stay that cannot be removed or have become
 * other files meanwhile.
 *
 * returns  0, or -1 with e:
 *            ERR_LIMIT     "not enough disk space available": no room, inode or quota is left
 *            ERR_INVALID   a source has become something else than a regular file, or the
 *                          destination is a device, a pipe or a socket
 *            ERR_CANCELED  it was abandoned
 *            ERR_INTERNAL  all else, in the words of files_http.md 5
 */
int compose_run(struct compose *c, struct err *e) MUST_CHECK;
void compose_deinit(struct compose *c); /* accepts zeroed memory, may repeat */
