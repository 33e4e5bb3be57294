#include "fs/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "fs/missing.h"
#include "host/path.h"

/* Without waiting for the other end of a pipe that has taken a file's place. */
#define UPLOAD_FLAGS (O_WRONLY | O_TRUNC | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/* ---- opening ---- */

static int fail(struct err *e, const char *what, const char *call, const char *path, int errnum)
{
	return err_set(e, ERR_INTERNAL, "error %s: %s %s: %s", what, call, path,
	               errno_text(errnum));
}

static int refuse_directory(const char *path, struct err *e)
{
	return err_set(e, ERR_INVALID, "path is a directory: %s", path);
}

/* Pipes, sockets, disks. */
static int refuse_special(const char *path, struct err *e)
{
	return err_set(e, ERR_INVALID, "path is not a regular file: %s", path);
}

/* stat has failed: makes what is missing, or says what is wrong, from the top. */
static int make_way(const char *path, uid_t uid, gid_t gid, int errnum, struct err *e)
{
	bool is_directory = path_names_directory(path);

	if (is_directory && errnum == ENOENT)
		return refuse_directory(path, e);
	/* With a slash behind a file, it is in the way itself. */
	if ((is_directory ? missing_dirs_make : missing_parents_make)(path, uid, gid, NULL, e) < 0)
		return err_wrap(e, "error ensuring directories");
	return errnum == ENOENT ? 0 : fail(e, "getting file info", "stat", path, errnum);
}

/*
 * Before it is emptied: on a full disk the new owner may need the room that the old content has. Some
 * files of /proc do not even take the owner that they have.
 */
static int take_over(const char *path, uid_t uid, gid_t gid, const struct stat *st, struct err *e)
{
	bool changes =
		st->st_uid != uid || st->st_gid != gid || (st->st_mode & (S_ISUID | S_ISGID)) != 0;

	if (S_ISDIR(st->st_mode))
		return refuse_directory(path, e);
	if (S_ISCHR(st->st_mode))
		return 0;
	if (!S_ISREG(st->st_mode))
		return refuse_special(path, e);
	if (chown(path, uid, gid) == 0 || errno == ENOENT || (errno == EPERM && !changes))
		return 0;
	return fail(e, "changing file ownership", "chown", path, errno);
}

/*
 * With O_CREAT the kernel may refuse files of others in a sticky directory (fs.protected_regular), so
 * it is asked for only where there is none. What is in the way of a new file then came in the same
 * moment, or is a link that leads nowhere.
 */
static int open_or_create(const char *path, bool exists)
{
	int fd = -1;

	errno = ENOENT;
	if (exists)
		fd = open(path, UPLOAD_FLAGS);
	if (fd < 0 && errno == ENOENT)
		fd = open(path, UPLOAD_FLAGS | O_CREAT | O_EXCL, UPLOAD_FILE_MODE);
	if (fd < 0 && errno == EEXIST)
		fd = open(path, UPLOAD_FLAGS);
	if (fd < 0 && errno == ENOENT)
		fd = open(path, UPLOAD_FLAGS | O_CREAT, UPLOAD_FILE_MODE);
	return fd;
}

static int refuse_open(const char *path, int errnum, struct err *e)
{
	if (errnum == ENOSPC)
		return err_set(e, ERR_LIMIT, "not enough inodes available: open %s: %s", path,
		               errno_text(errnum));
	return fail(e, "opening file", "open", path, errnum);
}

/* What has been opened may not be what was there a moment ago. */
static int check_opened(int fd, const char *path, struct stat *out_st, struct err *e)
{
	if (fstat(fd, out_st) < 0)
		return fail(e, "getting file info", "stat", path, errno);
	if (!S_ISREG(out_st->st_mode) && !S_ISCHR(out_st->st_mode))
		return refuse_special(path, e);
	return 0;
}

static int give(int fd, const char *path, uid_t uid, gid_t gid, struct err *e)
{
	return fchown(fd, uid, gid) == 0 ? 0
	                                 : fail(e, "changing file ownership", "chown", path, errno);
}

int upload_open(struct upload *u, const char *path, uid_t uid, gid_t gid, int64_t announced,
                struct err *e)
{
	CLEANUP(close_fdp) int fd = -1;
	struct stat st;
	bool exists = stat(path, &st) == 0;
	bool may_be_command = exists && st.st_blocks == 0; /* before it is emptied */

	if (!exists && make_way(path, uid, gid, errno, e) < 0)
		return -1;
	if (exists && take_over(path, uid, gid, &st, e) < 0)
		return -1;
	fd = open_or_create(path, exists);
	if (fd < 0)
		return refuse_open(path, errno, e);
	if (check_opened(fd, path, &st, e) < 0)
		return -1;
	if (S_ISREG(st.st_mode) && (!exists || st.st_uid != uid || st.st_gid != gid))
		if (give(fd, path, uid, gid, e) < 0)
			return -1;
	u->fd = TAKE_FD(fd);
	u->path = xstrdup(path);
	u->announced = announced;
	u->n_held = 0;
	u->is_held = may_be_command;
	return 0;
}

/* ---- writing ---- */

static int refuse_write(const struct upload *u, int errnum, struct err *e)
{
	if (errnum != ENOSPC)
		return fail(e, "writing file", "write", u->path, errnum);
	err_set(e, ERR_LIMIT, "not enough disk space available");
	if (u->announced > 0)
		err_wrap(e, "attempted to write %lld bytes", (long long)u->announced);
	return -1;
}

/* Takes n written bytes off the pieces. */
static void advance(struct iovec pieces[2], size_t n)
{
	for (size_t i = 0; i < 2; i++) {
		size_t taken = MIN(n, pieces[i].iov_len);

		pieces[i].iov_base = (char *)pieces[i].iov_base + taken;
		pieces[i].iov_len -= taken;
		n -= taken;
	}
}

/* What is held and what follows it, as one call where the file takes it. */
static int write_all(struct upload *u, const void *data, size_t len, struct err *e)
{
	struct iovec pieces[2] = {
		{ u->held, u->n_held },
		{ (void *)(uintptr_t)data, len },
	};

	u->n_held = 0;
	u->is_held = false;
	while (pieces[0].iov_len + pieces[1].iov_len > 0) {
		size_t first = pieces[0].iov_len > 0 ? 0 : 1;
		size_t n = pieces[1].iov_len > 0 ? 2 - first : 1;
		ssize_t written =
			n == 1 ? write(u->fd, pieces[first].iov_base, pieces[first].iov_len)
			       : writev(u->fd, pieces, 2);

		if (written < 0 && errno != EINTR)
			return refuse_write(u, errno, e);
		if (written == 0)
			return err_set(e, ERR_INTERNAL, "error writing file: unexpected EOF");
		if (written > 0)
			advance(pieces, (size_t)written);
	}
	return 0;
}

int upload_write(struct upload *u, const void *data, size_t len, struct err *e)
{
	if (!u->is_held || len > sizeof u->held - u->n_held)
		return write_all(u, data, len, e);
	memcpy(u->held + u->n_held, data, len);
	u->n_held += len;
	return 0;
}

static int refuse_metadata(int errnum, struct err *e)
{
	if (errnum == ENOSPC || errnum == EDQUOT)
		return err_set(e, ERR_LIMIT, "not enough space for file metadata: %s",
		               errno_text(errnum));
	return err_set(e, ERR_INTERNAL, "error writing file metadata: %s", errno_text(errnum));
}

int upload_finish(struct upload *u, const struct metadata *m, struct err *e)
{
	int rc;

	if (write_all(u, NULL, 0, e) < 0)
		return -1;
	rc = metadata_write(u->fd, m);
	if (rc < 0)
		return refuse_metadata(-rc, e);
	/* Where that is what writes it, such as NFS. EINTR has closed it too. */
	if (close(TAKE_FD(u->fd)) < 0 && errno != EINTR)
		return refuse_write(u, errno, e);
	upload_deinit(u);
	return 0;
}

void upload_deinit(struct upload *u)
{
	close_fdp(&u->fd);
	free(TAKE_PTR(u->path));
}
