#include "fs/descent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/tree_fixture.h"
#include "tests/support/test.h"

#define DEPTH (3u * DESCENT_OPEN_MAX)

static void begin(struct tree *t, struct descent *d)
{
	*d = (struct descent){ 0 };
	assert_int_equal(descent_init(d, t->fd), 0);
}

static ino_t inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static void check_path(const struct descent *d, const char *path)
{
	CLEANUP(buf_deinit) struct buf out = { 0 };

	buf_init(&out, TREE_PATH_MAX);
	descent_append_path(d, &out);
	buf_append_byte(&out, '\0');
	assert_string_equal(out.data, path);
}

static void test_descent_goes_down_and_back_with_few_descriptors(void **state)
{
	struct tree *t = *state;
	struct descent d;
	ino_t inodes[DEPTH + 1];
	unsigned n_fds;

	close(tree_nested(t->fd, "n", DEPTH));
	n_fds = test_fd_count();
	begin(t, &d);
	for (unsigned i = 0; i < DEPTH; i++) {
		inodes[i] = inode_of(descent_fd(&d));
		assert_int_equal(descent_enter(&d, "n"), 0);
		assert_true(test_fd_count() <= n_fds + DESCENT_OPEN_MAX + 1);
	}
	for (unsigned i = DEPTH; i-- > 0;) {
		assert_int_equal(descent_leave(&d), 0);
		assert_int_equal(inode_of(descent_fd(&d)), inodes[i]);
		assert_true(test_fd_count() <= n_fds + DESCENT_OPEN_MAX + 1);
	}
	assert_int_equal(descent_depth(&d), 0);
	descent_deinit(&d);
}

static void test_descent_knows_the_way_it_came(void **state)
{
	struct tree *t = *state;
	struct descent d;

	tree_dir(t, "a");
	tree_dir(t, "a/b");
	begin(t, &d);
	check_path(&d, "");
	assert_int_equal(descent_enter(&d, "a"), 0);
	assert_int_equal(descent_enter(&d, "b"), 0);
	check_path(&d, "a/b");
	assert_string_equal(descent_name(&d), "b");
	assert_int_equal(descent_leave(&d), 0);
	check_path(&d, "a");
	descent_deinit(&d);
}

static void test_descent_enters_nothing_but_directories(void **state)
{
	struct tree *t = *state;
	struct descent d;

	tree_file(t, "file", "");
	tree_link(t, "link", ".");
	assert_int_equal(mkfifo(tree_in(t, "fifo"), 0600), 0);
	begin(t, &d);
	assert_int_equal(descent_enter(&d, "file"), -ENOTDIR);
	assert_int_equal(descent_enter(&d, "fifo"), -ENOTDIR);
	assert_int_equal(descent_enter(&d, "link"), -ENOTDIR);
	assert_int_equal(descent_enter(&d, "none"), -ENOENT);
	assert_int_equal(descent_depth(&d), 0);
	descent_deinit(&d);
}

static void go_down(struct tree *t, struct descent *d)
{
	close(tree_nested(t->fd, "n", DEPTH));
	begin(t, d);
	for (unsigned i = 0; i < DEPTH; i++)
		assert_int_equal(descent_enter(d, "n"), 0);
}

/* Those that are open stay open; the one above them is found by the names from the top. */
static void test_descent_finds_back_from_what_was_moved_away(void **state)
{
	struct tree *t = *state;
	char from[2 * (DEPTH - DESCENT_OPEN_MAX + 1)];
	struct descent d;

	go_down(t, &d);
	for (size_t i = 0; i < sizeof from; i++)
		from[i] = i % 2 ? '/' : 'n';
	from[sizeof from - 1] = '\0';
	/* The outermost of those that are open. */
	assert_int_equal(renameat(t->fd, from, t->fd, "elsewhere"), 0);
	for (unsigned i = 0; i < DEPTH; i++)
		assert_int_equal(descent_leave(&d), 0);
	assert_int_equal(inode_of(descent_fd(&d)), inode_of(t->fd));
	descent_deinit(&d);
}

static void test_descent_never_takes_another_directory_for_the_one_above(void **state)
{
	struct tree *t = *state;
	unsigned n_stale = 0;
	struct descent d;

	go_down(t, &d);
	assert_int_equal(renameat(t->fd, "n/n", t->fd, "moved"), 0);
	tree_dir(t, "n/n");
	assert_int_equal(renameat(t->fd, "moved/n", t->fd, "n/n/n"), 0);
	/* The third level is now in another second one. */
	for (unsigned i = 0; i < DEPTH; i++) {
		if (descent_leave(&d) == 0)
			continue;
		assert_int_equal(descent_fd(&d), -1);
		assert_int_equal(descent_depth(&d), 2);
		n_stale++;
	}
	assert_int_equal(n_stale, 1);
	assert_int_equal(inode_of(descent_fd(&d)), inode_of(t->fd));
	descent_deinit(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, tree_setup, tree_teardown)
		T(test_descent_goes_down_and_back_with_few_descriptors),
		T(test_descent_knows_the_way_it_came),
		T(test_descent_enters_nothing_but_directories),
		T(test_descent_finds_back_from_what_was_moved_away),
		T(test_descent_never_takes_another_directory_for_the_one_above),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
