#include "tests/support/inotify_queue.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/macros.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

static bool is_inotify(int dir_fd, const char *number)
{
	char target[64];
	ssize_t len = readlinkat(dir_fd, number, target, sizeof target - 1);

	if (len < 0)
		return false;
	target[len] = '\0';
	return strcmp(target, "anon_inode:inotify") == 0;
}

static bool has_queued(void *arg)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	int n_bytes = 0;

	UNUSED(arg);
	assert_non_null(dir);
	while (n_bytes == 0 && (entry = readdir(dir))) {
		if (is_inotify(dirfd(dir), entry->d_name))
			assert_int_equal(
				ioctl((int)strtol(entry->d_name, NULL, 10), FIONREAD, &n_bytes), 0);
	}
	closedir(dir);
	return n_bytes > 0;
}

void inotify_queue_run(struct loop *loop)
{
	loop_fixture_run_while(loop, has_queued, NULL);
	loop_fixture_turn(loop, 4);
}
