/*
 * One uv_poll_t and read(2). Level triggered, so what a turn leaves unread comes again in the next.
 */
#include "loop/fdio.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void fdio_end(struct fdio *io, int error)
{
	io->wanted = false;
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

static void fdio_on_poll(uv_poll_t *poll, int status, int events)
{
	struct fdio *io = CONTAINER_OF(poll, struct fdio, poll);
	unsigned reads = 0;

	UNUSED(events);
	if (status < 0)
		io->polled = false; /* libuv has stopped it; the read below says why */
	while (io->wanted && reads++ < FDIO_READS_PER_TURN) {
		if (!fdio_read_once(io))
			break;
	}
	/* Stopped here and not in fdio_pause: most pauses are over before the next turn. */
	if (io->open && !io->wanted && io->polled) {
		io->polled = false;
		uv_poll_stop(&io->poll);
	}
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
	io->wanted = false;
	uv_close((uv_handle_t *)&io->poll, fdio_on_closed);
	close_fdp(&io->fd);
}

void fdio_resume(struct fdio *io)
{
	if (!io->open || io->wanted)
		return;
	io->wanted = true;
	if (io->polled)
		return;
	io->polled = true;
	/* Fails only on a closing handle, which io->open excludes. */
	(void)uv_poll_start(&io->poll, UV_READABLE, fdio_on_poll);
}

void fdio_pause(struct fdio *io)
{
	io->wanted = false;
}

size_t fdio_unread(const struct fdio *io)
{
	int n = 0;

	if (!io->open || ioctl(io->fd, FIONREAD, &n) < 0 || n < 0)
		return 0;
	return (size_t)n;
}
