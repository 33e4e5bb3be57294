#include "host/requester.h"

#include <stdlib.h>

#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

struct fixture {
	char *dir;
	char *passwd;
	char *group;
	struct user_db db;
};

static int setup(void **state)
{
	static struct fixture f;

	f.dir = temp_dir_new();
	f.passwd = temp_dir_file(f.dir, "passwd", "ann:x:7:8::/home/user:/bin/sh\n", 0644);
	f.group = temp_dir_file(f.dir, "group", "", 0644);
	f.db = (struct user_db){ f.passwd, f.group };
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	temp_dir_free(f->dir);
	free(f->passwd);
	free(f->group);
	return 0;
}

static void check_refused(struct requester *r, enum err_kind kind, const char *text)
{
	CLEANUP(err_clear) struct err e = { 0 };

	assert_int_equal(requester_find(r, &e), -1);
	assert_int_equal(e.kind, kind);
	assert_string_equal(err_text(&e), text);
	requester_deinit(r);
}

static void check_path(const struct requester *r, const char *path, const char *resolved)
{
	CLEANUP(freep) char *out = NULL;
	struct err e = { 0 };

	assert_int_equal(requester_path(r, path, &out, &e), 0);
	assert_string_equal(out, resolved);
}

static void test_requester_is_the_user_that_is_named_and_else_the_default(void **state)
{
	struct fixture *f = *state;
	struct requester r;
	struct err e = { 0 };

	assert_int_equal(requester_init(&r, &f->db, "ann", "other", NULL, &e), 0);
	assert_int_equal(requester_find(&r, &e), 0);
	assert_int_equal(r.user.uid, 7);
	requester_deinit(&r);

	assert_int_equal(requester_init(&r, &f->db, NULL, "ann", NULL, &e), 0);
	assert_true(r.is_default);
	assert_int_equal(requester_find(&r, &e), 0);
	assert_int_equal(r.user.gid, 8);
	requester_deinit(&r);
}

static void test_requester_unknown_is_refused_in_the_words_of_who_named_it(void **state)
{
	struct fixture *f = *state;
	CLEANUP(err_clear) struct err e = { 0 };
	struct requester r;

	assert_int_equal(requester_init(&r, &f->db, NULL, "", NULL, &e), -1);
	assert_int_equal(e.kind, ERR_UNAUTHENTICATED);
	assert_string_equal(err_text(&e), "no user specified");

	assert_int_equal(requester_init(&r, &f->db, "bob", "ann", NULL, &e), 0);
	check_refused(&r, ERR_UNAUTHENTICATED, "invalid username: 'bob'");
	assert_int_equal(requester_init(&r, &f->db, "", "ann", NULL, &e), 0);
	check_refused(&r, ERR_UNAUTHENTICATED, "invalid username: ''");
	assert_int_equal(requester_init(&r, &f->db, NULL, "bob", NULL, &e), 0);
	check_refused(&r, ERR_UNAUTHENTICATED, "invalid default user: 'bob'");
}

static void test_requester_without_accounts_is_an_internal_error(void **state)
{
	static const struct user_db none = { "/no/passwd", "/no/group" };
	struct requester r;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(requester_init(&r, &none, "ann", "", NULL, &e), 0);
	check_refused(&r, ERR_INTERNAL,
	              "error looking up user 'ann': open /no/passwd: no such file or directory");
}

static void test_requester_paths_begin_at_its_home_or_the_default_directory(void **state)
{
	struct fixture *f = *state;
	struct requester r;
	struct err e = { 0 };

	assert_int_equal(requester_init(&r, &f->db, "ann", "", "/work", &e), 0);
	assert_int_equal(requester_find(&r, &e), 0);
	check_path(&r, "", "/work");
	check_path(&r, "a/../b", "/home/user/b");
	check_path(&r, "~/c", "/home/user/c");
	check_path(&r, "/d//e/", "/d//e/");
	requester_deinit(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
		T(test_requester_is_the_user_that_is_named_and_else_the_default),
		T(test_requester_unknown_is_refused_in_the_words_of_who_named_it),
		T(test_requester_without_accounts_is_an_internal_error),
		T(test_requester_paths_begin_at_its_home_or_the_default_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
