#include "fs/move.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/mem.h"
#include "fs/names.h"
#include "fs/temp_name.h"
#include "fs/tree_fixture.h"
#include "tests/support/test.h"

static const atomic_bool never;

static int move(struct tree *t, const char *source, const char *destination,
                const atomic_bool *is_abandoned, struct err *e)
{
	CLEANUP(freep) char *from = xstrdup(tree_in(t, source));
	CLEANUP(freep) char *to = xstrdup(tree_in(t, destination));
	const struct move m = {
		.source = from,
		.destination = to,
		.uid = geteuid(),
		.gid = getegid(),
		.is_abandoned = is_abandoned,
	};

	return move_path(&m, e);
}

static void check_moves(struct tree *t, const char *source, const char *destination)
{
	CLEANUP(err_clear) struct err e = { 0 };

	if (move(t, source, destination, &never, &e) < 0)
		fail_msg("%s", err_text(&e));
	assert_false(tree_has(t, source));
}

static void check_refuses(struct tree *t, const char *source, const char *destination,
                          enum err_kind kind, const char *format)
{
	struct err e = { 0 };

	assert_int_equal(move(t, source, destination, &never, &e), -1);
	tree_check_error(t, &e, kind, format);
}

static void check_text(struct tree *t, const char *name, const char *text)
{
	char found[64] = { 0 };
	int fd = openat(t->fd, name, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, found, sizeof found - 1), strlen(text));
	assert_string_equal(found, text);
	close(fd);
}

/* Nothing that is not complete is left. */
static void check_no_temp(struct tree *t, const char *name)
{
	CLEANUP(names_deinit) struct names names = { 0 };
	int fd = openat(t->fd, name, O_RDONLY | O_CLOEXEC);
	const char *found;

	assert_int_equal(names_read(&names, fd, 65536), 0);
	while ((found = names_next(&names, NULL)))
		assert_true(strncmp(found, TEMP_NAME_PREFIX, strlen(TEMP_NAME_PREFIX)) != 0);
	close(fd);
}

/* ---------------------------------------------------------------- by rename */

static void test_move_renames_files_trees_and_links(void **state)
{
	struct tree *t = *state;

	tree_file(t, "a", "one");
	tree_dir(t, "d");
	tree_file(t, "d/f", "");
	tree_link(t, "link", "d");
	check_moves(t, "a", "b");
	check_text(t, "b", "one");
	check_moves(t, "d", "e");
	assert_true(tree_has(t, "e/f"));
	check_moves(t, "link", "moved");
	assert_true(tree_has(t, "moved"));
}

static void test_move_replaces_a_file(void **state)
{
	struct tree *t = *state;

	tree_file(t, "a", "new");
	tree_file(t, "b", "old");
	check_moves(t, "a", "b");
	check_text(t, "b", "new");
}

static void test_move_makes_parents_even_for_nothing(void **state)
{
	struct tree *t = *state;

	check_refuses(t, "none", "p/q/b", ERR_NOT_FOUND,
	              "source file not found: rename %s/none %s/p/q/b: no such file or directory");
	assert_true(tree_has(t, "p/q"));
	tree_file(t, "a", "x");
	check_moves(t, "a", "p/r/s/b");
	check_text(t, "p/r/s/b", "x");
	tree_file(t, "file", "");
	check_refuses(t, "file", "p/r/s/b/c", ERR_INTERNAL, "path is a file: %s/p/r/s/b");
}

static void test_move_onto_a_directory_is_refused(void **state)
{
	struct tree *t = *state;

	tree_dir(t, "d");
	tree_dir(t, "e");
	tree_file(t, "a", "");
	check_refuses(t, "d", "e", ERR_INTERNAL, "error renaming: rename %s/d %s/e: file exists");
	check_refuses(t, "a", "e", ERR_INTERNAL, "error renaming: rename %s/a %s/e: file exists");
	check_refuses(t, "d", "d", ERR_INTERNAL, "error renaming: rename %s/d %s/d: file exists");
	check_refuses(t, "none", "e", ERR_NOT_FOUND,
	              "source file not found: rename %s/none %s/e: no such file or directory");
	check_refuses(t, "d", "d/x", ERR_INTERNAL,
	              "error renaming: rename %s/d %s/d/x: invalid argument");
}

static void test_move_of_a_directory_onto_a_file_is_refused(void **state)
{
	struct tree *t = *state;

	tree_dir(t, "d");
	tree_file(t, "a", "x");
	check_refuses(t, "d", "a", ERR_INTERNAL,
	              "error renaming: rename %s/d %s/a: not a directory");
	check_text(t, "a", "x");
}

/* One directory by two names: nothing is to be done. */
static void test_move_of_a_directory_to_itself_by_another_name_is_done(void **state)
{
	struct tree *t = *state;
	CLEANUP(err_clear) struct err e = { 0 };

	tree_dir(t, "d");
	assert_int_equal(move(t, "d", "./d", &never, &e), 0);
	assert_true(tree_has(t, "d"));
}

static void test_move_to_a_new_name_with_a_slash_makes_nothing(void **state)
{
	struct tree *t = *state;

	tree_file(t, "a", "x");
	tree_dir(t, "d");
	check_refuses(t, "a", "p/new/", ERR_INTERNAL,
	              "error renaming: rename %s/a %s/p/new/: not a directory");
	check_refuses(t, "d", "p/new//", ERR_INTERNAL,
	              "error renaming: rename %s/d %s/p/new//: not a directory");
	check_refuses(t, "none", "p/new/", ERR_NOT_FOUND,
	              "source file not found: rename %s/none %s/p/new/: no such file or directory");
	assert_false(tree_has(t, "p"));
	check_refuses(t, "a", "d/", ERR_INTERNAL, "error renaming: rename %s/a %s/d/: file exists");
	tree_file(t, "b", "y");
	check_refuses(t, "a", "b/", ERR_INTERNAL,
	              "error renaming: rename %s/a %s/b/: not a directory");
	check_text(t, "b", "y");
}

/* ---------------------------------------------------------------- across file systems */

/* A tree like any other, at "here/d", and another file system at "there". */
static bool begin_across(struct tree *t, const char *size)
{
	tree_dir(t, "here");
	tree_dir(t, "there");
	tree_dir(t, "here/d");
	tree_dir(t, "here/d/sub");
	tree_file(t, "here/d/sub/one", "content");
	assert_int_equal(linkat(t->fd, "here/d/sub/one", t->fd, "here/d/two", 0), 0);
	tree_link(t, "here/d/link", "sub/one");
	assert_int_equal(mkfifo(tree_in(t, "here/d/fifo"), 0640), 0);
	(void)setxattr(tree_in(t, "here/d/two"), "user.e2b.k", "v", 1, 0);
	assert_int_equal(chmod(tree_in(t, "here/d/sub"), 0700), 0);
	return tree_mount(t, "there", size);
}

static void keep_copy(struct tree *t)
{
	char command[2 * TREE_PATH_MAX];

	(void)snprintf(command, sizeof command, "cp -a '%s/here/d' '%s/here/kept'", t->top, t->top);
	assert_int_equal(system(command), 0);
}

static void check_source_is_whole(struct tree *t)
{
	tree_check_same(t->fd, "here/kept", t->fd, "here/d");
	check_no_temp(t, "there");
	check_no_temp(t, "here");
}

static void test_move_across_file_systems_takes_everything_along(void **state)
{
	struct tree *t = *state;

	if (!begin_across(t, "1m"))
		skip();
	keep_copy(t);
	check_moves(t, "here/d", "there/p/moved");
	tree_check_same(t->fd, "here/kept", t->fd, "there/p/moved");
	check_no_temp(t, "there/p");
	check_moves(t, "there/p/moved", "here/back");
	tree_check_same(t->fd, "here/kept", t->fd, "here/back");
	tree_unmount(t, "there");
}

static void test_move_across_file_systems_replaces_a_file(void **state)
{
	struct tree *t = *state;

	if (!begin_across(t, "1m"))
		skip();
	tree_file(t, "there/x", "old");
	tree_file(t, "here/x", "new");
	check_moves(t, "here/x", "there/x");
	check_text(t, "there/x", "new");
	tree_link(t, "here/l", "anywhere");
	check_moves(t, "here/l", "there/x");
	tree_unmount(t, "there");
}

static void test_move_across_file_systems_is_refused_as_within_one(void **state)
{
	struct tree *t = *state;

	if (!begin_across(t, "1m"))
		skip();
	keep_copy(t);
	tree_dir(t, "there/dir");
	tree_file(t, "there/file", "kept");
	tree_file(t, "here/file", "x");
	check_refuses(t, "here/d", "there/dir", ERR_INTERNAL,
	              "error renaming: rename %s/here/d %s/there/dir: file exists");
	check_refuses(t, "here/d", "there/file", ERR_INTERNAL,
	              "error renaming: rename %s/here/d %s/there/file: not a directory");
	check_refuses(t, "here/file", "there/file/", ERR_INTERNAL,
	              "error renaming: rename %s/here/file %s/there/file/: not a directory");
	check_refuses(t, "here/file/", "there/new", ERR_INTERNAL,
	              "error renaming: rename %s/here/file/ %s/there/new: not a directory");
	check_refuses(t, "here/none", "there/new", ERR_NOT_FOUND,
	              "source file not found: rename %s/here/none %s/there/new: no such file or "
	              "directory");
	check_refuses(t, "here/d/.", "there/new", ERR_INTERNAL,
	              "error renaming: rename %s/here/d/. %s/there/new: device or resource busy");
	check_text(t, "there/file", "kept");
	check_source_is_whole(t);
	tree_unmount(t, "there");
}

static void make_large(struct tree *t, const char *name, size_t size)
{
	char *text = xmalloc(size + 1);

	memset(text, 'x', size);
	text[size] = '\0';
	tree_file(t, name, text);
	free(text);
}

static void test_move_to_where_there_is_no_room_leaves_all_as_it_was(void **state)
{
	struct tree *t = *state;

	if (!begin_across(t, "64k"))
		skip();
	make_large(t, "here/d/zlarge", 100000);
	make_large(t, "here/large", 100000);
	tree_file(t, "there/kept", "kept");
	keep_copy(t);
	check_refuses(
		t, "here/d", "there/d", ERR_INTERNAL,
		"error renaming: rename %s/here/d %s/there/d: copy %s/here/d/zlarge: no space "
		"left on device");
	check_refuses(t, "here/large", "there/kept", ERR_INTERNAL,
	              "error renaming: rename %s/here/large %s/there/kept: copy %s/here/large: no "
	              "space left on device");
	assert_false(tree_has(t, "there/d"));
	check_text(t, "there/kept", "kept");
	check_source_is_whole(t);
	tree_unmount(t, "there");
}

static void test_move_that_nobody_waits_for_leaves_all_as_it_was(void **state)
{
	struct tree *t = *state;
	const atomic_bool is_abandoned = true;
	struct err e = { 0 };

	if (!begin_across(t, "1m"))
		skip();
	keep_copy(t);
	assert_int_equal(move(t, "here/d", "there/d", &is_abandoned, &e), -1);
	tree_check_error(t, &e, ERR_CANCELED, "context canceled");
	assert_false(tree_has(t, "there/d"));
	check_source_is_whole(t);
	tree_unmount(t, "there");
}

static void test_move_of_what_cannot_be_removed_is_not_begun(void **state)
{
	struct tree *t = *state;

	if (!begin_across(t, "1m"))
		skip();
	keep_copy(t);
	assert_int_equal(
		mount("none", tree_in(t, "there"), NULL, MS_REMOUNT | MS_RDONLY, "size=1m"), 0);
	check_refuses(t, "here/d", "there/d", ERR_INTERNAL,
	              "error renaming: rename %s/here/d %s/there/d: copy %s/here/d: read-only file "
	              "system");
	assert_int_equal(mount("none", tree_in(t, "there"), NULL, MS_REMOUNT, "size=1m"), 0);
	tree_file(t, "there/x", "x");
	assert_int_equal(
		mount("none", tree_in(t, "there"), NULL, MS_REMOUNT | MS_RDONLY, "size=1m"), 0);
	check_refuses(t, "there/x", "here/x", ERR_INTERNAL,
	              "error renaming: rename %s/there/x %s/here/x: read-only file system");
	assert_false(tree_has(t, "here/x"));
	check_source_is_whole(t);
	tree_unmount(t, "there");
}

static void test_move_of_a_mount_point_is_busy(void **state)
{
	struct tree *t = *state;

	if (!begin_across(t, "1m"))
		skip();
	tree_file(t, "there/x", "x");
	check_refuses(t, "there", "here/there", ERR_INTERNAL,
	              "error renaming: rename %s/there %s/here/there: device or resource busy");
	check_text(t, "there/x", "x");
	tree_dir(t, "there/within");
	check_refuses(t, "there", "there/within/x", ERR_INTERNAL,
	              "error renaming: rename %s/there %s/there/within/x: copy %s/there: device or "
	              "resource busy");
	tree_unmount(t, "there");
}

/* "d/file", and "d" once more as "again". The rename says "other file system", for the kernel sees two;
 * they are one. */
static bool begin_twice(struct tree *t)
{
	CLEANUP(freep) char *source = NULL;

	tree_dir(t, "d");
	tree_file(t, "d/file", "x");
	tree_dir(t, "again");
	source = xstrdup(tree_in(t, "d"));
	if (mount(source, tree_in(t, "again"), NULL, MS_BIND, NULL) == 0)
		return true;
	print_message("cannot mount a directory twice: skipped\n");
	return false;
}

/* As within one mount, where rename(2) leaves both names. */
static void test_move_onto_the_same_file_through_a_second_mount_changes_nothing(void **state)
{
	struct tree *t = *state;
	CLEANUP(err_clear) struct err e = { 0 };

	if (!begin_twice(t))
		skip();
	assert_int_equal(move(t, "again/file", "d/file", &never, &e), 0);
	check_text(t, "d/file", "x");
	assert_int_equal(linkat(t->fd, "d/file", t->fd, "d/link", 0), 0);
	assert_int_equal(move(t, "again/link", "d/file", &never, &e), 0);
	check_text(t, "d/file", "x");
	check_text(t, "d/link", "x");
	check_no_temp(t, "d");
	tree_unmount(t, "again");
}

static void test_move_into_itself_through_a_second_mount_is_refused(void **state)
{
	struct tree *t = *state;
	CLEANUP(err_clear) struct err e = { 0 };

	if (!begin_twice(t))
		skip();
	assert_int_equal(move(t, "d", "again/x", &never, &e), -1);
	assert_int_equal(e.kind, ERR_INTERNAL);
	assert_non_null(strstr(err_text(&e), "error renaming: rename /"));
	assert_non_null(strstr(err_text(&e), ": invalid argument"));
	check_text(t, "d/file", "x");
	check_no_temp(t, "d");
	tree_unmount(t, "again");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, tree_setup, tree_teardown)
		T(test_move_renames_files_trees_and_links),
		T(test_move_replaces_a_file),
		T(test_move_makes_parents_even_for_nothing),
		T(test_move_onto_a_directory_is_refused),
		T(test_move_of_a_directory_onto_a_file_is_refused),
		T(test_move_of_a_directory_to_itself_by_another_name_is_done),
		T(test_move_to_a_new_name_with_a_slash_makes_nothing),
		T(test_move_across_file_systems_takes_everything_along),
		T(test_move_across_file_systems_replaces_a_file),
		T(test_move_across_file_systems_is_refused_as_within_one),
		T(test_move_to_where_there_is_no_room_leaves_all_as_it_was),
		T(test_move_that_nobody_waits_for_leaves_all_as_it_was),
		T(test_move_of_what_cannot_be_removed_is_not_begun),
		T(test_move_of_a_mount_point_is_busy),
		T(test_move_onto_the_same_file_through_a_second_mount_changes_nothing),
		T(test_move_into_itself_through_a_second_mount_is_refused),
	};

	(void)tree_own_mounts();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
