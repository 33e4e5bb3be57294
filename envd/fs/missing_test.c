#include "fs/missing.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

#define UID 1234
#define GID 4321

struct fixture {
	char *dir;
	char path[4096];
};

/* What the next new directory becomes a link to as soon as it is made; NULL: it stays. */
static const char *exchanged_for;

/* In front of the C library's. */
int mkdir(const char *path, mode_t mode)
{
	typedef int make_function(const char *, mode_t);
	make_function *make;
	int rc;

	*(void **)&make = dlsym(RTLD_NEXT, "mkdir");
	rc = make(path, mode);
	if (rc == 0 && exchanged_for) {
		assert_int_equal(rmdir(path), 0);
		assert_int_equal(symlink(exchanged_for, path), 0);
		exchanged_for = NULL;
	}
	return rc;
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

static void check_dir(struct fixture *f, const char *name, uid_t uid)
{
	struct stat st;

	assert_int_equal(stat(in(f, name), &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(st.st_uid, uid);
}

static void test_missing_dirs_belong_to_the_user_and_others_stay(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };

	assert_int_equal(mkdir(in(f, "there"), 0700), 0);
	assert_int_equal(missing_dirs_make(in(f, "there/a/./b//c/"), UID, GID, NULL, &e), 0);
	check_dir(f, "there", geteuid());
	check_dir(f, "there/a", UID);
	check_dir(f, "there/a/b", UID);
	check_dir(f, "there/a/b/c", UID);
	assert_int_equal(missing_dirs_make(in(f, "there/a"), 1, 1, NULL, &e), 0);
	check_dir(f, "there/a", UID);
}

static void test_missing_parents_leave_the_last_component(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };

	assert_int_equal(missing_parents_make(in(f, "a/b/file/"), UID, GID, NULL, &e), 0);
	check_dir(f, "a/b", UID);
	assert_int_equal(access(in(f, "a/b/file"), F_OK), -1);
}

static void check_failure(struct fixture *f, const char *name, int error, const char *begin,
                          const char *end)
{
	CLEANUP(err_clear) struct err e = { 0 };
	int reason = 0;

	assert_int_equal(missing_dirs_make(in(f, name), UID, GID, &reason, &e), -1);
	assert_int_equal(reason, error);
	assert_memory_equal(err_text(&e), begin, strlen(begin));
	assert_non_null(strstr(err_text(&e), end));
}

static void test_missing_dirs_below_what_is_none_are_refused(void **state)
{
	struct fixture *f = *state;

	free(temp_dir_file(f->dir, "file", "", 0644));
	assert_int_equal(symlink("nowhere", in(f, "dangling")), 0);
	check_failure(f, "file/a/b", ENOTDIR, "path is a file: ", "/file");
	check_failure(f, "dangling/a", ENOENT, "failed to chown directory: chown ",
	              "/dangling: no such file or directory");
}

static void test_missing_dirs_go_through_links(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };

	assert_int_equal(mkdir(in(f, "real"), 0700), 0);
	assert_int_equal(symlink("real", in(f, "link")), 0);
	assert_int_equal(missing_dirs_make(in(f, "link/sub"), UID, GID, NULL, &e), 0);
	check_dir(f, "real/sub", UID);
}

#define N_MAKERS 4
#define N_ROUNDS 50

static void *make_tree(void *arg)
{
	CLEANUP(err_clear) struct err e = { 0 };

	return missing_dirs_make(arg, UID, GID, NULL, &e) < 0 ? arg : NULL;
}

static void test_missing_dirs_made_by_several_at_once_are_made_by_all(void **state)
{
	struct fixture *f = *state;
	pthread_t makers[N_MAKERS];
	char path[4096];
	void *failed;

	for (int round = 0; round < N_ROUNDS; round++) {
		(void)snprintf(path, sizeof path, "%s/%d/a/b/c/d/e/f", f->dir, round);
		for (int i = 0; i < N_MAKERS; i++)
			assert_int_equal(pthread_create(&makers[i], NULL, make_tree, path), 0);
		for (int i = 0; i < N_MAKERS; i++) {
			pthread_join(makers[i], &failed);
			assert_null(failed);
		}
	}
	check_dir(f, "0/a/b/c/d/e/f", UID);
}

/* Its parent may be the user's, who may put there what he likes. */
static void test_missing_dirs_that_were_exchanged_give_nothing_else_away(void **state)
{
	struct fixture *f = *state;
	CLEANUP(err_clear) struct err e = { 0 };
	CLEANUP(freep) char *victim = NULL;

	if (geteuid() != 0)
		skip();
	assert_int_equal(mkdir(in(f, "victim"), 0700), 0);
	victim = xstrdup(f->path);
	exchanged_for = victim;
	assert_int_equal(missing_dirs_make(in(f, "new"), UID, GID, NULL, &e), 0);
	assert_null(exchanged_for);
	check_dir(f, "victim", 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
		T(test_missing_dirs_belong_to_the_user_and_others_stay),
		T(test_missing_parents_leave_the_last_component),
		T(test_missing_dirs_below_what_is_none_are_refused),
		T(test_missing_dirs_go_through_links),
		T(test_missing_dirs_made_by_several_at_once_are_made_by_all),
		T(test_missing_dirs_that_were_exchanged_give_nothing_else_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
