#include "fs/xattrs.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/tree_fixture.h"
#include "tests/support/test.h"

#define NAME "user.changing"

/* What somebody makes of a value before its length is asked for, and after; -1: nobody does. */
static ssize_t becomes_before, becomes_after;

static void become(int fd, const char *name, ssize_t *len)
{
	char value[4000];

	if (*len < 0)
		return;
	memset(value, 'x', sizeof value);
	assert_int_equal(fsetxattr(fd, name, value, (size_t)*len, 0), 0);
	*len = -1;
}

/* In front of the C library's. */
ssize_t fgetxattr(int fd, const char *name, void *value, size_t size)
{
	typedef ssize_t get_function(int, const char *, void *, size_t);
	get_function *get;
	ssize_t len;
	int error;

	*(void **)&get = dlsym(RTLD_NEXT, "fgetxattr");
	if (size == 0)
		become(fd, name, &becomes_before);
	len = get(fd, name, value, size);
	error = errno;
	if (size == 0)
		become(fd, name, &becomes_after);
	errno = error;
	return len;
}

/* rc of a copy of a long value that becomes so long, and what the other file has then; -1: nothing. */
static int copy_changing(struct tree *t, ssize_t before, ssize_t after, ssize_t *out_len)
{
	char value[4000] = { 0 };
	int from, to, rc;

	tree_file(t, "from", "");
	tree_file(t, "to", "");
	from = openat(t->fd, "from", O_RDWR | O_CLOEXEC);
	to = openat(t->fd, "to", O_RDWR | O_CLOEXEC);
	assert_true(from >= 0 && to >= 0);
	assert_int_equal(fsetxattr(from, NAME, value, 2000, 0), 0);
	becomes_before = before;
	becomes_after = after;
	rc = xattrs_copy(from, to);
	becomes_before = becomes_after = -1;
	*out_len = fgetxattr(to, NAME, value, sizeof value);
	close(from);
	close(to);
	return rc;
}

static void test_xattrs_value_that_shrinks_is_copied_as_it_is(void **state)
{
	ssize_t len;

	assert_int_equal(copy_changing(*state, 10, -1, &len), 0);
	assert_int_equal(len, 10);
}

/* With no room, the kernel tells the length once more, and nothing is to be taken for it. */
static void test_xattrs_value_that_grows_refuses_the_copy(void **state)
{
	static const ssize_t before[] = { -1, 0, 1 };
	ssize_t len;

	for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
		assert_int_equal(copy_changing(*state, before[i], 3000, &len), -ERANGE);
		assert_int_equal(len, -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, tree_setup, tree_teardown)
		T(test_xattrs_value_that_shrinks_is_copied_as_it_is),
		T(test_xattrs_value_that_grows_refuses_the_copy),
	};

	becomes_before = becomes_after = -1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
