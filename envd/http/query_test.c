#include "http/query.h"

#include <string.h>

#include "base/buf.h"
#include "base/macros.h"
#include "tests/support/test.h"

#define MEMORY_MAX 4096u

/* Pairs as "name=value|". */
static void check(const char *query, const char *pairs)
{
	CLEANUP(arena_deinit) struct arena memory;
	CLEANUP(buf_deinit) struct buf text = { 0 };
	struct span rest = span_of(query);
	struct query_pair pair;
	bool is_full = false;

	arena_init(&memory, MEMORY_MAX, NULL, 0);
	buf_init(&text, MEMORY_MAX);
	while (query_next(&rest, &memory, &pair, &is_full)) {
		buf_append(&text, pair.name.at, pair.name.len);
		buf_append_byte(&text, '=');
		buf_append(&text, pair.value.at, pair.value.len);
		buf_append_byte(&text, '|');
	}
	assert_false(is_full);
	assert_int_equal(text.len, strlen(pairs));
	assert_memory_equal(text.data ? (char *)text.data : "", pairs, strlen(pairs));
}

static void test_query_is_read_as_go_reads_it(void **state)
{
	UNUSED(state);
	check("", "");
	check("path=a", "path=a|");
	check("path=%2Fa+b%20c&username=", "path=/a b c|username=|");
	check("a&b=&=c&&", "a=|b=|=c|");
	check("a=b=c", "a=b=c|");
	check("p%61th=%E6%96%87", "path=\xe6\x96\x87|");
	check("a=1&a=2", "a=1|a=2|");
}

static void test_query_drops_broken_pairs_only(void **state)
{
	UNUSED(state);
	check("a=%&b=1", "b=1|");
	check("a=%2&b=%zz&c=%2x&d=1", "d=1|");
	check("a=1;b=2&c=3", "c=3|");
	check("%=1&c=3", "c=3|");
}

static void test_query_may_hold_a_nul(void **state)
{
	CLEANUP(arena_deinit) struct arena memory;
	struct span rest = SPAN("path=a%00b");
	struct query_pair pair;
	bool is_full = false;

	UNUSED(state);
	arena_init(&memory, MEMORY_MAX, NULL, 0);
	assert_true(query_next(&rest, &memory, &pair, &is_full));
	assert_int_equal(pair.value.len, 3);
	assert_memory_equal(pair.value.at, "a\0b", 4);
}

static void test_query_without_room_says_so(void **state)
{
	CLEANUP(arena_deinit) struct arena memory;
	struct span rest = SPAN("path=abcdefghijklmnopqrstuvwxyz");
	struct query_pair pair;
	bool is_full = false;

	UNUSED(state);
	arena_init(&memory, 16, NULL, 0);
	assert_false(query_next(&rest, &memory, &pair, &is_full));
	assert_true(is_full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query_is_read_as_go_reads_it),
		cmocka_unit_test(test_query_drops_broken_pairs_only),
		cmocka_unit_test(test_query_may_hold_a_nul),
		cmocka_unit_test(test_query_without_room_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
