#include "fs/place.h"

#include <errno.h>
#include <sys/stat.h>

#include "fs/tree_fixture.h"
#include "tests/support/test.h"

static void test_place_is_the_last_part_in_its_directory(void **state)
{
	struct tree *t = *state;
	struct place p = { .fd = -1 };
	struct stat dir, top;

	assert_int_equal(place_open(&p, tree_in(t, "name")), 0);
	assert_string_equal(p.dir, t->top);
	assert_string_equal(p.name, "name");
	assert_false(p.has_slash);
	assert_int_equal(fstat(p.fd, &dir), 0);
	assert_int_equal(fstat(t->fd, &top), 0);
	assert_int_equal(dir.st_ino, top.st_ino);
	place_deinit(&p);
	place_deinit(&p);
	assert_int_equal(place_open(&p, tree_in(t, "name//")), 0);
	assert_string_equal(p.name, "name");
	assert_true(p.has_slash);
	place_deinit(&p);
	assert_int_equal(place_open(&p, "/name"), 0);
	assert_string_equal(p.dir, "/");
	place_deinit(&p);
}

static void test_place_without_a_name_or_a_directory_is_refused(void **state)
{
	static const struct {
		const char *path;
		int rc;
	} cases[] = {
		{ ".", -EBUSY },          { "..", -EBUSY },       { "d/./", -EBUSY },
		{ "missing/x", -ENOENT }, { "file/x", -ENOTDIR },
	};
	struct tree *t = *state;
	struct place p = { .fd = -1 };

	tree_file(t, "file", "");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(place_open(&p, tree_in(t, cases[i].path)), cases[i].rc);
		place_deinit(&p);
	}
	assert_int_equal(place_open(&p, "//"), -EBUSY);
	place_deinit(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, tree_setup, tree_teardown)
		T(test_place_is_the_last_part_in_its_directory),
		T(test_place_without_a_name_or_a_directory_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
