#include "tests/support/cgroup_root.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <mntent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

#define WALK_FDS 8     /* descriptors that the walk keeps open at once */
#define WAIT_MS  10000 /* longest wait for an event; none takes that long */

/* Where cgroup2 is mounted, writable; NULL if nowhere. */
static char *find_mount(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *mount = NULL;
	char *path;

	assert_non_null(mounts);
	do
		mount = getmntent(mounts);
	while (mount && (strcmp(mount->mnt_type, "cgroup2") != 0 || !hasmntopt(mount, "rw")));
	path = mount ? xstrdup(mount->mnt_dir) : NULL;
	endmntent(mounts);
	return path;
}

char *cgroup_root_new(void)
{
	CLEANUP(freep) char *mount = find_mount();
	char name[64];
	char *root;

	if (!mount) {
		fputs("skipped: no writable cgroup2 tree is mounted here\n", stderr);
		return NULL;
	}
	(void)snprintf(name, sizeof name, "envd-test-%d", (int)getpid());
	root = temp_dir_path(mount, name);
	if (mkdir(root, 0755) < 0) {
		fprintf(stderr, "skipped: cannot make '%s': %s\n", root, strerror(errno));
		free(root);
		return NULL;
	}
	return root;
}

static int open_below(const char *root, const char *file, int flags)
{
	CLEANUP(freep) char *path = temp_dir_path(root, file);
	int fd = open(path, flags | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static const char *read_at_start(int fd)
{
	static char text[4096];
	ssize_t n = pread(fd, text, sizeof text - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}

const char *cgroup_root_read(const char *root, const char *file)
{
	int fd = open_below(root, file, O_RDONLY);
	const char *text = read_at_start(fd);

	close(fd);
	return text;
}

void cgroup_root_write(const char *root, const char *file, const char *text)
{
	int fd = open_below(root, file, O_WRONLY);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

void cgroup_root_wait(const char *root, const char *file, const char *text)
{
	struct pollfd p = { .fd = open_below(root, file, O_RDONLY), .events = POLLPRI };

	while (!strstr(read_at_start(p.fd), text))
		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	close(p.fd);
}

static int thaw_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (type == FTW_D)
		cgroup_root_write(path, "cgroup.freeze", "0");
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	return type == FTW_DP ? rmdir(path) : 0;
}

void cgroup_root_free(char *root)
{
	if (!root)
		return;
	if (access(root, F_OK) == 0) {
		assert_int_equal(nftw(root, thaw_one, WALK_FDS, FTW_PHYS), 0);
		cgroup_root_wait(root, "cgroup.events", "populated 0\n");
		assert_int_equal(nftw(root, remove_one, WALK_FDS, FTW_DEPTH | FTW_PHYS), 0);
	}
	free(root);
}
