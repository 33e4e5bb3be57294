#include "fs/names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "fs/tree_fixture.h"
#include "tests/support/test.h"

#define NAMES_MAX (1024u * 1024u) /* bytes */

static void read_sorted(struct tree *t, struct names *names)
{
	*names = (struct names){ 0 };
	assert_int_equal(names_read(names, t->fd, NAMES_MAX), 0);
	assert_int_equal(names_sort(names, NAMES_MAX), 0);
}

static void check_order(struct tree *t, const char *const *expected, size_t n)
{
	CLEANUP(names_deinit) struct names names;

	read_sorted(t, &names);
	assert_int_equal(names.n, n);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(names_next(&names, NULL), expected[i]);
	assert_null(names_next(&names, NULL));
}

static void test_names_are_in_the_order_of_their_bytes(void **state)
{
	static const char *const sorted[] = { "-",  ".a", "A",   "B",    "a",     "a-",
		                              "a.", "ab", "abc", "\x7f", "\x80x", "\xff" };
	struct tree *t = *state;

	for (size_t i = 0; i < ARRAY_SIZE(sorted); i++)
		tree_file(t, sorted[(i * 7) % ARRAY_SIZE(sorted)], "");
	check_order(t, sorted, ARRAY_SIZE(sorted));
}

/* All begin alike, one is the beginning of all, and eight bytes more do not decide. */
static void test_names_that_begin_alike_are_in_order(void **state)
{
	static const char *const sorted[] = { "prefix",           "prefix-00000000",
		                              "prefix-000000001", "prefix-000000002",
		                              "prefix-00000001",  "prefix-00000001a" };
	struct tree *t = *state;

	for (size_t i = ARRAY_SIZE(sorted); i-- > 0;)
		tree_file(t, sorted[i], "");
	check_order(t, sorted, ARRAY_SIZE(sorted));
}

static void test_names_of_an_empty_directory_are_none(void **state)
{
	check_order(*state, NULL, 0);
}

static void test_names_of_a_large_directory_are_all_there(void **state)
{
	CLEANUP(names_deinit) struct names names;
	struct tree *t = *state;
	char name[16];

	for (unsigned i = 0; i < 5000; i++) {
		(void)snprintf(name, sizeof name, "%u", (i * 7919) % 5000);
		tree_file(t, name, "");
	}
	read_sorted(t, &names);
	assert_int_equal(names.n, 5000);
	(void)snprintf(name, sizeof name, "%s", names_next(&names, NULL));
	for (unsigned i = 1; i < 5000; i++) {
		const char *next = names_next(&names, NULL);

		assert_true(strcmp(name, next) < 0);
		(void)snprintf(name, sizeof name, "%s", next);
	}
}

static void test_names_have_types_and_need_no_order(void **state)
{
	CLEANUP(names_deinit) struct names names = { 0 };
	struct tree *t = *state;
	const char *name;
	unsigned char type;
	unsigned n = 0;

	tree_file(t, "f", "");
	tree_dir(t, "d");
	tree_link(t, "l", "f");
	assert_int_equal(names_read(&names, t->fd, NAMES_MAX), 0);
	for (; (name = names_next(&names, &type)); n++) {
		if (type != DT_UNKNOWN)
			assert_int_equal(type, *name == 'f'   ? DT_REG
			                       : *name == 'd' ? DT_DIR
			                                      : DT_LNK);
	}
	assert_int_equal(n, 3);
}

static void test_names_that_take_too_much_are_refused(void **state)
{
	CLEANUP(names_deinit) struct names names = { 0 };
	struct tree *t = *state;

	tree_file(t, "aaaa", "");
	tree_file(t, "bbbb", "");
	assert_int_equal(names_read(&names, t->fd, 11), -ENOBUFS);
	assert_true(names_memory(&names) <= 11);
}

/* Short names take less than what puts them into order. */
static void test_names_whose_order_takes_too_much_are_refused(void **state)
{
	CLEANUP(names_deinit) struct names names = { 0 };
	struct tree *t = *state;

	tree_file(t, "a", "");
	tree_file(t, "b", "");
	assert_int_equal(names_read(&names, t->fd, 64), 0);
	assert_int_equal(names_sort(&names, 64), -ENOBUFS);
	assert_int_equal(names_sort(&names, 128), 0);
	assert_string_equal(names_next(&names, NULL), "a");
}

#define N_LONG     2000u                                     /* names, */
#define LONG_BYTES 240u                                      /* each of so many bytes */
#define N_HELD     (NAMES_TOTAL_MAX / (N_LONG * LONG_BYTES)) /* more than fit */

static void make_long_names(struct tree *t, const char *dir)
{
	char name[LONG_BYTES];

	tree_dir(t, dir);
	for (unsigned i = 0; i < N_LONG; i++) {
		int len = snprintf(name, sizeof name, "%s/%0200u-", dir, i);

		memset(name + len, 'x', sizeof name - 1 - (size_t)len);
		name[sizeof name - 1] = '\0';
		tree_file(t, name, "");
	}
}

static int read_again(struct names *names, int dir_fd)
{
	int rc;

	assert_int_equal(lseek(dir_fd, 0, SEEK_SET), 0);
	rc = names_read(names, dir_fd, NAMES_MAX);
	return rc < 0 ? rc : names_sort(names, NAMES_MAX);
}

static void test_names_of_all_who_read_have_a_limit(void **state)
{
	CLEANUP(freep) struct names *held = xcalloc(N_HELD, sizeof *held);
	CLEANUP(names_deinit) struct names small = { 0 };
	struct tree *t = *state;
	CLEANUP(close_fdp) int fd = -1;
	unsigned n = 0;
	int rc = 0;

	make_long_names(t, "d");
	fd = open(tree_in(t, "d"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while (n < N_HELD && (rc = read_again(&held[n], fd)) == 0)
		n++;
	assert_int_equal(rc, -ENOBUFS);
	assert_in_range(names_charged(), NAMES_TOTAL_MAX / 2, NAMES_TOTAL_MAX);
	assert_int_equal(read_again(&small, t->fd), 0);
	for (unsigned i = 0; i < N_HELD; i++)
		names_deinit(&held[i]);
	assert_int_equal(names_charged(), 0);
}

static void test_names_of_what_is_no_directory_fail(void **state)
{
	CLEANUP(names_deinit) struct names names = { 0 };

	(void)state;
	assert_int_equal(names_read(&names, STDIN_FILENO, NAMES_MAX), -ENOTDIR);
}

static void test_names_every_allocation_failure_is_said(void **state)
{
	struct tree *t = *state;

	tree_file(t, "a", "");
	tree_file(t, "b", "");
	for (unsigned nth = 1;; nth++) {
		CLEANUP(names_deinit) struct names names = { 0 };
		int rc;

		assert_int_equal(lseek(t->fd, 0, SEEK_SET), 0);
		(void)mem_fail_nth(nth);
		rc = names_read(&names, t->fd, NAMES_MAX);
		if (rc == 0)
			rc = names_sort(&names, NAMES_MAX);
		if (!mem_fail_nth(0)) {
			assert_int_equal(rc, 0);
			return;
		}
		assert_int_equal(rc, -ENOMEM);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, tree_setup, tree_teardown)
		T(test_names_are_in_the_order_of_their_bytes),
		T(test_names_that_begin_alike_are_in_order),
		T(test_names_of_an_empty_directory_are_none),
		T(test_names_of_a_large_directory_are_all_there),
		T(test_names_have_types_and_need_no_order),
		T(test_names_that_take_too_much_are_refused),
		T(test_names_whose_order_takes_too_much_are_refused),
		T(test_names_of_all_who_read_have_a_limit),
		T(test_names_of_what_is_no_directory_fail),
		T(test_names_every_allocation_failure_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
