#include "http/coding.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "tests/support/test.h"

#define BIG 1000000u

static struct buf packed(const void *data, size_t len)
{
	struct buf b;

	buf_init(&b, 2 * BIG);
	assert_int_equal(gzip_compress(&b, data, len), 0);
	return b;
}

static void check_round_trip(const void *data, size_t len)
{
	struct buf p = packed(data, len), out;

	buf_init(&out, len);
	assert_int_equal(gzip_decompress(&out, p.data, p.len), 0);
	assert_int_equal(out.len, len);
	if (len > 0)
		assert_memory_equal(out.data, data, len);
	buf_deinit(&out);
	buf_deinit(&p);
}

static void test_gzip_round_trips(void **state)
{
	uint8_t *data = xmalloc(BIG);
	uint32_t noise = 1;

	UNUSED(state);
	check_round_trip("", 0);
	check_round_trip("a", 1);
	check_round_trip("hello, hello, hello", 19);
	memset(data, 'z', BIG);
	check_round_trip(data, BIG);
	for (size_t i = 0; i < BIG; i++)
		data[i] = (uint8_t)((noise = noise * 1664525 + 1013904223) >> 24);
	check_round_trip(data, BIG);
	free(data);
}

/* A smaller window for small messages: all of the message must be in it. */
static void test_gzip_small_message_finds_what_it_began_with(void **state)
{
	uint8_t data[3100];
	uint32_t noise = 1;

	UNUSED(state);
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)((noise = noise * 1664525 + 1013904223) >> 24);
	for (size_t len = 3060; len < sizeof data; len++) {
		struct buf p;

		memcpy(data + len - 1000, data, 1000);
		check_round_trip(data, len);
		p = packed(data, len);
		assert_in_range(p.len, 1, len - 800);
		buf_deinit(&p);
		for (size_t i = len - 1000; i < len; i++)
			data[i] = (uint8_t)((noise = noise * 1664525 + 1013904223) >> 24);
	}
}

static void test_gzip_appends_to_what_is_there(void **state)
{
	struct buf p = packed("def", 3), out;

	UNUSED(state);
	buf_init(&out, 6);
	buf_append(&out, "abc", 3);
	assert_int_equal(gzip_decompress(&out, p.data, p.len), 0);
	assert_memory_equal(out.data, "abcdef", 6);
	buf_deinit(&out);
	buf_deinit(&p);
}

static void test_gzip_members_are_joined(void **state)
{
	struct buf p = packed("abc", 3), out;

	UNUSED(state);
	assert_int_equal(gzip_compress(&p, "def", 3), 0);
	buf_init(&out, 100);
	assert_int_equal(gzip_decompress(&out, p.data, p.len), 0);
	assert_int_equal(out.len, 6);
	assert_memory_equal(out.data, "abcdef", 6);
	buf_deinit(&out);
	buf_deinit(&p);
}

static void test_gzip_bomb_is_stopped_at_the_limit(void **state)
{
	char *zeros = xcalloc(1, BIG);
	struct buf p = packed(zeros, BIG), out;

	UNUSED(state);
	assert_true(p.len < 2000);
	buf_init(&out, BIG - 1);
	assert_int_equal(gzip_decompress(&out, p.data, p.len), -ENOBUFS);
	assert_int_equal(out.len, 0);
	buf_deinit(&out);
	buf_deinit(&p);
	free(zeros);
}

static void test_gzip_output_beyond_the_limit_is_refused(void **state)
{
	struct buf out;

	UNUSED(state);
	buf_init(&out, 10);
	assert_int_equal(gzip_compress(&out, "hello", 5), -ENOBUFS);
	assert_int_equal(out.len, 0);
	buf_deinit(&out);
}

static void test_gzip_cut_or_changed_input_is_never_taken_for_whole(void **state)
{
	struct buf p = packed("hello, hello, hello", 19), out;
	int rc;

	UNUSED(state);
	for (size_t i = 0; i < p.len; i++) {
		buf_init(&out, 1000);
		assert_int_equal(gzip_decompress(&out, p.data, i), -EBADMSG);
		buf_deinit(&out);
		for (unsigned bit = 0; bit < 8; bit++) {
			p.data[i] ^= (uint8_t)BIT(bit);
			buf_init(&out, 1000);
			rc = gzip_decompress(&out, p.data, p.len);
			/* Bytes 4 to 9 are the date and two hints; bit 0 of the flags is one too. */
			if (rc == 0)
				assert_memory_equal(out.data, "hello, hello, hello", 19);
			else
				assert_true(rc == -EBADMSG || rc == -ENOBUFS);
			buf_deinit(&out);
			p.data[i] ^= (uint8_t)BIT(bit);
		}
	}
	buf_append(&p, "x", 1);
	buf_init(&out, 1000);
	assert_int_equal(gzip_decompress(&out, p.data, p.len), -EBADMSG);
	buf_deinit(&out);
	buf_deinit(&p);
}

static void test_gzip_allocation_failure_is_told(void **state)
{
	struct buf p = packed("hello", 5), out;

	UNUSED(state);
	buf_init(&out, 1000);
	mem_fail_nth(1);
	assert_int_equal(gzip_decompress(&out, p.data, p.len), -ENOMEM);
	buf_deinit(&out);
	buf_init(&out, 1000);
	mem_fail_nth(1);
	assert_int_equal(gzip_compress(&out, "hello", 5), -ENOMEM);
	assert_true(mem_fail_nth(0));
	buf_deinit(&out);
	buf_deinit(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gzip_round_trips),
		cmocka_unit_test(test_gzip_small_message_finds_what_it_began_with),
		cmocka_unit_test(test_gzip_appends_to_what_is_there),
		cmocka_unit_test(test_gzip_members_are_joined),
		cmocka_unit_test(test_gzip_bomb_is_stopped_at_the_limit),
		cmocka_unit_test(test_gzip_output_beyond_the_limit_is_refused),
		cmocka_unit_test(test_gzip_cut_or_changed_input_is_never_taken_for_whole),
		cmocka_unit_test(test_gzip_allocation_failure_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
