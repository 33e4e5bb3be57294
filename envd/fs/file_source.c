#include "fs/file_source.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/mem.h"

int file_source_check(const char *path, mode_t *out_mode, struct err *e)
{
	struct stat st;

	if (stat(path, &st) == 0) {
		*out_mode = st.st_mode;
		return S_ISDIR(st.st_mode)
		               ? err_set(e, ERR_INVALID, "path '%s' is a directory", path)
		               : 0;
	}
	if (errno == ENOENT)
		return err_set(e, ERR_NOT_FOUND, "path '%s' does not exist", path);
	return err_set(e, ERR_INTERNAL, "error checking if path exists '%s': stat %s: %s", path,
	               path, errno_text(errno));
}

/* ---- what it is ---- */

/* Those whose st_size is not the length of what can be read. */
static bool is_pseudo_fs(int fd)
{
	static const long types[] = {
		PROC_SUPER_MAGIC,    SYSFS_MAGIC,   CGROUP_SUPER_MAGIC,
		CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC, TRACEFS_MAGIC,
		SECURITYFS_MAGIC,    0x62656570, /* configfs, which no header has */
	};
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if ((long)fs.f_type == types[i])
			return true;
	return false;
}

static int refuse_kind(const char *path, struct err *e)
{
	return err_set(e, ERR_INVALID, "path '%s' is not a regular file", path);
}

/* ---- reading ---- */

ptrdiff_t file_source_read(int fd, void *out, size_t len)
{
	size_t at = 0;

	while (at < len) {
		ssize_t n = read(fd, (char *)out + at, len - at);

		if (n < 0 && errno != EAGAIN)
			return -errno;
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	return (ptrdiff_t)at;
}

/* ---- opening ---- */

void file_source_close(struct file_source *s)
{
	close_fdp(&s->fd);
	free(TAKE_PTR(s->head));
	s->head_len = 0;
}

static int refuse_read(const char *path, int errnum, struct err *e)
{
	return err_set(e, ERR_INTERNAL, "error reading file '%s': read %s: %s", path, path,
	               errno_text(errnum));
}

/* Reads so many bytes at most, or less if there are no more. */
static int read_head(struct file_source *s, const char *path, size_t len, struct err *e)
{
	ptrdiff_t n;

	s->head = xmalloc(MAX(len, 1u));
	n = file_source_read(s->fd, s->head, len);
	if (n < 0)
		return refuse_read(path, (int)-n, e);
	s->head_len = (size_t)n;
	return 0;
}

static void become_whole(struct file_source *s)
{
	s->kind = FILE_SOURCE_WHOLE;
	s->size = (int64_t)s->head_len;
	close_fdp(&s->fd);
}

static int read_without_size(struct file_source *s, const char *path, struct err *e)
{
	if (read_head(s, path, FILE_SOURCE_WHOLE_MAX, e) < 0)
		return -1;
	if (s->head_len < FILE_SOURCE_WHOLE_MAX) {
		become_whole(s);
		return 0;
	}
	s->kind = FILE_SOURCE_STREAM;
	s->size = -1;
	return 0;
}

static int read_sized(struct file_source *s, const char *path, int64_t size, struct err *e)
{
	bool is_small = size <= FILE_SOURCE_WHOLE_MAX;

	if (read_head(s, path, is_small ? (size_t)size : FILE_SOURCE_BEGINNING, e) < 0)
		return -1;
	if (is_small) {
		become_whole(s); /* has it shrunk meanwhile, nothing was promised yet */
		return 0;
	}
	s->kind = FILE_SOURCE_SIZED;
	s->size = size;
	if (lseek(s->fd, 0, SEEK_SET) < 0)
		return refuse_read(path, errno, e);
	(void)posix_fadvise(s->fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* only advice */
	return 0;
}

static int read_device(struct file_source *s, const char *path, struct err *e)
{
	if (lseek(s->fd, 0, SEEK_END) < 0)
		return refuse_kind(path, e);
	if (read_head(s, path, 0, e) < 0)
		return -1;
	become_whole(s);
	return 0;
}

static int read_by_kind(struct file_source *s, const char *path, struct err *e)
{
	struct stat st;

	if (fstat(s->fd, &st) < 0)
		return refuse_read(path, errno, e);
	s->modified = st.st_mtime;
	if (S_ISCHR(st.st_mode))
		return read_device(s, path, e);
	if (!S_ISREG(st.st_mode))
		return refuse_kind(path, e); /* it became something else */
	if (st.st_size == 0 || is_pseudo_fs(s->fd))
		return read_without_size(s, path, e);
	return read_sized(s, path, st.st_size, e);
}

int file_source_open(struct file_source *s, const char *path, mode_t mode, struct err *e)
{
	*s = (struct file_source){ .fd = -1 };
	/* To open a FIFO would let a writer go on that waits for a reader. */
	if (!S_ISREG(mode) && !S_ISCHR(mode))
		return refuse_kind(path, e);
	s->fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (s->fd < 0)
		return err_set(e, ERR_INTERNAL, "error opening file '%s': open %s: %s", path, path,
		               errno_text(errno));
	if (read_by_kind(s, path, e) == 0)
		return 0;
	file_source_close(s);
	return -1;
}
