#include "fs/make_dir.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/tree_fixture.h"
#include "tests/support/test.h"

static void check_refused(struct tree *t, const char *name, enum err_kind kind, const char *format)
{
	struct err e = { 0 };

	assert_int_equal(make_dir(tree_in(t, name), 1, 2, &e), -1);
	tree_check_error(t, &e, kind, format);
}

static void test_make_dir_makes_parents_too_for_the_user(void **state)
{
	struct tree *t = *state;
	struct err e = { 0 };
	struct stat st;

	if (geteuid() != 0)
		skip();
	assert_int_equal(make_dir(tree_in(t, "a/b//c/"), 1, 2, &e), 0);
	assert_int_equal(stat(tree_in(t, "a/b"), &st), 0);
	assert_int_equal(st.st_uid, 1);
	assert_int_equal(st.st_gid, 2);
	assert_true(tree_has(t, "a/b/c"));
}

static void test_make_dir_refuses_what_is_there(void **state)
{
	struct tree *t = *state;

	tree_dir(t, "d");
	tree_file(t, "file", "");
	tree_link(t, "link", "d");
	tree_link(t, "dangling", "missing");
	check_refused(t, "d/", ERR_EXISTS, "directory already exists: %s/d/");
	check_refused(t, "link", ERR_EXISTS, "directory already exists: %s/link");
	check_refused(t, "file", ERR_INVALID,
	              "path already exists but it is not a directory: %s/file");
	check_refused(t, "file/x", ERR_INTERNAL,
	              "error getting file info: stat %s/file/x: not a directory");
	check_refused(t, "dangling", ERR_INTERNAL,
	              "failed to chown directory: chown %s/dangling: no such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, tree_setup, tree_teardown)
		T(test_make_dir_makes_parents_too_for_the_user),
		T(test_make_dir_refuses_what_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
