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

/*
 * There is no data behind `at`. The file may have grown, or shrunk, since its end was found; where it
 * has no size, only reading tells what is in it.
 */
static int copy_end(struct copy_data *c, off_t at, off_t to, uint64_t *out_len)
{
	struct stat st;

	*out_len = (uint64_t)at;
	if (fstat(c->from_fd, &st) < 0)
		return -errno;
	if (st.st_size == 0 && at == 0)
		return copy_data_range(c, 0, to, UINT64_MAX, out_len);
	if (st.st_size <= at)
		return 0;
	if (ftruncate(c->to_fd, to + st.st_size) < 0)
		return -errno;
	*out_len = (uint64_t)st.st_size;
	return 0;
}

int copy_data_all(struct copy_data *c, off_t to, uint64_t *out_len)
{
	uint64_t unused, *len = out_len ? out_len : &unused;
	off_t at = 0;

	for (;;) {
		const off_t data = lseek(c->from_fd, at, SEEK_DATA);
		off_t start = data, hole;
		uint64_t copied, wanted;
		int rc;

		if (data < 0 && errno == ENXIO)
			return copy_end(c, at, to, len);
		hole = data < 0 ? -1 : lseek(c->from_fd, data, SEEK_HOLE);
		if (hole < 0) /* not every file knows of holes */
			start = at;
		wanted = hole < 0 ? UINT64_MAX : (uint64_t)(hole - data);
		rc = copy_data_range(c, start, to + start, wanted, &copied);
		at = start + (off_t)copied;
		*len = (uint64_t)at;
		if (rc < 0 || copied < wanted)
			return rc;
	}
}
