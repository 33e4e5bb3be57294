#include "fs/compose.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "fs/copy_data.h"
#include "fs/missing.h"
#include "fs/place.h"
#include "fs/temp_name.h"
#include "fs/upload.h"
#include "host/path.h"

/* Without waiting for the other end of a pipe that has taken a file's place. */
#define SOURCE_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

#define SOURCES_FIRST 8u /* room to begin with */

struct compose_source {
	char *path;
	dev_t dev; /* the file that was copied */
	ino_t ino;
};

/* What is written to e already, but for a lack of room, which has its own words. */
static int refuse(struct err *e, int error)
{
	if (error == ENOSPC || error == EDQUOT)
		return err_set(e, ERR_LIMIT, "not enough disk space available");
	e->kind = ERR_INTERNAL;
	return -1;
}

static int refuse_abandoned(struct err *e)
{
	return err_set(e, ERR_CANCELED, "nobody waits for it any more");
}

/* ---- sources ---- */

static int refuse_kind(const char *shown, struct err *e)
{
	return err_set(e, ERR_INVALID, "source path is not a regular file: %s", shown);
}

static int refuse_same(const char *shown, struct err *e)
{
	return err_set(e, ERR_INVALID, "source path \"%s\" cannot be the same as destination",
	               shown);
}

static bool is_destination(const struct compose *c, const struct stat *source)
{
	struct stat st;

	return stat(c->destination, &st) == 0 && st.st_dev == source->st_dev &&
	       st.st_ino == source->st_ino;
}

static void add(struct compose *c, const char *path)
{
	ASSERT(c->n_sources < COMPOSE_SOURCES_MAX);
	if (c->n_sources == c->n_room) {
		c->n_room = MAX(2 * c->n_room, SOURCES_FIRST);
		c->sources = xrealloc(c->sources, c->n_room * sizeof *c->sources);
	}
	c->sources[c->n_sources++] = (struct compose_source){ .path = xstrdup(path) };
}

int compose_add(struct compose *c, const char *path, const char *shown, struct err *e)
{
	struct stat st;

	if (strcmp(path, c->destination) == 0)
		return refuse_same(shown, e);
	if (stat(path, &st) < 0)
		return err_set(e, ERR_NOT_FOUND, "source file not found: %s", shown);
	if (!S_ISREG(st.st_mode))
		return refuse_kind(shown, e);
	if (is_destination(c, &st))
		return refuse_same(shown, e);
	add(c, path);
	return 0;
}

void compose_deinit(struct compose *c)
{
	for (size_t i = 0; i < c->n_sources; i++)
		free(c->sources[i].path);
	free(TAKE_PTR(c->sources));
	c->n_sources = c->n_room = 0;
}

/* ---- the copy ---- */

static int refuse_open(const struct compose_source *s, const char *call, int error, struct err *e)
{
	(void)err_sys(e, error, "error opening source file %s: %s %s", s->path, call, s->path);
	return refuse(e, error);
}

static int open_source(struct compose_source *s, int *out_fd, struct err *e)
{
	CLEANUP(close_fdp) int fd = open(s->path, SOURCE_FLAGS);
	struct stat st;

	if (fd < 0)
		return refuse_open(s, "open", errno, e);
	if (fstat(fd, &st) < 0)
		return refuse_open(s, "stat", errno, e);
	if (!S_ISREG(st.st_mode)) /* something else has taken its place */
		return refuse_kind(s->path, e);
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	*out_fd = TAKE_FD(fd);
	return 0;
}

static int append(const struct compose *c, struct compose_source *s, int to_fd, uint64_t *len,
                  struct err *e)
{
	CLEANUP(close_fdp) int fd = -1;
	struct copy_data copy = { .to_fd = to_fd, .is_abandoned = c->is_abandoned };
	uint64_t added;
	int rc;

	if (open_source(s, &fd, e) < 0)
		return -1;
	copy.from_fd = fd;
	rc = copy_data_all(&copy, (off_t)*len, &added);
	if (rc == -ECANCELED)
		return refuse_abandoned(e);
	if (rc < 0) {
		(void)err_sys(e, -rc, "error composing source %s", s->path);
		return refuse(e, -rc);
	}
	*len += added;
	return 0;
}

static int fill(const struct compose *c, int fd, struct err *e)
{
	uint64_t len = 0;

	if (fchown(fd, c->uid, c->gid) < 0) {
		int error = errno;

		(void)err_sys(e, error, "error changing file ownership: chown %s", c->destination);
		return refuse(e, error);
	}
	for (size_t i = 0; i < c->n_sources; i++)
		if (append(c, &c->sources[i], fd, &len, e) < 0)
			return -1;
	return 0;
}

/* ---- its place ---- */

static int refuse_place(const struct compose *c, int error, struct err *e)
{
	(void)err_sys(e, error, "error finalizing compose: rename %s", c->destination);
	return refuse(e, error);
}

static int refuse_creation(const struct compose *c, int error, struct err *e)
{
	(void)err_sys(e, error, "error creating destination file: open %s", c->destination);
	return refuse(e, error);
}

/* What no file can replace, or should, is refused before the copy. EEXIST is what Go says. */
static int make_way(const struct compose *c, struct err *e)
{
	const bool is_directory = path_names_directory(c->destination);
	struct stat st;
	const int error = lstat(c->destination, &st) < 0 ? errno : 0;

	if (error == 0 && S_ISDIR(st.st_mode))
		return refuse_place(c, EEXIST, e);
	if (error == 0 && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return err_set(e, ERR_INVALID, "destination path is not a regular file: %s",
		               c->destination);
	if (error == ENOENT && is_directory)
		return refuse_place(c, ENOTDIR, e);
	/* With a slash behind a file, it is in the way itself. */
	if ((is_directory ? missing_dirs_make : missing_parents_make)(c->destination, c->uid,
	                                                              c->gid, NULL, e) < 0)
		return err_wrap(e, "error ensuring directories");
	return is_directory ? refuse_place(c, ENOTDIR, e) : 0;
}

static int complete(struct compose *c, const struct place *to, const char *temp, int fd,
                    struct err *e)
{
	CLEANUP(close_fdp) int owned = fd;

	if (fill(c, fd, e) < 0)
		return -1;
	/* Where that is what writes it, such as NFS. EINTR has closed it too. */
	if (close(TAKE_FD(owned)) < 0 && errno != EINTR) {
		int error = errno;

		(void)err_sys(e, error, "error closing destination file: close %s", c->destination);
		return refuse(e, error);
	}
	if (c->is_abandoned && atomic_load(c->is_abandoned))
		return refuse_abandoned(e);
	return renameat(to->fd, temp, to->fd, to->name) < 0 ? refuse_place(c, errno, e) : 0;
}

static int put(struct compose *c, const struct place *to, struct err *e)
{
	char temp[TEMP_NAME_SIZE];
	int fd;

	temp_name_make(temp);
	fd = openat(to->fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, UPLOAD_FILE_MODE);
	if (fd < 0)
		return refuse_creation(c, errno, e);
	if (complete(c, to, temp, fd, e) == 0)
		return 0;
	(void)unlinkat(to->fd, temp, 0);
	return -1;
}

/* ---- afterwards ---- */

/* A link is removed as what it is; of files only what has been copied. */
static void remove_source(const struct compose_source *s)
{
	struct stat st;

	if (lstat(s->path, &st) < 0)
		return;
	if (S_ISLNK(st.st_mode) || (st.st_dev == s->dev && st.st_ino == s->ino))
		(void)unlink(s->path);
}

int compose_run(struct compose *c, struct err *e)
{
	CLEANUP(place_deinit) struct place to = { .fd = -1 };
	int rc;

	if (make_way(c, e) < 0)
		return -1;
	rc = place_open(&to, c->destination);
	if (rc < 0)
		return refuse_creation(c, -rc, e);
	if (put(c, &to, e) < 0)
		return -1;
	for (size_t i = 0; i < c->n_sources; i++)
		remove_source(&c->sources[i]);
	return 0;
}
