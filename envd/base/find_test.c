#include "base/find.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/support/test.h"

#define WHAT "\r\n--boundary"

/* Bytes: some blocks and a rest. */
#define LENGTH_MAX 300u

/* On the heap with exactly its bytes: the sanitizers see a byte too far. */
static void check(const char *data, size_t len, struct span what)
{
	char *copy = xmalloc(len);
	const char *found, *expected;

	memcpy(copy, data, len);
	found = span_find((struct span){ copy, len }, what);
	expected = memmem(copy, len, what.at, what.len);
	assert_ptr_equal(found, expected);
	free(copy);
}

static void test_find_at_every_place_of_every_length(void **state)
{
	const struct span what = SPAN(WHAT);
	char data[LENGTH_MAX];

	UNUSED(state);
	for (size_t len = 1; len <= LENGTH_MAX; len++) {
		memset(data, 'x', len);
		check(data, len, what);
		for (size_t at = 0; at + what.len <= len; at++) {
			memset(data, 'x', len);
			memcpy(data + at, what.at, what.len);
			check(data, len, what);
		}
	}
}

static void test_find_takes_the_first(void **state)
{
	struct span s = SPAN("aXbXc");

	UNUSED(state);
	assert_ptr_equal(span_find(s, SPAN("X")), s.at + 1);
	assert_ptr_equal(span_find(s, s), s.at);
	assert_null(span_find(s, SPAN("aXbXcX")));
	assert_null(span_find((struct span){ 0 }, SPAN("X")));
}

/* The first and the last byte are right nearly everywhere. */
static void test_find_is_not_led_astray_by_what_looks_alike(void **state)
{
	static const char *const alphabets[] = { "\ry", "\r\n-y", "\r\n--boundary" };
	const struct span what = SPAN(WHAT);
	unsigned seed = 1;

	UNUSED(state);
	for (size_t a = 0; a < ARRAY_SIZE(alphabets); a++) {
		size_t n = strlen(alphabets[a]);
		char data[LENGTH_MAX];

		for (unsigned round = 0; round < 1000; round++) {
			for (size_t i = 0; i < sizeof data; i++)
				data[i] = alphabets[a][(size_t)rand_r(&seed) % n];
			check(data, sizeof data, what);
			check(data, sizeof data, SPAN("\ny"));
			memcpy(data + (size_t)rand_r(&seed) % (sizeof data - what.len), what.at,
			       what.len);
			check(data, sizeof data, what);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find_at_every_place_of_every_length),
		cmocka_unit_test(test_find_takes_the_first),
		cmocka_unit_test(test_find_is_not_led_astray_by_what_looks_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
