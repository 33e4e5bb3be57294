#include "loop/owner.h"

#include <stdlib.h>

#include "base/macros.h"
#include "base/mem.h"
#include "tests/support/test.h"

struct thing {
	struct owner owner;
	unsigned *n_closed;
};

static void thing_on_closed(struct owner *o)
{
	struct thing *t = CONTAINER_OF(o, struct thing, owner);

	(*t->n_closed)++;
	free(t);
}

static struct thing *thing_new(unsigned *n_closed)
{
	struct thing *t = xcalloc(1, sizeof *t);

	t->n_closed = n_closed;
	owner_init(&t->owner, thing_on_closed);
	return t;
}

static void test_owner_with_handles_reports_at_the_last_drop(void **state)
{
	unsigned n_closed = 0;
	struct thing *t = thing_new(&n_closed);

	UNUSED(state);
	owner_hold(&t->owner);
	owner_hold(&t->owner);
	owner_close(&t->owner);
	owner_drop(&t->owner);
	assert_int_equal(n_closed, 0);
	owner_drop(&t->owner);
	assert_int_equal(n_closed, 1);
}

static void test_owner_without_handles_reports_at_close(void **state)
{
	unsigned n_closed = 0;
	struct thing *t = thing_new(&n_closed);

	UNUSED(state);
	owner_close(&t->owner);
	assert_int_equal(n_closed, 1);
}

static void test_owner_empty_before_close_lives_on(void **state)
{
	unsigned n_closed = 0;
	struct thing *t = thing_new(&n_closed);

	UNUSED(state);
	owner_hold(&t->owner);
	owner_drop(&t->owner);
	assert_int_equal(n_closed, 0);
	owner_hold(&t->owner);
	owner_close(&t->owner);
	owner_hold(&t->owner); /* closing may need a request of its own */
	owner_drop(&t->owner);
	assert_int_equal(n_closed, 0);
	owner_drop(&t->owner);
	assert_int_equal(n_closed, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_owner_with_handles_reports_at_the_last_drop),
		cmocka_unit_test(test_owner_without_handles_reports_at_close),
		cmocka_unit_test(test_owner_empty_before_close_lives_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
