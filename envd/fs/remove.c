#include "fs/remove.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "fs/descent.h"
#include "fs/dir_reader.h"
#include "host/path.h"

/*
 * A directory is swept: what is no directory goes at once, directories are noted and entered one after
 * the other. Then it is removed itself; if it is not empty although something has gone, once more.
 */
struct removal_level {
	struct buf batch; /* names of directories, each with a NUL behind it */
	size_t at;        /* of the next one */
	bool has_progress;
};

struct removal {
	struct descent descent; /* its top is where the tree is in, and stays */
	struct buf levels;      /* struct removal_level, as many as the descent has */
	const char *shown_dir;  /* the top */
	struct err *e;          /* the first failure */
};

static struct removal_level *current(const struct removal *r)
{
	return (struct removal_level *)(void *)(r->levels.data + r->levels.len) - 1;
}

/* Keeps the first; name NULL: the current directory itself. */
static void fail(struct removal *r, const char *what, const char *name, int error)
{
	CLEANUP(buf_deinit) struct buf path = { 0 };

	if (r->e->kind != ERR_NONE)
		return;
	buf_init(&path, ERR_TEXT_MAX);
	if (strcmp(r->shown_dir, "/") != 0)
		buf_append_text(&path, r->shown_dir);
	buf_append_byte(&path, '/');
	descent_append_path(&r->descent, &path);
	if (name && descent_depth(&r->descent) > 0)
		buf_append_byte(&path, '/');
	if (name)
		buf_append_text(&path, name);
	(void)err_sys(r->e, error, "%s %.*s", what, (int)path.len, (const char *)path.data);
	r->e->kind = ERR_INTERNAL;
}

/* ---------------------------------------------------------------- levels */

static bool begin_level(struct removal *r)
{
	struct removal_level level = { 0 };

	buf_init(&level.batch, REMOVE_BATCH_MAX);
	buf_append(&r->levels, &level, sizeof level);
	return !buf_error(&r->levels);
}

/* Whether something in it has gone. */
static bool end_level(struct removal *r)
{
	struct removal_level *level = current(r);

	buf_deinit(&level->batch);
	buf_truncate(&r->levels, r->levels.len - sizeof *level);
	return level->has_progress;
}

/* False: the batch is full. */
static bool note_directory(struct removal_level *level, const char *name)
{
	buf_append(&level->batch, name, strlen(name) + 1);
	return !buf_error(&level->batch);
}

/* False: there is none. Memory of a batch that is done goes at once: trees may be very deep. */
static bool take_directory(struct removal_level *level, char out_name[PATH_MAX])
{
	const char *name = (const char *)level->batch.data + level->at;
	size_t size;

	if (level->at == level->batch.len)
		return false;
	size = strlen(name) + 1;
	memcpy(out_name, name, size);
	level->at += size;
	if (level->at == level->batch.len) {
		buf_deinit(&level->batch);
		level->at = 0;
	}
	return true;
}

/* ---------------------------------------------------------------- one name */

/* Whether it is gone. */
static bool unlink_name(struct removal *r, const char *name, int flags)
{
	return unlinkat(descent_fd(&r->descent), name, flags) == 0 || errno == ENOENT;
}

/* False: it is a directory, and there is no room to note it. */
static bool remove_name(struct removal *r, const char *name, unsigned char type)
{
	struct removal_level *level = current(r);

	if (type == DT_DIR)
		return note_directory(level, name);
	if (unlink_name(r, name, 0)) {
		level->has_progress = true;
		return true;
	}
	/* Not every file system says EISDIR when it is one. */
	if (errno == EISDIR || (type == DT_UNKNOWN && (errno == EPERM || errno == EACCES)))
		return note_directory(level, name);
	fail(r, "unlinkat", name, errno);
	return true;
}

static void sweep(struct removal *r)
{
	struct dir_reader reader;
	const char *name;
	unsigned char type;
	int rc;

	dir_reader_init(&reader, descent_fd(&r->descent));
	while ((rc = dir_reader_next(&reader, &name, &type)) > 0) {
		if (!remove_name(r, name, type))
			return;
	}
	if (rc < 0 && rc != -ENOENT)
		fail(r, "readdirnames", NULL, -rc);
}

/* ---------------------------------------------------------------- one directory */

/* What cannot be entered may be a file by now, or a directory that is empty. */
static void remove_closed(struct removal *r, const char *name, int error)
{
	const bool is_file = error == ENOTDIR || error == ELOOP;

	if (error == ENOENT || unlink_name(r, name, is_file ? 0 : AT_REMOVEDIR))
		current(r)->has_progress = true;
	else if (is_file)
		fail(r, "unlinkat", name, errno);
	else
		fail(r, "openfdat", name, error);
}

static void enter(struct removal *r, const char *name)
{
	int rc = descent_enter(&r->descent, name);

	if (rc < 0) {
		remove_closed(r, name, -rc);
		return;
	}
	if (!begin_level(r)) {
		fail(r, "openfdat", NULL, ENOMEM);
		(void)!descent_leave(&r->descent); /* without it, the next ones are left, too */
		return;
	}
	sweep(r);
}

static void leave(struct removal *r)
{
	const bool has_progress = end_level(r);
	char name[PATH_MAX];

	memcpy(name, descent_name(&r->descent), strlen(descent_name(&r->descent)) + 1);
	/* What is above may be gone, too, or moved away: it is found again, or not, in its turn. */
	if (descent_leave(&r->descent) < 0 || unlink_name(r, name, AT_REMOVEDIR))
		current(r)->has_progress = true;
	else if (has_progress && (errno == ENOTEMPTY || errno == EEXIST))
		enter(r, name);
	else
		fail(r, "unlinkat", name, errno);
}

static void remove_all(struct removal *r)
{
	char name[PATH_MAX];

	while (descent_depth(&r->descent) > 0 || current(r)->at < current(r)->batch.len) {
		if (descent_fd(&r->descent) >= 0 && take_directory(current(r), name))
			enter(r, name);
		else
			leave(r);
	}
}

static void removal_deinit(struct removal *r)
{
	while (r->levels.len > 0)
		(void)end_level(r);
	descent_deinit(&r->descent);
	buf_deinit(&r->levels);
}

static int removal_init(struct removal *r, int top_fd)
{
	int rc;

	buf_init(&r->levels, DESCENT_BYTES_MAX);
	rc = descent_init(&r->descent, top_fd);
	return rc == 0 && !begin_level(r) ? -ENOMEM : rc;
}

int remove_tree_at(int dir_fd, const char *name, const char *shown_dir, struct err *e)
{
	CLEANUP(err_clear) struct err why = { 0 };
	CLEANUP(removal_deinit) struct removal r = { .shown_dir = shown_dir, .e = &why };
	int rc = removal_init(&r, dir_fd);

	if (rc < 0)
		return err_set(e, ERR_INTERNAL, "open %s: %s", shown_dir, errno_text(-rc));
	(void)remove_name(&r, name, DT_UNKNOWN);
	remove_all(&r);
	if (end_level(&r)) /* it was the top's only one */
		return 0;
	err_move(e, &why);
	return -1;
}

/* ---------------------------------------------------------------- a path */

static int remove_in(const char *dir, const char *name, struct err *e)
{
	CLEANUP(close_fdp) int fd = open(dir, O_PATH | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return err_set(e, ERR_INTERNAL, "open %s: %s", dir, errno_text(errno));
	return remove_tree_at(fd, name, dir, e);
}

int remove_tree(const char *path, struct err *e)
{
	const struct span last = path_last(path);
	const size_t start = (size_t)(last.at - path);
	CLEANUP(freep) char *dir = NULL;
	CLEANUP(freep) char *name = NULL;

	if (span_equal(last, ".") || span_equal(last, ".."))
		return err_set(e, ERR_INTERNAL, "RemoveAll %s: %s", path, errno_text(EINVAL));
	dir = xstrndup(path, MAX(start, 2u) - 1);
	name = last.len > 0 ? xstrndup(last.at, last.len) : xstrdup("/");
	return remove_in(dir, name, e);
}
