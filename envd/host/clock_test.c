#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "host/clock.h"

#define S 1000000000ll

static void test_clock_reads_what_go_reads(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} cases[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "2026-11-21T07:16:54.831260271Z", 1795245414831260271ll },
		{ "2026-11-21T07:16:54,5Z", 1795245414500000000ll },
		{ "2026-11-21T07:16:54.1234567899Z", 1795245414123456789ll },
		{ "2024-02-29T23:59:59Z", 1709251199 * S },
		{ "1970-01-01T01:00:00+01:00", 0 },
		{ "1969-12-31T22:30:00-01:30", 0 },
		{ "1969-12-31T23:59:59Z", -1 * S },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t ns = 0;

		assert_int_equal(clock_parse_rfc3339(cases[i].text, strlen(cases[i].text), &ns), 0);
		assert_int_equal(ns, cases[i].ns);
	}
}

static void test_clock_refuses_what_go_refuses(void **state)
{
	static const char *const cases[] = {
		"",
		"yesterday",
		"2026-11-21",
		"2026-11-21T07:16:54",
		"2026-11-21t07:16:54Z",
		"2026-11-21T07:16:54z",
		"2026-11-21 07:16:54Z",
		"2026-11-21T07:16:54.Z",
		"2026-11-21T7:16:54Z",
		"2026-13-01T00:00:00Z",
		"2026-02-29T00:00:00Z",
		"2026-00-01T00:00:00Z",
		"2026-01-01T24:00:00Z",
		"2026-01-01T00:60:00Z",
		"2026-01-01T00:00:60Z",
		"2026-01-01T00:00:00+1:00",
		"2026-01-01T00:00:00+01",
		"2026-01-01T00:00:00Z ",
		"9999-01-01T00:00:00Z",
		"0001-01-01T00:00:00Z",
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t ns = 7;

		assert_true(clock_parse_rfc3339(cases[i], strlen(cases[i]), &ns) < 0);
		assert_int_equal(ns, 7);
	}
}

static void test_clock_parse_survives_every_changed_or_missing_byte(void **state)
{
	static const char valid[] = "2026-11-21T07:16:54.831260271+01:30";
	char text[sizeof(valid)];
	int64_t ns;

	UNUSED(state);
	for (size_t i = 0; i < sizeof(valid) - 1; i++) {
		assert_true(clock_parse_rfc3339(valid, i, &ns) < 0);
		for (int byte = 0; byte < 256; byte++) {
			memcpy(text, valid, sizeof(valid));
			text[i] = (char)byte;
			(void)clock_parse_rfc3339(text, sizeof(valid) - 1, &ns);
		}
	}
}

static void test_clock_is_left_alone_inside_the_band_only(void **state)
{
	UNUSED(state);
	assert_false(clock_is_off(0, 0));
	assert_false(clock_is_off(0, CLOCK_BEHIND_MAX_NS));
	assert_true(clock_is_off(0, CLOCK_BEHIND_MAX_NS + 1));
	assert_false(clock_is_off(CLOCK_AHEAD_MAX_NS, 0));
	assert_true(clock_is_off(CLOCK_AHEAD_MAX_NS + 1, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clock_reads_what_go_reads),
		cmocka_unit_test(test_clock_refuses_what_go_refuses),
		cmocka_unit_test(test_clock_parse_survives_every_changed_or_missing_byte),
		cmocka_unit_test(test_clock_is_left_alone_inside_the_band_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
