#include "http/gunzip.h"

#include <string.h>

#include "base/buf.h"
#include "http/coding.h"
#include "tests/support/test.h"

#define TEXT_MAX (4u * 1024u * 1024u)

static void append_member(struct buf *out, const void *data, size_t len)
{
	assert_int_equal(gzip_compress(out, data, len), 0);
}

/* 0, or -1 as the first step that refuses. */
static int inflate_all(struct gunzip *z, struct span input, size_t slice, size_t room,
                       struct buf *out, struct err *e)
{
	char piece[4096];

	while (input.len > 0) {
		struct span rest = { input.at, MIN(slice, input.len) };
		ptrdiff_t n;

		input.at += rest.len;
		input.len -= rest.len;
		while ((n = gunzip_next(z, &rest, piece, room, e)) > 0)
			buf_append(out, piece, (size_t)n);
		if (n < 0)
			return -1;
		assert_int_equal(rest.len, 0);
	}
	return gunzip_end(z, e);
}

static struct span span_of_buf(const struct buf *b)
{
	return (struct span){ (const char *)b->data, b->len };
}

/* error: NULL, or the text; text: what came out before. */
static void check(struct span input, const char *error, const void *text, size_t len)
{
	static const size_t slices[] = { SIZE_MAX, 1, 3, 1000 };
	static const size_t rooms[] = { 4096, 1, 7 };

	for (size_t i = 0; i < ARRAY_SIZE(slices) * ARRAY_SIZE(rooms); i++) {
		CLEANUP(err_clear) struct err e = { 0 };
		struct gunzip *z = gunzip_new();
		struct buf out;

		buf_init(&out, TEXT_MAX);
		assert_int_equal(inflate_all(z, input, slices[i % ARRAY_SIZE(slices)],
		                             rooms[i / ARRAY_SIZE(slices)], &out, &e),
		                 error ? -1 : 0);
		assert_string_equal(err_text(&e), error ? error : "");
		assert_int_equal(out.len, len);
		assert_memory_equal(len > 0 ? out.data : (const uint8_t *)"", text, len);
		buf_deinit(&out);
		gunzip_free(z);
	}
}

static void test_gunzip_members_follow_each_other(void **state)
{
	CLEANUP(buf_deinit) struct buf in = { 0 };

	UNUSED(state);
	buf_init(&in, TEXT_MAX);
	append_member(&in, "one", 3);
	check(span_of_buf(&in), NULL, "one", 3);
	append_member(&in, "", 0);
	append_member(&in, "two", 3);
	check(span_of_buf(&in), NULL, "onetwo", 6);
}

static void test_gunzip_large_output_comes_in_pieces(void **state)
{
	CLEANUP(buf_deinit) struct buf in = { 0 };
	CLEANUP(buf_deinit) struct buf text = { 0 };

	UNUSED(state);
	buf_init(&in, TEXT_MAX);
	buf_init(&text, TEXT_MAX);
	for (unsigned i = 0; i < 20000; i++)
		buf_appendf(&text, "%u,", i * i);
	append_member(&in, text.data, text.len);
	check(span_of_buf(&in), NULL, text.data, text.len);
}

static void test_gunzip_what_is_not_gzip_never_begins(void **state)
{
	CLEANUP(err_clear) struct err e = { 0 };
	struct gunzip *z = gunzip_new();
	struct span input = SPAN("plain text");
	char out[16];

	UNUSED(state);
	assert_int_equal(gunzip_next(z, &input, out, sizeof out, &e), -1);
	assert_int_equal(e.kind, ERR_INVALID);
	assert_false(gunzip_has_begun(z));
	gunzip_free(z);
	check(SPAN("plain text"), "gzip: invalid header", "", 0);
	check(SPAN("\x1f\x8b\x07_method"), "gzip: invalid header", "", 0);
}

static void test_gunzip_has_begun_behind_the_header(void **state)
{
	CLEANUP(err_clear) struct err e = { 0 };
	CLEANUP(buf_deinit) struct buf in = { 0 };
	struct gunzip *z = gunzip_new();
	struct span input;
	char out[16];

	UNUSED(state);
	buf_init(&in, TEXT_MAX);
	append_member(&in, "x", 1);
	input = (struct span){ (char *)in.data, 9 };
	assert_int_equal(gunzip_next(z, &input, out, sizeof out, &e), 0);
	assert_false(gunzip_has_begun(z));
	input = (struct span){ (char *)in.data + 9, 1 };
	assert_int_equal(gunzip_next(z, &input, out, sizeof out, &e), 0);
	assert_true(gunzip_has_begun(z));
	gunzip_free(z);
}

static void test_gunzip_input_that_ends_early_is_told(void **state)
{
	CLEANUP(buf_deinit) struct buf in = { 0 };

	UNUSED(state);
	buf_init(&in, TEXT_MAX);
	append_member(&in, "hello", 5);
	check(SPAN(""), "EOF", "", 0);
	check((struct span){ (char *)in.data, 5 }, "unexpected EOF", "", 0);
	check((struct span){ (char *)in.data, in.len - 1 }, "unexpected EOF", "hello", 5);
	append_member(&in, "x", 1);
	check((struct span){ (char *)in.data, in.len - 20 }, "unexpected EOF", "hello", 5);
}

static void test_gunzip_corruption_is_told(void **state)
{
	CLEANUP(buf_deinit) struct buf in = { 0 };

	UNUSED(state);
	buf_init(&in, TEXT_MAX);
	append_member(&in, "hello", 5);
	buf_append_text(&in, "garbage");
	check(span_of_buf(&in), "gzip: invalid header", "hello", 5);
	in.len -= strlen("garbage");
	in.data[in.len - 8] ^= 1;
	check(span_of_buf(&in), "gzip: invalid checksum", "hello", 5);
	in.data[in.len - 8] ^= 1;
	in.data[in.len - 1] ^= 1;
	check(span_of_buf(&in), "gzip: invalid checksum", "hello", 5);
	/* A block of the type that does not exist. */
	check(SPAN("\x1f\x8b\x08\0\0\0\0\0\0\x03\x07"), "flate: corrupt input before offset 11", "",
	      0);
}

/* Every cut and every flipped bit of one message ends in an error or an end, never elsewhere. */
static void test_gunzip_every_damage_is_survived(void **state)
{
	CLEANUP(buf_deinit) struct buf in = { 0 };

	UNUSED(state);
	buf_init(&in, TEXT_MAX);
	append_member(&in, "hello hello hello", 17);
	for (size_t bit = 0; bit < in.len * 8; bit++) {
		CLEANUP(err_clear) struct err e = { 0 };
		struct gunzip *z = gunzip_new();
		struct buf out;

		buf_init(&out, TEXT_MAX);
		in.data[bit / 8] ^= (uint8_t)BIT(bit % 8);
		(void)inflate_all(z, span_of_buf(&in), 5, 4096, &out, &e);
		in.data[bit / 8] ^= (uint8_t)BIT(bit % 8);
		buf_deinit(&out);
		gunzip_free(z);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gunzip_members_follow_each_other),
		cmocka_unit_test(test_gunzip_large_output_comes_in_pieces),
		cmocka_unit_test(test_gunzip_what_is_not_gzip_never_begins),
		cmocka_unit_test(test_gunzip_has_begun_behind_the_header),
		cmocka_unit_test(test_gunzip_input_that_ends_early_is_told),
		cmocka_unit_test(test_gunzip_corruption_is_told),
		cmocka_unit_test(test_gunzip_every_damage_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
