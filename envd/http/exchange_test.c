#include "http/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/wire.h"
#include "tests/support/test.h"

static unsigned n_stops, n_frees, n_releases, n_answers;

static void on_stop(struct exchange *x)
{
	UNUSED(x);
	n_stops++;
}

static const struct exchange_ops ops = { .on_stop = on_stop };

static void free_exchange(struct exchange *x)
{
	exchange_deinit(x);
	n_frees++;
}

static void wire_answer(struct exchange *x, int status, const struct http_field *fields, size_t n,
                        struct span body)
{
	UNUSED(x);
	UNUSED(status);
	UNUSED(fields);
	UNUSED(n);
	UNUSED(body);
	n_answers++;
}

static void wire_release(struct exchange *x)
{
	exchange_deinit(x);
	n_releases++;
}

static const struct exchange_wire wire = { .answer = wire_answer, .release = wire_release };

static int reset(void **state)
{
	UNUSED(state);
	n_stops = n_frees = n_releases = n_answers = 0;
	return 0;
}

static void test_exchange_answer_takes_it_and_releases_once(void **state)
{
	struct exchange x, *taken = &x;

	UNUSED(state);
	exchange_init(&x, &wire, NULL, 0);
	exchange_own(&x, &ops, NULL);
	exchange_answer(&taken, 200, NULL, 0, SPAN(""));
	assert_null(taken);
	assert_int_equal(n_answers, 1);
	assert_int_equal(n_releases, 1);
}

static void test_exchange_gone_stops_the_owner_and_swallows_the_rest(void **state)
{
	struct exchange x, *taken = &x;
	struct iovec piece = { NULL, 0 };
	size_t n = 7;

	UNUSED(state);
	exchange_init(&x, &wire, NULL, 0);
	exchange_own(&x, &ops, NULL);
	exchange_gone(&x, free_exchange);
	assert_int_equal(n_stops, 1);
	assert_int_equal(n_frees, 0);
	exchange_read(&x);
	exchange_consumed(&x, 100);
	assert_null(exchange_trailers(&x, &n));
	assert_int_equal(n, 0);
	exchange_begin(&x, 200, NULL, 0, -1);
	assert_true(exchange_send(&x, &piece, 1));
	exchange_finish(&taken, NULL, 0);
	assert_null(taken);
	assert_int_equal(n_frees, 1);
	assert_int_equal(n_answers + n_releases, 0);
}

static void test_exchange_gone_may_still_be_answered_or_aborted(void **state)
{
	struct exchange x, *taken = &x;

	UNUSED(state);
	exchange_init(&x, &wire, NULL, 0);
	exchange_own(&x, &ops, NULL);
	exchange_gone(&x, free_exchange);
	exchange_answer(&taken, 200, NULL, 0, SPAN("late"));
	exchange_init(&x, &wire, NULL, 0);
	taken = &x;
	exchange_own(&x, &ops, NULL);
	exchange_gone(&x, free_exchange);
	exchange_abort(&taken);
	assert_int_equal(n_frees, 2);
}

static void test_exchange_gone_without_owner_is_freed_at_once(void **state)
{
	struct exchange x;

	UNUSED(state);
	exchange_init(&x, &wire, NULL, 0);
	exchange_gone(&x, free_exchange);
	assert_int_equal(n_frees, 1);
	assert_int_equal(n_stops, 0);
}

static void test_exchange_extra_fields_are_copied(void **state)
{
	char scratch[1024], name[] = "Vary", value[] = "Origin";
	struct exchange x;

	UNUSED(state);
	exchange_init(&x, &wire, scratch, sizeof scratch);
	exchange_add_field(&x, name, span_of(value));
	exchange_add_field(&x, "X-A", SPAN(""));
	exchange_add_field(&x, "vary", SPAN("Accept"));
	name[0] = value[0] = '?';
	assert_int_equal(x.n_extra, 3);
	assert_true(span_equal(x.extra[0].name, "Vary"));
	assert_true(span_equal(x.extra[0].value, "Origin"));
	assert_true(span_equal(x.extra[1].name, "X-A"));
	assert_true(span_equal(x.extra[2].value, "Accept"));
	exchange_deinit(&x);
}

static void test_exchange_extra_field_without_memory_is_left_out(void **state)
{
	char *large = xcalloc(1, EXCHANGE_EXTRA_MEMORY_MAX);
	struct exchange x;

	UNUSED(state);
	exchange_init(&x, &wire, NULL, 0);
	exchange_add_field(&x, "A", (struct span){ large, EXCHANGE_EXTRA_MEMORY_MAX });
	assert_int_equal(x.n_extra, 0);
	mem_fail_nth(1);
	exchange_add_field(&x, "A", (struct span){ large, 10000 });
	assert_true(mem_fail_nth(0));
	assert_int_equal(x.n_extra, 0);
	exchange_add_field(&x, "B", SPAN("b"));
	assert_int_equal(x.n_extra, 1);
	exchange_deinit(&x);
	free(large);
}

static void test_exchange_field_finds_the_first_of_a_name(void **state)
{
	const struct http_field fields[] = { HTTP_FIELD("a", "1"), HTTP_FIELD("ab", "2"),
		                             HTTP_FIELD("ab", "3") };
	struct exchange x = { .request = { .fields = fields, .n_fields = 3 } };

	UNUSED(state);
	assert_ptr_equal(exchange_field(&x, "ab"), &fields[1]);
	assert_null(exchange_field(&x, "b"));
	assert_null(exchange_field(&x, "abc"));
}

#define T(name) cmocka_unit_test_setup(name, reset)

static void test_exchange_field_takes_the_place_of_one_of_its_name(void **state)
{
	struct exchange x, *taken = &x;

	UNUSED(state);
	exchange_init(&x, &wire, NULL, 0);
	exchange_own(&x, &ops, NULL);
	exchange_set_field(&x, "Vary", SPAN("Origin"));
	exchange_add_field(&x, "Other", SPAN("o"));
	exchange_set_field(&x, "Vary", SPAN("Origin, Accept-Encoding"));
	assert_int_equal(x.n_extra, 2);
	assert_true(span_equal(x.extra[0].name, "Other"));
	assert_true(span_equal(x.extra[1].name, "Vary"));
	assert_true(span_equal(x.extra[1].value, "Origin, Accept-Encoding"));
	exchange_answer(&taken, 200, NULL, 0, SPAN(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_exchange_answer_takes_it_and_releases_once),
		T(test_exchange_gone_stops_the_owner_and_swallows_the_rest),
		T(test_exchange_gone_may_still_be_answered_or_aborted),
		T(test_exchange_gone_without_owner_is_freed_at_once),
		T(test_exchange_extra_fields_are_copied),
		T(test_exchange_extra_field_without_memory_is_left_out),
		T(test_exchange_field_takes_the_place_of_one_of_its_name),
		T(test_exchange_field_finds_the_first_of_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
