#include "base/buf.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "tests/support/test.h"

static void assert_holds(const struct buf *b, const char *text)
{
	assert_int_equal(b->len, strlen(text));
	assert_memory_equal(b->data, text, b->len);
}

static void test_buf_appends_come_in_order(void **state)
{
	CLEANUP(buf_deinit) struct buf b;

	UNUSED(state);
	buf_init(&b, 1000);
	buf_append(&b, "ab", 2);
	buf_append(&b, NULL, 0);
	buf_append_byte(&b, 'c');
	buf_append_text(&b, "de");
	buf_appendf(&b, "%d-%s", 42, "x");
	assert_int_equal(buf_error(&b), 0);
	assert_holds(&b, "abcde42-x");
}

static void test_buf_append_copies_every_length(void **state)
{
	uint8_t data[40];
	struct buf b;

	UNUSED(state);
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i + 1);
	for (size_t len = 0; len <= sizeof data; len++) {
		buf_init(&b, 2 * sizeof data + 1);
		buf_append(&b, data, len);
		buf_append_byte(&b, 0xFF);
		buf_append(&b, data, len);
		assert_int_equal(b.len, 2 * len + 1);
		assert_memory_equal(b.data, data, len);
		assert_int_equal(b.data[len], 0xFF);
		assert_memory_equal(b.data + len + 1, data, len);
		buf_deinit(&b);
	}
}

static void test_buf_maximum_is_exact_and_sticks(void **state)
{
	CLEANUP(buf_deinit) struct buf b;

	UNUSED(state);
	buf_init(&b, 4);
	buf_append_text(&b, "abc");
	buf_append_text(&b, "de");
	assert_int_equal(buf_error(&b), -ENOBUFS);
	buf_append_byte(&b, 'd');
	assert_null(buf_extend(&b, 1));
	assert_int_equal(buf_reserve(&b, 0), -ENOBUFS);
	assert_holds(&b, "abc");
	buf_reset(&b, 100);
	buf_append_text(&b, "abcd");
	assert_int_equal(buf_error(&b), 0);
	assert_holds(&b, "abcd");
}

static void test_buf_appendf_fits_to_the_last_byte(void **state)
{
	CLEANUP(buf_deinit) struct buf b;

	UNUSED(state);
	buf_init(&b, 100);
	buf_appendf(&b, "%0100d", 7);
	assert_int_equal(buf_error(&b), 0);
	assert_int_equal(b.len, 100);
	assert_int_equal(b.data[99], '7');
	buf_appendf(&b, "%s", "");
	assert_int_equal(buf_error(&b), 0);
	buf_appendf(&b, "x");
	assert_int_equal(buf_error(&b), -ENOBUFS);
	assert_int_equal(b.len, 100);
}

static void test_buf_lowered_maximum_counts_before_the_capacity(void **state)
{
	CLEANUP(buf_deinit) struct buf b;

	UNUSED(state);
	buf_init(&b, 100);
	assert_int_equal(buf_reserve(&b, 100), 0);
	b.max = 3;
	buf_appendf(&b, "%s", "abcd");
	assert_int_equal(buf_error(&b), -ENOBUFS);
	buf_reset(&b, 100);
	buf_append_text(&b, "abcd");
	assert_int_equal(buf_error(&b), -ENOBUFS);
	assert_int_equal(b.len, 0);
}

static void test_buf_zeroed_takes_nothing_and_ends_twice(void **state)
{
	struct buf b = { 0 };

	UNUSED(state);
	buf_append(&b, "", 0);
	assert_non_null(buf_extend(&b, 0));
	assert_int_equal(buf_error(&b), 0);
	buf_append_byte(&b, 'x');
	assert_int_equal(buf_error(&b), -ENOBUFS);
	buf_deinit(&b);
	buf_deinit(&b);
}

static void test_buf_huge_sizes_do_not_wrap(void **state)
{
	CLEANUP(buf_deinit) struct buf b;

	UNUSED(state);
	buf_init(&b, SIZE_MAX);
	buf_append_byte(&b, 'x');
	assert_int_equal(buf_reserve(&b, SIZE_MAX), -ENOBUFS);
	buf_reset(&b, 100);
	buf_append_byte(&b, 'x');
	assert_int_equal(buf_reserve(&b, SIZE_MAX - 1), -ENOMEM);
}

static void test_buf_consume_and_truncate_drop_from_the_ends(void **state)
{
	CLEANUP(buf_deinit) struct buf b;

	UNUSED(state);
	buf_init(&b, 100);
	buf_append_text(&b, "abcdef");
	buf_consume(&b, 2);
	buf_truncate(&b, 3);
	assert_holds(&b, "cde");
	buf_consume(&b, 3);
	assert_int_equal(b.len, 0);
}

static void test_buf_reset_keeps_small_memory_only(void **state)
{
	CLEANUP(buf_deinit) struct buf b;

	UNUSED(state);
	buf_init(&b, 10000);
	assert_int_equal(buf_reserve(&b, 1000), 0);
	buf_reset(&b, b.cap);
	assert_non_null(b.data);
	buf_reset(&b, b.cap - 1);
	assert_null(b.data);
	assert_int_equal(b.cap, 0);
}

static void test_buf_fixed_never_allocates(void **state)
{
	char memory[8];
	struct buf b;

	UNUSED(state);
	mem_fail_nth(1);
	buf_init_fixed(&b, memory, sizeof memory);
	buf_appendf(&b, "%s", "1234567");
	assert_int_equal(buf_error(&b), 0);
	assert_string_equal(memory, "1234567");
	buf_append_byte(&b, '8');
	assert_int_equal(buf_error(&b), -ENOBUFS);
	buf_reset(&b, 0);
	buf_append_text(&b, "again");
	assert_ptr_equal(b.data, memory);
	buf_deinit(&b);
	assert_false(mem_fail_nth(0));
}

static void test_buf_every_allocation_failure_sticks_and_keeps_content(void **state)
{
	bool failed = true;

	UNUSED(state);
	for (unsigned nth = 1; failed; nth++) {
		CLEANUP(buf_deinit) struct buf b;
		size_t expected = 0;

		buf_init(&b, 100000);
		mem_fail_nth(nth);
		for (int i = 0; i < 1000; i++) {
			buf_appendf(&b, "%03d", i);
			if (!buf_error(&b))
				expected += 3;
		}
		failed = mem_fail_nth(0);
		assert_int_equal(buf_error(&b), failed ? -ENOMEM : 0);
		assert_int_equal(b.len, expected);
		if (expected > 0)
			assert_memory_equal(b.data, "000001002003", MIN(expected, 12u));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buf_appends_come_in_order),
		cmocka_unit_test(test_buf_append_copies_every_length),
		cmocka_unit_test(test_buf_maximum_is_exact_and_sticks),
		cmocka_unit_test(test_buf_appendf_fits_to_the_last_byte),
		cmocka_unit_test(test_buf_lowered_maximum_counts_before_the_capacity),
		cmocka_unit_test(test_buf_zeroed_takes_nothing_and_ends_twice),
		cmocka_unit_test(test_buf_huge_sizes_do_not_wrap),
		cmocka_unit_test(test_buf_consume_and_truncate_drop_from_the_ends),
		cmocka_unit_test(test_buf_reset_keeps_small_memory_only),
		cmocka_unit_test(test_buf_fixed_never_allocates),
		cmocka_unit_test(test_buf_every_allocation_failure_sticks_and_keeps_content),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
