#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "tests/support/test.h"

#define OUT_MAX 4096u

/* A span with exactly its bytes on the heap: the sanitizers see a byte too far. */
static struct span heap_span(const char *s, size_t len)
{
	char *copy = xmalloc(len);

	memcpy(copy, s, len);
	return (struct span){ copy, len };
}

static void heap_span_free(struct span *s)
{
	free((void *)(uintptr_t)s->at);
}

static void assert_span(struct span s, const char *expected)
{
	assert_int_equal(s.len, strlen(expected));
	assert_memory_equal(s.at, expected, s.len);
}

static void assert_holds(const struct buf *b, const char *expected)
{
	assert_int_equal(buf_error(b), 0);
	assert_int_equal(b->len, strlen(expected));
	assert_memory_equal(b->data, expected, b->len);
}

static void test_span_compares_whole_and_by_case(void **state)
{
	UNUSED(state);
	assert_true(span_equal(SPAN("abc"), "abc"));
	assert_false(span_equal(SPAN("abc"), "ab"));
	assert_false(span_equal(SPAN("ab"), "abc"));
	assert_false(span_equal(SPAN("a\0b"), "a"));
	assert_false(span_equal(SPAN("Abc"), "abc"));
	assert_true(span_equal_nocase(SPAN("AbC"), "aBc"));
	assert_false(span_equal_nocase(SPAN("a["), "a{"));
	assert_false(span_equal_nocase(SPAN("\xC3\x84"), "\xC3\xA4"));
	assert_true(span_equal(span_of(NULL), ""));
	assert_true(span_equal(span_of("x"), "x"));
}

static void test_span_trim_takes_blanks_from_both_ends_only(void **state)
{
	UNUSED(state);
	assert_span(span_trim(SPAN(" \ta b\t ")), "a b");
	assert_span(span_trim(SPAN(" \t ")), "");
	assert_span(span_trim(SPAN("\na\r")), "\na\r");
}

static void test_span_next_skips_empty_pieces(void **state)
{
	struct span rest = SPAN(",gzip ; q=1,, \t ,br;");
	struct span piece;

	UNUSED(state);
	assert_true(span_next(&rest, ",;", &piece));
	assert_span(piece, "gzip");
	assert_true(span_next(&rest, ",;", &piece));
	assert_span(piece, "q=1");
	assert_true(span_next(&rest, ",;", &piece));
	assert_span(piece, "br");
	assert_false(span_next(&rest, ",;", &piece));
	assert_span(piece, "br");
}

static void test_span_next_takes_nul_as_content(void **state)
{
	struct span rest = SPAN("a\0b,c");
	struct span piece;

	UNUSED(state);
	assert_true(span_next(&rest, ",", &piece));
	assert_int_equal(piece.len, 3);
}

/* Unicode 15, 3.9: valid or not, and what repair makes of it (? stands for U+FFFD). */
static const struct {
	const char *text, *repaired;
} utf8_table[] = {
	{ "plain text, more than eight bytes", NULL },
	{ "\xC2\x80 \xDF\xBF \xE0\xA0\x80 \xEF\xBF\xBF \xF0\x90\x80\x80 \xF4\x8F\xBF\xBF", NULL },
	{ "\xED\x9F\xBF\xEE\x80\x80", NULL },
	{ "\x80", "?" },
	{ "\xBF\xBF", "??" },
	{ "\xC0\xAF", "??" },
	{ "\xC1\xBF", "??" },
	{ "\xE0\x9F\xBF", "???" },
	{ "\xF0\x8F\xBF\xBF", "????" },
	{ "\xED\xA0\x80", "???" },
	{ "\xED\xBF\xBF", "???" },
	{ "\xF4\x90\x80\x80", "????" },
	{ "\xF5\x80\x80\x80", "????" },
	{ "\xFE\xFF", "??" },
	{ "12345678\xC3", "12345678?" },
	{ "\xE1\x80", "?" },
	{ "\xF1\x80\x80", "?" },
	{ "\xF1\x80\x80z", "?z" },
	/* Table 3-8 of the standard. */
	{ "a\xF1\x80\x80\xE1\x80\xC2"
	  "b\x80"
	  "c\x80\xBF"
	  "d",
	  "a???b?c??d" },
};

static void test_utf8_table_is_judged_and_repaired(void **state)
{
	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(utf8_table); i++) {
		CLEANUP(heap_span_free)
		struct span s = heap_span(utf8_table[i].text, strlen(utf8_table[i].text));
		CLEANUP(buf_deinit) struct buf expected, repaired;

		buf_init(&expected, OUT_MAX);
		buf_init(&repaired, OUT_MAX);
		if (utf8_table[i].repaired) {
			for (const char *c = utf8_table[i].repaired; *c; c++)
				buf_append_text(&expected,
				                *c == '?' ? "\xEF\xBF\xBD" : (char[]){ *c, '\0' });
		} else {
			buf_append(&expected, s.at, s.len);
		}
		utf8_append_repaired(&repaired, s.at, s.len);
		assert_int_equal(utf8_is_valid(s.at, s.len), !utf8_table[i].repaired);
		assert_int_equal(repaired.len, expected.len);
		assert_memory_equal(repaired.data, expected.data, expected.len);
	}
}

/* An independent reading of the standard: decode the bits, then judge the code point. */
static bool utf8_is_valid_slowly(const uint8_t *s, size_t len)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };

	for (size_t i = 0, n; i < len; i += n) {
		uint32_t point;

		n = s[i] < 0x80       ? 1
		    : s[i] >> 5 == 6  ? 2
		    : s[i] >> 4 == 14 ? 3
		    : s[i] >> 3 == 30 ? 4
		                      : 0;
		if (n == 0 || n > len - i)
			return false;
		point = n == 1 ? s[i] : s[i] & (0xFFu >> (n + 1));
		for (size_t k = 1; k < n; k++) {
			if (s[i + k] >> 6 != 2)
				return false;
			point = point << 6 | (s[i + k] & 0x3F);
		}
		if (point < least[n] || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000))
			return false;
	}
	return true;
}

static void assert_judged_alike(const char *s, size_t len)
{
	CLEANUP(heap_span_free) struct span copy = heap_span(s, len);
	CLEANUP(buf_deinit) struct buf repaired;

	buf_init(&repaired, OUT_MAX);
	assert_int_equal(utf8_is_valid(copy.at, len),
	                 utf8_is_valid_slowly((const uint8_t *)s, len));
	utf8_append_repaired(&repaired, copy.at, len);
	assert_true(utf8_is_valid_slowly(repaired.data, repaired.len));
}

static void test_utf8_mutated_and_truncated_text_is_judged_alike(void **state)
{
	static const char valid[] =
		"ascii ascii \xC3\xA4\xE2\x82\xAC\xED\x9F\xBF\xF0\x9F\x98\x80 end";
	size_t len = sizeof valid - 1;
	char text[sizeof valid];

	UNUSED(state);
	for (size_t cut = 1; cut <= len; cut++)
		assert_judged_alike(valid, cut);
	for (size_t at = 0; at < len; at++) {
		for (int c = 0; c < 256; c++) {
			memcpy(text, valid, sizeof valid);
			text[at] = (char)c;
			assert_judged_alike(text, len);
		}
	}
}

static void test_parse_numbers_follow_the_table(void **state)
{
	static const struct {
		const char *text;
		int rc_i64, rc_u64;
		int64_t value;
	} table[] = {
		{ "0", 0, 0, 0 },
		{ "+7", 0, 0, 7 },
		{ "-7", 0, -EINVAL, -7 },
		{ "007", 0, 0, 7 },
		{ "9223372036854775807", 0, 0, INT64_MAX },
		{ "9223372036854775808", -ERANGE, 0, INT64_MIN },
		{ "-9223372036854775808", 0, -EINVAL, INT64_MIN },
		{ "-9223372036854775809", -ERANGE, -EINVAL, 0 },
		{ "18446744073709551615", -ERANGE, 0, -1 },
		{ "18446744073709551616", -ERANGE, -ERANGE, 0 },
		{ "99999999999999999999999x", -EINVAL, -EINVAL, 0 },
		{ "", -EINVAL, -EINVAL, 0 },
		{ "-", -EINVAL, -EINVAL, 0 },
		{ "+-1", -EINVAL, -EINVAL, 0 },
		{ " 1", -EINVAL, -EINVAL, 0 },
		{ "1 ", -EINVAL, -EINVAL, 0 },
		{ "0x10", -EINVAL, -EINVAL, 0 },
		{ "1.0", -EINVAL, -EINVAL, 0 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct span s = span_of(table[i].text);
		int64_t i64 = 111;
		uint64_t u64 = 111;

		assert_int_equal(parse_i64(s, &i64), table[i].rc_i64);
		assert_true(i64 == (table[i].rc_i64 ? 111 : table[i].value));
		assert_int_equal(parse_u64(s, &u64), table[i].rc_u64);
		assert_true(u64 == (table[i].rc_u64 ? 111 : (uint64_t)table[i].value));
	}
}

static void test_percent_decode_reads_escapes_and_keeps_plus(void **state)
{
	CLEANUP(buf_deinit) struct buf b;

	UNUSED(state);
	buf_init(&b, OUT_MAX);
	buf_append_text(&b, "x");
	assert_int_equal(percent_decode(&b, SPAN("a+b%20%2F%c3%A4%41")), 0);
	assert_holds(&b, "xa+b /\xC3\xA4"
	                 "A");
	assert_int_equal(percent_decode(&b, SPAN("%00")), 0);
	assert_int_equal(b.data[b.len - 1], 0);
}

static void test_percent_decode_broken_escape_leaves_the_buffer(void **state)
{
	static const char *const broken[] = { "%", "a%", "a%4", "%4g", "%g4", "%%41", "ab%-1" };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		CLEANUP(heap_span_free) struct span s = heap_span(broken[i], strlen(broken[i]));
		CLEANUP(buf_deinit) struct buf b;

		buf_init(&b, OUT_MAX);
		buf_append_text(&b, "x");
		assert_int_equal(percent_decode(&b, s), -EINVAL);
		assert_holds(&b, "x");
	}
}

static void test_percent_decode_result_too_large_is_refused(void **state)
{
	CLEANUP(buf_deinit) struct buf b;

	UNUSED(state);
	buf_init(&b, 2);
	assert_int_equal(percent_decode(&b, SPAN("abc")), -ENOBUFS);
}

static void test_percent_mutated_and_truncated_text_is_read_or_refused(void **state)
{
	static const char valid[] = "/a%20b/%c3%a4";
	char text[sizeof valid];

	UNUSED(state);
	for (size_t at = 0; at < sizeof valid; at++) {
		for (int c = 0; c < 256; c++) {
			CLEANUP(buf_deinit) struct buf b;
			size_t len = at + 1; /* truncated behind the mutated byte */
			int rc;

			memcpy(text, valid, sizeof valid);
			text[at] = (char)c;
			buf_init(&b, OUT_MAX);
			CLEANUP(heap_span_free) struct span s = heap_span(text, len);
			rc = percent_decode(&b, s);
			assert_true(rc == 0 || rc == -EINVAL);
			assert_true(b.len <= len);
			assert_true(rc == 0 || b.len == 0);
		}
	}
}

static void test_json_string_is_escaped_by_the_table(void **state)
{
	static const struct {
		struct span in;
		const char *plain, *html;
	} table[] = {
		{ SPAN("a/b'c\x7F"), "a/b'c\x7F", "a/b'c\x7F" },
		{ SPAN("\"\\"), "\\\"\\\\", "\\\"\\\\" },
		{ SPAN("\b\f\n\r\t"), "\\b\\f\\n\\r\\t", "\\b\\f\\n\\r\\t" },
		{ SPAN("\0\x1B\x1F"), "\\u0000\\u001b\\u001f", "\\u0000\\u001b\\u001f" },
		{ SPAN("<a>&"), "<a>&", "\\u003ca\\u003e\\u0026" },
		{ SPAN("\xE2\x80\xA8\xE2\x80\xA9"), "\xE2\x80\xA8\xE2\x80\xA9", "\\u2028\\u2029" },
		{ SPAN("\xE2\x80\xA7\xE2\x80\xAA"), "\xE2\x80\xA7\xE2\x80\xAA",
		  "\xE2\x80\xA7\xE2\x80\xAA" },
		{ SPAN("\xC3\xA4\xF0\x9F\x98\x80"), "\xC3\xA4\xF0\x9F\x98\x80",
		  "\xC3\xA4\xF0\x9F\x98\x80" },
		{ SPAN("x\xE2\x82y"), "x\xEF\xBF\xBDy", "x\\ufffd\\ufffdy" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		CLEANUP(buf_deinit) struct buf plain, html;

		buf_init(&plain, OUT_MAX);
		buf_init(&html, OUT_MAX);
		json_append_string(&plain, table[i].in.at, table[i].in.len, false);
		json_append_string(&html, table[i].in.at, table[i].in.len, true);
		assert_holds(&plain, table[i].plain);
		assert_holds(&html, table[i].html);
	}
}

/* The same alone as anywhere in a longer text. */
static void test_json_string_escapes_each_byte_at_each_place(void **state)
{
	char text[24];

	UNUSED(state);
	for (unsigned c = 0; c < 256; c++) {
		for (size_t at = 0; at < sizeof text; at++) {
			CLEANUP(buf_deinit) struct buf whole, parts;

			memset(text, 'x', sizeof text);
			text[at] = (char)c;
			buf_init(&whole, OUT_MAX);
			buf_init(&parts, OUT_MAX);
			json_append_string(&whole, text, sizeof text, false);
			for (size_t i = 0; i < sizeof text; i++)
				json_append_string(&parts, &text[i], 1, false);
			assert_int_equal(whole.len, parts.len);
			assert_memory_equal(whole.data, parts.data, parts.len);
		}
	}
}

static void check_quote(const char *s, size_t len, const char *quoted)
{
	CLEANUP(buf_deinit) struct buf b = { 0 };

	buf_init(&b, 4096);
	quote_append(&b, s, len);
	assert_int_equal(b.len, strlen(quoted));
	assert_memory_equal(b.data, quoted, b.len);
}

#define CHECK_QUOTE(s, quoted) check_quote(s, sizeof(s) - 1, quoted)

/* What fmt.Sprintf("%q", s) gives. */
static void test_quote_escapes_what_go_escapes(void **state)
{
	UNUSED(state);
	CHECK_QUOTE("", "\"\"");
	CHECK_QUOTE("a b\r\n", "\"a b\\r\\n\"");
	CHECK_QUOTE("\"\\'", "\"\\\"\\\\'\"");
	CHECK_QUOTE("\a\b\f\t\v\0\x01\x7f", "\"\\a\\b\\f\\t\\v\\x00\\x01\\x7f\"");
	CHECK_QUOTE("\xC3\xA4\xF0\x9F\x98\x80", "\"\xC3\xA4\xF0\x9F\x98\x80\"");
	CHECK_QUOTE("\xC2\x85\xC2\xA0\xE2\x80\xA8", "\"\\u0085\\u00a0\\u2028\"");
	CHECK_QUOTE("\xFF\xE2\x82", "\"\\xff\\xe2\\x82\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_span_compares_whole_and_by_case),
		cmocka_unit_test(test_span_trim_takes_blanks_from_both_ends_only),
		cmocka_unit_test(test_span_next_skips_empty_pieces),
		cmocka_unit_test(test_span_next_takes_nul_as_content),
		cmocka_unit_test(test_utf8_table_is_judged_and_repaired),
		cmocka_unit_test(test_utf8_mutated_and_truncated_text_is_judged_alike),
		cmocka_unit_test(test_parse_numbers_follow_the_table),
		cmocka_unit_test(test_percent_decode_reads_escapes_and_keeps_plus),
		cmocka_unit_test(test_percent_decode_broken_escape_leaves_the_buffer),
		cmocka_unit_test(test_percent_decode_result_too_large_is_refused),
		cmocka_unit_test(test_percent_mutated_and_truncated_text_is_read_or_refused),
		cmocka_unit_test(test_json_string_is_escaped_by_the_table),
		cmocka_unit_test(test_json_string_escapes_each_byte_at_each_place),
		cmocka_unit_test(test_quote_escapes_what_go_escapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
