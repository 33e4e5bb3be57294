#include "fs/inotify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/mem.h"

bool inotify_next(struct span *bytes, struct inotify_record *out_record)
{
	struct inotify_event head;
	const char *name;

	if (bytes->len < sizeof head)
		return false;
	memcpy(&head, bytes->at, sizeof head);
	if (bytes->len - sizeof head < head.len)
		return false;
	name = bytes->at + sizeof head;
	if (head.len == 0)
		name = "";
	else if (!memchr(name, '\0', head.len))
		return false;
	*out_record = (struct inotify_record){ head.wd, head.mask, head.cookie, name };
	*bytes = (struct span){ bytes->at + sizeof head + head.len,
		                bytes->len - sizeof head - head.len };
	return true;
}

/* Bytes that were read; 0: there are none. */
static size_t inotify_read(struct inotify *in, size_t max)
{
	ssize_t n;

	do
		n = read(in->fd, in->buf, max);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return 0;
	in->on_bytes(in, (struct span){ in->buf, (size_t)n });
	return (size_t)n;
}

static void inotify_on_poll(uv_poll_t *poll, int status, int events)
{
	struct inotify *in = CONTAINER_OF(poll, struct inotify, poll);
	const uint64_t until_ns = uv_hrtime() + INOTIFY_TURN_MS * UINT64_C(1000000);

	UNUSED(status);
	UNUSED(events);
	while (inotify_read(in, INOTIFY_READ_STEP) > 0 && uv_hrtime() < until_ns)
		;
}

void inotify_read_queued(struct inotify *in)
{
	int queued = 0;
	size_t n = 0;

	if (ioctl(in->fd, FIONREAD, &queued) < 0)
		return;
	for (size_t left = (size_t)queued; left > 0; left -= MIN(left, n)) {
		n = inotify_read(in, INOTIFY_READ_BUF);
		if (n == 0)
			return;
	}
}

int inotify_open(struct inotify *in, struct loop *loop, struct owner *owner,
                 void (*on_bytes)(struct inotify *in, struct span bytes))
{
	CLEANUP(close_fdp) int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	int rc;

	if (fd < 0)
		return -errno;
	*in = (struct inotify){ .owner = owner, .on_bytes = on_bytes, .fd = -1 };
	rc = uv_poll_init(&loop->uv, &in->poll, fd);
	if (rc < 0)
		return rc;
	owner_hold(owner);
	in->fd = TAKE_FD(fd);
	in->buf = xmalloc(INOTIFY_READ_BUF);
	rc = uv_poll_start(&in->poll, UV_READABLE, inotify_on_poll);
	ASSERT(rc == 0); /* fails only on a closing handle */
	return 0;
}

void inotify_remove(struct inotify *in, int wd)
{
	(void)inotify_rm_watch(in->fd, wd); /* EINVAL: it went with its directory */
}

static void inotify_on_closed(uv_handle_t *handle)
{
	struct inotify *in = CONTAINER_OF(handle, struct inotify, poll);

	owner_drop(in->owner);
}

void inotify_close(struct inotify *in)
{
	uv_close((uv_handle_t *)&in->poll, inotify_on_closed);
}

void inotify_deinit(struct inotify *in)
{
	close_fdp(&in->fd);
	free(TAKE_PTR(in->buf));
}
