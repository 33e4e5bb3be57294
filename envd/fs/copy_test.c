#include "fs/copy.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/mem.h"
#include "fs/copy_links.h"
#include "fs/descent.h"
#include "fs/remove.h"
#include "fs/tree_fixture.h"
#include "tests/support/test.h"

static const atomic_bool never;

/* What a copy becomes a link to as soon as its owner was set; NULL: it stays. */
static const char *exchanged_for;

/* In front of the C library's. */
int fchownat(int fd, const char *file, uid_t owner, gid_t group, int flag)
{
	typedef int chown_function(int, const char *, uid_t, gid_t, int);
	chown_function *chown_at;
	int rc;

	*(void **)&chown_at = dlsym(RTLD_NEXT, "fchownat");
	rc = chown_at(fd, file, owner, group, flag);
	if (exchanged_for) {
		assert_int_equal(unlinkat(fd, file, 0), 0);
		assert_int_equal(symlinkat(exchanged_for, fd, file), 0);
		exchanged_for = NULL;
	}
	return rc;
}

static int copy_within(struct tree *t, const char *from, const char *to,
                       const atomic_bool *is_abandoned, struct err *e)
{
	const struct copy copy = {
		.from_dir = t->fd,
		.from_name = from,
		.shown_dir = t->top,
		.to_dir = t->fd,
		.to_name = to,
		.is_abandoned = is_abandoned,
	};

	return copy_tree(&copy, e);
}

static void check_copies(struct tree *t, const char *from, const char *to)
{
	CLEANUP(err_clear) struct err e = { 0 };

	if (copy_within(t, from, to, &never, &e) < 0)
		fail_msg("%s", err_text(&e));
	tree_check_same(t->fd, from, t->fd, to);
}

static void check_refuses(struct tree *t, const char *from, const char *to, const char *format)
{
	struct err e = { 0 };

	assert_int_equal(copy_within(t, from, to, &never, &e), -1);
	tree_check_error(t, &e, ERR_INTERNAL, format);
}

static void set_times(struct tree *t, const char *name, long seconds)
{
	const struct timespec times[2] = { { seconds, 1 }, { seconds, 123456789 } };

	assert_int_equal(utimensat(t->fd, name, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void set_attribute(struct tree *t, const char *name, const char *key, size_t size)
{
	char value[4096];

	memset(value, 'v', sizeof value);
	if (setxattr(tree_in(t, name), key, value, size, 0) < 0)
		print_message("%s cannot be set here\n", key);
}

/* ---------------------------------------------------------------- what is kept */

static void test_copy_of_a_file_keeps_all_there_is(void **state)
{
	struct tree *t = *state;

	tree_file(t, "a", "hello");
	set_attribute(t, "a", "user.e2b.k", 3);
	set_attribute(t, "a", "user.empty", 0);
	set_attribute(t, "a", "user.large", 3000);
	if (geteuid() == 0)
		assert_int_equal(chown(tree_in(t, "a"), 1, 2), 0);
	assert_int_equal(chmod(tree_in(t, "a"), 06751), 0);
	set_times(t, "a", 1000000000);
	check_copies(t, "a", "b");
}

static void test_copy_of_a_file_that_its_owner_may_not_write(void **state)
{
	struct tree *t = *state;

	tree_file(t, "a", "hello");
	set_attribute(t, "a", "user.k", 3);
	assert_int_equal(chmod(tree_in(t, "a"), 0400), 0);
	check_copies(t, "a", "b");
}

/* As the kernel has it: user::rw-, user:7:r--, group::r--, mask::r--, other::--- */
static const uint8_t acl[] = { 2, 0, 0,   0,   1,   0,   6,  0, 255, 255, 255, 255, 2,   0,  4,
	                       0, 7, 0,   0,   0,   4,   0,  4, 0,   255, 255, 255, 255, 16, 0,
	                       4, 0, 255, 255, 255, 255, 32, 0, 0,   0,   255, 255, 255, 255 };

/* What the kernel sets when an access list is given, and when a program may do what root may. */
static void test_copy_keeps_access_lists_and_capabilities(void **state)
{
	static const uint8_t capability[] = { 1, 0, 0, 2, 0, 4, 0, 0, 0, 0,
		                              0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
	struct tree *t = *state;

	if (geteuid() != 0)
		skip();
	tree_file(t, "a", "hello");
	assert_int_equal(chown(tree_in(t, "a"), 1, 2), 0);
	if (setxattr(tree_in(t, "a"), "system.posix_acl_access", acl, sizeof acl, 0) < 0)
		print_message("no access lists here\n");
	if (setxattr(tree_in(t, "a"), "security.capability", capability, sizeof capability, 0) < 0)
		print_message("no capabilities here\n");
	check_copies(t, "a", "b");
}

/* Where it is made, all gets a list of who else may read it. */
static void test_copy_has_no_access_list_that_its_source_has_not(void **state)
{
	struct tree *t = *state;
	struct err e = { 0 };
	struct copy copy = { .from_dir = t->fd,
		             .from_name = "d",
		             .shown_dir = t->top,
		             .to_name = "copy",
		             .is_abandoned = &never };

	tree_dir(t, "d");
	tree_file(t, "d/file", "x");
	tree_dir(t, "there");
	if (setxattr(tree_in(t, "there"), "system.posix_acl_default", acl, sizeof acl, 0) < 0) {
		print_message("no access lists here: skipped\n");
		skip();
	}
	copy.to_dir = openat(t->fd, "there", O_RDONLY | O_CLOEXEC);
	assert_int_equal(copy_tree(&copy, &e), 0);
	tree_check_same(t->fd, "d", copy.to_dir, "copy");
	close(copy.to_dir);
}

static void test_copy_of_links_is_links(void **state)
{
	struct tree *t = *state;

	tree_link(t, "dangling", "missing");
	set_times(t, "dangling", 1000000000);
	if (geteuid() == 0)
		assert_int_equal(lchown(tree_in(t, "dangling"), 1, 2), 0);
	check_copies(t, "dangling", "b");
}

static void make_socket(struct tree *t, const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", t->top, name);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	close(fd);
}

static void test_copy_of_special_files_is_special_files(void **state)
{
	struct tree *t = *state;

	tree_dir(t, "d");
	assert_int_equal(mkfifo(tree_in(t, "d/fifo"), 0640), 0);
	make_socket(t, "d/socket");
	if (mknod(tree_in(t, "d/null"), S_IFCHR | 0666, makedev(1, 3)) < 0 ||
	    mknod(tree_in(t, "d/block"), S_IFBLK | 0600, makedev(250, 7)) < 0)
		print_message("cannot make devices\n");
	check_copies(t, "d", "e");
}

/* The directory that it is made in may be the user's, who may put there what he likes. */
static void test_copy_that_was_exchanged_gives_nothing_else_away(void **state)
{
	struct tree *t = *state;
	CLEANUP(err_clear) struct err e = { 0 };
	struct stat st;

	tree_file(t, "victim", "x");
	assert_int_equal(fchmodat(t->fd, "victim", 0600, 0), 0);
	assert_int_equal(mkfifo(tree_in(t, "fifo"), 0600), 0);
	assert_int_equal(fchmodat(t->fd, "fifo", 0666, 0), 0);
	exchanged_for = "victim";
	(void)!copy_within(t, "fifo", "copy", &never, &e);
	assert_null(exchanged_for);
	assert_int_equal(fstatat(t->fd, "victim", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_copy_of_a_tree_keeps_all_there_is(void **state)
{
	struct tree *t = *state;

	tree_dir(t, "d");
	tree_dir(t, "d/sub");
	tree_dir(t, "d/sub/empty");
	tree_file(t, "d/sub/file", "content");
	tree_file(t, "d/\xff\xfe odd \n name", "");
	tree_link(t, "d/link", "../sub");
	tree_link(t, "d/up", "..");
	set_attribute(t, "d/sub", "user.of-a-directory", 5);
	assert_int_equal(chmod(tree_in(t, "d/sub"), 02750), 0);
	assert_int_equal(chmod(tree_in(t, "d/sub/empty"), 0), 0);
	set_times(t, "d/sub/file", 1);
	set_times(t, "d/sub/empty", 2);
	set_times(t, "d/sub", 3);
	set_times(t, "d", 4);
	check_copies(t, "d", "e");
}

static void check_one_file(struct tree *t, const char *a, const char *b)
{
	struct stat x, y;

	assert_int_equal(fstatat(t->fd, a, &x, 0), 0);
	assert_int_equal(fstatat(t->fd, b, &y, 0), 0);
	assert_int_equal(x.st_ino, y.st_ino);
}

static void test_copy_keeps_several_names_of_one_file(void **state)
{
	struct tree *t = *state;

	tree_dir(t, "d");
	tree_dir(t, "d/sub");
	tree_file(t, "d/one", "x");
	assert_int_equal(linkat(t->fd, "d/one", t->fd, "d/sub/two", 0), 0);
	assert_int_equal(linkat(t->fd, "d/one", t->fd, "d/three", 0), 0);
	check_copies(t, "d", "e");
	check_one_file(t, "e/one", "e/three");
	check_one_file(t, "e/one", "e/sub/two");
}

/* A name outside of the tree is not the copy's. */
static void test_copy_of_one_of_several_names_is_a_file_of_its_own(void **state)
{
	struct tree *t = *state;
	CLEANUP(err_clear) struct err e = { 0 };
	struct stat st;

	tree_file(t, "one", "x");
	assert_int_equal(linkat(t->fd, "one", t->fd, "two", 0), 0);
	assert_int_equal(copy_within(t, "one", "copy", &never, &e), 0);
	assert_int_equal(fstatat(t->fd, "copy", &st, 0), 0);
	assert_int_equal(st.st_nlink, 1);
}

static void test_copy_keeps_holes(void **state)
{
	struct tree *t = *state;
	struct stat st;

	tree_file(t, "a", "begin");
	assert_int_equal(truncate(tree_in(t, "a"), 64 * 1024 * 1024), 0);
	check_copies(t, "a", "b");
	assert_int_equal(fstatat(t->fd, "b", &st, 0), 0);
	assert_true(st.st_blocks < 1024);
}

static void test_copy_of_a_deep_tree_needs_few_descriptors(void **state)
{
	struct tree *t = *state;
	struct rlimit before, few;
	char name[101] = { 0 };
	CLEANUP(err_clear) struct err e = { 0 };
	int fd;

	memset(name, 'n', 100);
	fd = tree_nested(t->fd, name, 500);
	tree_file_at(fd, "one", "x");
	assert_int_equal(linkat(fd, "one", fd, "two", 0), 0); /* too far away to be a link again */
	close(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = t->n_fds + 2 * DESCENT_OPEN_MAX + 12;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	if (copy_within(t, name, "copy", &never, &e) < 0)
		fail_msg("%s", err_text(&e));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	fd = openat(t->fd, "copy", O_RDONLY | O_CLOEXEC);
	for (unsigned i = 1; i < 500; i++) {
		int above = fd;

		fd = openat(above, name, O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		close(above);
	}
	assert_int_equal(faccessat(fd, "one", F_OK, 0), 0);
	assert_int_equal(faccessat(fd, "two", F_OK, 0), 0);
	close(fd);
}

/* ---------------------------------------------------------------- what is refused */

static void test_copy_does_not_overwrite(void **state)
{
	struct tree *t = *state;

	tree_file(t, "a", "x");
	tree_file(t, "b", "y");
	tree_dir(t, "d");
	check_refuses(t, "a", "b", "copy %s/a: file exists");
	check_refuses(t, "d", "b", "copy %s/d: file exists");
	check_refuses(t, "none", "c", "copy %s/none: no such file or directory");
}

static void test_copy_refuses_what_could_not_be_removed_then(void **state)
{
	struct tree *t = *state;
	int fd, flags = FS_IMMUTABLE_FL;

	tree_dir(t, "d");
	tree_dir(t, "d/sub");
	tree_file(t, "d/sub/file", "x");
	fd = openat(t->fd, "d/sub/file", O_RDONLY | O_CLOEXEC);
	if (ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0) {
		print_message("cannot make files immutable here: skipped\n");
		close(fd);
		skip();
	}
	check_refuses(t, "d", "e", "copy %s/d/sub/file: operation not permitted");
	flags = 0;
	assert_int_equal(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
	close(fd);
}

static void test_copy_refuses_mount_points(void **state)
{
	struct tree *t = *state;

	tree_dir(t, "d");
	tree_dir(t, "d/mount");
	if (!tree_mount(t, "d/mount", "64k"))
		skip();
	check_refuses(t, "d", "e", "copy %s/d/mount: device or resource busy");
	tree_unmount(t, "d/mount");
}

/* By a directory that is in two places. */
static void test_copy_into_itself_is_refused(void **state)
{
	struct tree *t = *state;
	struct err e = { 0 };
	struct copy copy = { .from_dir = t->fd,
		             .from_name = "d",
		             .shown_dir = t->top,
		             .to_name = "x",
		             .is_abandoned = &never };

	tree_dir(t, "d");
	copy.to_dir = openat(t->fd, "d", O_RDONLY | O_CLOEXEC);
	assert_int_equal(copy_tree(&copy, &e), -1);
	close(copy.to_dir);
	tree_check_error(t, &e, ERR_INTERNAL, "copy %s/d/x: invalid argument");
}

static void test_copy_ends_when_nobody_waits_for_it(void **state)
{
	struct tree *t = *state;
	const atomic_bool is_abandoned = true;
	struct err e = { 0 };

	tree_file(t, "a", "x");
	assert_int_equal(copy_within(t, "a", "b", &is_abandoned, &e), -1);
	tree_check_error(t, &e, ERR_CANCELED, "context canceled");
}

static void test_copy_every_allocation_failure_is_refused_cleanly(void **state)
{
	struct tree *t = *state;

	tree_dir(t, "d");
	tree_file(t, "d/one", "x");
	assert_int_equal(linkat(t->fd, "d/one", t->fd, "d/two", 0), 0);
	set_attribute(t, "d/one", "user.large", 3000);
	for (unsigned nth = 1;; nth++) {
		CLEANUP(err_clear) struct err e = { 0 };
		int rc;

		(void)mem_fail_nth(nth);
		rc = copy_within(t, "d", "e", &never, &e);
		if (!mem_fail_nth(0)) {
			assert_int_equal(rc, 0);
			return;
		}
		assert_true(rc == 0 || e.kind == ERR_INTERNAL);
		assert_int_equal(remove_tree_at(t->fd, "e", t->top, &e), 0);
	}
}

static void test_copy_links_beyond_the_limit_are_not_remembered(void **state)
{
	CLEANUP(copy_links_deinit) struct copy_links links = { 0 };
	const size_t size = 1024 * 1024;
	CLEANUP(freep) char *path = xmalloc(size);
	uint64_t n = 0;

	(void)state;
	memset(path, 'p', size - 1);
	path[size - 1] = '\0';
	while (n < 1000) {
		copy_links_note(&links, 1, n, path);
		if (!copy_links_find(&links, 1, n))
			break;
		n++;
	}
	assert_int_equal(n, COPY_LINKS_BYTES_MAX / size - 1);
	assert_string_equal(copy_links_find(&links, 1, 0), path);
	assert_null(copy_links_find(&links, 2, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, tree_setup, tree_teardown)
		T(test_copy_of_a_file_keeps_all_there_is),
		T(test_copy_of_a_file_that_its_owner_may_not_write),
		T(test_copy_keeps_access_lists_and_capabilities),
		T(test_copy_has_no_access_list_that_its_source_has_not),
		T(test_copy_of_links_is_links),
		T(test_copy_of_special_files_is_special_files),
		T(test_copy_that_was_exchanged_gives_nothing_else_away),
		T(test_copy_of_a_tree_keeps_all_there_is),
		T(test_copy_keeps_several_names_of_one_file),
		T(test_copy_of_one_of_several_names_is_a_file_of_its_own),
		T(test_copy_keeps_holes),
		T(test_copy_of_a_deep_tree_needs_few_descriptors),
		T(test_copy_does_not_overwrite),
		T(test_copy_refuses_what_could_not_be_removed_then),
		T(test_copy_refuses_mount_points),
		T(test_copy_into_itself_is_refused),
		T(test_copy_ends_when_nobody_waits_for_it),
		T(test_copy_every_allocation_failure_is_refused_cleanly),
		T(test_copy_links_beyond_the_limit_are_not_remembered),
	};

	(void)tree_own_mounts();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
