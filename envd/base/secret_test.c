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

static void test_secret_sign_is_sha256_of_the_joined_texts(void **state)
{
	const struct span before[] = { SPAN("/a:read"), SPAN(""), SPAN(":user:") };
	char text[SECRET_SIGNATURE_SIZE];
	struct secret s = { 0 };

	UNUSED(state);
	assert_int_equal(secret_set(&s, SPAN("token")), 0);
	/* printf /a:read:user:token:7 | openssl dgst -sha256 -binary | base64 */
	secret_sign(&s, before, ARRAY_SIZE(before), SPAN(":7"), text);
	assert_string_equal(text, "6Or4XDCqn6RgJWdgk0PLlcZI91v7tovFrIiotaCGJlU");
	secret_sign(&s, NULL, 0, (struct span){ 0 }, text);
	assert_string_equal(text, "PEaenWxYddN6Q/NT1PiOYfz4EsZu7jRXRlpAsNpBU+A");
	secret_clear(&s);
}

static void test_secret_same_compares_all_bytes(void **state)
{
	UNUSED(state);
	assert_true(secret_same("abc", "abd", 2));
	assert_false(secret_same("abc", "abd", 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secret_unset_equals_nothing),
		cmocka_unit_test(test_secret_equals_only_the_same_bytes),
		cmocka_unit_test(test_secret_set_again_replaces),
		cmocka_unit_test(test_secret_wipe_leaves_zeroes),
		cmocka_unit_test(test_secret_sign_is_sha256_of_the_joined_texts),
		cmocka_unit_test(test_secret_same_compares_all_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
