#include "loop/loop.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macros.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

static char trace[64];

struct probe {
	struct task task;
	struct loop *loop;
	char letter;
	struct probe *defers;
	struct probe *undefers;
};

static void note(char letter)
{
	size_t n = strlen(trace);

	assert_true(n + 1 < sizeof trace);
	trace[n] = letter;
	trace[n + 1] = '\0';
}

static void probe_run(struct task *task)
{
	struct probe *p = CONTAINER_OF(task, struct probe, task);

	note(p->letter);
	if (p->undefers)
		loop_undefer(&p->undefers->task);
	if (p->defers)
		loop_defer(p->loop, &p->defers->task);
}

static struct probe probe(struct loop *loop, char letter)
{
	return (struct probe){ .task = { .run = probe_run }, .loop = loop, .letter = letter };
}

static int setup(void **state)
{
	trace[0] = '\0';
	return loop_fixture_setup(state);
}

static void test_loop_deferred_task_runs_once_and_never_inside_the_call(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct probe a = probe(loop, 'a'), b = probe(loop, 'b');

	loop_defer(loop, &a.task);
	loop_defer(loop, &b.task);
	loop_defer(loop, &a.task);
	assert_string_equal(trace, "");
	loop_run(loop); /* returns: tasks that wait keep it alive, tasks that ran do not */
	assert_string_equal(trace, "ab");
	loop_run(loop);
	assert_string_equal(trace, "ab");
}

static void test_loop_undeferred_task_does_not_run(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct probe a = probe(loop, 'a'), b = probe(loop, 'b'), c = probe(loop, 'c');

	a.undefers = &b;
	loop_undefer(&a.task);
	loop_defer(loop, &a.task);
	loop_defer(loop, &b.task);
	loop_defer(loop, &c.task);
	loop_run(loop);
	assert_string_equal(trace, "ac");
	loop_defer(loop, &c.task);
	loop_undefer(&c.task);
	loop_run(loop);
	assert_string_equal(trace, "ac");
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	UNUSED(status);
	UNUSED(events);
	note('i');
	uv_close((uv_handle_t *)poll, NULL);
}

static void test_loop_task_deferring_itself_does_not_starve_input(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct probe a = probe(loop, 'a');
	uv_poll_t poll;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	uv_poll_init(&loop->uv, &poll, fds[0]);
	uv_poll_start(&poll, UV_READABLE, on_readable);
	a.defers = &a;
	loop_defer(loop, &a.task);
	loop_fixture_turn(loop, 3);
	assert_string_equal(trace, "aiaa");
	loop_undefer(&a.task);
	loop_fixture_turn(loop, 1);
	close(fds[0]);
	close(fds[1]);
}

static void test_loop_task_deferred_by_a_task_waits_for_the_next_turn(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct probe a = probe(loop, 'a'), b = probe(loop, 'b'), c = probe(loop, 'c');

	a.defers = &c;
	loop_defer(loop, &a.task);
	loop_defer(loop, &b.task);
	loop_fixture_turn(loop, 1);
	assert_string_equal(trace, "ab");
	loop_fixture_turn(loop, 1);
	assert_string_equal(trace, "abc");
}

struct stopper {
	struct timer timer;
	struct loop *loop;
};

static void stopper_on_due(struct timer *t)
{
	note('s');
	loop_stop(CONTAINER_OF(t, struct stopper, timer)->loop);
}

static void test_loop_stop_ends_the_run_and_leaves_the_rest(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct stopper s = { .timer = { .on_due = stopper_on_due }, .loop = loop };
	struct timer late = { .on_due = stopper_on_due };

	timer_start(&loop->timers, &late, 3600000);
	timer_start(&loop->timers, &s.timer, 1);
	loop_run(loop);
	assert_string_equal(trace, "s");
	assert_true(timer_is_running(&late));
	timer_stop(&loop->timers, &late);
}

static void test_loop_now_stands_still_within_a_turn(void **state)
{
	struct loop *loop = loop_fixture_loop(state);

	assert_true(loop_now_ms(loop) > 0);
	assert_int_equal(loop_now_ms(loop), uv_now(&loop->uv));
}

static void test_loop_end_runs_what_still_waits(void **state)
{
	struct loop loop;
	struct probe a;

	UNUSED(state);
	assert_int_equal(loop_init(&loop), 0);
	a = probe(&loop, 'a');
	loop_defer(&loop, &a.task);
	loop_stop(&loop); /* a stop nobody ran into must not keep the end from happening */
	loop_deinit(&loop);
	assert_string_equal(trace, "a");
	loop_deinit(&loop);
}

static void test_loop_end_with_an_open_handle_asserts(void **state)
{
	pid_t pid = fork();
	int status;

	UNUSED(state);
	assert_true(pid >= 0);
	if (pid == 0) {
		struct loop loop;
		uv_idle_t forgotten;

		/* The abort is expected: neither its message nor a handler's. */
		signal(SIGABRT, SIG_DFL);
		close(STDERR_FILENO);
		loop_init(&loop);
		uv_idle_init(&loop.uv, &forgotten);
		loop_deinit(&loop);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void test_loop_read_buffer_costs_nothing_until_read_into(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	unsigned char resident[LOOP_READ_BUF / 4096];

	memset(resident, 0xFF, sizeof resident);
	assert_int_equal(mincore(loop->read_buf, LOOP_READ_BUF, resident), 0);
	for (size_t i = 0; i < sizeof resident; i++)
		assert_int_equal(resident[i] & 1, 0);
	memset(loop->read_buf, 1, LOOP_READ_BUF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define ON_LOOP(test) cmocka_unit_test_setup_teardown(test, setup, loop_fixture_teardown)
		ON_LOOP(test_loop_deferred_task_runs_once_and_never_inside_the_call),
		ON_LOOP(test_loop_undeferred_task_does_not_run),
		ON_LOOP(test_loop_task_deferring_itself_does_not_starve_input),
		ON_LOOP(test_loop_task_deferred_by_a_task_waits_for_the_next_turn),
		ON_LOOP(test_loop_stop_ends_the_run_and_leaves_the_rest),
		ON_LOOP(test_loop_now_stands_still_within_a_turn),
		ON_LOOP(test_loop_end_runs_what_still_waits),
		ON_LOOP(test_loop_end_with_an_open_handle_asserts),
		ON_LOOP(test_loop_read_buffer_costs_nothing_until_read_into),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
