#include "fs/fuse_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/mem.h"
#include "tests/support/test.h"

#define REQUEST_MAX (FUSE_MIN_READ_BUFFER + 65536u)

static void answer(int fd, const struct fuse_in_header *request, int error, const void *data,
                   size_t len)
{
	struct fuse_out_header head = { (uint32_t)(sizeof head + len), error, request->unique };
	struct iovec parts[] = { { &head, sizeof head }, { (void *)data, len } };

	(void)!writev(fd, parts, 2); /* ENOENT: whoever asked has gone */
}

static void answer_request(int fd, const struct fuse_in_header *request)
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
		answer(fd, request, 0, &init, sizeof init);
		return;
	case FUSE_GETATTR:
		answer(fd, request, 0, &top, sizeof top);
		return;
	case FUSE_STATFS:
		answer(fd, request, 0, &size, sizeof size);
		return;
	case FUSE_OPENDIR:
		answer(fd, request, 0, &opened, sizeof opened);
		return;
	case FUSE_READDIR:
	case FUSE_RELEASEDIR:
		answer(fd, request, 0, NULL, 0);
		return;
	case FUSE_FORGET:
	case FUSE_INTERRUPT:
		return; /* want no answer */
	default:
		answer(fd, request, request->opcode == FUSE_LOOKUP ? -ENOENT : -ENOSYS, NULL, 0);
	}
}

/* Until it is unmounted: ENODEV. After a fork of a process with threads, so nothing is allocated. */
_Noreturn static void serve(int fd)
{
	static char request[REQUEST_MAX];

	while (read(fd, request, sizeof request) > 0)
		answer_request(fd, (const struct fuse_in_header *)(const void *)request);
	_exit(0);
}

bool fuse_fixture_begin(struct fuse_fixture *f, const char *path)
{
	CLEANUP(close_fdp) int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	char options[128];

	(void)snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	if (fd < 0 || mount("test", path, "fuse", MS_NOSUID | MS_NODEV, options) < 0) {
		print_message("cannot mount FUSE: skipped\n");
		return false;
	}
	f->path = xstrdup(path);
	f->server = fork();
	assert_true(f->server >= 0);
	if (f->server == 0)
		serve(fd);
	return true;
}

static void send_signal(const struct fuse_fixture *f, int number)
{
	assert_int_equal(kill(f->server, number), 0);
}

void fuse_fixture_freeze(struct fuse_fixture *f)
{
	send_signal(f, SIGSTOP);
}

void fuse_fixture_thaw(struct fuse_fixture *f)
{
	send_signal(f, SIGCONT);
}

void fuse_fixture_end(struct fuse_fixture *f)
{
	assert_int_equal(umount2(f->path, MNT_DETACH), 0);
	assert_int_equal(waitpid(f->server, NULL, 0), f->server);
	free(f->path);
}
