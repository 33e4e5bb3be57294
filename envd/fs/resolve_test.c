#include "fs/resolve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

struct fixture {
	char *top;  /* as it was made */
	char *real; /* and where that is */
	char path[4096], expected[4096];
};

static int setup(void **state)
{
	static struct fixture f;

	f.top = temp_dir_new();
	f.real = realpath(f.top, NULL);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	temp_dir_free(f->top);
	free(f->real);
	return 0;
}

static const char *in(struct fixture *f, const char *name)
{
	(void)snprintf(f->path, sizeof f->path, "%s/%s", f->top, name);
	return f->path;
}

static void make_dir(struct fixture *f, const char *name)
{
	assert_int_equal(mkdir(in(f, name), 0755), 0);
}

static void make_link(struct fixture *f, const char *name, const char *text)
{
	assert_int_equal(symlink(text, in(f, name)), 0);
}

/* name leads to expected, or fails there: both below the top. */
static void check(struct fixture *f, const char *name, int rc, const char *expected)
{
	CLEANUP(freep) char *out = NULL;

	assert_int_equal(resolve_path(in(f, name), &out), rc);
	(void)snprintf(f->expected, sizeof f->expected, "%s%s", f->real, expected);
	assert_string_equal(out, f->expected);
}

static void test_resolve_without_links_is_the_clean_path(void **state)
{
	struct fixture *f = *state;
	CLEANUP(freep) char *root = NULL;

	make_dir(f, "a");
	make_dir(f, "a/b");
	check(f, "a//./b/", 0, "/a/b");
	check(f, "a/b/../b/..", 0, "/a");
	assert_int_equal(resolve_path("/../..//", &root), 0);
	assert_string_equal(root, "/");
}

static void test_resolve_follows_links_in_any_part(void **state)
{
	struct fixture *f = *state;
	CLEANUP(freep) char *absolute = NULL;

	make_dir(f, "a");
	make_dir(f, "a/b");
	make_link(f, "to-a", "a");
	make_link(f, "a/up", "../to-a/b");
	absolute = temp_dir_path(f->top, "to-a");
	make_link(f, "absolute", absolute);
	check(f, "to-a/b", 0, "/a/b");
	check(f, "to-a/up", 0, "/a/b");
	check(f, "absolute/up/..", 0, "/a");
}

static void test_resolve_says_where_it_failed(void **state)
{
	struct fixture *f = *state;

	make_link(f, "dangling", "missing/x");
	make_link(f, "cycle", "cycle");
	free(temp_dir_file(f->top, "file", "", 0644));
	check(f, "none/x", -ENOENT, "/none");
	check(f, "dangling", -ENOENT, "/missing");
	check(f, "file", 0, "/file");
	check(f, "file/x", -ENOTDIR, "/file");
	check(f, "file/", -ENOTDIR, "/file");
	check(f, "cycle", -ELOOP, "/cycle");
}

/* l0 is a directory, each other one a link to the one before. */
static void test_resolve_follows_255_links_and_no_more(void **state)
{
	struct fixture *f = *state;
	char name[16], text[16];

	make_dir(f, "l0");
	for (unsigned i = 1; i <= RESOLVE_LINKS_MAX + 1; i++) {
		(void)snprintf(name, sizeof name, "l%u", i);
		(void)snprintf(text, sizeof text, "l%u", i - 1);
		make_link(f, name, text);
	}
	check(f, "l255", 0, "/l0");
	check(f, "l256", -ELOOP, "/l1");
}

static void test_resolve_a_name_that_is_too_long(void **state)
{
	struct fixture *f = *state;
	CLEANUP(freep) char *out = NULL;
	char *name = xcalloc(1, RESOLVE_PATH_MAX + 2);

	memset(name, 'x', 256);
	assert_int_equal(resolve_path(in(f, name), &out), -ENAMETOOLONG);
	free(TAKE_PTR(out));
	memset(name, 'x', RESOLVE_PATH_MAX + 1);
	name[0] = '/';
	assert_int_equal(resolve_path(name, &out), -ENAMETOOLONG);
	free(name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
		T(test_resolve_without_links_is_the_clean_path),
		T(test_resolve_follows_links_in_any_part),
		T(test_resolve_says_where_it_failed),
		T(test_resolve_follows_255_links_and_no_more),
		T(test_resolve_a_name_that_is_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
