#include "fs/compose.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "fs/tree_fixture.h"
#include "tests/support/test.h"

#define UID 12345
#define GID 12346

struct scene {
	struct tree *t;
	char destination[TREE_PATH_MAX];
	struct compose c;
	struct err e;
};

static void scene_begin(struct scene *s, void **state, const char *destination)
{
	*s = (struct scene){
		.t = *state,
		.c = { .uid = geteuid() == 0 ? UID : geteuid(),
		       .gid = geteuid() == 0 ? GID : getegid() },
	};
	(void)snprintf(s->destination, sizeof s->destination, "%s", tree_in(s->t, destination));
	s->c.destination = s->destination;
}

static void add(struct scene *s, const char *name)
{
	assert_int_equal(compose_add(&s->c, tree_in(s->t, name), name, &s->e), 0);
}

static void run(struct scene *s)
{
	int rc = compose_run(&s->c, &s->e);

	assert_string_equal(err_text(&s->e), "");
	assert_int_equal(rc, 0);
	compose_deinit(&s->c);
}

static void check_refused(struct scene *s, enum err_kind kind, const char *format)
{
	assert_int_equal(compose_run(&s->c, &s->e), -1);
	tree_check_error(s->t, &s->e, kind, format);
	compose_deinit(&s->c);
}

static void check_not_added(struct scene *s, const char *name, enum err_kind kind,
                            const char *format)
{
	assert_int_equal(compose_add(&s->c, tree_in(s->t, name), name, &s->e), -1);
	tree_check_error(s->t, &s->e, kind, format);
}

static void check_content(struct scene *s, const char *name, const char *text)
{
	char found[256] = { 0 };
	int fd = openat(s->t->fd, name, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, found, sizeof found), strlen(text));
	assert_string_equal(found, text);
	close(fd);
}

/* What is in the directory, and nothing else: no copy that is not complete. */
static void check_names(struct scene *s, const char *const *names)
{
	unsigned n = 0, n_found = 0;
	DIR *dir = opendir(s->t->top);

	assert_non_null(dir);
	while (readdir(dir))
		n_found++;
	closedir(dir);
	for (; names[n]; n++)
		assert_true(tree_has(s->t, names[n]));
	assert_int_equal(n_found, n + 2); /* "." and ".." */
}

#define CHECK_NAMES(s, ...) check_names(s, (const char *const[]){ __VA_ARGS__, NULL })

/* ---- what becomes of it ---- */

static void test_compose_puts_files_one_behind_the_other_and_removes_them(void **state)
{
	struct scene s;
	struct stat st;

	scene_begin(&s, state, "p/q/all");
	tree_file(s.t, "a", "one ");
	tree_file(s.t, "b", "");
	tree_file(s.t, "c", "two");
	add(&s, "a");
	add(&s, "b");
	add(&s, "c");
	run(&s);
	check_content(&s, "p/q/all", "one two");
	CHECK_NAMES(&s, "p");
	assert_int_equal(stat(s.destination, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0666 & ~umask(022));
	assert_int_equal(st.st_uid, s.c.uid);
	assert_int_equal(st.st_gid, s.c.gid);
	assert_int_equal(stat(tree_in(s.t, "p"), &st), 0);
	assert_int_equal(st.st_uid, s.c.uid);
}

static void test_compose_replaces_the_destination_with_a_new_file(void **state)
{
	struct scene s;
	struct stat st;

	scene_begin(&s, state, "all");
	tree_file(s.t, "all", "old content");
	assert_int_equal(chmod(s.destination, 0600), 0);
	assert_int_equal(link(s.destination, tree_in(s.t, "other name")), 0);
	tree_file(s.t, "a", "new");
	add(&s, "a");
	run(&s);
	check_content(&s, "all", "new");
	check_content(&s, "other name", "old content");
	assert_int_equal(stat(s.destination, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666 & ~umask(022));
	CHECK_NAMES(&s, "all", "other name");
}

static void test_compose_of_a_source_that_comes_again_repeats_it(void **state)
{
	struct scene s;

	scene_begin(&s, state, "all");
	tree_file(s.t, "a", "x");
	tree_link(s.t, "link", "a");
	add(&s, "a");
	add(&s, "link");
	add(&s, "a");
	add(&s, "./a");
	run(&s);
	check_content(&s, "all", "xxxx");
	CHECK_NAMES(&s, "all");
}

static void test_compose_of_a_link_leaves_what_it_leads_to(void **state)
{
	struct scene s;

	scene_begin(&s, state, "all");
	tree_file(s.t, "a", "x");
	tree_link(s.t, "link", "a");
	add(&s, "link");
	run(&s);
	check_content(&s, "all", "x");
	CHECK_NAMES(&s, "all", "a");
}

static void test_compose_at_a_link_replaces_the_link(void **state)
{
	struct scene s;
	struct stat st;

	scene_begin(&s, state, "all");
	tree_link(s.t, "all", "elsewhere");
	tree_file(s.t, "elsewhere", "stays");
	tree_file(s.t, "a", "x");
	add(&s, "a");
	run(&s);
	assert_int_equal(lstat(s.destination, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	check_content(&s, "elsewhere", "stays");
}

static void test_compose_keeps_holes_and_what_is_behind_them(void **state)
{
	struct scene s;
	struct stat st;

	scene_begin(&s, state, "all");
	tree_file(s.t, "a", "x");
	assert_int_equal(truncate(tree_in(s.t, "a"), 64 << 20), 0);
	tree_file(s.t, "b", "y");
	add(&s, "a");
	add(&s, "b");
	run(&s);
	assert_int_equal(stat(s.destination, &st), 0);
	assert_int_equal(st.st_size, (64 << 20) + 1);
	assert_true(st.st_blocks * 512 < 1 << 20);
}

static void test_compose_reads_pseudo_files_and_leaves_them(void **state)
{
	struct scene s;
	char text[64] = { 0 };
	int fd;

	scene_begin(&s, state, "all");
	tree_file(s.t, "a", "x");
	add(&s, "a");
	assert_int_equal(compose_add(&s.c, "/proc/sys/kernel/ostype", "p", &s.e), 0);
	assert_int_equal(compose_add(&s.c, "/proc/version", "p", &s.e), 0);
	run(&s);
	fd = open(s.destination, O_RDONLY | O_CLOEXEC);
	assert_true(read(fd, text, sizeof text - 1) > 0);
	close(fd);
	assert_memory_equal(text, "xLinux\nLinux version ", 21);
}

/* ---- sources that are refused ---- */

static void test_compose_of_the_destination_by_any_path_is_refused(void **state)
{
	static const char *const names[] = {
		"all", "./all", "link", "hard", "d/../all", "d//../all"
	};
	CLEANUP(freep) char *hard = NULL;
	struct scene s;

	scene_begin(&s, state, "all");
	tree_file(s.t, "all", "x");
	tree_dir(s.t, "d");
	tree_link(s.t, "link", "all");
	hard = xstrdup(tree_in(s.t, "hard"));
	assert_int_equal(link(s.destination, hard), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char text[128];

		(void)snprintf(text, sizeof text,
		               "source path \"%s\" cannot be the same as destination", names[i]);
		check_not_added(&s, names[i], ERR_INVALID, text);
	}
	compose_deinit(&s.c);
	scene_begin(&s, state, "link");
	check_not_added(&s, "all", ERR_INVALID,
	                "source path \"all\" cannot be the same as destination");
	scene_begin(&s, state, "new");
	check_not_added(&s, "new", ERR_INVALID,
	                "source path \"new\" cannot be the same as destination");
}

static void test_compose_of_what_is_missing_is_refused(void **state)
{
	struct scene s;

	scene_begin(&s, state, "all");
	tree_file(s.t, "file", "");
	tree_link(s.t, "dangling", "nowhere");
	check_not_added(&s, "none", ERR_NOT_FOUND, "source file not found: none");
	check_not_added(&s, "file/x", ERR_NOT_FOUND, "source file not found: file/x");
	check_not_added(&s, "dangling", ERR_NOT_FOUND, "source file not found: dangling");
}

/* A FIFO is not even opened: nobody writes to it. */
static void test_compose_of_what_is_no_file_is_refused(void **state)
{
	struct scene s;

	scene_begin(&s, state, "all");
	tree_dir(s.t, "d");
	tree_link(s.t, "link", "d");
	assert_int_equal(mkfifo(tree_in(s.t, "fifo"), 0600), 0);
	check_not_added(&s, "d", ERR_INVALID, "source path is not a regular file: d");
	check_not_added(&s, "link", ERR_INVALID, "source path is not a regular file: link");
	check_not_added(&s, "fifo", ERR_INVALID, "source path is not a regular file: fifo");
	assert_int_equal(compose_add(&s.c, "/dev/zero", "zero", &s.e), -1);
	tree_check_error(s.t, &s.e, ERR_INVALID, "source path is not a regular file: zero");
}

/* Between the check and the copy. */
static void test_compose_of_a_source_that_has_changed_is_refused(void **state)
{
	struct scene s;

	scene_begin(&s, state, "all");
	tree_file(s.t, "all", "old");
	tree_file(s.t, "a", "x");
	tree_file(s.t, "b", "x");
	add(&s, "a");
	add(&s, "b");
	assert_int_equal(unlink(tree_in(s.t, "b")), 0);
	assert_int_equal(compose_run(&s.c, &s.e), -1);
	tree_check_error(s.t, &s.e, ERR_INTERNAL,
	                 "error opening source file %s/b: open %s/b: no such file or directory");
	assert_int_equal(mkfifo(tree_in(s.t, "b"), 0600), 0);
	check_refused(&s, ERR_INVALID, "source path is not a regular file: %s/b");
	check_content(&s, "all", "old");
	CHECK_NAMES(&s, "all", "a", "b");
}

/* ---- destinations that are refused ---- */

static void check_destination(void **state, const char *destination, const char *text)
{
	struct scene s;

	scene_begin(&s, state, destination);
	add(&s, "a");
	check_refused(&s, ERR_INTERNAL, text);
	check_content(&s, "a", "x");
	CHECK_NAMES(&s, "a", "d", "file");
}

static void test_compose_to_where_no_file_can_be_makes_nothing(void **state)
{
	struct tree *t = *state;

	tree_file(t, "a", "x");
	tree_file(t, "file", "");
	tree_dir(t, "d");
	check_destination(state, "d", "error finalizing compose: rename %s/d: file exists");
	check_destination(state, "d/", "error finalizing compose: rename %s/d/: file exists");
	check_destination(state, "d/..", "error finalizing compose: rename %s/d/..: file exists");
	check_destination(state, "new/",
	                  "error finalizing compose: rename %s/new/: not a directory");
	check_destination(state, "new/deep/.",
	                  "error finalizing compose: rename %s/new/deep/.: not a directory");
	check_destination(state, "file/", "error ensuring directories: path is a file: %s/file");
	check_destination(state, "file/x/y", "error ensuring directories: path is a file: %s/file");
}

/* Whoever holds the other end would lose it, and /dev/null everybody. */
static void test_compose_to_a_special_file_is_refused(void **state)
{
	struct scene s;

	scene_begin(&s, state, "fifo");
	tree_file(s.t, "a", "x");
	assert_int_equal(mkfifo(tree_in(s.t, "fifo"), 0600), 0);
	add(&s, "a");
	check_refused(&s, ERR_INVALID, "destination path is not a regular file: %s/fifo");
	CHECK_NAMES(&s, "a", "fifo");
}

static void test_compose_to_a_name_that_is_too_long_leaves_all_as_it_was(void **state)
{
	char name[257], text[512];
	struct scene s;

	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	tree_file(*state, "a", "x");
	scene_begin(&s, state, name);
	add(&s, "a");
	(void)snprintf(text, sizeof text,
	               "error finalizing compose: rename %%s/%s: file name too long", name);
	check_refused(&s, ERR_INTERNAL, text);
	CHECK_NAMES(&s, "a");
}

static void test_compose_to_the_longest_name_is_possible(void **state)
{
	char name[256];
	struct scene s;

	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	tree_file(*state, "a", "x");
	scene_begin(&s, state, name);
	add(&s, "a");
	run(&s);
	check_content(&s, name, "x");
}

/* ---- what goes wrong in the middle ---- */

static void test_compose_that_nobody_waits_for_leaves_all_as_it_was(void **state)
{
	const atomic_bool is_abandoned = true;
	struct scene s;

	scene_begin(&s, state, "all");
	s.c.is_abandoned = &is_abandoned;
	tree_file(s.t, "all", "old");
	tree_file(s.t, "a", "x");
	add(&s, "a");
	check_refused(&s, ERR_CANCELED, "nobody waits for it any more");
	check_content(&s, "all", "old");
	CHECK_NAMES(&s, "all", "a");
}

static bool has_small_mount(struct tree *t, const char *size)
{
	tree_dir(t, "mount");
	return tree_mount(t, "mount", size);
}

static void test_compose_on_a_full_file_system_leaves_all_as_it_was(void **state)
{
	char data[100001] = { 0 };
	struct scene s;
	struct stat st;

	scene_begin(&s, state, "mount/all");
	if (!has_small_mount(s.t, "64k"))
		return;
	tree_file(s.t, "mount/all", "old");
	memset(data, 'x', sizeof data - 1);
	tree_file(s.t, "small", "x");
	tree_file(s.t, "large", data);
	add(&s, "small");
	add(&s, "large");
	check_refused(&s, ERR_LIMIT, "not enough disk space available");
	check_content(&s, "mount/all", "old");
	assert_int_equal(stat(tree_in(s.t, "large"), &st), 0);
	assert_int_equal(st.st_size, sizeof data - 1);
	assert_true(tree_has(s.t, "small"));
	tree_unmount(s.t, "mount");
}

static void test_compose_across_file_systems_copies(void **state)
{
	struct scene s;

	scene_begin(&s, state, "mount/all");
	if (!has_small_mount(s.t, "64k"))
		return;
	tree_file(s.t, "a", "from disk, ");
	tree_file(s.t, "mount/b", "from memory");
	add(&s, "a");
	add(&s, "mount/b");
	run(&s);
	check_content(&s, "mount/all", "from disk, from memory");
	assert_false(tree_has(s.t, "a"));
	assert_false(tree_has(s.t, "mount/b"));
	tree_unmount(s.t, "mount");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, tree_setup, tree_teardown)
		T(test_compose_puts_files_one_behind_the_other_and_removes_them),
		T(test_compose_replaces_the_destination_with_a_new_file),
		T(test_compose_of_a_source_that_comes_again_repeats_it),
		T(test_compose_of_a_link_leaves_what_it_leads_to),
		T(test_compose_at_a_link_replaces_the_link),
		T(test_compose_keeps_holes_and_what_is_behind_them),
		T(test_compose_reads_pseudo_files_and_leaves_them),
		T(test_compose_of_the_destination_by_any_path_is_refused),
		T(test_compose_of_what_is_missing_is_refused),
		T(test_compose_of_what_is_no_file_is_refused),
		T(test_compose_of_a_source_that_has_changed_is_refused),
		T(test_compose_to_where_no_file_can_be_makes_nothing),
		T(test_compose_to_a_special_file_is_refused),
		T(test_compose_to_a_name_that_is_too_long_leaves_all_as_it_was),
		T(test_compose_to_the_longest_name_is_possible),
		T(test_compose_that_nobody_waits_for_leaves_all_as_it_was),
		T(test_compose_on_a_full_file_system_leaves_all_as_it_was),
		T(test_compose_across_file_systems_copies),
	};

	(void)tree_own_mounts();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
