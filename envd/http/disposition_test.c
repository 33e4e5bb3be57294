#include "http/disposition.h"

#include <string.h>

#include "base/buf.h"
#include "base/macros.h"
#include "tests/support/test.h"

#define MEMORY_MAX 65536u

/* error: of the parsing; value: of the parameter "filename", NULL if there is none. */
static void check(const char *field, const char *error, const char *value)
{
	CLEANUP(arena_deinit) struct arena memory;
	struct disposition d;
	struct span found;
	const char *got;

	arena_init(&memory, MEMORY_MAX, NULL, 0);
	got = disposition_parse(&d, span_of(field), &memory);
	assert_string_equal(got ? got : "", error ? error : "");
	if (got)
		return;
	assert_int_equal(disposition_find(&d, "filename", &found), value != NULL);
	if (!value)
		return;
	assert_int_equal(found.len, strlen(value));
	assert_memory_equal(found.at, value, found.len);
}

static void test_disposition_parameters_are_tokens_or_quoted(void **state)
{
	UNUSED(state);
	check("form-data", NULL, NULL);
	check("form-data; name=\"file\"", NULL, NULL);
	check("form-data; name=\"file\"; filename=\"a b.txt\"", NULL, "a b.txt");
	check("form-data;filename=a.txt", NULL, "a.txt");
	check(" Form-Data ; FileName = a.txt ; ", NULL, "a.txt");
	check("form-data; filename=\"\"", NULL, "");
	check("form-data; filename=\"\xC3\xA4/b\"", NULL, "\xC3\xA4/b");
	check("form-data; filename=\"a%22b\"", NULL, "a%22b");
}

static void test_disposition_backslash_escapes_only_what_needs_it(void **state)
{
	UNUSED(state);
	check("form-data; filename=\"a\\\"b\"", NULL, "a\"b");
	check("form-data; filename=\"a\\\\b\"", NULL, "a\\b");
	check("form-data; filename=\"C:\\dev\\go.txt\"", NULL, "C:\\dev\\go.txt");
	check("form-data; filename=\"a\\/b\"", NULL, "a/b");
	check("form-data; filename=\"a\\", "mime: invalid media parameter", NULL);
}

static void test_disposition_broken_is_told_as_go_tells_it(void **state)
{
	UNUSED(state);
	check("", "mime: no media type", NULL);
	check("; filename=a", "mime: no media type", NULL);
	check("a b", "mime: expected slash after first token", NULL);
	check("a/", "mime: expected token after slash", NULL);
	check("a/b c", "mime: unexpected content after media subtype", NULL);
	check("form-data; filename", "mime: invalid media parameter", NULL);
	check("form-data; filename=", "mime: invalid media parameter", NULL);
	check("form-data; =a", "mime: invalid media parameter", NULL);
	check("form-data; filename=\"a", "mime: invalid media parameter", NULL);
	check("form-data; filename=\"a\nb\"", "mime: invalid media parameter", NULL);
	check("form-data; filename=a b", "mime: invalid media parameter", NULL);
	check("form-data; filename=\xC3\xA4", "mime: invalid media parameter", NULL);
	check("form-data; filename=a;; name=b", "mime: invalid media parameter", NULL);
}

static void test_disposition_parameter_may_only_repeat_what_it_said(void **state)
{
	UNUSED(state);
	check("form-data; filename=a; filename=b", "mime: duplicate parameter name", NULL);
	check("form-data; filename=a; FILENAME=\"a\"", NULL, "a");
}

static void test_disposition_extended_goes_before_plain(void **state)
{
	UNUSED(state);
	check("form-data; filename=plain; filename*=utf-8''%e2%82%ac.txt", NULL,
	      "\xE2\x82\xAC.txt");
	check("form-data; filename*=UTF-8'en'a%20b", NULL, "a b");
	check("form-data; filename*=us-ascii''a", NULL, "a");
	/* What cannot be decoded is as if it were not there. */
	check("form-data; filename*=iso-8859-1''a; filename=plain", NULL, "plain");
	check("form-data; filename*=utf-8''%zz", NULL, NULL);
	check("form-data; filename*=a; filename=plain", NULL, "plain");
}

static void test_disposition_continuations_are_joined(void **state)
{
	UNUSED(state);
	check("form-data; filename*0=\"a b\"; filename*1=.txt", NULL, "a b.txt");
	check("form-data; filename*1=.txt; filename*0*=utf-8''a%20b", NULL, "a b.txt");
	check("form-data; filename*0=a; filename*1*=%20; filename*3=c", NULL, "a ");
	check("form-data; filename*0*=%20; filename*1=b", NULL, "b");
	check("form-data; filename*0*=%20", NULL, "");
	check("form-data; filename*1=b; filename=plain", NULL, "plain");
}

static void test_disposition_type_is_in_lower_case(void **state)
{
	CLEANUP(arena_deinit) struct arena memory;
	struct disposition d;
	struct span boundary;

	UNUSED(state);
	arena_init(&memory, MEMORY_MAX, NULL, 0);
	assert_null(disposition_parse(&d, SPAN("Multipart/Mixed; Boundary=\"A b\""), &memory));
	assert_true(span_equal(d.type, "multipart/mixed"));
	assert_true(disposition_find(&d, "boundary", &boundary));
	assert_true(span_equal(boundary, "A b"));
}

static void test_disposition_parameters_have_a_limit(void **state)
{
	CLEANUP(buf_deinit) struct buf text = { 0 };

	UNUSED(state);
	buf_init(&text, MEMORY_MAX);
	buf_append_text(&text, "form-data");
	for (unsigned i = 0; i < DISPOSITION_PARAMS_MAX; i++)
		buf_appendf(&text, "; p%u=x", i);
	buf_append_byte(&text, '\0');
	check((char *)text.data, NULL, NULL);
	buf_truncate(&text, text.len - 1);
	buf_append_text(&text, "; one=more");
	buf_append_byte(&text, '\0');
	check((char *)text.data, "mime: too many parameters", NULL);
}

static void test_disposition_without_memory_is_refused(void **state)
{
	struct disposition d;

	UNUSED(state);
	for (size_t max = 0; max < 64; max += 16) {
		CLEANUP(arena_deinit) struct arena memory;

		arena_init(&memory, max, NULL, 0);
		assert_non_null(disposition_parse(
			&d, SPAN("form-data; filename=\"a much longer name\""), &memory));
	}
}

static void check_written(const char *value, const char *text)
{
	CLEANUP(buf_deinit) struct buf b = { 0 };

	buf_init(&b, MEMORY_MAX);
	disposition_append_param(&b, "filename", span_of(value));
	assert_int_equal(b.len, strlen(text));
	assert_memory_equal(b.data, text, b.len);
}

static void test_disposition_is_written_as_the_reference_writes_it(void **state)
{
	UNUSED(state);
	check_written("test.txt", "; filename=test.txt");
	check_written(".env", "; filename=.env");
	check_written("my document.pdf", "; filename=\"my document.pdf\"");
	check_written("file\"name.txt", "; filename=\"file\\\"name.txt\"");
	check_written("file\\name.txt", "; filename=\"file\\\\name.txt\"");
	check_written("\xE6\x96\x87\xE6\xA1\xA3.pdf", "; filename*=utf-8''%E6%96%87%E6%A1%A3.pdf");
	check_written("a b*'%(\x01\xFF", "; filename*=utf-8''a%20b%2A%27%25%28%01%FF");
	check_written("a\tb", "; filename=\"a\tb\"");
	check_written("a\nb", "; filename*=utf-8''a%0Ab");
	check_written("", "; filename=\"\"");
}

/* Whatever a file is called, who reads the field finds that name. */
static void test_disposition_written_is_read_back(void **state)
{
	UNUSED(state);
	for (unsigned c = 1; c < 256; c++) {
		CLEANUP(buf_deinit) struct buf b = { 0 };
		char name[] = { 'a', (char)c, '.', '\\', (char)c, '\0' };

		buf_init(&b, MEMORY_MAX);
		buf_append_text(&b, "inline");
		disposition_append_param(&b, "filename", span_of(name));
		buf_append_byte(&b, '\0');
		check((char *)b.data, NULL, name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_disposition_parameters_are_tokens_or_quoted),
		cmocka_unit_test(test_disposition_backslash_escapes_only_what_needs_it),
		cmocka_unit_test(test_disposition_broken_is_told_as_go_tells_it),
		cmocka_unit_test(test_disposition_parameter_may_only_repeat_what_it_said),
		cmocka_unit_test(test_disposition_extended_goes_before_plain),
		cmocka_unit_test(test_disposition_continuations_are_joined),
		cmocka_unit_test(test_disposition_type_is_in_lower_case),
		cmocka_unit_test(test_disposition_parameters_have_a_limit),
		cmocka_unit_test(test_disposition_without_memory_is_refused),
		cmocka_unit_test(test_disposition_is_written_as_the_reference_writes_it),
		cmocka_unit_test(test_disposition_written_is_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
