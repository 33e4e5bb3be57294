#include "host/environ.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/support/test.h"

static int setup(void **state)
{
	static struct environ_store env;

	environ_init(&env);
	environ_set_internal(&env, "E2B_SANDBOX", "true");
	*state = &env;
	return 0;
}

static int teardown(void **state)
{
	environ_deinit(*state);
	environ_deinit(*state);
	return 0;
}

static void replace(struct environ_store *env, const struct environ_pair *pairs, size_t n)
{
	CLEANUP(err_clear) struct err e = { 0 };

	assert_int_equal(environ_replace_user(env, pairs, n, &e), 0);
}

static void expect_json(const struct environ_store *env, const char *text)
{
	CLEANUP(buf_deinit) struct buf b = { 0 };

	buf_init(&b, 4096);
	environ_append_json(env, &b);
	buf_append_byte(&b, '\0');
	assert_int_equal(buf_error(&b), 0);
	assert_string_equal((const char *)b.data, text);
}

static void test_environ_user_set_is_replaced_not_merged(void **state)
{
	struct environ_store *env = *state;

	replace(env, (const struct environ_pair[]){ { "B", "1" }, { "A", "2" } }, 2);
	expect_json(env, "{\"A\":\"2\",\"B\":\"1\",\"E2B_SANDBOX\":\"true\"}");
	replace(env, (const struct environ_pair[]){ { "C", "3" } }, 1);
	expect_json(env, "{\"C\":\"3\",\"E2B_SANDBOX\":\"true\"}");
	replace(env, NULL, 0);
	expect_json(env, "{\"E2B_SANDBOX\":\"true\"}");
}

static void test_environ_user_cannot_touch_internal_names(void **state)
{
	struct environ_store *env = *state;

	replace(env, (const struct environ_pair[]){ { "E2B_SANDBOX", "false" }, { "X", "" } }, 2);
	expect_json(env, "{\"E2B_SANDBOX\":\"true\",\"X\":\"\"}");
}

static void test_environ_internal_takes_over_a_users_name(void **state)
{
	struct environ_store *env = *state;

	replace(env, (const struct environ_pair[]){ { "ID", "mine" } }, 1);
	environ_set_internal(env, "ID", "ours");
	assert_string_equal(environ_get(env, "ID"), "ours");
	replace(env, NULL, 0);
	assert_string_equal(environ_get(env, "ID"), "ours");
	assert_null(environ_get(env, "I"));
	environ_set_internal(env, "ID", "new");
	assert_string_equal(environ_get(env, "ID"), "new");
}

static void test_environ_last_of_repeated_names_wins_and_empty_names_go(void **state)
{
	struct environ_store *env = *state;

	replace(env,
	        (const struct environ_pair[]){
			{ "A", "1" }, { "", "x" }, { "A", "2" }, { "A", "3" } },
	        4);
	expect_json(env, "{\"A\":\"3\",\"E2B_SANDBOX\":\"true\"}");
}

static void test_environ_json_is_escaped_as_go_does(void **state)
{
	struct environ_store *env = *state;

	replace(env, (const struct environ_pair[]){ { "A<", "\"\\\n&\xff" } }, 1);
	expect_json(env, "{\"A\\u003c\":\"\\\"\\\\\\n\\u0026\\ufffd\",\"E2B_SANDBOX\":\"true\"}");
}

static void test_environ_over_the_limit_changes_nothing(void **state)
{
	struct environ_store *env = *state;
	CLEANUP(freep) char *huge = xmalloc(ENVIRON_BYTES_MAX + 1);
	CLEANUP(err_clear) struct err e = { 0 };

	memset(huge, 'x', ENVIRON_BYTES_MAX);
	huge[ENVIRON_BYTES_MAX] = '\0';
	replace(env, (const struct environ_pair[]){ { "A", "1" } }, 1);
	assert_int_equal(
		environ_replace_user(env, (const struct environ_pair[]){ { "B", huge } }, 1, &e),
		-1);
	assert_int_equal(e.kind, ERR_LIMIT);
	assert_string_equal(environ_get(env, "A"), "1");
	assert_null(environ_get(env, "B"));
}

static void test_environ_every_allocation_failure_changes_nothing(void **state)
{
	struct environ_store *env = *state;

	replace(env, (const struct environ_pair[]){ { "A", "1" } }, 1);
	for (unsigned nth = 1;; nth++) {
		CLEANUP(err_clear) struct err e = { 0 };
		int rc, has_failed;

		mem_fail_nth(nth);
		rc = environ_replace_user(env, (const struct environ_pair[]){ { "B", "2" } }, 1,
		                          &e);
		has_failed = mem_fail_nth(0);
		if (!has_failed) {
			assert_int_equal(rc, 0);
			break;
		}
		assert_int_equal(rc, -1);
		assert_int_equal(e.kind, ERR_LIMIT);
		assert_string_equal(environ_get(env, "A"), "1");
	}
	assert_null(environ_get(env, "A"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_environ_user_set_is_replaced_not_merged),
		TEST(test_environ_user_cannot_touch_internal_names),
		TEST(test_environ_internal_takes_over_a_users_name),
		TEST(test_environ_last_of_repeated_names_wins_and_empty_names_go),
		TEST(test_environ_json_is_escaped_as_go_does),
		TEST(test_environ_over_the_limit_changes_nothing),
		TEST(test_environ_every_allocation_failure_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
