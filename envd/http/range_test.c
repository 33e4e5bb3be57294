#include "http/range.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/macros.h"
#include "tests/support/test.h"

struct row {
	const char *field;
	int64_t size;
	enum range_result result;
	const char *ranges; /* "start+len " for each */
};

static void check(const struct row *row)
{
	struct ranges ranges;
	char text[256] = "";

	assert_int_equal(range_parse(span_of(row->field), row->size, &ranges), row->result);
	for (size_t i = 0; row->result == RANGE_PARTS && i < ranges.n; i++)
		(void)snprintf(text + strlen(text), sizeof text - strlen(text), "%lld+%lld ",
		               (long long)ranges.list[i].start, (long long)ranges.list[i].len);
	assert_string_equal(text, row->ranges ? row->ranges : "");
}

static void test_range_field_is_read_as_go_reads_it(void **state)
{
	static const struct row rows[] = {
		{ "", 12, RANGE_WHOLE, NULL },
		{ "bytes=", 12, RANGE_WHOLE, NULL },
		{ "bytes= , ,", 12, RANGE_WHOLE, NULL },
		{ "bytes=0-4", 12, RANGE_PARTS, "0+5 " },
		{ "bytes=5-", 12, RANGE_PARTS, "5+7 " },
		{ "bytes=-5", 12, RANGE_PARTS, "7+5 " },
		{ "bytes=-50", 12, RANGE_PARTS, "0+12 " },
		{ "bytes=11-50", 12, RANGE_PARTS, "11+1 " },
		{ "bytes=+1-+2", 12, RANGE_PARTS, "1+2 " },
		{ "bytes= 0 - 0 , 2 - 3 ", 12, RANGE_PARTS, "0+1 2+2 " },
		{ "bytes=0-0,50-60", 12, RANGE_PARTS, "0+1 " },
		{ "bytes=0-11,0-0", 12, RANGE_WHOLE, NULL },
		{ "bytes=0-,0-,0-", INT64_MAX, RANGE_WHOLE, NULL },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check(&rows[i]);
}

static void test_range_that_cannot_be_satisfied(void **state)
{
	static const struct row rows[] = {
		{ "bytes=12-", 12, RANGE_UNSATISFIABLE, NULL },
		{ "bytes=50-60,70-", 12, RANGE_UNSATISFIABLE, NULL },
		{ "bytes=-0", 12, RANGE_UNSATISFIABLE, NULL },
		{ "bytes=0-4", 0, RANGE_WHOLE, NULL },
		{ "bytes=-5", 0, RANGE_UNSATISFIABLE, NULL },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check(&rows[i]);
}

static void test_range_that_is_malformed(void **state)
{
	static const char *const fields[] = {
		"bytes",      "bits=0-1",  "Bytes=0-1",    "bytes=1",
		"bytes=4-2",  "bytes=--1", "bytes=a-b",    "bytes=0-x",
		"bytes=-",    "bytes=-a",  "bytes=0-0,zz", "bytes=99999999999999999999-",
		"bytes=-1-0",
	};
	struct ranges ranges;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		assert_int_equal(range_parse(span_of(fields[i]), 12, &ranges), RANGE_INVALID);
}

static void test_range_of_more_parts_than_are_kept_is_the_whole(void **state)
{
	CLEANUP(buf_deinit) struct buf field = { 0 };
	struct ranges ranges;

	UNUSED(state);
	buf_init(&field, 8 * RANGES_MAX);
	buf_append_text(&field, "bytes=");
	for (size_t i = 0; i < RANGES_MAX; i++)
		buf_append_text(&field, "0-0,");
	assert_int_equal(
		range_parse((struct span){ (char *)field.data, field.len }, 100000, &ranges),
		RANGE_PARTS);
	assert_int_equal(ranges.n, RANGES_MAX);
	buf_append_text(&field, "0-0");
	assert_int_equal(
		range_parse((struct span){ (char *)field.data, field.len }, 100000, &ranges),
		RANGE_WHOLE);
}

static void test_content_range_says_what_is_sent_of_what(void **state)
{
	static const struct range last = { INT64_MAX - 1, 1 };
	char out[CONTENT_RANGE_MAX];

	UNUSED(state);
	assert_true(
		span_equal(content_range_format(&(struct range){ 0, 5 }, 12, out), "bytes 0-4/12"));
	assert_true(span_equal(content_range_format(NULL, 12, out), "bytes */12"));
	assert_true(span_equal(content_range_format(&last, INT64_MAX, out),
	                       "bytes 9223372036854775806-9223372036854775806/"
	                       "9223372036854775807"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_range_field_is_read_as_go_reads_it),
		cmocka_unit_test(test_range_that_cannot_be_satisfied),
		cmocka_unit_test(test_range_that_is_malformed),
		cmocka_unit_test(test_content_range_says_what_is_sent_of_what),
		cmocka_unit_test(test_range_of_more_parts_than_are_kept_is_the_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
