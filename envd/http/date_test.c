#include "http/date.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_date_is_written_as_the_standard_says),
		cmocka_unit_test(test_date_beyond_four_digit_years_is_still_a_date),
		cmocka_unit_test(test_date_follows_a_clock_that_goes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
