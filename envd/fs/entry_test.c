#include "fs/entry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

#define MEMORY_MAX (1024u * 1024u)

struct fixture {
	char *dir;
	struct owners owners;
	struct arena memory;
	char path[4096];
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);

	f->dir = temp_dir_new();
	f->owners.db = &user_db_system;
	arena_init(&f->memory, MEMORY_MAX, NULL, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	owners_deinit(&f->owners);
	arena_deinit(&f->memory);
	temp_dir_free(f->dir);
	free(f);
	return 0;
}

/* "dir/name", good until the next one. */
static const char *in(struct fixture *f, const char *name)
{
	(void)snprintf(f->path, sizeof f->path, "%s/%s", f->dir, name);
	return f->path;
}

static struct entry read_entry(struct fixture *f, const char *name)
{
	struct entry entry = { 0 };

	assert_int_equal(entry_read(in(f, name), &f->owners, &f->memory, &entry), 0);
	return entry;
}

static void make_file(struct fixture *f, const char *name, const char *text, mode_t mode)
{
	free(temp_dir_file(f->dir, name, text, mode));
}

static void make_link(struct fixture *f, const char *target, const char *name)
{
	assert_int_equal(symlink(target, in(f, name)), 0);
}

static void test_entry_of_a_file(void **state)
{
	struct fixture *f = *state;
	struct timespec times[2] = { { 1, 0 }, { 1700000000, 123456789 } };
	struct entry entry;

	make_file(f, "a.txt", "hello", 0640);
	assert_int_equal(utimensat(AT_FDCWD, in(f, "a.txt"), times, 0), 0);
	entry = read_entry(f, "a.txt");
	assert_string_equal(entry.name, "a.txt");
	assert_string_equal(entry.path, in(f, "a.txt"));
	assert_int_equal(entry.type, ENTRY_FILE);
	assert_false(entry.is_symlink);
	assert_null(entry.symlink_target);
	assert_int_equal(entry.size, 5);
	assert_int_equal(entry.mode, 0640);
	assert_string_equal(entry.permissions, "-rw-r-----");
	assert_int_equal(entry.modified.tv_sec, 1700000000);
	assert_int_equal(entry.modified.tv_nsec, 123456789);
	assert_int_equal(entry.metadata.n, 0);
}

static void test_entry_of_a_directory_ignores_slashes_at_the_end(void **state)
{
	struct fixture *f = *state;
	struct entry entry;

	assert_int_equal(mkdir(in(f, "d"), 0750), 0);
	entry = read_entry(f, "d//");
	assert_string_equal(entry.name, "d");
	assert_string_equal(entry.path, in(f, "d//"));
	assert_int_equal(entry.type, ENTRY_DIRECTORY);
	assert_string_equal(entry.permissions, "drwxr-x---");
}

static void test_entry_of_the_root_is_a_slash(void **state)
{
	struct fixture *f = *state;
	struct entry entry = { 0 };

	assert_int_equal(entry_read("/", &f->owners, &f->memory, &entry), 0);
	assert_string_equal(entry.name, "/");
	assert_string_equal(entry.owner, "root");
	assert_string_equal(entry.group, "root");
}

static void test_entry_of_a_link_speaks_for_its_target(void **state)
{
	struct fixture *f = *state;
	CLEANUP(freep) char *target = NULL;
	struct entry entry;

	make_file(f, "a.txt", "hello", 0640);
	target = realpath(in(f, "a.txt"), NULL);
	make_link(f, "a.txt", "one");
	make_link(f, "one", "two");
	entry = read_entry(f, "two");
	assert_true(entry.is_symlink);
	assert_int_equal(entry.type, ENTRY_FILE);
	assert_int_equal(entry.mode, 0640);
	assert_int_equal(entry.size, 3);
	assert_string_equal(entry.permissions, "Lrwxrwxrwx");
	assert_string_equal(entry.symlink_target, target);
}

static void test_entry_of_a_link_to_a_directory(void **state)
{
	struct fixture *f = *state;
	struct entry entry;

	make_link(f, ".", "here");
	entry = read_entry(f, "here");
	assert_true(entry.is_symlink);
	assert_int_equal(entry.type, ENTRY_DIRECTORY);
	/* The kernel goes through the link for a slash behind it. */
	entry = read_entry(f, "here/");
	assert_false(entry.is_symlink);
	assert_int_equal(entry.type, ENTRY_DIRECTORY);
}

static void check_leads_nowhere(struct fixture *f, const char *name)
{
	struct entry entry = read_entry(f, name);

	assert_true(entry.is_symlink);
	assert_int_equal(entry.type, ENTRY_OTHER);
	assert_int_equal(entry.mode, 0);
	assert_string_equal(entry.symlink_target, in(f, name));
}

static void test_entry_of_a_link_that_leads_nowhere_is_its_own_target(void **state)
{
	struct fixture *f = *state;

	make_link(f, "missing", "dangling");
	make_link(f, "cycle", "cycle");
	check_leads_nowhere(f, "dangling");
	check_leads_nowhere(f, "cycle");
}

static void test_entry_of_special_files(void **state)
{
	struct fixture *f = *state;
	struct entry entry;

	assert_int_equal(mkfifo(in(f, "fifo"), 0644), 0);
	entry = read_entry(f, "fifo");
	assert_int_equal(entry.type, ENTRY_OTHER);
	assert_string_equal(entry.permissions, "prw-r--r--");
	assert_int_equal(entry_read("/dev/null", &f->owners, &f->memory, &entry), 0);
	assert_int_equal(entry.type, ENTRY_OTHER);
	assert_string_equal(entry.permissions, "Dcrw-rw-rw-");
}

static void check_mode(mode_t mode, const char *text)
{
	char out[ENTRY_PERMISSIONS_MAX];

	entry_format_mode(mode, out);
	assert_string_equal(out, text);
}

static void test_entry_modes_are_as_go_prints_them(void **state)
{
	UNUSED(state);
	check_mode(S_IFREG | 0644, "-rw-r--r--");
	check_mode(S_IFDIR | 01777, "dtrwxrwxrwx");
	check_mode(S_IFDIR | 02755, "dgrwxr-xr-x");
	check_mode(S_IFREG | 04755, "urwxr-xr-x");
	check_mode(S_IFREG | 06711, "ugrwx--x--x");
	check_mode(S_IFBLK | 0660, "Drw-rw----");
	check_mode(S_IFCHR | 01666, "Dctrw-rw-rw-");
	check_mode(S_IFSOCK | 0755, "Srwxr-xr-x");
	check_mode(S_IFREG, "----------");
}

static void test_entry_that_is_missing_says_why(void **state)
{
	struct fixture *f = *state;
	struct entry entry;

	make_file(f, "file", "", 0644);
	assert_int_equal(entry_read(in(f, "missing"), &f->owners, &f->memory, &entry), -ENOENT);
	assert_int_equal(entry_read(in(f, "file/x"), &f->owners, &f->memory, &entry), -ENOTDIR);
}

static void check_in_directory(struct fixture *f, struct entry_place *place)
{
	struct entry entry = { 0 };

	place->name = "l";
	place->path = "/shown/l";
	assert_int_equal(entry_read_at(place, &f->owners, &f->memory, &entry), 0);
	assert_string_equal(entry.path, "/shown/l");
	assert_string_equal(entry.name, "l");
	assert_true(entry.is_symlink);
	assert_int_equal(entry.mode, 0600);
	assert_non_null(strstr(entry.symlink_target, "/a"));
	place->name = "b";
	assert_int_equal(entry_read_at(place, &f->owners, &f->memory, &entry), -ENOENT);
}

static void test_entry_in_an_open_directory(void **state)
{
	struct fixture *f = *state;
	int fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct entry_place place = { .dir_fd = fd };

	make_file(f, "a", "xy", 0600);
	make_link(f, "a", "l");
	assert_true(fd >= 0);
	check_in_directory(f, &place);
	place.real_path = in(f, "l");
	check_in_directory(f, &place);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
		T(test_entry_of_a_file),
		T(test_entry_of_a_directory_ignores_slashes_at_the_end),
		T(test_entry_of_the_root_is_a_slash),
		T(test_entry_of_a_link_speaks_for_its_target),
		T(test_entry_of_a_link_to_a_directory),
		T(test_entry_of_a_link_that_leads_nowhere_is_its_own_target),
		T(test_entry_of_special_files),
		T(test_entry_modes_are_as_go_prints_them),
		T(test_entry_that_is_missing_says_why),
		T(test_entry_in_an_open_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
