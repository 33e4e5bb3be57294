/*
 * WatchDir as a stream over exchanges whose peer the test plays. What is told of which change is in
 * fs/watch_test.c, and over a connection in tests/integration/test_watch.py.
 */
#include "api/filesystem_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/filesystem_job.h"
#include "api/filesystem_watch_fixture.h"
#include "tests/support/busy_pool.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

#define KEEPALIVE "{\"keepalive\":{}}"

static void pass(struct watch_fixture *f, uint64_t ms)
{
	timers_advance(&f->loop->timers, loop_now_ms(f->loop) + ms);
}

/* The client has gone: nothing is left of the call, or of what it watched. */
static void leave(struct watch_fixture *f, struct fake_exchange *x)
{
	fake_gone(x);
	loop_fixture_run_until(f->loop, &x->is_released);
	fake_free(x);
	watch_fixture_await_watches(f, 0);
	assert_int_equal(f->service->n_job_bytes, 0);
}

static void test_watch_dir_tells_that_it_watches_and_then_what_happens(void **state)
{
	struct watch_fixture f;
	struct fake_exchange *x;

	watch_fixture_begin(&f, state);
	x = watch_fixture_watch(&f, "{\"path\":\"%s\"}");
	assert_true(fake_has(&x->head, "X-Accel-Buffering: no"));
	watch_fixture_make(&f, "a");
	watch_fixture_await(&f, x,
	                    "{\"filesystem\":{\"name\":\"a\",\"type\":\"EVENT_TYPE_CREATE\"}}");
	assert_int_equal(rename(watch_fixture_path(&f, "a"), watch_fixture_path(&f, "b")), 0);
	watch_fixture_await(&f, x, "{\"name\":\"a\",\"type\":\"EVENT_TYPE_RENAME\"}");
	assert_int_equal(chmod(watch_fixture_path(&f, "b"), 0640), 0);
	watch_fixture_await(&f, x, "{\"name\":\"b\",\"type\":\"EVENT_TYPE_CHMOD\"}");
	assert_int_equal(truncate(watch_fixture_path(&f, "b"), 3), 0);
	watch_fixture_await(&f, x, "{\"name\":\"b\",\"type\":\"EVENT_TYPE_WRITE\"}");
	assert_int_equal(unlink(watch_fixture_path(&f, "b")), 0);
	watch_fixture_await(&f, x, "{\"name\":\"b\",\"type\":\"EVENT_TYPE_REMOVE\"}");
	leave(&f, x);
	watch_fixture_end(&f);
}

static void test_watch_dir_sends_entries_to_those_who_ask(void **state)
{
	struct watch_fixture f;
	struct fake_exchange *x;

	watch_fixture_begin(&f, state);
	x = watch_fixture_watch(&f, "{\"path\":\"%s\",\"includeEntry\":true}");
	watch_fixture_make(&f, "a");
	watch_fixture_await(&f, x,
	                    "\"type\":\"EVENT_TYPE_CREATE\",\"entry\":{\"name\":\"a\",\"type\":"
	                    "\"FILE_TYPE_FILE\",\"path\":\"");
	assert_int_equal(unlink(watch_fixture_path(&f, "a")), 0);
	watch_fixture_await(&f, x, "{\"name\":\"a\",\"type\":\"EVENT_TYPE_REMOVE\"}");
	leave(&f, x);
	watch_fixture_end(&f);
}

static void test_watch_dir_sends_the_client_of_2024_what_it_knows(void **state)
{
	static const char legacy[] = WATCH_STREAM "user-agent: connect-python\n";
	struct watch_fixture f;
	struct fake_exchange *x;

	watch_fixture_begin(&f, state);
	x = watch_fixture_call(&f, "WatchDir", legacy, "{\"path\":\"%s\",\"includeEntry\":true}");
	watch_fixture_await(&f, x, "{\"start\":{}}");
	assert_true(fake_has(&x->head, "X-E2B-Legacy-SDK: true"));
	watch_fixture_make(&f, "a");
	watch_fixture_await(&f, x,
	                    "{\"filesystem\":{\"name\":\"a\",\"type\":\"EVENT_TYPE_CREATE\"}}");
	leave(&f, x);
	x = watch_fixture_call(&f, "WatchDir", legacy, "{\"path\":\"/no/such\"}");
	loop_fixture_run_until(f.loop, &x->is_released);
	assert_true(fake_has(&x->head, "X-E2B-Legacy-SDK: true"));
	fake_free(x);
	watch_fixture_end(&f);
}

static void test_watch_dir_is_refused_at_its_end_frame(void **state)
{
	struct watch_fixture f;

	watch_fixture_begin(&f, state);
	watch_fixture_expect(
		&f, watch_fixture_call(&f, "WatchDir", WATCH_STREAM, "{\"path\":\"/no/such\"}"),
		200,
		"{\"error\":{\"code\":\"not_found\",\"message\":\"path /no/such not "
		"found: stat /no/such: no such file or directory\"}}");
	watch_fixture_expect(
		&f, watch_fixture_call(&f, "WatchDir", WATCH_STREAM, "{\"path\":\"~other\"}"), 200,
		"{\"error\":{\"code\":\"invalid_argument\"");
	watch_fixture_end(&f);
}

static void test_watch_dir_says_that_it_lives_when_nothing_happens(void **state)
{
	struct watch_fixture f;
	struct fake_exchange *x;

	watch_fixture_begin(&f, state);
	x = watch_fixture_call(&f, "WatchDir", WATCH_STREAM "keepalive-ping-interval: 50\n",
	                       "{\"path\":\"%s\"}");
	watch_fixture_await(&f, x, "{\"start\":{}}");
	pass(&f, 49000);
	assert_int_equal(x->n_sends, 1);
	pass(&f, 50000);
	watch_fixture_await(&f, x, KEEPALIVE);
	assert_int_equal(x->n_sends, 2);
	leave(&f, x);
	watch_fixture_end(&f);
}

static void test_watch_dir_whose_peer_takes_nothing_waits_with_all(void **state)
{
	struct watch_fixture f;
	struct fake_exchange *x;

	watch_fixture_begin(&f, state);
	x = watch_fixture_watch(&f, "{\"path\":\"%s\"}");
	x->is_full = true;
	watch_fixture_make(&f, "first");
	watch_fixture_await(&f, x, "\"first\"");
	watch_fixture_make(&f, "second");
	watch_fixture_make(&f, "third");
	loop_fixture_turn(f.loop, 10);
	pass(&f, 1000000); /* keepalives, too */
	assert_int_equal(x->n_sends, 2);
	x->is_full = false;
	fake_proceed(x);
	watch_fixture_await(&f, x, "\"third\"");
	assert_int_equal(x->n_sends, 4);
	leave(&f, x);
	watch_fixture_end(&f);
}

static void test_watch_dir_whose_peer_takes_nothing_for_long_ends_and_no_other(void **state)
{
	struct watch_fixture f;
	struct fake_exchange *slow, *other;

	watch_fixture_begin(&f, state);
	slow = watch_fixture_watch(&f, "{\"path\":\"%s\"}");
	other = watch_fixture_watch(&f, "{\"path\":\"%s\"}");
	slow->is_full = true;
	watch_fixture_change(&f, WATCHER_EVENTS_MAX + 1);
	watch_fixture_make(&f, "last");
	watch_fixture_await(&f, other, "\"last\"");
	assert_int_equal(slow->n_sends, 3); /* start, one event, end */
	watch_fixture_expect(&f, slow, 200,
	                     "{\"error\":{\"code\":\"internal\",\"message\":\"watcher error: "
	                     "fsnotify: queue or buffer overflow\"}}");
	leave(&f, other);
	watch_fixture_end(&f);
}

static void
test_watch_dir_whose_client_leaves_while_its_path_is_looked_up_begins_nothing(void **state)
{
	struct watch_fixture f;
	struct fake_exchange *x;
	struct busy_pool pool;

	watch_fixture_begin(&f, state);
	busy_pool_begin(&pool, f.loop);
	x = watch_fixture_call(&f, "WatchDir", WATCH_STREAM, "{\"path\":\"%s\"}");
	assert_true(f.service->n_job_bytes > 0);
	leave(&f, x);
	busy_pool_end(&pool);
	watch_fixture_end(&f);
}

/* The path is resolved; the directory is not watched yet. */
static bool is_looked_up(void *arg)
{
	const struct watch_fixture *f = arg;

	return f->service->n_job_bytes == 0;
}

static bool is_not_looked_up(void *arg)
{
	return !is_looked_up(arg);
}

static void test_watch_dir_ends_while_it_is_being_armed(void **state)
{
	struct watch_fixture f;
	struct fake_exchange *x;

	watch_fixture_begin(&f, state);
	x = watch_fixture_call(&f, "WatchDir", WATCH_STREAM, "{\"path\":\"%s\"}");
	loop_fixture_run_while(f.loop, is_not_looked_up, &f);
	assert_false(x->is_answered);
	leave(&f, x);
	x = watch_fixture_call(&f, "WatchDir", WATCH_STREAM "connect-timeout-ms: 5000\n",
	                       "{\"path\":\"%s\"}");
	loop_fixture_run_while(f.loop, is_not_looked_up, &f);
	assert_false(x->is_answered);
	pass(&f, 60000);
	watch_fixture_expect(&f, x, 200, "\"deadline_exceeded\"");
	loop_fixture_run_jobs(f.loop);
	watch_fixture_await_watches(&f, 0);
	watch_fixture_end(&f);
}

static void test_watch_dir_ends_at_its_deadline(void **state)
{
	struct watch_fixture f;
	struct fake_exchange *x;

	watch_fixture_begin(&f, state);
	x = watch_fixture_call(&f, "WatchDir", WATCH_STREAM "connect-timeout-ms: 5000\n",
	                       "{\"path\":\"%s\"}");
	watch_fixture_await(&f, x, "{\"start\":{}}");
	pass(&f, 60000);
	watch_fixture_expect(&f, x, 200,
	                     "{\"error\":{\"code\":\"deadline_exceeded\",\"message\":\"context "
	                     "deadline exceeded\"}}");
	watch_fixture_await_watches(&f, 0);
	watch_fixture_end(&f);
}

static void test_watch_dir_counts_among_file_operations_until_it_watches(void **state)
{
	struct watch_fixture f;
	struct fake_exchange *x;

	watch_fixture_begin(&f, state);
	f.service->n_job_bytes = FILE_JOB_BYTES_MAX; /* by others */
	watch_fixture_expect(
		&f, watch_fixture_call(&f, "WatchDir", WATCH_STREAM, "{\"path\":\"%s\"}"), 200,
		"{\"error\":{\"code\":\"resource_exhausted\",\"message\":\"too "
		"many file operations at once\"}}");
	f.service->n_job_bytes = 0;
	x = watch_fixture_watch(&f, "{\"path\":\"%s\"}");
	leave(&f, x);
	watch_fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, loop_fixture_setup, loop_fixture_teardown)
		T(test_watch_dir_tells_that_it_watches_and_then_what_happens),
		T(test_watch_dir_sends_entries_to_those_who_ask),
		T(test_watch_dir_sends_the_client_of_2024_what_it_knows),
		T(test_watch_dir_is_refused_at_its_end_frame),
		T(test_watch_dir_says_that_it_lives_when_nothing_happens),
		T(test_watch_dir_whose_peer_takes_nothing_waits_with_all),
		T(test_watch_dir_whose_peer_takes_nothing_for_long_ends_and_no_other),
		T(test_watch_dir_whose_client_leaves_while_its_path_is_looked_up_begins_nothing),
		T(test_watch_dir_ends_while_it_is_being_armed),
		T(test_watch_dir_ends_at_its_deadline),
		T(test_watch_dir_counts_among_file_operations_until_it_watches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
