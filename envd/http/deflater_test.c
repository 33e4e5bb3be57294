#include "http/deflater.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "http/coding.h"
#include "tests/support/test.h"

#define CONTENT_MAX (1024u * 1024u)

static void fill(char *content, size_t len)
{
	for (size_t i = 0; i < len; i++)
		content[i] = (char)(i * i / 7 % 26 + 'a');
}

/* Feeds and takes pieces of those sizes, and checks what comes of it. */
static void round_trip(size_t len, int64_t size, size_t in_step, size_t out_step)
{
	char *content = xmalloc(len + 1), *piece = xmalloc(out_step);
	struct deflater *d = deflater_new(size);
	struct span in = { content, 0 };
	struct buf packed, plain;
	size_t fed = 0;

	fill(content, len);
	buf_init(&packed, 2 * CONTENT_MAX);
	buf_init(&plain, 2 * CONTENT_MAX);
	assert_non_null(d);
	while (!deflater_is_over(d)) {
		size_t n;

		if (in.len == 0) {
			in.at = content + fed;
			in.len = MIN(in_step, len - fed);
			fed += in.len;
		}
		n = deflater_run(d, &in, fed == len, piece, out_step);
		assert_true(n <= out_step);
		buf_append(&packed, piece, n);
	}
	assert_int_equal(in.len, 0);
	assert_int_equal(deflater_run(d, &in, true, piece, out_step), 0);
	assert_int_equal(gzip_decompress(&plain, packed.data, packed.len), 0);
	assert_int_equal(plain.len, len);
	if (len > 0)
		assert_memory_equal(plain.data, content, len);
	deflater_free(d);
	buf_deinit(&packed);
	buf_deinit(&plain);
	free(content);
	free(piece);
}

static void test_deflater_content_comes_back_whatever_its_pieces(void **state)
{
	static const size_t lens[] = { 0, 1, 3834, 3835, 65536, 300000 };
	static const size_t steps[] = { 1, 100, 65536 };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(steps); j++) {
			round_trip(lens[i], -1, steps[j], 65536);
			round_trip(lens[i], (int64_t)lens[i], 65536, steps[j]);
		}
	}
}

/* The size is only a hint: a file may have grown. */
static void test_deflater_takes_more_than_it_was_told(void **state)
{
	UNUSED(state);
	round_trip(CONTENT_MAX, 0, 65536, 65536);
	round_trip(CONTENT_MAX, 10, 65536, 65536);
}

static void test_deflater_stream_is_never_longer_than_its_bound(void **state)
{
	unsigned char noise[65536], out[2 * sizeof noise];
	uint32_t x = 1;

	UNUSED(state);
	for (size_t i = 0; i < sizeof noise; i++)
		noise[i] = (unsigned char)((x = x * 1664525u + 1013904223u) >> 24);
	for (size_t len = 0; len <= sizeof noise; len = len * 2 + 1) {
		struct deflater *d = deflater_new((int64_t)len);
		struct span in = { (char *)noise, len };
		size_t bound = deflater_bound(d, len);

		assert_true(bound <= sizeof out);
		assert_true(deflater_run(d, &in, true, out, bound) > 0);
		assert_true(deflater_is_over(d));
		deflater_free(d);
	}
}

static void test_deflater_without_memory_is_none(void **state)
{
	UNUSED(state);
	mem_fail_nth(1);
	assert_null(deflater_new(-1));
	assert_true(mem_fail_nth(0));
	deflater_free(NULL);
}

static void test_deflater_that_is_given_up_leaks_nothing(void **state)
{
	struct deflater *d = deflater_new(-1);
	struct span in = SPAN("cut off");
	char out[64];

	UNUSED(state);
	(void)deflater_run(d, &in, false, out, sizeof out);
	assert_int_equal(in.len, 0);
	assert_false(deflater_is_over(d));
	deflater_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deflater_content_comes_back_whatever_its_pieces),
		cmocka_unit_test(test_deflater_takes_more_than_it_was_told),
		cmocka_unit_test(test_deflater_stream_is_never_longer_than_its_bound),
		cmocka_unit_test(test_deflater_without_memory_is_none),
		cmocka_unit_test(test_deflater_that_is_given_up_leaks_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
