/*
 * What we believe of libuv. Each test says who relies on it; a test that fails with a new libuv
 * names the code to look at.
 */
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/macros.h"
#include "tests/support/test.h"

static char trace[64];

static void note(char letter)
{
	size_t n = strlen(trace);

	assert_true(n + 1 < sizeof trace);
	trace[n] = letter;
	trace[n + 1] = '\0';
}

static int setup(void **state)
{
	static uv_loop_t loop;

	trace[0] = '\0';
	*state = &loop;
	return uv_loop_init(&loop);
}

static int teardown(void **state)
{
	return uv_loop_close(*state);
}

static void close_and_note(uv_handle_t *handle)
{
	note(*(char *)handle->data);
}

/* Nobody may rely on an order of close callbacks: it is the reverse of what one would expect. */
static void test_uv_close_callbacks_come_last_in_first_out(void **state)
{
	uv_idle_t handles[3];
	char letters[] = "abc";

	for (size_t i = 0; i < ARRAY_SIZE(handles); i++) {
		uv_idle_init(*state, &handles[i]);
		handles[i].data = &letters[i];
	}
	for (size_t i = 0; i < ARRAY_SIZE(handles); i++)
		uv_close((uv_handle_t *)&handles[i], close_and_note);
	assert_string_equal(trace, "");
	uv_run(*state, UV_RUN_DEFAULT);
	assert_string_equal(trace, "cba");
}

static void on_prepare(uv_prepare_t *prepare)
{
	note('p');
	uv_prepare_stop(prepare);
}

static void on_idle(uv_idle_t *idle)
{
	note('i');
	uv_idle_stop(idle);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	UNUSED(status);
	UNUSED(events);
	note('r');
	uv_poll_stop(poll);
}

/* loop_defer: tasks run from a prepare handle, before input is looked at, in the same turn. */
static void test_uv_turn_runs_idle_then_prepare_then_input(void **state)
{
	uv_prepare_t prepare;
	uv_idle_t idle;
	uv_poll_t poll;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	uv_poll_init(*state, &poll, fds[0]);
	uv_poll_start(&poll, UV_READABLE, on_readable);
	uv_prepare_init(*state, &prepare);
	uv_prepare_start(&prepare, on_prepare);
	uv_idle_init(*state, &idle);
	uv_idle_start(&idle, on_idle);
	uv_run(*state, UV_RUN_ONCE);
	assert_string_equal(trace, "ipr");
	uv_close((uv_handle_t *)&poll, NULL);
	uv_close((uv_handle_t *)&prepare, NULL);
	uv_close((uv_handle_t *)&idle, NULL);
	uv_run(*state, UV_RUN_DEFAULT);
	close(fds[0]);
	close(fds[1]);
}

static void keep_spinning(uv_idle_t *idle)
{
	UNUSED(idle);
}

/* loop_defer: an active idle handle makes the loop poll without waiting. */
static void test_uv_active_idle_handle_keeps_the_loop_from_sleeping(void **state)
{
	uv_idle_t idle;

	uv_idle_init(*state, &idle);
	assert_int_equal(uv_backend_timeout(*state), 0); /* nothing alive */
	uv_idle_start(&idle, keep_spinning);
	assert_int_equal(uv_backend_timeout(*state), 0);
	uv_close((uv_handle_t *)&idle, NULL);
	uv_run(*state, UV_RUN_DEFAULT);
}

static void on_unref_timer(uv_timer_t *timer)
{
	note('t');
	uv_stop(timer->loop);
}

/* loop_deinit: an unreferenced timer still fires while something else keeps the loop alive. */
static void test_uv_unreferenced_timer_fires_on_a_living_loop(void **state)
{
	uv_timer_t timer;
	uv_poll_t poll;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	uv_poll_init(*state, &poll, fds[0]);
	uv_poll_start(&poll, UV_READABLE, on_readable);
	uv_timer_init(*state, &timer);
	uv_timer_start(&timer, on_unref_timer, 1, 0);
	uv_unref((uv_handle_t *)&timer);
	uv_run(*state, UV_RUN_DEFAULT);
	assert_string_equal(trace, "t");
	uv_close((uv_handle_t *)&timer, NULL);
	uv_close((uv_handle_t *)&poll, NULL);
	uv_run(*state, UV_RUN_DEFAULT);
	close(fds[0]);
	close(fds[1]);
}

/* Writers with a bounded queue: what the socket does not take is refused at once, not queued. */
static void test_uv_try_write_on_a_full_socket_is_eagain(void **state)
{
	static char data[65536];
	uv_buf_t buf = uv_buf_init(data, sizeof data);
	uv_pipe_t pipe_handle;
	int fds[2], rc;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	uv_pipe_init(*state, &pipe_handle, 0);
	assert_int_equal(uv_pipe_open(&pipe_handle, fds[0]), 0);
	do
		rc = uv_try_write((uv_stream_t *)&pipe_handle, &buf, 1);
	while (rc > 0);
	assert_int_equal(rc, UV_EAGAIN);
	assert_int_equal(uv_stream_get_write_queue_size((uv_stream_t *)&pipe_handle), 0);
	uv_close((uv_handle_t *)&pipe_handle, NULL);
	uv_run(*state, UV_RUN_DEFAULT);
	close(fds[1]);
}

static void on_write_canceled(uv_write_t *req, int status)
{
	UNUSED(req);
	note(status == UV_ECANCELED ? 'w' : '?');
}

/* Owners count requests and handles: a write that waits ends before its handle does. */
static void test_uv_close_cancels_waiting_writes_before_its_callback(void **state)
{
	static char data[4 << 20];
	uv_buf_t buf = uv_buf_init(data, sizeof data);
	char letter = 'c';
	uv_pipe_t pipe_handle;
	uv_write_t req;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	uv_pipe_init(*state, &pipe_handle, 0);
	assert_int_equal(uv_pipe_open(&pipe_handle, fds[0]), 0);
	pipe_handle.data = &letter;
	uv_write(&req, (uv_stream_t *)&pipe_handle, &buf, 1, on_write_canceled);
	uv_close((uv_handle_t *)&pipe_handle, close_and_note);
	assert_string_equal(trace, "");
	uv_run(*state, UV_RUN_DEFAULT);
	assert_string_equal(trace, "wc");
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define ON_LOOP(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
		ON_LOOP(test_uv_close_callbacks_come_last_in_first_out),
		ON_LOOP(test_uv_turn_runs_idle_then_prepare_then_input),
		ON_LOOP(test_uv_active_idle_handle_keeps_the_loop_from_sleeping),
		ON_LOOP(test_uv_unreferenced_timer_fires_on_a_living_loop),
		ON_LOOP(test_uv_try_write_on_a_full_socket_is_eagain),
		ON_LOOP(test_uv_close_cancels_waiting_writes_before_its_callback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
