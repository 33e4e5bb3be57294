#include "base/quota.h"

#include <errno.h>

#include "tests/support/test.h"

static void test_quota_gives_the_first_bytes_to_everybody(void **state)
{
	struct quota q = { .max = 0, .free = 10, .step = 1 };
	size_t charged = 0;

	UNUSED(state);
	assert_int_equal(quota_raise(&q, &charged, 10), 0);
	assert_int_equal(charged, 0);
	assert_int_equal(quota_raise(&q, &charged, 11), -ENOBUFS);
	assert_int_equal(charged, 0);
	assert_int_equal(q.used, 0);
}

static void test_quota_is_charged_step_by_step(void **state)
{
	struct quota q = { .max = 1000, .free = 10, .step = 100 };
	size_t charged = 0;

	UNUSED(state);
	assert_int_equal(quota_raise(&q, &charged, 11), 0);
	assert_int_equal(charged, 100);
	assert_int_equal(quota_raise(&q, &charged, 110), 0);
	assert_int_equal(charged, 100);
	assert_int_equal(quota_raise(&q, &charged, 500), 0);
	assert_int_equal(charged, 500);
	assert_int_equal(q.used, 500);
}

static void test_quota_is_of_all_together(void **state)
{
	struct quota q = { .max = 100, .step = 1 };
	size_t one = 0, other = 0;

	UNUSED(state);
	assert_int_equal(quota_raise(&q, &one, 60), 0);
	assert_int_equal(quota_raise(&q, &other, 41), -ENOBUFS);
	assert_int_equal(other, 0);
	assert_int_equal(quota_raise(&q, &other, 40), 0);
	assert_int_equal(q.used, 100);
	quota_lower(&q, &one, 0);
	quota_lower(&q, &one, 0);
	assert_int_equal(quota_raise(&q, &other, 100), 0);
}

static void test_quota_gets_back_what_is_not_needed(void **state)
{
	struct quota q = { .max = 1000, .step = 100 };
	size_t charged = 0;

	UNUSED(state);
	assert_int_equal(quota_raise(&q, &charged, 30), 0);
	quota_lower(&q, &charged, 200);
	assert_int_equal(charged, 100);
	quota_lower(&q, &charged, 30);
	assert_int_equal(charged, 30);
	assert_int_equal(q.used, 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quota_gives_the_first_bytes_to_everybody),
		cmocka_unit_test(test_quota_is_charged_step_by_step),
		cmocka_unit_test(test_quota_is_of_all_together),
		cmocka_unit_test(test_quota_gets_back_what_is_not_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
