#include "tests/support/loop_fixture.h"

#include <stdlib.h>

#include "base/macros.h"
#include "base/mem.h"
#include "loop/job.h"
#include "tests/support/test.h"

struct loop_fixture {
	struct loop loop;
	unsigned n_fds;
};

/* The first loop of a process opens descriptors that libuv never closes (its signal pipe). */
static void open_what_stays_open(void)
{
	static bool done;
	struct loop loop;

	if (done)
		return;
	done = true;
	assert_int_equal(loop_init(&loop), 0);
	loop_deinit(&loop);
}

int loop_fixture_setup(void **state)
{
	struct loop_fixture *f = xcalloc(1, sizeof *f);

	open_what_stays_open();
	f->n_fds = test_fd_count();
	assert_int_equal(loop_init(&f->loop), 0);
	*state = f;
	return 0;
}

int loop_fixture_teardown(void **state)
{
	struct loop_fixture *f = *state;

	loop_deinit(&f->loop);
	assert_int_equal(test_fd_count(), f->n_fds);
	free(f);
	return 0;
}

struct loop *loop_fixture_loop(void **state)
{
	struct loop_fixture *f = *state;

	return &f->loop;
}

/*
 * A turn that made the condition true in its timers or tasks goes on to wait for input. The tick
 * ends that wait, so that the condition is asked again.
 */
#define TICK_MS 5u

struct tick {
	uv_timer_t timer;
	unsigned n;
};

static void tick_on_timer(uv_timer_t *timer)
{
	CONTAINER_OF(timer, struct tick, timer)->n++;
}

static void tick_on_closed(uv_handle_t *timer)
{
	free(CONTAINER_OF(timer, struct tick, timer));
}

void loop_fixture_run_while(struct loop *loop, bool (*waiting)(void *arg), void *arg)
{
	struct tick *tick = xcalloc(1, sizeof *tick);
	bool too_long;

	uv_update_time(&loop->uv);
	uv_timer_init(&loop->uv, &tick->timer);
	uv_timer_start(&tick->timer, tick_on_timer, TICK_MS, TICK_MS);
	while (waiting(arg) && tick->n < LOOP_FIXTURE_WAIT_MS / TICK_MS)
		uv_run(&loop->uv, UV_RUN_ONCE);
	too_long = tick->n >= LOOP_FIXTURE_WAIT_MS / TICK_MS;
	uv_close((uv_handle_t *)&tick->timer, tick_on_closed);
	uv_run(&loop->uv, UV_RUN_NOWAIT);
	assert_false(too_long);
}

static bool flag_is_unset(void *arg)
{
	const bool **flag = arg;

	return !**flag;
}

void loop_fixture_run_until(struct loop *loop, const bool *flag)
{
	loop_fixture_run_while(loop, flag_is_unset, &flag);
}

static bool jobs_are_in_flight(void *arg)
{
	return job_count(arg) > 0;
}

void loop_fixture_run_jobs(struct loop *loop)
{
	loop_fixture_run_while(loop, jobs_are_in_flight, loop);
}

void loop_fixture_turn(struct loop *loop, unsigned n)
{
	while (n-- > 0)
		uv_run(&loop->uv, UV_RUN_NOWAIT);
}
