#include "tests/support/temp_dir.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/support/test.h"

#define WALK_FDS 8 /* descriptors that the walk keeps open at once */

char *temp_dir_path(const char *dir, const char *name)
{
	size_t size = strlen(dir) + 1 + strlen(name) + 1;
	char *path = xmalloc(size);

	snprintf(path, size, "%s/%s", dir, name);
	return path;
}

char *temp_dir_new(void)
{
	const char *top = getenv("TMPDIR");
	char *dir = temp_dir_path(top ? top : "/tmp", "envd-test-XXXXXX");

	assert_non_null(mkdtemp(dir));
	return dir;
}

char *temp_dir_file(const char *dir, const char *name, const char *text, mode_t mode)
{
	char *path = temp_dir_path(dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0); /* open's mode is subject to the umask */
	close(fd);
	return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void temp_dir_free(char *dir)
{
	if (!dir)
		return;
	assert_int_equal(nftw(dir, remove_one, WALK_FDS, FTW_DEPTH | FTW_PHYS), 0);
	free(dir);
}
