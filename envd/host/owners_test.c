#include "host/owners.h"

#include <stdlib.h>
#include <unistd.h>

#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

struct fixture {
	char *dir, *passwd, *group;
	struct user_db db;
	struct owners owners;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	f->dir = temp_dir_new();
	f->passwd = temp_dir_file(f->dir, "passwd",
	                          "root:x:0:0:root:/root:/bin/sh\n"
	                          "short:x:7\n"
	                          "user:x:1000:1000::/home/user:/bin/sh\n"
	                          "same:x:1000:1000::/home/same:/bin/sh\n",
	                          0644);
	f->group = temp_dir_file(f->dir, "group", "root:x:0:\nstaff:x:1000:user\n", 0644);
	f->db = (struct user_db){ f->passwd, f->group };
	f->owners = (struct owners){ .db = &f->db };
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	owners_deinit(&f->owners);
	free(f->passwd);
	free(f->group);
	temp_dir_free(f->dir);
	free(f);
	return 0;
}

static void test_owners_names_users_and_groups(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(owners_user(&f->owners, 0), "root");
	assert_string_equal(owners_user(&f->owners, 1000), "user");
	assert_string_equal(owners_group(&f->owners, 1000), "staff");
	assert_string_equal(owners_user(&f->owners, 1000), "user");
}

static void test_owners_id_without_name_is_decimal(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(owners_user(&f->owners, 7), "7");
	assert_string_equal(owners_user(&f->owners, 4294967295u), "4294967295");
	assert_string_equal(owners_group(&f->owners, 5), "5");
}

static void test_owners_unreadable_files_leave_decimals(void **state)
{
	struct fixture *f = *state;

	unlink(f->passwd);
	unlink(f->group);
	assert_string_equal(owners_user(&f->owners, 0), "0");
	assert_string_equal(owners_group(&f->owners, 1000), "1000");
}

static void test_owners_remember_what_they_said(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(owners_user(&f->owners, 0), "root");
	unlink(f->passwd);
	assert_string_equal(owners_user(&f->owners, 0), "root");
	for (unsigned uid = 1; uid <= OWNERS_MAX; uid++)
		assert_non_null(owners_user(&f->owners, uid));
	assert_string_equal(owners_user(&f->owners, 0), "0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_owners_names_users_and_groups, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_owners_id_without_name_is_decimal, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_owners_unreadable_files_leave_decimals, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_owners_remember_what_they_said, setup,
		                                teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
