#include "http/multipart.h"

#include <string.h>

#include "base/macros.h"
#include "tests/support/test.h"

#define TRACE_MAX 300000u

/*
 * What happened, in a line: `<` and the disposition for a part, its bytes, `>`; at the end `.` if it
 * is complete, `cut`, `cut header`, `cut body`, or `!` and the error.
 */
static void append_event(struct buf *trace, const struct multipart *m, enum multipart_event event,
                         struct span piece, const struct err *e)
{
	struct span field = { 0 };

	switch (event) {
	case MULTIPART_PART_BEGIN:
		buf_append_byte(trace, '<');
		if (multipart_field(m, "content-disposition", &field))
			buf_append(trace, field.at, field.len);
		buf_append_byte(trace, '|');
		break;
	case MULTIPART_PART_DATA:
		assert_true(piece.len > 0);
		buf_append(trace, piece.at, piece.len);
		break;
	case MULTIPART_PART_END:
		buf_append_byte(trace, '>');
		break;
	case MULTIPART_FAILED:
		buf_appendf(trace, "!%s", err_text(e));
		break;
	case MULTIPART_HUNGRY:
		break;
	}
}

static void append_end(struct buf *trace, const struct multipart *m)
{
	static const char *const ends[] = {
		[MULTIPART_COMPLETE] = ".",
		[MULTIPART_CUT] = "cut",
		[MULTIPART_CUT_HEADER] = "cut header",
		[MULTIPART_CUT_BODY] = "cut body",
	};

	buf_append_text(trace, ends[multipart_end(m)]);
}

static void trace_input(struct buf *trace, struct span boundary, struct span input, size_t slice)
{
	CLEANUP(err_clear) struct err e = { 0 };
	CLEANUP(multipart_deinit) struct multipart m;

	assert_int_equal(multipart_init(&m, boundary, &e), 0);
	while (input.len > 0) {
		struct span rest = { input.at, MIN(slice, input.len) };

		input.at += rest.len;
		input.len -= rest.len;
		for (;;) {
			struct span piece = { 0 };
			enum multipart_event event = multipart_next(&m, &rest, &piece, &e);

			append_event(trace, &m, event, piece, &e);
			if (event == MULTIPART_FAILED)
				return;
			if (event == MULTIPART_HUNGRY)
				break;
		}
		assert_int_equal(rest.len, 0);
	}
	append_end(trace, &m);
}

/* Whole, and in pieces of every small size. */
static void check_bytes(struct span input, const char *expected)
{
	static const size_t slices[] = { SIZE_MAX, 1, 2, 3, 4, 5, 7, 11, 64 };

	for (size_t i = 0; i < ARRAY_SIZE(slices); i++) {
		CLEANUP(buf_deinit) struct buf trace = { 0 };

		buf_init(&trace, TRACE_MAX);
		trace_input(&trace, SPAN("B"), input, slices[i]);
		buf_append_byte(&trace, '\0');
		assert_int_equal(buf_error(&trace), 0);
		assert_string_equal((char *)trace.data, expected);
	}
}

static void check(const char *input, const char *expected)
{
	check_bytes(span_of(input), expected);
}

static void test_multipart_parts_are_found(void **state)
{
	UNUSED(state);
	check("--B\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nhello\r\n--B--\r\n",
	      "<form-data; name=\"file\"|hello>.");
	check("--B\r\n\r\none\r\n--B\r\n\r\ntwo\r\n--B--\r\n", "<|one><|two>.");
	check("--B--\r\n", ".");
	check("--B\r\n\r\n\r\n--B--", "<|>.");
	check("--B\r\n\r\na\r\n--B-- \t\r\nepilogue\r\n--B\r\n", "<|a>.");
}

static void test_multipart_preamble_is_skipped(void **state)
{
	UNUSED(state);
	check("pre\r\n\r\n--Bx\r\n --B\r\n--B--x\r\n--B\r\n\r\na\r\n--B--", "<|a>.");
	check("\r\n--B\r\n\r\na\r\n--B--\r\n", "<|a>.");
	check("--B--\n--B\r\n\r\na\r\n--B--\r\n", "<|a>."); /* LF: not the last */
}

static void test_multipart_boundary_line_may_end_in_blanks(void **state)
{
	UNUSED(state);
	check("--B \t \r\n\r\na\r\n--B\t\r\n\r\nb\r\n--B--\t\r\n", "<|a><|b>.");
}

static void test_multipart_first_boundary_line_decides_what_a_newline_is(void **state)
{
	UNUSED(state);
	check("--B\n\na\r\n\n--B\n\nb\n--B--\n", "<|a\r\n><|b>.");
	check("--B\n\na\n--B\r\n", "<|a>!multipart: expecting a new Part; got line \"--B\\r\\n\"");
	check("--B\r\n\r\na\n--B\n\r\n--B--", "<|a\n--B\n>.");
	check("--B\r\n\r\na\r\n--B\n", "<|a>!multipart: expecting a new Part; got line \"--B\\n\"");
}

static void test_multipart_body_holds_what_is_no_delimiter(void **state)
{
	UNUSED(state);
	check("--B\r\n\r\na\r\n--Bx\r\n--C\r\n-\r\r\n\r\n--B--", "<|a\r\n--Bx\r\n--C\r\n-\r\r\n>.");
	check("--B\r\n\r\na\r\n--B-x\r\n--B-\r\n--B--", "<|a\r\n--B-x\r\n--B->.");
	check("--B\r\n\r\na--B--\r\n--B--", "<|a--B-->.");
	check("--B\r\n\r\na\r\r\n--B--", "<|a\r>.");
	check("--B\r\n\r\n\r\n\r\n--B--", "<|\r\n>.");
}

static void test_multipart_body_that_begins_with_the_boundary_is_empty(void **state)
{
	UNUSED(state);
	check("--B\r\n\r\n--B--", "<|>.");
	check("--B\r\n\r\n--B\r\n\r\na\r\n--B--", "<|><|a>.");
	check("--B\r\n\r\n--Bx\r\n--B--", "<|--Bx>.");
	check("--B\r\n\r\n--B-x\r\n--B--", "<|--B-x>.");
	check("--B\r\n\r\n--\r\n--B--", "<|-->.");
	check("--B\r\n\r\n--B x\r\n", "<|>!multipart: unexpected line in Next(): \"--B x\\r\\n\"");
}

static void test_multipart_wrong_boundary_line_is_told(void **state)
{
	UNUSED(state);
	check("--B\r\n\r\na\r\n--B --\r\n",
	      "<|a>!multipart: expecting a new Part; got line \"--B --\\r\\n\"");
	check("--B\r\n\r\na\r\n--B--x\r\n",
	      "<|a>!multipart: expecting a new Part; got line \"--B--x\\r\\n\"");
	check("--B\r\n\r\na\r\n--B\rx\r\n",
	      "<|a>!multipart: expecting a new Part; got line \"--B\\rx\\r\\n\"");
}

static void test_multipart_end_of_input_is_told_by_where_it_is(void **state)
{
	UNUSED(state);
	check("", "cut");
	check("preamble", "cut");
	check("--B", "cut");
	check("--B-", "cut");
	check("--B--", ".");
	check("--B-- ", ".");
	check("--B\r\n", "cut header");
	check("--B\r\nContent-Disposition: form-data\r\n", "cut header");
	check("--B\r\n\r\n", "<|cut body");
	check("--B\r\n\r\na", "<|acut body");
	check("--B\r\n\r\na\r\n--B", "<|acut body");
	check("--B\r\n\r\na\r\n--B-", "<|acut body");
	check("--B\r\n\r\na\r\n--B\r", "<|a>cut");
	check("--B\r\n\r\na\r\n--B\r\n", "<|a>cut header");
}

static void test_multipart_header_is_read_as_go_reads_it(void **state)
{
	UNUSED(state);
	check("--B\r\nX: y\r\ncontent-disposition:a\r\nContent-Disposition: b\r\n\r\n\r\n--B--",
	      "<a|>.");
	check("--B\r\nContent-Disposition:  form-data;\r\n\t name=\"x\"\r\n \r\n\r\n\r\n--B--",
	      "<form-data; name=\"x\"|>.");
	check("--B\r\nContent-Disposition: a\n\n\r\n--B--", "<a|>.");
	check("--B\r\nContent-Disposition : a\r\n\r\n\r\n--B--", "<|>.");
	check("--B\r\nContent-Disposition: \xC3\xA4\r\n\r\n\r\n--B--", "<\xC3\xA4|>.");
}

static void test_multipart_malformed_header_is_told(void **state)
{
	UNUSED(state);
	check("--B\r\nno colon \r\n", "!malformed MIME header: missing colon: \"no colon \"");
	check("--B\r\n a: b\r\n", "!malformed MIME header initial line: \" a: b\"");
	check("--B\r\n \r\n", "!malformed MIME header initial line: \" \"");
	check("--B\r\na: b\rc\r\n\r\n", "!malformed MIME header line: \"a: b\\rc\"");
	check("--B\r\na(b: c\r\n\r\n", "!malformed MIME header line: \"a(b: c\"");
	check("--B\r\n: a\r\n\r\n", "!malformed MIME header line: \": a\"");
	check_bytes(SPAN("--B\r\na: b\0\r\n\r\n"), "!malformed MIME header line: \"a: b\\x00\"");
}

static void test_multipart_nul_bytes_are_bytes(void **state)
{
	CLEANUP(buf_deinit) struct buf trace = { 0 };

	UNUSED(state);
	buf_init(&trace, TRACE_MAX);
	trace_input(&trace, SPAN("B"), SPAN("--B\r\n\r\na\0b\r\n--B\0\r\n--B--"), SIZE_MAX);
	assert_int_equal(trace.len, sizeof "<|a\0b\r\n--B\0>." - 1);
	assert_memory_equal(trace.data, "<|a\0b\r\n--B\0>.", trace.len);
}

static void append_times(struct buf *b, char c, size_t n)
{
	uint8_t *room = buf_extend(b, n);

	assert_non_null(room);
	memset(room, c, n);
}

static void check_sized(const char *before, size_t n, const char *after, const char *expected)
{
	CLEANUP(buf_deinit) struct buf input = { 0 };
	CLEANUP(buf_deinit) struct buf trace = { 0 };

	buf_init(&input, TRACE_MAX);
	buf_init(&trace, TRACE_MAX);
	buf_append_text(&input, before);
	append_times(&input, 'x', n);
	buf_append_text(&input, after);
	trace_input(&trace, SPAN("B"), (struct span){ (char *)input.data, input.len }, 1000);
	buf_append_byte(&trace, '\0');
	assert_string_equal((char *)trace.data, expected);
}

static void test_multipart_lines_and_headers_have_limits(void **state)
{
	UNUSED(state);
	check_sized("", MULTIPART_LINE_MAX - 2, "\r\n--B--", ".");
	check_sized("", MULTIPART_LINE_MAX - 1, "\r\n--B--",
	            "!multipart: NextPart: bufio: buffer full");
	check_sized("--B\r\nX:", MULTIPART_HEADER_MAX - 5, "\r\n\r\n\r\n--B--",
	            "!multipart: message too large");
	check_sized("--B\r\nX:", MULTIPART_HEADER_MAX - 6, "\r\n\r\n\r\n--B--", "<|>.");
}

static void test_multipart_boundary_has_a_form(void **state)
{
	CLEANUP(err_clear) struct err e = { 0 };
	char longest[MULTIPART_BOUNDARY_MAX + 1];
	struct multipart m;

	UNUSED(state);
	memset(longest, 'b', sizeof longest);
	assert_int_equal(multipart_init(&m, SPAN(""), &e), -1);
	assert_string_equal(err_text(&e), "multipart: boundary is empty");
	assert_int_equal(multipart_init(&m, SPAN("a\nb"), &e), -1);
	assert_int_equal(multipart_init(&m, (struct span){ longest, sizeof longest }, &e), -1);
	assert_int_equal(e.kind, ERR_INVALID);
	assert_int_equal(multipart_init(&m, (struct span){ longest, sizeof longest - 1 }, &e), 0);
	multipart_deinit(&m);
}

/* A boundary of dashes looks like the end of itself everywhere. */
static void test_multipart_boundary_of_dashes(void **state)
{
	static const char input[] = "------\r\n\r\n-----\r\n-----\r\n------\r\n\r\n\r\n--------";
	static const size_t slices[] = { SIZE_MAX, 1, 2, 3, 5, 8 };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(slices); i++) {
		CLEANUP(buf_deinit) struct buf trace = { 0 };

		buf_init(&trace, TRACE_MAX);
		trace_input(&trace, SPAN("----"), span_of(input), slices[i]);
		buf_append_byte(&trace, '\0');
		assert_string_equal((char *)trace.data, "<|-----\r\n-----><|>.");
	}
}

static void test_multipart_once_broken_stays_broken(void **state)
{
	CLEANUP(err_clear) struct err e = { 0 };
	CLEANUP(multipart_deinit) struct multipart m;
	struct span input = SPAN("--B\r\nbroken\r\n\r\n"), piece;

	UNUSED(state);
	assert_int_equal(multipart_init(&m, SPAN("B"), &e), 0);
	assert_int_equal(multipart_next(&m, &input, &piece, &e), MULTIPART_FAILED);
	input = SPAN("--B\r\n\r\n");
	assert_int_equal(multipart_next(&m, &input, &piece, &e), MULTIPART_FAILED);
	input = SPAN("");
	assert_int_equal(multipart_next(&m, &input, &piece, &e), MULTIPART_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_multipart_parts_are_found),
		cmocka_unit_test(test_multipart_preamble_is_skipped),
		cmocka_unit_test(test_multipart_boundary_line_may_end_in_blanks),
		cmocka_unit_test(test_multipart_first_boundary_line_decides_what_a_newline_is),
		cmocka_unit_test(test_multipart_body_holds_what_is_no_delimiter),
		cmocka_unit_test(test_multipart_body_that_begins_with_the_boundary_is_empty),
		cmocka_unit_test(test_multipart_wrong_boundary_line_is_told),
		cmocka_unit_test(test_multipart_end_of_input_is_told_by_where_it_is),
		cmocka_unit_test(test_multipart_header_is_read_as_go_reads_it),
		cmocka_unit_test(test_multipart_malformed_header_is_told),
		cmocka_unit_test(test_multipart_nul_bytes_are_bytes),
		cmocka_unit_test(test_multipart_lines_and_headers_have_limits),
		cmocka_unit_test(test_multipart_boundary_has_a_form),
		cmocka_unit_test(test_multipart_boundary_of_dashes),
		cmocka_unit_test(test_multipart_once_broken_stays_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
