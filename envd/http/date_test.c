#include "http/date.h"

#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "tests/support/test.h"

static void check(struct date *d, time_t second, const char *text)
{
	struct span s = date_at(d, second);

	assert_int_equal(s.len, DATE_LEN);
	assert_true(span_equal(s, text));
}

static void test_date_is_written_as_the_standard_says(void **state)
{
	struct date d = { 0 };

	UNUSED(state);
	check(&d, 784111777, "Sun, 06 Nov 1994 08:49:37 GMT");
	check(&d, 784111777, "Sun, 06 Nov 1994 08:49:37 GMT");
	check(&d, 951782400, "Tue, 29 Feb 2000 00:00:00 GMT");
	check(&d, 0, "Thu, 01 Jan 1970 00:00:00 GMT");
	check(&d, 253402300799, "Fri, 31 Dec 9999 23:59:59 GMT");
}

/* The guest's clock is set by others. */
static void test_date_beyond_four_digit_years_is_still_a_date(void **state)
{
	struct date d = { 0 };

	UNUSED(state);
	check(&d, 253402300800, "Thu, 01 Jan 1970 00:00:00 GMT");
	check(&d, INT64_MIN, "Thu, 01 Jan 1970 00:00:00 GMT");
}

static void test_date_follows_a_clock_that_goes_back(void **state)
{
	struct date d = { 0 };

	UNUSED(state);
	check(&d, 784111777, "Sun, 06 Nov 1994 08:49:37 GMT");
	check(&d, 784111776, "Sun, 06 Nov 1994 08:49:36 GMT");
}

static void check_parse(const char *text, time_t expected)
{
	time_t found = 0;

	assert_int_equal(date_parse(span_of(text), &found), 0);
	assert_int_equal(found, expected);
}

static void test_date_is_read_in_its_three_forms(void **state)
{
	UNUSED(state);
	check_parse("Sun, 06 Nov 1994 08:49:37 GMT", 784111777);
	check_parse("Sunday, 06-Nov-94 08:49:37 GMT", 784111777);
	check_parse("Sun Nov  6 08:49:37 1994", 784111777);
	check_parse("Tue, 29 Feb 2000 00:00:00 GMT", 951782400);
	check_parse("Tuesday, 29-Feb-00 00:00:00 GMT", 951782400);
	check_parse("Thu, 01 Jan 1970 00:00:00 GMT", 0);
}

static void test_date_that_is_none_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"yesterday",
		"Sun, 06 Nov 1994 08:49:37",
		"Sun, 06 Nov 1994 08:49:37 GMT+1",
		"Sun, 06 Foo 1994 08:49:37 GMT",
		"Sun, 31 Nov 1994 08:49:37 GMT",
		"Sun, 29 Feb 1900 08:49:37 GMT",
		"Sun, 29 Feb 2001 08:49:37 GMT",
		"Sun, 06 Nov 1994 24:00:00 GMT",
		"Sun, -6 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 08:-1:37 GMT",
		"Sun, 06 Nov 1960 08:49:37 GMT",
		"Sun, 06 Nov 1994 08:49:37 GMT, and a text that is longer than any date can be",
	};
	time_t found;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(date_parse(span_of(texts[i]), &found), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_date_is_read_in_its_three_forms),
		cmocka_unit_test(test_date_that_is_none_is_refused),
		cmocka_unit_test(test_date_is_written_as_the_standard_says),
		cmocka_unit_test(test_date_beyond_four_digit_years_is_still_a_date),
		cmocka_unit_test(test_date_follows_a_clock_that_goes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
