#include "base/arena.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "tests/support/test.h"

#define MAX_USED (64u * 1024u)

static void test_arena_results_are_aligned_and_apart(void **state)
{
	struct arena a;
	char *before = NULL;

	UNUSED(state);
	arena_init(&a, MAX_USED, NULL, 0);
	for (size_t size = 1; size < 100; size++) {
		char *p = arena_alloc(&a, size);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		memset(p, (int)size, size);
		if (before)
			assert_int_equal(before[size - 2], size - 1);
		before = p;
	}
	arena_deinit(&a);
}

static void test_arena_small_request_lives_in_the_first_block(void **state)
{
	char first[256];
	struct arena a;
	char *p;

	UNUSED(state);
	arena_init(&a, MAX_USED, first + 1, sizeof first - 1);
	p = arena_alloc(&a, 100);
	assert_true(p >= first && p + 100 <= first + sizeof first);
	assert_int_equal((uintptr_t)p % 16, 0);
	assert_null(a.blocks);
	p = arena_alloc(&a, 200);
	assert_non_null(p);
	assert_non_null(a.blocks);
	arena_reset(&a);
	p = arena_alloc(&a, 100);
	assert_true(p >= first && p + 100 <= first + sizeof first);
	arena_deinit(&a);
}

static void test_arena_first_block_too_small_to_align_is_ignored(void **state)
{
	_Alignas(16) char first[16];
	struct arena a;

	UNUSED(state);
	arena_init(&a, MAX_USED, first + 1, 3);
	assert_non_null(arena_alloc(&a, 1));
	assert_non_null(a.blocks);
	arena_deinit(&a);
}

static void test_arena_limit_is_exact(void **state)
{
	struct arena a;

	UNUSED(state);
	arena_init(&a, 160, NULL, 0);
	assert_null(arena_alloc(&a, 161));
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_int_equal(a.used, 0);
	assert_non_null(arena_alloc(&a, 100)); /* 112 charged */
	assert_null(arena_alloc(&a, 49));
	assert_non_null(arena_alloc(&a, 48));
	assert_null(arena_alloc(&a, 1));
	assert_null(arena_alloc(&a, 0));
	arena_reset(&a);
	assert_non_null(arena_alloc(&a, 160));
	arena_deinit(&a);
}

static void test_arena_large_request_leaves_the_current_block_in_use(void **state)
{
	struct arena a;
	char *small, *large, *next;

	UNUSED(state);
	arena_init(&a, MAX_USED, NULL, 0);
	small = arena_alloc(&a, 16);
	large = arena_alloc(&a, 2 * ARENA_BLOCK);
	next = arena_alloc(&a, 16);
	assert_non_null(large);
	memset(large, 1, 2 * ARENA_BLOCK);
	assert_ptr_equal(next, small + 16);
	arena_deinit(&a);
}

static void test_arena_calloc_and_strndup_give_zeros_and_a_nul(void **state)
{
	struct arena a;
	char *zeros, *text;

	UNUSED(state);
	arena_init(&a, MAX_USED, NULL, 0);
	memset(arena_alloc(&a, 64), 0xFF, 64);
	arena_reset(&a);
	zeros = arena_calloc(&a, 64);
	for (int i = 0; i < 64; i++)
		assert_int_equal(zeros[i], 0);
	text = arena_strndup(&a, "hello", 4);
	assert_string_equal(text, "hell");
	assert_null(arena_strndup(&a, "", SIZE_MAX));
	arena_deinit(&a);
}

static void test_arena_zeroed_gives_nothing_and_ends_twice(void **state)
{
	struct arena a = { 0 };

	UNUSED(state);
	assert_null(arena_alloc(&a, 1));
	arena_deinit(&a);
	arena_deinit(&a);
}

static void test_arena_every_allocation_failure_is_refused_cleanly(void **state)
{
	bool failed = true;

	UNUSED(state);
	for (unsigned nth = 1; failed; nth++) {
		unsigned n_refused = 0;
		struct arena a;

		arena_init(&a, MAX_USED, NULL, 0);
		mem_fail_nth(nth);
		for (int i = 0; i < 20; i++) {
			size_t used = a.used;

			if (arena_alloc(&a, 1000))
				continue;
			n_refused++;
			assert_int_equal(a.used, used);
		}
		failed = mem_fail_nth(0);
		assert_int_equal(n_refused, failed);
		arena_deinit(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arena_results_are_aligned_and_apart),
		cmocka_unit_test(test_arena_small_request_lives_in_the_first_block),
		cmocka_unit_test(test_arena_first_block_too_small_to_align_is_ignored),
		cmocka_unit_test(test_arena_limit_is_exact),
		cmocka_unit_test(test_arena_large_request_leaves_the_current_block_in_use),
		cmocka_unit_test(test_arena_calloc_and_strndup_give_zeros_and_a_nul),
		cmocka_unit_test(test_arena_zeroed_gives_nothing_and_ends_twice),
		cmocka_unit_test(test_arena_every_allocation_failure_is_refused_cleanly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
