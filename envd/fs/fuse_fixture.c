#include "fs/fuse_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/mem.h"
#include "tests/support/test.h"

#define REQUEST_MAX (FUSE_MIN_READ_BUFFER + 65536u)

static void answer(const struct fuse_fixture *f, const struct fuse_in_header *request, int error,
                   const void *data, size_t len)
{
	struct fuse_out_header head = { (uint32_t)(sizeof head + len), error, request->unique };
	struct iovec parts[] = { { &head, sizeof head }, { (void *)data, len } };

	(void)!writev(f->fd, parts, 2); /* ENOENT: whoever asked has gone */
}

static void answer_request(const struct fuse_fixture *f, const struct fuse_in_header *request)
{
	static const struct fuse_init_out init = { .major = FUSE_KERNEL_VERSION,
		                                   .minor = FUSE_KERNEL_MINOR_VERSION,
		                                   .max_write = 4096 };
	static const struct fuse_attr_out top = {
		.attr = { .ino = FUSE_ROOT_ID, .mode = S_IFDIR | 0755, .nlink = 2 }
	};
	static const struct fuse_statfs_out size;
	static const struct fuse_open_out opened;

	switch (request->opcode) {
	case FUSE_INIT:
		answer(f, request, 0, &init, sizeof init);
		return;
	case FUSE_GETATTR:
		answer(f, request, 0, &top, sizeof top);
		return;
	case FUSE_STATFS:
		answer(f, request, 0, &size, sizeof size);
		return;
	case FUSE_OPENDIR:
		answer(f, request, 0, &opened, sizeof opened);
		return;
	case FUSE_READDIR:
	case FUSE_RELEASEDIR:
		answer(f, request, 0, NULL, 0);
		return;
	case FUSE_FORGET:
	case FUSE_INTERRUPT:
		return; /* want no answer */
	default:
		answer(f, request, request->opcode == FUSE_LOOKUP ? -ENOENT : -ENOSYS, NULL, 0);
	}
}

static void *serve(void *arg)
{
	struct fuse_fixture *f = arg;
	CLEANUP(freep) char *request = xmalloc(REQUEST_MAX);

	/* Until it is unmounted: ENODEV. */
	while (read(f->fd, request, REQUEST_MAX) > 0) {
		pthread_mutex_lock(&f->answers);
		answer_request(f, (const struct fuse_in_header *)(const void *)request);
		pthread_mutex_unlock(&f->answers);
	}
	return NULL;
}

bool fuse_fixture_begin(struct fuse_fixture *f, const char *path)
{
	char options[128];

	f->fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	(void)snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", f->fd);
	if (f->fd < 0 || mount("test", path, "fuse", MS_NOSUID | MS_NODEV, options) < 0) {
		print_message("cannot mount FUSE: skipped\n");
		close_fdp(&f->fd);
		return false;
	}
	f->path = xstrdup(path);
	assert_int_equal(pthread_mutex_init(&f->answers, NULL), 0);
	assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
	return true;
}

void fuse_fixture_freeze(struct fuse_fixture *f)
{
	pthread_mutex_lock(&f->answers);
}

void fuse_fixture_thaw(struct fuse_fixture *f)
{
	pthread_mutex_unlock(&f->answers);
}

void fuse_fixture_end(struct fuse_fixture *f)
{
	assert_int_equal(umount2(f->path, MNT_DETACH), 0);
	pthread_join(f->thread, NULL);
	pthread_mutex_destroy(&f->answers);
	close_fdp(&f->fd);
	free(f->path);
}
