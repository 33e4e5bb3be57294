/*
 * One uv_poll_t, read(2) and write(2). Level triggered, so what a turn leaves comes again in the next.
 */
#include "loop/fdio.h"

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void fdio_end(struct fdio *io, int error)
{
	io->wanted &= ~(unsigned)UV_READABLE;
	io->ended = true;
	io->ops->on_end(io, error);
}

/* Returns whether another read in this turn makes sense. */
static bool fdio_read_once(struct fdio *io)
{
	ssize_t len = read(io->fd, io->loop->read_buf, io->read_max);

	if (len > 0) {
		io->ops->on_data(io, io->loop->read_buf, (size_t)len);
		return (size_t)len == io->read_max;
	}
	if (len == 0 || errno == EIO)
		fdio_end(io, 0);
	else if (errno == EINTR)
		return true;
	else if (errno != EAGAIN)
		fdio_end(io, -errno);
	return false;
}

static void fdio_on_poll(uv_poll_t *poll, int status, int events);

/* Has libuv poll for what is wanted, no more and no less. */
static void fdio_update(struct fdio *io)
{
	if (!io->open || io->polled == io->wanted)
		return;
	io->polled = io->wanted;
	/* Both fail only on a closing handle, which io->open excludes. */
	if (io->wanted == 0)
		(void)uv_poll_stop(&io->poll);
	else
		(void)uv_poll_start(&io->poll, (int)io->wanted, fdio_on_poll);
}

static void fdio_read_turn(struct fdio *io)
{
	unsigned reads = 0;

	while ((io->wanted & UV_READABLE) && reads++ < FDIO_READS_PER_TURN) {
		if (!fdio_read_once(io))
			return;
	}
}

static void fdio_on_poll(uv_poll_t *poll, int status, int events)
{
	struct fdio *io = CONTAINER_OF(poll, struct fdio, poll);

	if (status < 0) {
		io->polled = 0; /* libuv has stopped it; reading and writing say why */
		events = UV_READABLE | UV_WRITABLE;
	}
	if (io->wanted & (unsigned)events & UV_WRITABLE) {
		io->wanted &= ~(unsigned)UV_WRITABLE;
		io->ops->on_writable(io);
	}
	if ((unsigned)events & UV_READABLE)
		fdio_read_turn(io);
	/* Not when it is given up: most of that is wanted again before the next turn. */
	fdio_update(io);
}

int fdio_open(struct fdio *io, struct loop *loop, struct owner *owner, int *fd, size_t read_max,
              const struct fdio_ops *ops)
{
	int rc;

	ASSERT(read_max > 0 && read_max <= LOOP_READ_BUF);
	*io = (struct fdio){
		.loop = loop, .owner = owner, .ops = ops, .read_max = read_max, .fd = -1
	};
	rc = uv_poll_init(&loop->uv, &io->poll, *fd);
	if (rc < 0)
		return rc;
	owner_hold(owner);
	io->fd = TAKE_FD(*fd);
	io->open = true;
	return 0;
}

static void fdio_on_closed(uv_handle_t *handle)
{
	struct fdio *io = CONTAINER_OF(handle, struct fdio, poll);

	owner_drop(io->owner);
}

void fdio_close(struct fdio *io)
{
	if (!io->open)
		return;
	io->open = false;
	io->wanted = 0;
	uv_close((uv_handle_t *)&io->poll, fdio_on_closed);
	close_fdp(&io->fd);
}

static void fdio_want(struct fdio *io, unsigned event)
{
	if (!io->open)
		return;
	io->wanted |= event;
	if (!(io->polled & event))
		fdio_update(io);
}

void fdio_resume(struct fdio *io)
{
	if (!io->ended)
		fdio_want(io, UV_READABLE);
}

void fdio_pause(struct fdio *io)
{
	io->wanted &= ~(unsigned)UV_READABLE;
}

size_t fdio_unread(const struct fdio *io)
{
	int n = 0;

	if (!io->open || ioctl(io->fd, FIONREAD, &n) < 0 || n < 0)
		return 0;
	return (size_t)n;
}

/* What the descriptor is ready for. Of a terminal the kernel first waits for the bytes that are on their
 * way, which it counts nowhere. */
static unsigned fdio_ready(const struct fdio *io)
{
	struct pollfd poll_fd = { .fd = io->fd, .events = POLLIN };

	return poll(&poll_fd, 1, 0) > 0 ? (unsigned)poll_fd.revents : 0;
}

bool fdio_has_unread(const struct fdio *io)
{
	return io->open && (fdio_ready(io) & POLLIN);
}

ssize_t fdio_write(struct fdio *io, const uint8_t *data, size_t len)
{
	ssize_t n;

	do
		n = write(io->fd, data, len);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	if (errno != EAGAIN)
		return -errno;
	/* A terminal that nobody uses never has room again: waiting for it would never rest. */
	return fdio_ready(io) & POLLHUP ? -EIO : 0;
}

void fdio_await_writable(struct fdio *io)
{
	fdio_want(io, UV_WRITABLE);
}
