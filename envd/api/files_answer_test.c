#include "api/files_answer.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "rpc/fake_exchange.h"
#include "tests/support/test.h"

#define MODIFIED 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */
#define SUNDAY   "Sun, 06 Nov 1994 08:49:37 GMT"
#define MONDAY   "Mon, 07 Nov 1994 08:49:37 GMT"
#define SATURDAY "Sat, 05 Nov 1994 08:49:37 GMT"

#define INLINE   "Content-Disposition: inline; filename=a.txt\n"
#define TEXT     "Content-Type: text/plain; charset=utf-8\n"
#define LAST     "Last-Modified: " SUNDAY "\n"
#define RANGES   "Accept-Ranges: bytes\n"
#define NO_RANGE INLINE TEXT "X-Content-Type-Options: nosniff\n"
#define BOUNDARY "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* The file that most rows are about: /d/a.txt, twelve bytes. */
static const struct files_content twelve = {
	.asked_path = "/d/a.txt",
	.path = "/d/a.txt",
	.coding = CODING_IDENTITY,
	.size = 12,
	.modified = MODIFIED,
	.beginning = { "hello, world", 12 },
	.boundary = BOUNDARY,
};

/* Answers a request with those fields ("name: value\n"...); returns the answer's as such lines. */
static const char *answer(struct files_answer *a, const char *fields,
                          const struct files_content *content)
{
	static char lines[4u * PATH_MAX];
	struct fake_exchange *f = fake_new(HTTP_1_1, "GET", fields);
	struct files_content c = *content;
	struct exchange *x = &f->x;
	struct buf b;

	exchange_own(x, &(struct exchange_ops){ 0 }, NULL);
	c.x = x;
	files_answer_init(a, &c);
	buf_init_fixed(&b, lines, sizeof lines);
	for (size_t i = 0; i < a->n_fields; i++) {
		buf_append(&b, a->fields[i].name.at, a->fields[i].name.len);
		buf_append_text(&b, ": ");
		buf_append(&b, a->fields[i].value.at, a->fields[i].value.len);
		buf_append_text(&b, "\n");
	}
	buf_append_byte(&b, '\0');
	assert_int_equal(buf_error(&b), 0);
	exchange_answer(&x, 200, NULL, 0, SPAN(""));
	fake_free(f);
	return lines;
}

/* ---- the whole file ---- */

static void test_files_answer_of_the_whole_file(void **state)
{
	struct files_answer a;

	UNUSED(state);
	assert_string_equal(answer(&a, "", &twelve), INLINE LAST RANGES TEXT);
	assert_int_equal(a.status, 200);
	assert_true(a.has_content);
	assert_int_equal(a.parts.n, 0);
	assert_int_equal(a.length, 12);
}

static void test_files_answer_disposition_is_written_as_go_writes_it(void **state)
{
	static const char *const table[][2] = {
		{ "/d/test.txt", "inline; filename=test.txt" },
		{ "/d/.env", "inline; filename=.env" },
		{ "/my document.pdf", "inline; filename=\"my document.pdf\"" },
		{ "/file\"name.txt", "inline; filename=\"file\\\"name.txt\"" },
		{ "/file\\name.txt", "inline; filename=\"file\\\\name.txt\"" },
		{ "/\xE6\x96\x87\xE6\xA1\xA3.pdf",
		  "inline; filename*=utf-8''%E6%96%87%E6%A1%A3.pdf" },
		{ "/a\nb", "inline; filename*=utf-8''a%0Ab" },
	};
	struct files_content c = twelve;
	struct files_answer a;
	char name[PATH_MAX], expected[1024];

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		c.path = table[i][0];
		snprintf(expected, sizeof expected, "Content-Disposition: %s\n", table[i][1]);
		assert_memory_equal(answer(&a, "", &c), expected, strlen(expected));
	}
	/* The longest name that a path can hold: FUSE has them. */
	memset(name, '\xFF', sizeof name);
	name[0] = '/';
	name[PATH_MAX - 1] = '\0';
	c.path = name;
	assert_memory_equal(answer(&a, "", &c) + strlen("Content-Disposition: "),
	                    "inline; filename*=utf-8''%FF", strlen("inline; filename*=utf-8''%FF"));
	assert_int_equal(a.fields[0].value.len,
	                 strlen("inline; filename*=utf-8''") + 3 * (PATH_MAX - 2));
}

/* The name in the query tells the type, the name on disk what it is called. */
static void test_files_answer_type_is_by_the_asked_name_or_the_content(void **state)
{
	static const struct {
		const char *asked;
		struct span beginning;
		const char *type;
	} table[] = {
		{ "x.json", SPAN("\x89PNG\r\n\x1A\n"), "Content-Type: application/json\n" },
		{ "x", SPAN("\x89PNG\r\n\x1A\n"), "Content-Type: image/png\n" },
		{ "x.unknown", SPAN("text"), TEXT },
		{ "x", SPAN("a\0b"), "Content-Type: application/octet-stream\n" },
		{ "", SPAN(""), TEXT },
	};
	struct files_content c = twelve;
	struct files_answer a;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		c.asked_path = table[i].asked;
		c.beginning = table[i].beginning;
		if (!strstr(answer(&a, "", &c), table[i].type))
			fail_msg("%s: %s", table[i].asked, answer(&a, "", &c));
	}
}

static void test_files_answer_of_a_file_without_a_time_does_not_say_one(void **state)
{
	struct files_content c = twelve;
	struct files_answer a;

	UNUSED(state);
	c.modified = 0;
	assert_string_equal(answer(&a, "if-modified-since: " MONDAY "\n", &c), INLINE RANGES TEXT);
	assert_int_equal(a.status, 200);
}

static void test_files_answer_of_an_empty_file(void **state)
{
	struct files_content c = twelve;
	struct files_answer a;

	UNUSED(state);
	c.size = 0;
	c.beginning = SPAN("");
	assert_string_equal(answer(&a, "range: bytes=0-5\n", &c), INLINE LAST RANGES TEXT);
	assert_int_equal(a.status, 200);
	assert_int_equal(a.length, 0);
	assert_string_equal(answer(&a, "range: bytes=-5\n", &c),
	                    NO_RANGE "Content-Range: bytes */0\n");
	assert_int_equal(a.status, 416);
}

/* ---- ranges ---- */

static void test_files_answer_of_one_range(void **state)
{
	static const struct {
		const char *range, *content_range;
		int64_t start, len;
	} table[] = {
		{ "bytes=0-4", "bytes 0-4/12", 0, 5 },
		{ "bytes=7-", "bytes 7-11/12", 7, 5 },
		{ "bytes=-5", "bytes 7-11/12", 7, 5 },
		{ "bytes=-100", "bytes 0-11/12", 0, 12 },
		{ "bytes=11-99", "bytes 11-11/12", 11, 1 },
		{ "bytes=99-,1-1", "bytes 1-1/12", 1, 1 },
	};
	struct files_answer a;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		char fields[64], expected[512];

		snprintf(fields, sizeof fields, "range: %s\n", table[i].range);
		snprintf(expected, sizeof expected, INLINE LAST RANGES "Content-Range: %s\n" TEXT,
		         table[i].content_range);
		assert_string_equal(answer(&a, fields, &twelve), expected);
		assert_int_equal(a.status, 206);
		assert_int_equal(a.parts.n, 1);
		assert_int_equal(a.parts.list[0].start, table[i].start);
		assert_int_equal(a.parts.list[0].len, table[i].len);
		assert_int_equal(a.length, table[i].len);
	}
}

static void test_files_answer_of_several_ranges(void **state)
{
	struct files_answer a;

	UNUSED(state);
	assert_string_equal(answer(&a, "range: bytes=0-1, 10-11\n", &twelve), INLINE LAST RANGES
	                    "Content-Type: multipart/byteranges; boundary=" BOUNDARY "\n");
	assert_int_equal(a.status, 206);
	assert_int_equal(a.parts.n, 2);
	assert_int_equal(a.length, byteranges_length(&a.together));
	assert_true(span_equal(a.together.type, "text/plain; charset=utf-8"));
	assert_int_equal(a.together.size, 12);
}

static void test_files_answer_of_ranges_that_cannot_be(void **state)
{
	static const char *const beyond[] = { "bytes=12-", "bytes=99-100", "bytes=-0" };
	static const char *const malformed[] = { "bytes=a", "bytes=4-2", "lines=1-2", "bytes=--1" };
	struct files_answer a;
	char fields[64];

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(beyond); i++) {
		snprintf(fields, sizeof fields, "range: %s\n", beyond[i]);
		assert_string_equal(answer(&a, fields, &twelve),
		                    NO_RANGE "Content-Range: bytes */12\n");
		assert_int_equal(a.status, 416);
		assert_false(a.has_content);
		assert_true(span_equal(a.text, "invalid range: failed to overlap\n"));
	}
	for (size_t i = 0; i < ARRAY_SIZE(malformed); i++) {
		snprintf(fields, sizeof fields, "range: %s\n", malformed[i]);
		assert_string_equal(answer(&a, fields, &twelve), NO_RANGE);
		assert_int_equal(a.status, 416);
		assert_true(span_equal(a.text, "invalid range\n"));
	}
}

static void test_files_answer_of_ranges_that_are_ignored(void **state)
{
	static const char *const fields[] = {
		"range: bytes=\n",
		"range: bytes=0-11,0-11\n",
		"range: bytes=0-1\nif-range: " MONDAY "\n",
		"range: bytes=0-1\nif-range: \"tag\"\n",
	};
	struct files_answer a;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		assert_string_equal(answer(&a, fields[i], &twelve), INLINE LAST RANGES TEXT);
		assert_int_equal(a.status, 200);
		assert_int_equal(a.parts.n, 0);
	}
	(void)answer(&a, "range: bytes=0-1\nif-range: " SUNDAY "\n", &twelve);
	assert_int_equal(a.status, 206);
}

/* A file with holes can be that large, on tmpfs for one. */
static void test_files_answer_of_ranges_of_the_largest_file_there_is(void **state)
{
	static const char fields[] = "range: bytes=0-9223372036854775805,-1\n";
	struct files_content c = twelve;
	struct files_answer a;

	UNUSED(state);
	c.size = INT64_MAX;
	assert_string_equal(answer(&a, fields, &c), INLINE LAST RANGES TEXT);
	assert_int_equal(a.status, 200);
	assert_int_equal(a.length, INT64_MAX);
	assert_int_equal(a.parts.n, 0);
	(void)answer(&a, "range: bytes=0-9223372036854775805\n", &c);
	assert_int_equal(a.status, 206);
	c.size = BYTERANGES_SIZE_MAX;
	(void)answer(&a, "range: bytes=1-,0-0\n", &c);
	assert_int_equal(a.status, 206);
	assert_true(a.length > BYTERANGES_SIZE_MAX);
}

static void test_files_answer_of_unknown_length_has_no_ranges(void **state)
{
	struct files_content c = twelve;
	struct files_answer a;

	UNUSED(state);
	c.size = -1;
	assert_string_equal(answer(&a, "range: bytes=0-1\n", &c), INLINE LAST TEXT);
	assert_int_equal(a.status, 200);
	assert_int_equal(a.length, -1);
}

/* ---- conditions ---- */

static void test_files_answer_of_conditions(void **state)
{
	static const struct {
		const char *fields;
		int status;
	} table[] = {
		{ "if-modified-since: " SUNDAY "\n", 304 },
		{ "if-modified-since: " MONDAY "\nrange: bytes=0-1\n", 304 },
		{ "if-modified-since: " SATURDAY "\n", 200 },
		{ "if-modified-since: soon\n", 200 },
		{ "if-none-match: *\n", 304 },
		{ "if-none-match: \"tag\"\nif-modified-since: " MONDAY "\n", 200 },
		{ "if-unmodified-since: " SATURDAY "\n", 412 },
		{ "if-unmodified-since: " SUNDAY "\n", 200 },
		{ "if-match: \"tag\"\n", 412 },
		{ "if-match: *\n", 200 },
	};
	struct files_answer a;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const char *lines = answer(&a, table[i].fields, &twelve);

		if (a.status != table[i].status)
			fail_msg("%s: %d", table[i].fields, a.status);
		if (a.status == 200)
			continue;
		assert_string_equal(lines, INLINE LAST);
		assert_false(a.has_content);
		assert_int_equal(a.text.len, 0);
	}
}

static void test_files_answer_knows_which_fields_want_identity(void **state)
{
	static const struct {
		const char *fields;
		bool is_conditional;
	} table[] = {
		{ "", false },
		{ "range: x\n", true },
		{ "range:\n", false },
		{ "if-modified-since: x\n", true },
		{ "if-none-match: x\n", true },
		{ "if-range: x\n", true },
		{ "if-match: x\nif-unmodified-since: x\n", false },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct fake_exchange *f = fake_new(HTTP_1_1, "GET", table[i].fields);
		struct exchange *x = &f->x;

		assert_int_equal(files_answer_is_conditional(x), table[i].is_conditional);
		exchange_own(x, &(struct exchange_ops){ 0 }, NULL);
		exchange_answer(&x, 200, NULL, 0, SPAN(""));
		fake_free(f);
	}
}

/* ---- gzip ---- */

static void test_files_answer_compressed_has_a_type_by_name_and_no_more(void **state)
{
	struct files_content c = twelve;
	struct files_answer a;

	UNUSED(state);
	c.coding = CODING_GZIP;
	assert_string_equal(answer(&a, "if-match: \"tag\"\n", &c),
	                    INLINE "Content-Encoding: gzip\n" TEXT);
	assert_int_equal(a.status, 200);
	assert_true(a.has_content);
	assert_int_equal(a.length, -1);
	c.asked_path = "/d/a";
	assert_string_equal(answer(&a, "", &c), INLINE "Content-Encoding: gzip\n"
	                                               "Content-Type: application/octet-stream\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files_answer_of_the_whole_file),
		cmocka_unit_test(test_files_answer_disposition_is_written_as_go_writes_it),
		cmocka_unit_test(test_files_answer_type_is_by_the_asked_name_or_the_content),
		cmocka_unit_test(test_files_answer_of_a_file_without_a_time_does_not_say_one),
		cmocka_unit_test(test_files_answer_of_an_empty_file),
		cmocka_unit_test(test_files_answer_of_one_range),
		cmocka_unit_test(test_files_answer_of_several_ranges),
		cmocka_unit_test(test_files_answer_of_ranges_that_cannot_be),
		cmocka_unit_test(test_files_answer_of_ranges_that_are_ignored),
		cmocka_unit_test(test_files_answer_of_ranges_of_the_largest_file_there_is),
		cmocka_unit_test(test_files_answer_of_unknown_length_has_no_ranges),
		cmocka_unit_test(test_files_answer_of_conditions),
		cmocka_unit_test(test_files_answer_knows_which_fields_want_identity),
		cmocka_unit_test(test_files_answer_compressed_has_a_type_by_name_and_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
