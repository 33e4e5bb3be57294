#include "http/byteranges.h"

#include <string.h>

#include "base/macros.h"
#include "tests/support/test.h"

static struct byteranges two_parts(void)
{
	static const struct range parts[] = { { 0, 2 }, { 10, 2 } };
	struct byteranges b = {
		.parts = parts,
		.n_parts = ARRAY_SIZE(parts),
		.size = 12,
		.type = SPAN("text/plain; charset=utf-8"),
	};

	memset(b.boundary, 'b', BYTERANGES_BOUNDARY_LEN);
	return b;
}

#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void test_byteranges_are_written_as_go_writes_them(void **state)
{
	static const char *const heads[] = {
		"--" B "\r\nContent-Range: bytes 0-1/12\r\nContent-Type: text/plain; "
		"charset=utf-8\r\n\r\n",
		"\r\n--" B "\r\nContent-Range: bytes 10-11/12\r\nContent-Type: text/plain; "
		"charset=utf-8\r\n\r\n",
		"\r\n--" B "--\r\n",
	};
	struct byteranges b = two_parts();
	char out[BYTERANGES_HEAD_MAX], type[BYTERANGES_CONTENT_TYPE_MAX];
	size_t length = 2 + 2;

	UNUSED(state);
	for (size_t i = 0; i <= b.n_parts; i++) {
		assert_true(span_equal(byteranges_head(&b, i, out), heads[i]));
		length += strlen(heads[i]);
	}
	assert_int_equal(byteranges_length(&b), length);
	assert_true(
		span_equal(byteranges_content_type(&b, type), "multipart/byteranges; boundary=" B));
}

static void test_byteranges_of_the_largest_numbers_fit(void **state)
{
	static const struct range parts[] = { { INT64_MAX - 2, 1 } };
	char type[BYTERANGES_TYPE_MAX], out[BYTERANGES_HEAD_MAX];
	struct byteranges b = two_parts();

	UNUSED(state);
	memset(type, 't', sizeof type);
	b.parts = parts;
	b.size = INT64_MAX;
	b.type = (struct span){ type, sizeof type };
	b.n_parts = 2; /* not the end */
	assert_true(byteranges_head(&b, 0, out).len < sizeof out);
	assert_string_equal(strrchr(out, 't') + 1, "\r\n\r\n");
}

static void test_byteranges_boundaries_differ(void **state)
{
	char first[BYTERANGES_BOUNDARY_LEN + 1], second[BYTERANGES_BOUNDARY_LEN + 1];

	UNUSED(state);
	byteranges_draw_boundary(first);
	byteranges_draw_boundary(second);
	assert_int_equal(strspn(first, "0123456789abcdef"), BYTERANGES_BOUNDARY_LEN);
	assert_int_equal(strlen(first), BYTERANGES_BOUNDARY_LEN);
	assert_string_not_equal(first, second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_byteranges_are_written_as_go_writes_them),
		cmocka_unit_test(test_byteranges_of_the_largest_numbers_fit),
		cmocka_unit_test(test_byteranges_boundaries_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
