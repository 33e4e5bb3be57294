#include "loop/timer.h"

#include <string.h>

#include "base/macros.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

#define N_MANY 500u

/* What ran, in order, as one letter each. */
static char trace[N_MANY + 1];

struct probe {
	struct timer timer;
	struct timers *timers;
	char letter;
	struct probe *starts;     /* on_due starts this one ... */
	uint64_t starts_after_ms; /* ... with this delay */
	struct probe *stops;      /* on_due stops this one */
};

static void probe_on_due(struct timer *t)
{
	struct probe *p = CONTAINER_OF(t, struct probe, timer);
	size_t n = strlen(trace);

	assert_false(timer_is_running(t));
	assert_true(n < N_MANY);
	trace[n] = p->letter;
	trace[n + 1] = '\0';
	if (p->stops)
		timer_stop(p->timers, &p->stops->timer);
	if (p->starts)
		timer_start(p->timers, &p->starts->timer, p->starts_after_ms);
}

static struct probe probe(struct timers *ts, char letter)
{
	return (struct probe){ .timer = { .on_due = probe_on_due },
		               .timers = ts,
		               .letter = letter };
}

static void probe_start(struct probe *p, uint64_t after_ms)
{
	timer_start(p->timers, &p->timer, after_ms);
}

static int setup(void **state)
{
	static struct timers ts;

	timers_init(&ts, NULL);
	timers_advance(&ts, 1000);
	trace[0] = '\0';
	*state = &ts;
	return 0;
}

static int teardown(void **state)
{
	timers_deinit(*state);
	timers_deinit(*state);
	return 0;
}

static void test_timers_run_in_order_of_deadline(void **state)
{
	struct probe a = probe(*state, 'a'), b = probe(*state, 'b'), c = probe(*state, 'c');

	probe_start(&c, 30);
	probe_start(&a, 10);
	probe_start(&b, 20);
	timers_advance(*state, 1009);
	assert_string_equal(trace, "");
	timers_advance(*state, 1010);
	assert_string_equal(trace, "a");
	timers_advance(*state, 5000);
	assert_string_equal(trace, "abc");
}

static void test_timer_pushed_away_runs_at_its_last_deadline(void **state)
{
	struct probe a = probe(*state, 'a'), b = probe(*state, 'b');

	probe_start(&a, 10);
	probe_start(&b, 25);
	probe_start(&a, 50);
	assert_int_equal(a.timer.armed_ms, 1010); /* the heap was not touched */
	timers_advance(*state, 1010);
	assert_string_equal(trace, "");
	assert_true(timer_is_running(&a.timer));
	timers_advance(*state, 2000); /* both at once: still b, due 1025, before a, due 1050 */
	assert_string_equal(trace, "ba");
}

static void test_timer_pushed_away_keeps_order_in_one_big_step(void **state)
{
	struct probe a = probe(*state, 'a'), b = probe(*state, 'b');

	probe_start(&a, 10);
	probe_start(&b, 25);
	probe_start(&a, 50);
	timers_advance(*state, 2000);
	assert_string_equal(trace, "ba");
}

static void test_timer_pulled_nearer_runs_at_the_new_deadline(void **state)
{
	struct probe a = probe(*state, 'a'), b = probe(*state, 'b');

	probe_start(&b, 20);
	probe_start(&a, 50);
	probe_start(&a, 10);
	timers_advance(*state, 1010);
	assert_string_equal(trace, "a");
	timers_advance(*state, 1060);
	assert_string_equal(trace, "ab");
}

static void test_timer_stopped_never_runs_and_stops_twice(void **state)
{
	struct probe a = probe(*state, 'a');

	timer_stop(*state, &a.timer);
	probe_start(&a, 10);
	timer_stop(*state, &a.timer);
	timer_stop(*state, &a.timer);
	assert_false(timer_is_running(&a.timer));
	timers_advance(*state, 2000);
	assert_string_equal(trace, "");
}

static void test_timer_restarting_itself_runs_once_a_round(void **state)
{
	struct probe a = probe(*state, 'a');

	a.starts = &a;
	a.starts_after_ms = 0;
	probe_start(&a, 0);
	timers_advance(*state, 1000);
	assert_string_equal(trace, "a");
	timers_advance(*state, 1001);
	assert_string_equal(trace, "aa");
	timers_advance(*state, 1002);
	assert_string_equal(trace, "aaa");
	timer_stop(*state, &a.timer);
}

static void test_timer_stopping_another_due_one_prevents_it(void **state)
{
	struct probe a = probe(*state, 'a'), b = probe(*state, 'b'), c = probe(*state, 'c');

	a.stops = &b;
	a.starts = &c;
	a.starts_after_ms = 5;
	probe_start(&a, 10);
	probe_start(&b, 11);
	timers_advance(*state, 1020);
	assert_string_equal(trace, "a");
	timers_advance(*state, 1025);
	assert_string_equal(trace, "ac");
}

static void test_timer_with_endless_delay_does_not_wrap(void **state)
{
	struct probe a = probe(*state, 'a');

	probe_start(&a, UINT64_MAX);
	assert_true(a.timer.due_ms == UINT64_MAX);
	timers_advance(*state, UINT64_MAX - 1);
	assert_string_equal(trace, "");
	timer_stop(*state, &a.timer);
}

/* Same numbers in each run: a generator of our own. */
static unsigned next_number(unsigned *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return *seed >> 16;
}

static uint64_t last_due_ms;
static unsigned n_ran;

static void check_order(struct timer *t)
{
	assert_true(t->due_ms >= last_due_ms);
	last_due_ms = t->due_ms;
	n_ran++;
}

static void test_timers_many_started_moved_and_stopped_keep_order(void **state)
{
	static struct timer many[N_MANY];
	struct timers *ts = *state;
	unsigned seed = 1, n_running = 0;

	n_ran = 0;
	last_due_ms = 0;
	memset(many, 0, sizeof many);
	for (unsigned i = 0; i < 20 * N_MANY; i++) {
		struct timer *t = &many[next_number(&seed) % N_MANY];

		t->on_due = check_order;
		if (next_number(&seed) % 4 == 0)
			timer_stop(ts, t);
		else
			timer_start(ts, t, next_number(&seed) % 10000);
	}
	for (unsigned i = 0; i < N_MANY; i++)
		n_running += timer_is_running(&many[i]);
	assert_int_equal(ts->n, n_running);
	for (uint64_t now_ms = 1000; now_ms <= 11000; now_ms += 37) {
		timers_advance(ts, now_ms);
		for (unsigned i = 0; i < N_MANY; i++)
			assert_true(!timer_is_running(&many[i]) || many[i].due_ms > now_ms);
	}
	timers_advance(ts, 11000);
	assert_int_equal(n_ran, n_running);
}

static bool stop_flag;

static void set_flag(struct timer *t)
{
	UNUSED(t);
	stop_flag = true;
}

static void test_timer_on_a_loop_runs_and_lets_the_loop_end(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct timer soon = { .on_due = set_flag }, late = { .on_due = set_flag };

	stop_flag = false;
	timer_start(&loop->timers, &late, 3600000);
	timer_start(&loop->timers, &soon, 1);
	timer_stop(&loop->timers, &late);
	loop_run(loop); /* returns, because nothing is armed any more */
	assert_true(stop_flag);
	assert_false(uv_is_active((uv_handle_t *)&loop->timers.handle));
}

static void test_timer_on_a_loop_set_nearer_wakes_the_loop_in_time(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct timer t = { .on_due = set_flag };

	stop_flag = false;
	timer_start(&loop->timers, &t, 3600000);
	timer_start(&loop->timers, &t, 7200000);
	timer_start(&loop->timers, &t, 1);
	loop_fixture_run_until(loop, &stop_flag);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define FAKE_CLOCK(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define ON_LOOP(test)                                                                              \
	cmocka_unit_test_setup_teardown(test, loop_fixture_setup, loop_fixture_teardown)
		FAKE_CLOCK(test_timers_run_in_order_of_deadline),
		FAKE_CLOCK(test_timer_pushed_away_runs_at_its_last_deadline),
		FAKE_CLOCK(test_timer_pushed_away_keeps_order_in_one_big_step),
		FAKE_CLOCK(test_timer_pulled_nearer_runs_at_the_new_deadline),
		FAKE_CLOCK(test_timer_stopped_never_runs_and_stops_twice),
		FAKE_CLOCK(test_timer_restarting_itself_runs_once_a_round),
		FAKE_CLOCK(test_timer_stopping_another_due_one_prevents_it),
		FAKE_CLOCK(test_timer_with_endless_delay_does_not_wrap),
		FAKE_CLOCK(test_timers_many_started_moved_and_stopped_keep_order),
		ON_LOOP(test_timer_on_a_loop_runs_and_lets_the_loop_end),
		ON_LOOP(test_timer_on_a_loop_set_nearer_wakes_the_loop_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
