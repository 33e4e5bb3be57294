#include "fs/remove.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "fs/descent.h"
#include "fs/tree_fixture.h"
#include "tests/support/test.h"

static void check_removes(struct tree *t, const char *name)
{
	CLEANUP(err_clear) struct err e = { 0 };

	if (remove_tree(tree_in(t, name), &e) < 0)
		fail_msg("%s", err_text(&e));
}

static void check_refuses(struct tree *t, const char *name, const char *format)
{
	struct err e = { 0 };

	assert_int_equal(remove_tree(tree_in(t, name), &e), -1);
	tree_check_error(t, &e, ERR_INTERNAL, format);
}

static void test_remove_takes_files_trees_and_what_is_missing(void **state)
{
	struct tree *t = *state;

	tree_file(t, "file", "x");
	tree_dir(t, "d");
	tree_dir(t, "d/e");
	tree_file(t, "d/e/f", "x");
	assert_int_equal(mkfifo(tree_in(t, "d/fifo"), 0600), 0);
	check_removes(t, "file");
	check_removes(t, "d");
	check_removes(t, "missing");
	check_removes(t, "missing/too");
	assert_false(tree_has(t, "file") || tree_has(t, "d"));
}

static void test_remove_ignores_slashes_at_the_end(void **state)
{
	struct tree *t = *state;

	tree_file(t, "file", "x");
	tree_dir(t, "d");
	check_removes(t, "file/");
	check_removes(t, "/d///");
	assert_false(tree_has(t, "file") || tree_has(t, "d"));
}

static void test_remove_takes_links_and_leaves_what_they_lead_to(void **state)
{
	struct tree *t = *state;

	tree_dir(t, "kept");
	tree_file(t, "kept/file", "x");
	tree_dir(t, "d");
	tree_link(t, "d/link", "../kept");
	tree_link(t, "link", "kept");
	check_removes(t, "d");
	check_removes(t, "link/");
	assert_false(tree_has(t, "d") || tree_has(t, "link"));
	assert_true(tree_has(t, "kept/file"));
}

static void test_remove_refuses_dots_and_removes_nothing(void **state)
{
	struct tree *t = *state;

	tree_dir(t, "d");
	tree_dir(t, "d/e");
	check_refuses(t, "d/.", "RemoveAll %s/d/.: invalid argument");
	check_refuses(t, "d/.//", "RemoveAll %s/d/.//: invalid argument");
	check_refuses(t, "d/e/..", "RemoveAll %s/d/e/..: invalid argument");
	assert_true(tree_has(t, "d/e"));
	tree_dir(t, "...");
	check_removes(t, "...");
	assert_false(tree_has(t, "..."));
}

static void test_remove_behind_a_file_says_so(void **state)
{
	struct tree *t = *state;

	tree_file(t, "file", "x");
	check_refuses(t, "file/x", "unlinkat %s/file/x: not a directory");
	check_refuses(t, "file/x/y", "open %s/file/x: not a directory");
}

static void test_remove_behind_a_fifo_does_not_wait_for_a_writer(void **state)
{
	struct tree *t = *state;

	assert_int_equal(mkfifo(tree_in(t, "fifo"), 0600), 0);
	check_refuses(t, "fifo/x", "unlinkat %s/fifo/x: not a directory");
}

static void test_remove_of_a_name_that_is_too_long(void **state)
{
	struct tree *t = *state;
	struct err e = { 0 };
	char name[257];

	memset(name, 'x', 256);
	name[256] = '\0';
	assert_int_equal(remove_tree(tree_in(t, name), &e), -1);
	assert_non_null(strstr(err_text(&e), "unlinkat /"));
	assert_non_null(strstr(err_text(&e), "xxx: file name too long"));
	err_clear(&e);
}

static void test_remove_takes_names_of_any_byte(void **state)
{
	struct tree *t = *state;
	char name[3] = "d";

	tree_dir(t, "top");
	for (unsigned c = 1; c < 256; c++) {
		CLEANUP(freep) char *path = NULL;

		name[1] = (char)c;
		if (c == '/')
			continue;
		assert_true(asprintf(&path, "top/%s", name) > 0);
		if (c % 2)
			tree_dir(t, path);
		else
			tree_file(t, path, "");
	}
	check_removes(t, "top");
	assert_false(tree_has(t, "top"));
}

/* More than a descent keeps open, and a path far longer than the kernel takes. */
static void test_remove_of_a_deep_tree_needs_few_descriptors(void **state)
{
	struct tree *t = *state;
	struct rlimit before, few;
	char name[101] = { 0 };
	int fd;

	memset(name, 'n', 100);
	fd = tree_nested(t->fd, name, 3000);
	tree_file_at(fd, "file", "x");
	close(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = t->n_fds + DESCENT_OPEN_MAX + 8;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	check_removes(t, name);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_false(tree_has(t, name));
}

/* Directories beside each other on each level: all of them are gone back to. */
static void make_bush(int dir_fd, unsigned depth)
{
	static const char *const names[] = { "a", "b" };

	tree_file_at(dir_fd, "file", "x");
	if (depth == 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int fd = tree_nested(dir_fd, names[i], depth % 2 ? 1 : DESCENT_OPEN_MAX);

		make_bush(fd, depth - 1);
		close(fd);
	}
}

static void test_remove_of_a_tree_that_is_deep_and_wide(void **state)
{
	struct tree *t = *state;
	int fd;

	tree_dir(t, "d");
	fd = openat(t->fd, "d", O_RDONLY | O_CLOEXEC);
	make_bush(fd, 6);
	close(fd);
	check_removes(t, "d");
	assert_false(tree_has(t, "d"));
}

/* More names of directories than one batch holds. */
static void test_remove_of_many_directories_takes_several_passes(void **state)
{
	struct tree *t = *state;
	const unsigned n = 2 * REMOVE_BATCH_MAX / 100;
	char name[128];

	tree_dir(t, "d");
	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(name, sizeof name, "d/%0100u", i);
		tree_dir(t, name);
	}
	check_removes(t, "d");
	assert_false(tree_has(t, "d"));
}

static void test_remove_of_a_mount_point_is_busy_and_all_else_goes(void **state)
{
	struct tree *t = *state;

	tree_dir(t, "d");
	tree_dir(t, "d/a");
	tree_dir(t, "d/a/mount");
	tree_file(t, "d/b", "x");
	tree_dir(t, "d/z");
	if (!tree_mount(t, "d/a/mount", "64k"))
		skip();
	tree_file(t, "d/a/mount/file", "x");
	check_refuses(t, "d", "unlinkat %s/d/a/mount: device or resource busy");
	assert_false(tree_has(t, "d/b") || tree_has(t, "d/z") || tree_has(t, "d/a/mount/file"));
	tree_unmount(t, "d/a/mount");
	check_removes(t, "d");
	assert_false(tree_has(t, "d"));
}

/* In a root directory of its own. */
static void remove_own_root(struct tree *t)
{
	struct err e = { 0 };

	if (chroot(t->top) < 0 || chdir("/") < 0)
		_exit(77);
	if (remove_tree("/", &e) == 0)
		_exit(1);
	_exit(access("/file", F_OK) == 0 || access("/d", F_OK) == 0 ? 2 : 0);
}

static void test_remove_of_the_root_empties_it(void **state)
{
	struct tree *t = *state;
	int status = 0;
	pid_t pid;

	tree_file(t, "file", "x");
	tree_dir(t, "d");
	tree_file(t, "d/file", "x");
	pid = fork();
	if (pid == 0)
		remove_own_root(t);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("cannot change the root directory: skipped\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---------------------------------------------------------------- with others at work */

struct rival {
	pthread_t thread;
	struct tree *t;
	const char *name;
};

static void *rival_run(void *arg)
{
	struct rival *r = arg;
	CLEANUP(err_clear) struct err e = { 0 };
	CLEANUP(freep) char *path = NULL;

	if (asprintf(&path, "%s/%s", r->t->top, r->name) < 0)
		return arg;
	return remove_tree(path, &e) < 0 ? arg : NULL;
}

/* Neither finds fault with what the other one took. */
static void test_remove_by_several_at_once_succeeds_for_all(void **state)
{
	struct tree *t = *state;
	struct rival rivals[4];
	int fd;

	tree_dir(t, "d");
	fd = openat(t->fd, "d", O_RDONLY | O_CLOEXEC);
	make_bush(fd, 6);
	close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(rivals); i++) {
		rivals[i] = (struct rival){ .t = t, .name = "d" };
		assert_int_equal(pthread_create(&rivals[i].thread, NULL, rival_run, &rivals[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(rivals); i++) {
		void *failed;

		pthread_join(rivals[i].thread, &failed);
		assert_null(failed);
	}
	assert_false(tree_has(t, "d"));
}

struct swapper {
	pthread_t thread;
	struct tree *t;
	atomic_bool is_over;
};

/* Now a directory, now a link to one that must stay. */
static void *swapper_run(void *arg)
{
	struct swapper *s = arg;

	while (!atomic_load(&s->is_over)) {
		(void)!mkdirat(s->t->fd, "d", 0755);
		(void)!mkdirat(s->t->fd, "d/sub", 0755);
		(void)!symlinkat("../kept", s->t->fd, "d/link");
		(void)!renameat(s->t->fd, "d/sub", s->t->fd, "d/moved");
		(void)!symlinkat("../../kept", s->t->fd, "d/sub");
	}
	return NULL;
}

static void test_remove_never_follows_a_link_that_takes_the_place_of_a_directory(void **state)
{
	struct tree *t = *state;
	struct swapper s = { .t = t };

	tree_dir(t, "kept");
	tree_file(t, "kept/file", "x");
	assert_int_equal(pthread_create(&s.thread, NULL, swapper_run, &s), 0);
	for (unsigned i = 0; i < 300; i++) {
		CLEANUP(err_clear) struct err e = { 0 };

		/* The other one may win. */
		(void)!remove_tree(tree_in(t, "d"), &e);
		assert_true(tree_has(t, "kept/file"));
	}
	atomic_store(&s.is_over, true);
	pthread_join(s.thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, tree_setup, tree_teardown)
		T(test_remove_takes_files_trees_and_what_is_missing),
		T(test_remove_ignores_slashes_at_the_end),
		T(test_remove_takes_links_and_leaves_what_they_lead_to),
		T(test_remove_refuses_dots_and_removes_nothing),
		T(test_remove_behind_a_file_says_so),
		T(test_remove_behind_a_fifo_does_not_wait_for_a_writer),
		T(test_remove_of_a_name_that_is_too_long),
		T(test_remove_takes_names_of_any_byte),
		T(test_remove_of_a_deep_tree_needs_few_descriptors),
		T(test_remove_of_a_tree_that_is_deep_and_wide),
		T(test_remove_of_many_directories_takes_several_passes),
		T(test_remove_of_a_mount_point_is_busy_and_all_else_goes),
		T(test_remove_of_the_root_empties_it),
		T(test_remove_by_several_at_once_succeeds_for_all),
		T(test_remove_never_follows_a_link_that_takes_the_place_of_a_directory),
	};

	(void)tree_own_mounts();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
