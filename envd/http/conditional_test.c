#include "http/conditional.h"

#include "base/macros.h"
#include "tests/support/test.h"

#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define AT     "Sun, 06 Nov 1994 08:49:37 GMT"
#define AFTER  "Sun, 06 Nov 1994 08:49:38 GMT"
#define AT_S   784111777

static void check(struct conditions c, enum condition_result result)
{
	assert_int_equal(condition_check(&c, AT_S), result);
}

static void test_conditions_on_the_time(void **state)
{
	UNUSED(state);
	check((struct conditions){ 0 }, CONDITION_SERVE);
	check((struct conditions){ .if_modified_since = SPAN(BEFORE) }, CONDITION_SERVE);
	check((struct conditions){ .if_modified_since = SPAN(AT) }, CONDITION_NOT_MODIFIED);
	check((struct conditions){ .if_modified_since = SPAN(AFTER) }, CONDITION_NOT_MODIFIED);
	check((struct conditions){ .if_modified_since = SPAN("soon") }, CONDITION_SERVE);
	check((struct conditions){ .if_unmodified_since = SPAN(BEFORE) }, CONDITION_FAILED);
	check((struct conditions){ .if_unmodified_since = SPAN(AT) }, CONDITION_SERVE);
	check((struct conditions){ .if_unmodified_since = SPAN("soon") }, CONDITION_SERVE);
}

static void test_conditions_on_tags_that_the_file_has_not(void **state)
{
	UNUSED(state);
	check((struct conditions){ .if_match = SPAN("*") }, CONDITION_SERVE);
	check((struct conditions){ .if_match = SPAN("\"a\", W/\"b\", *") }, CONDITION_SERVE);
	check((struct conditions){ .if_match = SPAN("\"a\"") }, CONDITION_FAILED);
	check((struct conditions){ .if_match = SPAN("a, *") }, CONDITION_FAILED);
	check((struct conditions){ .if_none_match = SPAN("*") }, CONDITION_NOT_MODIFIED);
	check((struct conditions){ .if_none_match = SPAN("\"a\"") }, CONDITION_SERVE);
	check((struct conditions){ .if_none_match = SPAN("\"a") }, CONDITION_SERVE);
}

static void test_conditions_on_tags_come_first(void **state)
{
	UNUSED(state);
	check((struct conditions){ .if_match = SPAN("*"), .if_unmodified_since = SPAN(BEFORE) },
	      CONDITION_SERVE);
	check((struct conditions){ .if_none_match = SPAN("\"a\""), .if_modified_since = SPAN(AT) },
	      CONDITION_SERVE);
}

static void test_conditions_on_a_file_without_time_are_not_asked(void **state)
{
	struct conditions c = { .if_modified_since = SPAN(AT),
		                .if_unmodified_since = SPAN(BEFORE) };

	UNUSED(state);
	assert_int_equal(condition_check(&c, 0), CONDITION_SERVE);
}

static void test_range_counts_only_for_the_same_file(void **state)
{
	struct conditions none = { 0 }, same = { .if_range = SPAN(AT) },
			  other = { .if_range = SPAN(AFTER) }, tag = { .if_range = SPAN("\"a\"") };

	UNUSED(state);
	assert_true(condition_keeps_range(&none, AT_S));
	assert_true(condition_keeps_range(&same, AT_S));
	assert_false(condition_keeps_range(&same, 0));
	assert_false(condition_keeps_range(&other, AT_S));
	assert_false(condition_keeps_range(&tag, AT_S));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conditions_on_the_time),
		cmocka_unit_test(test_conditions_on_tags_that_the_file_has_not),
		cmocka_unit_test(test_conditions_on_tags_come_first),
		cmocka_unit_test(test_conditions_on_a_file_without_time_are_not_asked),
		cmocka_unit_test(test_range_counts_only_for_the_same_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
