#include "fs/upload.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

#define UID 1234
#define GID 4321

static const struct metadata none;

struct fixture {
	char *dir;
	char path[4096];
	char text[3 * UPLOAD_HELD_MAX];
};

/* What is made only after somebody has looked for it; NULL: nothing is. */
static const char *comes_late;

/* In front of the C library's. */
int stat(const char *file, struct stat *buf)
{
	typedef int stat_function(const char *, struct stat *);
	stat_function *look;

	if (comes_late && strcmp(file, comes_late) == 0) {
		comes_late = NULL;
		*buf = (struct stat){ 0 };
		errno = ENOENT;
		return -1;
	}
	*(void **)&look = dlsym(RTLD_NEXT, "stat");
	return look(file, buf);
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);

	f->dir = temp_dir_new();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	temp_dir_free(f->dir);
	free(f);
	return 0;
}

static const char *in(struct fixture *f, const char *name)
{
	(void)snprintf(f->path, sizeof f->path, "%s/%s", f->dir, name);
	return f->path;
}

static void make_file(struct fixture *f, const char *name, const char *text, mode_t mode)
{
	free(temp_dir_file(f->dir, name, text, mode));
}

static const char *content(struct fixture *f, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = read(fd, f->text, sizeof f->text - 1);

	assert_true(len >= 0);
	f->text[len] = '\0';
	close(fd);
	return f->text;
}

/* One whole upload. 0, or -1 with the error. */
static int put(const char *path, uid_t uid, gid_t gid, const char *text, const struct metadata *m,
               struct err *e)
{
	struct upload u = UPLOAD_NONE;
	int rc = upload_open(&u, path, uid, gid, 0, e);

	if (rc == 0)
		rc = upload_write(&u, text, strlen(text), e);
	if (rc == 0)
		rc = upload_finish(&u, m, e);
	upload_deinit(&u);
	return rc;
}

static void check_put(struct fixture *f, const char *path, const char *text)
{
	struct err e = { 0 };

	if (put(path, UID, GID, text, &none, &e) < 0)
		fail_msg("%s", err_text(&e));
	assert_string_equal(content(f, path), text);
}

/* expected: with %s for the path. */
static void check_refused(const char *path, enum err_kind kind, const char *expected)
{
	CLEANUP(err_clear) struct err e = { 0 };
	char text[8192];

	(void)snprintf(text, sizeof text, "%s%s", expected, strchr(expected, ':') ? path : "");
	assert_int_equal(put(path, UID, GID, "x", &none, &e), -1);
	assert_string_equal(err_text(&e), text);
	assert_int_equal(e.kind, kind);
}

static void check_owner(const char *path, mode_t mode)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, UID);
	assert_int_equal(st.st_gid, GID);
	assert_int_equal(st.st_mode & 07777, mode);
}

static void test_upload_new_file_and_its_directories_are_the_users(void **state)
{
	struct fixture *f = *state;
	mode_t umask_before = umask(022);

	check_put(f, in(f, "a/b/c.txt"), "hello");
	check_owner(in(f, "a/b/c.txt"), 0644);
	check_owner(in(f, "a/b"), 0755);
	check_owner(in(f, "a"), 0755);
	check_put(f, in(f, "empty"), "");
	umask(umask_before);
}

static void test_upload_existing_file_keeps_its_inode_and_mode(void **state)
{
	struct fixture *f = *state;
	struct stat before, after;

	make_file(f, "f", "something longer", 0751);
	assert_int_equal(stat(in(f, "f"), &before), 0);
	check_put(f, in(f, "f"), "short");
	check_owner(in(f, "f"), 0751);
	assert_int_equal(stat(in(f, "f"), &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
}

static void test_upload_clears_setuid(void **state)
{
	struct fixture *f = *state;

	make_file(f, "f", "x", 0755);
	assert_int_equal(chmod(in(f, "f"), 06755), 0);
	check_put(f, in(f, "f"), "y");
	check_owner(in(f, "f"), 0755);
}

static void test_upload_follows_links(void **state)
{
	struct fixture *f = *state;
	char target[4096];

	make_file(f, "target", "old", 0644);
	assert_int_equal(symlink("target", in(f, "link")), 0);
	check_put(f, in(f, "link"), "new");
	assert_string_equal(content(f, in(f, "target")), "new");
	check_owner(in(f, "target"), 0644);
	/* One that leads nowhere makes its target. */
	(void)snprintf(target, sizeof target, "%s/made", f->dir);
	assert_int_equal(symlink(target, in(f, "dangling")), 0);
	check_put(f, in(f, "dangling"), "made");
	check_owner(target, 0644);
}

static void test_upload_to_what_is_no_file_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkdir(in(f, "d"), 0755), 0);
	check_refused(in(f, "d"), ERR_INVALID, "path is a directory: ");
	check_refused(in(f, "d/"), ERR_INVALID, "path is a directory: ");
	assert_int_equal(mkfifo(in(f, "fifo"), 0644), 0);
	check_refused(in(f, "fifo"), ERR_INVALID, "path is not a regular file: ");
	assert_int_equal(symlink("loop", in(f, "loop")), 0);
	assert_int_equal(access(in(f, "fifo"), F_OK), 0);
}

static void test_upload_new_path_with_a_slash_makes_nothing(void **state)
{
	static const char *const names[] = { "new/", "new/.", "a/new/", "a/.." };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		check_refused(in(f, names[i]), ERR_INVALID, "path is a directory: ");
	assert_int_equal(access(in(f, "new"), F_OK), -1);
	assert_int_equal(access(in(f, "a"), F_OK), -1);
}

static void check_text(const char *path, const char *expected)
{
	CLEANUP(err_clear) struct err e = { 0 };

	assert_int_equal(put(path, UID, GID, "x", &none, &e), -1);
	assert_string_equal(err_text(&e), expected);
	assert_int_equal(e.kind, ERR_INTERNAL);
}

static void test_upload_file_in_the_way_is_named(void **state)
{
	struct fixture *f = *state;
	char expected[8192];

	make_file(f, "file", "x", 0644);
	(void)snprintf(expected, sizeof expected,
	               "error ensuring directories: path is a file: %s/file", f->dir);
	check_text(in(f, "file/a"), expected);
	check_text(in(f, "file/a/b"), expected);
	check_text(in(f, "file/"), expected);
	assert_int_equal(symlink("loop", in(f, "loop")), 0);
	(void)snprintf(expected, sizeof expected,
	               "error getting file info: stat %s/loop: too many levels of symbolic links",
	               f->dir);
	check_text(in(f, "loop"), expected);
}

/* /dev/full takes nothing. */
static void test_upload_full_disk_is_told_with_what_was_announced(void **state)
{
	struct upload u = UPLOAD_NONE;
	struct err e = { 0 };

	UNUSED(state);
	assert_int_equal(upload_open(&u, "/dev/full", UID, GID, 77, &e), 0);
	assert_int_equal(upload_write(&u, "x", 1, &e), 0);
	assert_int_equal(upload_finish(&u, &none, &e), -1);
	assert_string_equal(err_text(&e),
	                    "attempted to write 77 bytes: not enough disk space available");
	assert_int_equal(e.kind, ERR_LIMIT);
	upload_deinit(&u);
	assert_int_equal(upload_open(&u, "/dev/full", UID, GID, 0, &e), 0);
	assert_int_equal(upload_write(&u, "x", 1, &e), 0);
	assert_int_equal(upload_finish(&u, &none, &e), -1);
	assert_string_equal(err_text(&e), "not enough disk space available");
	upload_deinit(&u);
	err_clear(&e);
}

static void test_upload_device_keeps_its_owner(void **state)
{
	struct err e = { 0 };
	struct stat st;

	UNUSED(state);
	assert_int_equal(put("/dev/null", UID, GID, "x", &none, &e), 0);
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_int_equal(st.st_uid, 0);
}

static void test_upload_device_that_comes_late_keeps_its_owner(void **state)
{
	struct fixture *f = *state;
	CLEANUP(err_clear) struct err e = { 0 };
	CLEANUP(freep) char *path = xstrdup(in(f, "null"));
	struct stat st;

	if (mknod(path, S_IFCHR | 0666, makedev(1, 3)) < 0) {
		print_message("cannot make devices: skipped\n");
		skip();
	}
	comes_late = path;
	assert_int_equal(put(path, UID, GID, "x", &none, &e), 0);
	assert_null(comes_late);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, geteuid());
}

/* A file of /proc takes a command in one write, and perhaps no owner. */
static void test_upload_pieces_of_a_command_are_one_write(void **state)
{
	static const char path[] = "/proc/self/comm";
	struct fixture *f = *state;
	struct upload u = UPLOAD_NONE;
	struct err e = { 0 };

	assert_int_equal(upload_open(&u, path, geteuid(), getegid(), 0, &e), 0);
	assert_int_equal(upload_write(&u, "up", 2, &e), 0);
	assert_int_equal(upload_write(&u, "load", 4, &e), 0);
	assert_int_equal(upload_finish(&u, &none, &e), 0);
	assert_string_equal(content(f, path), "upload\n");
}

static void test_upload_pieces_of_a_file_are_seen_at_once(void **state)
{
	static const char *const names[] = { "new", "old" };
	struct fixture *f = *state;

	make_file(f, "old", "content", 0644);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct upload u = UPLOAD_NONE;
		struct err e = { 0 };

		assert_int_equal(upload_open(&u, in(f, names[i]), UID, GID, 0, &e), 0);
		assert_int_equal(upload_write(&u, "piece", 5, &e), 0);
		assert_string_equal(content(f, f->path), "piece");
		upload_deinit(&u);
	}
}

static void test_upload_any_split_gives_the_same_file(void **state)
{
	static const size_t sizes[] = { UPLOAD_HELD_MAX - 1, UPLOAD_HELD_MAX, UPLOAD_HELD_MAX + 1,
		                        2 * UPLOAD_HELD_MAX };
	struct fixture *f = *state;
	char text[2 * UPLOAD_HELD_MAX + 1];

	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)('a' + i % 26);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (size_t cut = 0; cut <= sizes[i]; cut += 1024) {
			struct upload u = UPLOAD_NONE;
			struct err e = { 0 };

			make_file(f, "f", "", 0644); /* no blocks, so its beginning is held */
			assert_int_equal(upload_open(&u, in(f, "f"), UID, GID, 0, &e), 0);
			assert_int_equal(upload_write(&u, text, cut, &e), 0);
			assert_int_equal(upload_write(&u, text + cut, sizes[i] - cut, &e), 0);
			assert_int_equal(upload_finish(&u, &none, &e), 0);
			assert_int_equal(strlen(content(f, f->path)), sizes[i]);
			assert_memory_equal(f->text, text, sizes[i]);
		}
	}
}

static void test_upload_metadata_becomes_exactly_what_was_sent(void **state)
{
	const struct metadata_pair pairs[] = { { "owner", "me" }, { "k", "" } };
	const struct metadata m = { pairs, ARRAY_SIZE(pairs) };
	struct fixture *f = *state;
	struct err e = { 0 };
	char value[16];

	assert_int_equal(put(in(f, "f"), UID, GID, "x", &m, &e), 0);
	assert_int_equal(getxattr(f->path, "user.e2b.owner", value, sizeof value), 2);
	assert_int_equal(getxattr(f->path, "user.e2b.k", value, sizeof value), 0);
	assert_int_equal(put(f->path, UID, GID, "x", &none, &e), 0);
	assert_int_equal(getxattr(f->path, "user.e2b.owner", value, sizeof value), -1);
}

/* Where the kernel guards such files, root may not open them with O_CREAT. */
static void test_upload_over_a_users_file_in_a_sticky_directory(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(chmod(f->dir, 01777), 0);
	assert_int_equal(chown(f->dir, UID + 1, GID), 0);
	make_file(f, "f", "old", 0600);
	assert_int_equal(chown(in(f, "f"), UID, GID), 0);
	check_put(f, in(f, "f"), "new");
}

static void test_upload_given_up_leaves_what_was_written(void **state)
{
	struct fixture *f = *state;
	struct upload u = UPLOAD_NONE;
	struct err e = { 0 };
	char text[UPLOAD_HELD_MAX + 1];

	memset(text, 'x', sizeof text);
	assert_int_equal(upload_open(&u, in(f, "f"), UID, GID, 0, &e), 0);
	assert_int_equal(upload_write(&u, text, sizeof text, &e), 0);
	upload_deinit(&u);
	upload_deinit(&u);
	assert_int_equal(strlen(content(f, in(f, "f"))), sizeof text);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_upload_new_file_and_its_directories_are_the_users),
		T(test_upload_existing_file_keeps_its_inode_and_mode),
		T(test_upload_clears_setuid),
		T(test_upload_follows_links),
		T(test_upload_to_what_is_no_file_is_refused),
		T(test_upload_new_path_with_a_slash_makes_nothing),
		T(test_upload_file_in_the_way_is_named),
		T(test_upload_full_disk_is_told_with_what_was_announced),
		T(test_upload_device_keeps_its_owner),
		T(test_upload_device_that_comes_late_keeps_its_owner),
		T(test_upload_pieces_of_a_command_are_one_write),
		T(test_upload_pieces_of_a_file_are_seen_at_once),
		T(test_upload_any_split_gives_the_same_file),
		T(test_upload_metadata_becomes_exactly_what_was_sent),
		T(test_upload_over_a_users_file_in_a_sticky_directory),
		T(test_upload_given_up_leaves_what_was_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
