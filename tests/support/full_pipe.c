#include "tests/support/full_pipe.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/macros.h"
#include "tests/support/test.h"

#define FULL_PIPE_SIZE (1024 * 1024) /* bytes; what anybody may ask for */

void full_pipe_open(struct full_pipe *p)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	*p = (struct full_pipe){ .read_fd = fds[0], .write_fd = fds[1] };
	assert_true(fcntl(p->write_fd, F_SETPIPE_SZ, FULL_PIPE_SIZE) >= FULL_PIPE_SIZE);
}

void full_pipe_put(struct full_pipe *p, size_t len)
{
	unsigned char piece[4096];

	while (len > 0) {
		size_t n = MIN(len, sizeof piece);

		for (size_t i = 0; i < n; i++)
			piece[i] = (unsigned char)((p->n_put + i) % 251);
		assert_int_equal(write(p->write_fd, piece, n), n);
		p->n_put += n;
		len -= n;
	}
}

size_t full_pipe_left(const struct full_pipe *p)
{
	int n;

	assert_int_equal(ioctl(p->read_fd, FIONREAD, &n), 0);
	return (size_t)n;
}

void full_pipe_close(struct full_pipe *p)
{
	close_fdp(&p->read_fd);
	close_fdp(&p->write_fd);
}

void full_pipe_check(const void *data, size_t len, size_t from)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < len; i++)
		if (bytes[i] != (from + i) % 251)
			fail_msg("byte %zu is %d", from + i, bytes[i]);
}
