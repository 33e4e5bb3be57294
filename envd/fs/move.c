#include "fs/move.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "fs/copy.h"
#include "fs/missing.h"
#include "fs/place.h"
#include "fs/remove.h"
#include "fs/statx_attributes.h"
#include "fs/temp_name.h"

static int refuse(const struct move *m, int error, struct err *e)
{
	const bool is_missing = error == ENOENT;

	(void)err_sys(e, error, "%s: rename %s %s",
	              is_missing ? "source file not found" : "error renaming", m->source,
	              m->destination);
	e->kind = is_missing ? ERR_NOT_FOUND : ERR_INTERNAL;
	return -1;
}

/* ---------------------------------------------------------------- by rename */

/* A slash says that there is a directory; one that is not there cannot be moved to. */
static int check_slash(const struct move *m)
{
	struct stat st;

	if (m->destination[strlen(m->destination) - 1] != '/' || stat(m->destination, &st) == 0 ||
	    errno != ENOENT)
		return 0;
	return lstat(m->source, &st) < 0 ? -errno : -ENOTDIR;
}

/* The kernel would replace an empty directory; Go does not let it. */
static int check_directory(const struct move *m)
{
	struct stat source, destination;

	if (lstat(m->destination, &destination) < 0 || !S_ISDIR(destination.st_mode))
		return 0;
	if (lstat(m->source, &source) < 0)
		return -errno;
	if (strcmp(m->source, m->destination) != 0 && source.st_dev == destination.st_dev &&
	    source.st_ino == destination.st_ino)
		return 0;
	return -EEXIST;
}

static int move_by_rename(const struct move *m)
{
	int rc = check_directory(m);

	if (rc == 0 && rename(m->source, m->destination) < 0)
		rc = -errno;
	return rc;
}

/* ---------------------------------------------------------------- by copy */

/* What a rename would have said, had it come so far. */
static int check_types(const struct place *from, const struct place *to)
{
	struct stat source, destination;

	if (fstatat(from->fd, from->name, &source, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (from->has_slash && !S_ISDIR(source.st_mode))
		return -ENOTDIR;
	if (fstatat(to->fd, to->name, &destination, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISDIR(destination.st_mode))
		return -EEXIST;
	return to->has_slash || S_ISDIR(source.st_mode) ? -ENOTDIR : 0;
}

/* Of one file rename(2) leaves both names, were they seen through one mount. */
static bool is_same_file(const struct place *from, const struct place *to)
{
	struct stat source, destination;

	return fstatat(from->fd, from->name, &source, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstatat(to->fd, to->name, &destination, AT_SYMLINK_NOFOLLOW) == 0 &&
	       source.st_dev == destination.st_dev && source.st_ino == destination.st_ino;
}

/* Whether a name can be taken out of the directory; better before the copy than after it. */
static int check_can_remove(const struct place *from)
{
	struct statx st;

	if (faccessat(from->fd, ".", W_OK | X_OK, 0) < 0 ||
	    statx(from->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st) < 0)
		return -errno;
	return st.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND) ? -EPERM : 0;
}

static void drop_copy(const struct place *to, const char *temp)
{
	CLEANUP(err_clear) struct err ignored = { 0 };

	(void)!remove_tree_at(to->fd, temp, to->dir, &ignored);
}

static int refuse_copy(const struct move *m, struct err *e)
{
	if (e->kind == ERR_CANCELED)
		return -1;
	return err_wrap(e, "error renaming: rename %s %s", m->source, m->destination);
}

static int put_copy(const struct move *m, const struct place *from, const struct place *to,
                    struct err *e)
{
	char temp[TEMP_NAME_SIZE];
	const struct copy copy = { .from_dir = from->fd,
		                   .from_name = from->name,
		                   .shown_dir = from->dir,
		                   .to_dir = to->fd,
		                   .to_name = temp,
		                   .is_abandoned = m->is_abandoned };

	temp_name_make(temp);
	if (copy_tree(&copy, e) < 0) {
		drop_copy(to, temp);
		return refuse_copy(m, e);
	}
	if (renameat(to->fd, temp, to->fd, to->name) < 0) {
		int error = errno;

		drop_copy(to, temp);
		return refuse(m, error, e);
	}
	return 0;
}

static int move_by_copy(const struct move *m, struct err *e)
{
	CLEANUP(place_deinit) struct place from = { .fd = -1 };
	CLEANUP(place_deinit) struct place to = { .fd = -1 };
	int rc = place_open(&from, m->source);

	if (rc == 0)
		rc = place_open(&to, m->destination);
	if (rc == 0)
		rc = check_types(&from, &to);
	if (rc == 0 && is_same_file(&from, &to))
		return 0;
	if (rc == 0)
		rc = check_can_remove(&from);
	if (rc < 0)
		return refuse(m, -rc, e);
	if (put_copy(m, &from, &to, e) < 0)
		return -1;
	if (remove_tree_at(from.fd, from.name, from.dir, e) < 0) {
		err_wrap(e, "it is copied, but not all of the source is removed");
		return refuse_copy(m, e);
	}
	return 0;
}

int move_path(const struct move *m, struct err *e)
{
	int rc = check_slash(m);

	if (rc < 0)
		return refuse(m, -rc, e);
	if (missing_parents_make(m->destination, m->uid, m->gid, NULL, e) < 0)
		return -1;
	rc = move_by_rename(m);
	if (rc == -EXDEV)
		return move_by_copy(m, e);
	return rc < 0 ? refuse(m, -rc, e) : 0;
}
