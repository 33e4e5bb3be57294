#include "host/path.h"

#include <string.h>

#include "host/user.h"
#include "tests/support/test.h"

static void test_path_follows_the_common_rules(void **state)
{
	/* clang-format off */
	static const struct {
		const char *home, *workdir, *path, *expected;
	} rows[] = {
		{ "/h/u", NULL,    "",           "/h/u" },
		{ "/h/u", "/w",    "",           "/w" },
		{ "/h/u", "w",     "",           "/h/u/w" },
		{ "/h/u", "~/w/.", "",           "/h/u/w" },
		{ "/h/u", "",      "",           "/h/u" },
		{ "/h/u", "/w",    "x",          "/h/u/x" },
		{ "/h/u", NULL,    "a/../b",     "/h/u/b" },
		{ "/h/u", NULL,    "../../../x", "/x" },
		{ "/h/u", NULL,    "~",          "/h/u" },
		{ "/h/u", NULL,    "~/",         "/h/u" },
		{ "/h/u", NULL,    "~/a/../b",   "/h/u/b" },
		{ "/h/u", NULL,    "~\\a",       "/h/u/\\a" },
		{ "/h/u", NULL,    "a//b/./c/",  "/h/u/a/b/c" },
		{ "/h/u", NULL,    "..a/b..",    "/h/u/..a/b.." },
		{ "/h/u", NULL,    "/a//../b/",  "/a//../b/" },
		{ "/h/u", NULL,    "/",          "/" },
		{ "",        NULL,    "",           "/" },
		{ "",        NULL,    "x",          "/x" },
		{ "h",       NULL,    "~/x",        "/h/x" },
		{ "h",       NULL,    "x",          "/h/x" },
		{ "/",       NULL,    "x",          "/x" },
		{ "/h/u", NULL,    "../..",      "/" },
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(err_clear) struct err e = { 0 };
		CLEANUP(freep) char *home = strdup(rows[i].home);
		CLEANUP(freep) char *path = NULL;
		struct user user = { .name = home, .home = home };

		assert_int_equal(path_resolve(&user, rows[i].workdir, rows[i].path, &path, &e), 0);
		assert_string_equal(path, rows[i].expected);
	}
	UNUSED(state);
}

static void test_path_of_another_users_home_is_refused(void **state)
{
	char name[] = "u", home[] = "/h/u", *path = NULL;
	struct user user = { .name = name, .home = home };
	CLEANUP(err_clear) struct err e = { 0 };

	UNUSED(state);
	assert_int_equal(path_resolve(&user, NULL, "~root/x", &path, &e), -1);
	assert_null(path);
	assert_int_equal(e.kind, ERR_INVALID);
	assert_string_equal(err_text(&e),
	                    "failed to expand path '~root/x' for user 'u': cannot expand "
	                    "user-specific home dir");
	assert_int_equal(path_resolve(&user, "~x", "", &path, &e), -1);
}

static void check_parent(const char *path, const char *parent)
{
	CLEANUP(freep) char *found = path_parent(path);

	assert_string_equal(found, parent);
}

static void test_path_parent_is_clean_and_ignores_slashes_at_the_end(void **state)
{
	UNUSED(state);
	check_parent("/a/b", "/a");
	check_parent("/a/b//", "/a");
	check_parent("/a//./b/../c", "/a");
	check_parent("/a", "/");
	check_parent("/", "/");
	check_parent("/a/..", "/a");
}

static void test_path_clean_takes_dots_and_slashes_away(void **state)
{
	CLEANUP(freep) char *clean = path_clean("//a/./b/..//c/");
	CLEANUP(freep) char *root = path_clean("/..");

	UNUSED(state);
	assert_string_equal(clean, "/a/c");
	assert_string_equal(root, "/");
}

static void test_path_last_is_the_last_component_without_slashes(void **state)
{
	UNUSED(state);
	assert_true(span_equal(path_last("/a/bc"), "bc"));
	assert_true(span_equal(path_last("/a/bc//"), "bc"));
	assert_true(span_equal(path_last("/a"), "a"));
	assert_true(span_equal(path_last("/a/.."), ".."));
	assert_true(span_equal(path_last("/"), ""));
	assert_true(span_equal(path_last("//"), ""));
}

static void test_path_that_names_a_directory_says_so_at_its_end(void **state)
{
	UNUSED(state);
	assert_true(path_names_directory("/"));
	assert_true(path_names_directory("/a/"));
	assert_true(path_names_directory("/a/."));
	assert_true(path_names_directory("/a/.."));
	assert_false(path_names_directory("/a"));
	assert_false(path_names_directory("/a/..."));
	assert_false(path_names_directory("/a/.b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path_parent_is_clean_and_ignores_slashes_at_the_end),
		cmocka_unit_test(test_path_clean_takes_dots_and_slashes_away),
		cmocka_unit_test(test_path_last_is_the_last_component_without_slashes),
		cmocka_unit_test(test_path_that_names_a_directory_says_so_at_its_end),
		cmocka_unit_test(test_path_follows_the_common_rules),
		cmocka_unit_test(test_path_of_another_users_home_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
