#include "fs/copy_data.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "fs/tree_fixture.h"
#include "tests/support/test.h"

#define MIB (1024 * 1024)

static int open_new(struct tree *t, const char *name)
{
	int fd = openat(t->fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	return fd;
}

static void put(int fd, const char *text, off_t at)
{
	assert_int_equal(pwrite(fd, text, strlen(text), at), strlen(text));
}

static off_t size_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_size;
}

static void check_text(int fd, const char *text, off_t at)
{
	char found[4096] = { 0 };

	assert_int_equal(pread(fd, found, strlen(text), at), strlen(text));
	assert_string_equal(found, text);
}

static void test_copy_data_by_each_way_is_the_same(void **state)
{
	static const char *const names[] = { "range", "sendfile", "buffer" };
	struct tree *t = *state;
	int from = open_new(t, "from");

	assert_int_equal(ftruncate(from, 9 * MIB), 0);
	put(from, "begin", 0);
	put(from, "middle", 5 * MIB - 3);
	put(from, "end", 9 * MIB - 3);
	for (unsigned way = COPY_BY_RANGE; way <= COPY_BY_BUFFER; way++) {
		int to = open_new(t, names[way]);
		struct copy_data c = { .from_fd = from, .to_fd = to, .way = way };
		uint64_t copied = 0;

		assert_int_equal(copy_data_range(&c, 0, 0, UINT64_MAX, &copied), 0);
		assert_int_equal(copied, 9 * MIB);
		assert_int_equal(size_of(to), 9 * MIB);
		check_text(to, "begin", 0);
		check_text(to, "middle", 5 * MIB - 3);
		check_text(to, "end", 9 * MIB - 3);
		close(to);
	}
	close(from);
}

static void test_copy_data_of_a_part_goes_where_it_is_told(void **state)
{
	struct tree *t = *state;
	int from = open_new(t, "from"), to = open_new(t, "to");
	struct copy_data c = { .from_fd = from, .to_fd = to };
	uint64_t copied = 0;

	put(from, "0123456789", 0);
	put(to, "abcdefghij", 0);
	assert_int_equal(copy_data_range(&c, 2, 5, 3, &copied), 0);
	assert_int_equal(copied, 3);
	check_text(to, "abcde234ij", 0);
	assert_int_equal(copy_data_range(&c, 8, 10, 100, &copied), 0);
	assert_int_equal(copied, 2);
	check_text(to, "abcde234ij89", 0);
	close(from);
	close(to);
}

static void test_copy_data_keeps_holes(void **state)
{
	struct tree *t = *state;
	int from = open_new(t, "from"), to = open_new(t, "to");
	struct copy_data c = { .from_fd = from, .to_fd = to };
	struct stat st;

	put(from, "data", 64 * MIB);
	assert_int_equal(ftruncate(from, 128 * MIB), 0);
	assert_int_equal(copy_data_all(&c, 0, NULL), 0);
	assert_int_equal(size_of(to), 128 * MIB);
	check_text(to, "data", 64 * MIB);
	assert_int_equal(fstat(to, &st), 0);
	assert_true(st.st_blocks * 512 <= MIB);
	close(from);
	close(to);
}

static void test_copy_data_of_an_empty_file_and_of_nothing_but_a_hole(void **state)
{
	struct tree *t = *state;
	int from = open_new(t, "from"), to = open_new(t, "to");
	struct copy_data c = { .from_fd = from, .to_fd = to };

	assert_int_equal(copy_data_all(&c, 0, NULL), 0);
	assert_int_equal(size_of(to), 0);
	assert_int_equal(ftruncate(from, 3), 0);
	assert_int_equal(copy_data_all(&c, 0, NULL), 0);
	assert_int_equal(size_of(to), 3);
	close(from);
	close(to);
}

/* Their size is 0, and they know of no holes. */
static void test_copy_data_of_a_file_in_proc_is_what_it_says(void **state)
{
	struct tree *t = *state;
	int from = open("/proc/version", O_RDONLY | O_CLOEXEC), to = open_new(t, "to");
	struct copy_data c = { .from_fd = from, .to_fd = to };

	assert_int_equal(copy_data_all(&c, 0, NULL), 0);
	check_text(to, "Linux version ", 0);
	close(from);
	close(to);
}

/* Their sizes are 0 and 4096; the first says that there is no data in it. */
static void test_copy_data_of_a_file_without_a_true_size_is_what_can_be_read(void **state)
{
	static const char *const paths[] = { "/proc/sys/kernel/ostype",
		                             "/sys/kernel/mm/transparent_hugepage/enabled" };
	struct tree *t = *state;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		char text[4096];
		int from = open(paths[i], O_RDONLY | O_CLOEXEC), to;
		struct copy_data c = { .from_fd = from };
		uint64_t len = 0;
		ssize_t n;

		if (from < 0) {
			print_message("no %s here\n", paths[i]);
			continue;
		}
		to = c.to_fd = open_new(t, i == 0 ? "proc" : "sys");
		n = pread(from, text, sizeof text - 1, 0);
		assert_true(n > 0);
		text[n] = '\0';
		assert_int_equal(copy_data_all(&c, 0, &len), 0);
		assert_int_equal(len, n);
		assert_int_equal(size_of(to), n);
		check_text(to, text, 0);
		close(from);
		close(to);
	}
}

static void test_copy_data_behind_what_is_there_keeps_holes(void **state)
{
	struct tree *t = *state;
	int from = open_new(t, "from"), to = open_new(t, "to");
	struct copy_data c = { .from_fd = from, .to_fd = to };
	struct stat st;
	uint64_t len = 0;

	put(to, "first", 0);
	put(from, "data", 64 * MIB);
	assert_int_equal(ftruncate(from, 128 * MIB), 0);
	assert_int_equal(copy_data_all(&c, 5, &len), 0);
	assert_int_equal(len, 128 * MIB);
	assert_int_equal(size_of(to), 5 + 128 * MIB);
	check_text(to, "first", 0);
	check_text(to, "data", 5 + 64 * MIB);
	assert_int_equal(fstat(to, &st), 0);
	assert_true(st.st_blocks * 512 <= MIB);
	close(from);
	close(to);
}

static void test_copy_data_to_where_there_is_no_room_says_so(void **state)
{
	struct tree *t = *state;
	int from = open_new(t, "from"), full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct copy_data c = { .from_fd = from, .to_fd = full };

	put(from, "x", 0);
	assert_int_equal(copy_data_all(&c, 0, NULL), -ENOSPC);
	close(from);
	close(full);
}

static void test_copy_data_ends_when_nobody_waits_for_it(void **state)
{
	struct tree *t = *state;
	int from = open_new(t, "from"), to = open_new(t, "to");
	atomic_bool is_abandoned = true;
	struct copy_data c = { .from_fd = from, .to_fd = to, .is_abandoned = &is_abandoned };

	put(from, "x", 0);
	assert_int_equal(copy_data_all(&c, 0, NULL), -ECANCELED);
	assert_int_equal(size_of(to), 0);
	close(from);
	close(to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, tree_setup, tree_teardown)
		T(test_copy_data_by_each_way_is_the_same),
		T(test_copy_data_of_a_part_goes_where_it_is_told),
		T(test_copy_data_keeps_holes),
		T(test_copy_data_of_an_empty_file_and_of_nothing_but_a_hole),
		T(test_copy_data_of_a_file_in_proc_is_what_it_says),
		T(test_copy_data_of_a_file_without_a_true_size_is_what_can_be_read),
		T(test_copy_data_behind_what_is_there_keeps_holes),
		T(test_copy_data_to_where_there_is_no_room_says_so),
		T(test_copy_data_ends_when_nobody_waits_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
