#include "base/mem.h"

#include <stdlib.h>

#include "tests/support/test.h"

static void test_mem_armed_failure_hits_the_nth_try_once(void **state)
{
	void *first, *second, *third;

	UNUSED(state);
	mem_fail_nth(2);
	first = try_malloc(1);
	second = try_calloc(1, 1);
	third = try_realloc(NULL, 1);
	assert_non_null(first);
	assert_null(second);
	assert_non_null(third);
	assert_true(mem_fail_nth(0));
	assert_false(mem_fail_nth(0));
	free(first);
	free(third);
}

static void test_mem_failed_realloc_leaves_the_block(void **state)
{
	char *p = try_malloc(1);

	UNUSED(state);
	assert_non_null(p);
	p[0] = 'x';
	mem_fail_nth(1);
	assert_null(try_realloc(p, 2));
	mem_fail_nth(0);
	assert_int_equal(p[0], 'x');
	free(p);
}

static void test_mem_armed_failure_spares_the_aborting_kind(void **state)
{
	void *p;

	UNUSED(state);
	mem_fail_nth(1);
	p = xmalloc(1);
	assert_non_null(p);
	assert_false(mem_fail_nth(0));
	free(p);
}

static void test_mem_nothing_is_still_memory(void **state)
{
	void *a = try_malloc(0), *b = try_calloc(0, 8), *c = xmalloc(0);

	UNUSED(state);
	assert_non_null(a);
	assert_non_null(b);
	assert_non_null(c);
	free(a);
	free(b);
	free(c);
}

static void test_mem_strndup_stops_at_length_and_nul(void **state)
{
	char *cut = xstrndup("hello", 2), *whole = xstrndup("he\0llo", 6);

	UNUSED(state);
	assert_string_equal(cut, "he");
	assert_string_equal(whole, "he");
	free(cut);
	free(whole);
}

static void test_mem_copy_takes_exactly_what_it_is_told(void **state)
{
	uint8_t from[128], to[128];

	UNUSED(state);
	for (size_t i = 0; i < sizeof from; i++)
		from[i] = (uint8_t)(i + 1);
	for (size_t len = 0; len < sizeof to - 2; len++) {
		memset(to, 0, sizeof to);
		mem_copy(to + 1, from, len);
		assert_int_equal(to[0], 0);
		assert_memory_equal(to + 1, from, len);
		assert_int_equal(to[len + 1], 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mem_armed_failure_hits_the_nth_try_once),
		cmocka_unit_test(test_mem_failed_realloc_leaves_the_block),
		cmocka_unit_test(test_mem_armed_failure_spares_the_aborting_kind),
		cmocka_unit_test(test_mem_nothing_is_still_memory),
		cmocka_unit_test(test_mem_strndup_stops_at_length_and_nul),
		cmocka_unit_test(test_mem_copy_takes_exactly_what_it_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
