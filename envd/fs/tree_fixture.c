#include "fs/tree_fixture.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "fs/names.h"
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

/* ---------------------------------------------------------------- mounts */

bool tree_own_mounts(void)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

bool tree_mount(struct tree *t, const char *name, const char *size)
{
	CLEANUP(freep) char *options = NULL;

	assert_true(asprintf(&options, "size=%s", size) > 0);
	if (mount("none", tree_in(t, name), "tmpfs", 0, options) == 0)
		return true;
	print_message("cannot mount a file system: skipped\n");
	return false;
}

void tree_unmount(struct tree *t, const char *name)
{
	assert_int_equal(umount(tree_in(t, name)), 0);
}

/* ---------------------------------------------------------------- comparison */

static void check_same_stat(const struct stat *a, const struct stat *b)
{
	assert_int_equal(a->st_mode, b->st_mode);
	assert_int_equal(a->st_uid, b->st_uid);
	assert_int_equal(a->st_gid, b->st_gid);
	assert_int_equal(a->st_rdev, b->st_rdev);
	assert_int_equal(a->st_mtim.tv_sec, b->st_mtim.tv_sec);
	assert_int_equal(a->st_mtim.tv_nsec, b->st_mtim.tv_nsec);
	if (!S_ISDIR(a->st_mode)) {
		assert_int_equal(a->st_size, b->st_size);
		assert_int_equal(a->st_nlink, b->st_nlink);
	}
}

static void check_same_link(int a_dir, const char *a, int b_dir, const char *b)
{
	char a_text[PATH_MAX] = { 0 }, b_text[PATH_MAX] = { 0 };

	assert_true(readlinkat(a_dir, a, a_text, sizeof a_text - 1) > 0);
	assert_true(readlinkat(b_dir, b, b_text, sizeof b_text - 1) > 0);
	assert_string_equal(a_text, b_text);
}

static void check_same_xattrs(int a, int b)
{
	char names[4096], a_value[4096], b_value[4096];
	ssize_t len = flistxattr(a, names, sizeof names);

	assert_int_equal(flistxattr(b, NULL, 0), len);
	for (ssize_t at = 0; at < len; at += (ssize_t)strlen(names + at) + 1) {
		ssize_t n = fgetxattr(a, names + at, a_value, sizeof a_value);

		assert_true(n >= 0);
		assert_int_equal(fgetxattr(b, names + at, b_value, sizeof b_value), n);
		assert_memory_equal(a_value, b_value, (size_t)n);
	}
}

static void check_same_content(int a, int b)
{
	char a_bytes[65536], b_bytes[65536];
	ssize_t n;

	while ((n = read(a, a_bytes, sizeof a_bytes)) > 0) {
		assert_int_equal(read(b, b_bytes, sizeof b_bytes), n);
		assert_memory_equal(a_bytes, b_bytes, (size_t)n);
	}
	assert_int_equal(n, 0);
	assert_int_equal(read(b, b_bytes, sizeof b_bytes), 0);
}

static void check_same_entries(int a, int b)
{
	CLEANUP(names_deinit) struct names a_names = { 0 };
	CLEANUP(names_deinit) struct names b_names = { 0 };
	const char *name;

	assert_int_equal(names_read(&a_names, a, 1u << 20), 0);
	assert_int_equal(names_read(&b_names, b, 1u << 20), 0);
	assert_int_equal(a_names.n, b_names.n);
	while ((name = names_next(&a_names, NULL)))
		tree_check_same(a, name, b, name);
}

void tree_check_same(int dir_fd, const char *name, int other_dir_fd, const char *other_name)
{
	CLEANUP(close_fdp) int a = -1;
	CLEANUP(close_fdp) int b = -1;
	struct stat st, other;

	assert_int_equal(fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(fstatat(other_dir_fd, other_name, &other, AT_SYMLINK_NOFOLLOW), 0);
	check_same_stat(&st, &other);
	if (S_ISLNK(st.st_mode))
		check_same_link(dir_fd, name, other_dir_fd, other_name);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return;
	a = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	b = openat(other_dir_fd, other_name, O_RDONLY | O_CLOEXEC);
	assert_true(a >= 0 && b >= 0);
	check_same_xattrs(a, b);
	if (S_ISDIR(st.st_mode))
		check_same_entries(a, b);
	else
		check_same_content(a, b);
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
