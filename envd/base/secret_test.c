#include "base/secret.h"

#include "base/macros.h"
#include "tests/support/test.h"

static void test_secret_unset_equals_nothing(void **state)
{
	struct secret s = { 0 };

	UNUSED(state);
	assert_false(secret_is_set(&s));
	assert_false(secret_equals(&s, SPAN("")));
	secret_clear(&s);
}

static void test_secret_equals_only_the_same_bytes(void **state)
{
	struct secret s = { 0 };

	UNUSED(state);
	assert_int_equal(secret_set(&s, SPAN("token")), 0);
	assert_true(secret_equals(&s, SPAN("token")));
	assert_false(secret_equals(&s, SPAN("tokem")));
	assert_false(secret_equals(&s, SPAN("toke")));
	assert_false(secret_equals(&s, SPAN("tokens")));
	assert_false(secret_equals(&s, SPAN("")));
	secret_clear(&s);
}

static void test_secret_set_again_replaces(void **state)
{
	struct secret s = { 0 };

	UNUSED(state);
	assert_int_equal(secret_set(&s, SPAN("one")), 0);
	assert_int_equal(secret_set(&s, SPAN("another")), 0);
	assert_false(secret_equals(&s, SPAN("one")));
	assert_true(secret_equals(&s, SPAN("another")));
	secret_clear(&s);
	assert_false(secret_is_set(&s));
}

static void test_secret_wipe_leaves_zeroes(void **state)
{
	char bytes[] = "secret";
	const char zeroes[sizeof(bytes)] = { 0 };

	UNUSED(state);
	secret_wipe(bytes, sizeof(bytes));
	assert_memory_equal(bytes, zeroes, sizeof(bytes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secret_unset_equals_nothing),
		cmocka_unit_test(test_secret_equals_only_the_same_bytes),
		cmocka_unit_test(test_secret_set_again_replaces),
		cmocka_unit_test(test_secret_wipe_leaves_zeroes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
