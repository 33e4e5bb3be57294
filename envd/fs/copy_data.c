#include "fs/copy_data.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_SIZE 65536u

static ssize_t by_buffer(const struct copy_data *c, off_t from, off_t to, size_t len)
{
	char buffer[BUFFER_SIZE];
	ssize_t n = pread(c->from_fd, buffer, MIN(len, sizeof buffer), from);

	return n > 0 ? pwrite(c->to_fd, buffer, (size_t)n, to) : n;
}

static ssize_t by_sendfile(const struct copy_data *c, off_t from, off_t to, size_t len)
{
	if (lseek(c->to_fd, to, SEEK_SET) < 0)
		return -1;
	return sendfile(c->to_fd, c->from_fd, &from, len);
}

static ssize_t copy_some(const struct copy_data *c, off_t from, off_t to, size_t len)
{
	switch (c->way) {
	case COPY_BY_RANGE:
		return copy_file_range(c->from_fd, &from, c->to_fd, &to, len, 0);
	case COPY_BY_SENDFILE:
		return by_sendfile(c, from, to, len);
	default:
		return by_buffer(c, from, to, len);
	}
}

/* Other file systems, a kernel that is older or forbids it: the next way may be possible. */
static bool is_unsupported(int error)
{
	return error == EXDEV || error == EINVAL || error == ENOSYS || error == EOPNOTSUPP ||
	       error == EPERM || error == EBADF;
}

static bool is_abandoned(const struct copy_data *c)
{
	return c->is_abandoned && atomic_load(c->is_abandoned);
}

int copy_data_range(struct copy_data *c, off_t from, off_t to, uint64_t len, uint64_t *out_copied)
{
	uint64_t unused, *copied = out_copied ? out_copied : &unused;

	for (*copied = 0; *copied < len;) {
		size_t step = MIN(len - *copied, COPY_DATA_STEP);
		ssize_t n;

		if (is_abandoned(c))
			return -ECANCELED;
		n = copy_some(c, from + (off_t)*copied, to + (off_t)*copied, step);
		if (n > 0)
			*copied += (uint64_t)n;
		else if (c->way == COPY_BY_BUFFER)
			return n < 0 ? -errno : 0;
		else if (n < 0 && !is_unsupported(errno))
			return -errno;
		else /* 0 may be the end, or a file of /proc that is only to be read */
			c->way = n < 0 ? c->way + 1 : COPY_BY_BUFFER;
	}
	return 0;
}

/* The file may have grown, or shrunk, since its end was found. */
static int set_size(const struct copy_data *c, off_t at)
{
	struct stat st;

	if (fstat(c->from_fd, &st) < 0)
		return -errno;
	if (st.st_size > at && ftruncate(c->to_fd, st.st_size) < 0)
		return -errno;
	return 0;
}

int copy_data_all(struct copy_data *c)
{
	off_t at = 0, hole;
	int rc = 0;

	while (rc == 0) {
		const off_t data = lseek(c->from_fd, at, SEEK_DATA);

		if (data < 0 && errno == ENXIO)
			return set_size(c, at);
		hole = data < 0 ? -1 : lseek(c->from_fd, data, SEEK_HOLE);
		if (hole < 0) /* not every file knows of holes */
			return copy_data_range(c, at, at, UINT64_MAX, NULL);
		rc = copy_data_range(c, data, data, (uint64_t)(hole - data), NULL);
		at = hole;
	}
	return rc;
}
