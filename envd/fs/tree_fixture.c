#include "fs/tree_fixture.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "fs/remove.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

int tree_setup(void **state)
{
	struct tree *t = xcalloc(1, sizeof *t);
	CLEANUP(freep) char *dir = temp_dir_new();

	t->n_fds = test_fd_count();
	t->top = realpath(dir, NULL);
	assert_non_null(t->top);
	t->fd = open(t->top, DIR_FLAGS);
	assert_true(t->fd >= 0);
	*state = t;
	return 0;
}

int tree_teardown(void **state)
{
	struct tree *t = *state;
	CLEANUP(err_clear) struct err e = { 0 };

	close(t->fd);
	if (remove_tree(t->top, &e) < 0)
		fail_msg("%s", err_text(&e));
	assert_int_equal(test_fd_count(), t->n_fds);
	free(t->top);
	free(t);
	return 0;
}

const char *tree_in(struct tree *t, const char *name)
{
	(void)snprintf(t->path, sizeof t->path, "%s/%s", t->top, name);
	return t->path;
}

void tree_dir(struct tree *t, const char *name)
{
	assert_int_equal(mkdirat(t->fd, name, 0755), 0);
}

void tree_file(struct tree *t, const char *name, const char *text)
{
	tree_file_at(t->fd, name, text);
}

void tree_link(struct tree *t, const char *name, const char *text)
{
	assert_int_equal(symlinkat(text, t->fd, name), 0);
}

bool tree_has(struct tree *t, const char *name)
{
	struct stat st;

	return fstatat(t->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int tree_nested(int dir_fd, const char *name, unsigned n)
{
	int fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);

	for (unsigned i = 0; i < n; i++) {
		int above = fd;

		assert_int_equal(mkdirat(above, name, 0755), 0);
		fd = openat(above, name, DIR_FLAGS);
		assert_true(fd >= 0);
		close(above);
	}
	return fd;
}

void tree_file_at(int dir_fd, const char *name, const char *text)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

void tree_check_error(struct tree *t, struct err *e, enum err_kind kind, const char *format)
{
	CLEANUP(buf_deinit) struct buf text = { 0 };
	const char *at;

	buf_init(&text, 2 * ERR_TEXT_MAX);
	for (; (at = strstr(format, "%s")); format = at + 2) {
		buf_append(&text, format, (size_t)(at - format));
		buf_append_text(&text, t->top);
	}
	buf_append(&text, format, strlen(format) + 1);
	assert_string_equal(err_text(e), text.data);
	assert_int_equal(e->kind, kind);
	err_clear(e);
}
