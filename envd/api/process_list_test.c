/*
 * List while the pool is busy and while processes end. What it says is in
 * tests/integration/test_process.py.
 */
#include "api/process_list.h"

#include <signal.h>
#include <stdio.h>
#include <sys/types.h>

#include "api/process_api_fixture.h"
#include "tests/support/busy_pool.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

#define SLEEP "{\"process\":{\"cmd\":\"sleep\",\"args\":[\"60\"]},\"tag\":\"%s\"}"

static struct fake_exchange *start_sleep(struct process_api_fixture *s, const char *tag,
                                         unsigned *out_pid)
{
	char message[200];

	(void)snprintf(message, sizeof message, SLEEP, tag);
	return process_api_fixture_start(s, message, out_pid);
}

static void end_process(struct process_api_fixture *s, struct fake_exchange *watcher, unsigned pid)
{
	assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
	process_api_fixture_expect(s, watcher, 200, "signal: killed");
}

static void test_process_list_of_none_is_empty(void **state)
{
	struct process_api_fixture s;

	process_api_fixture_begin(&s, state);
	process_api_fixture_expect(&s, process_api_fixture_call(&s, "List", "{}"), 200, "{}");
	process_api_fixture_end(&s);
}

static void test_process_list_shows_who_lived_when_it_was_asked_for(void **state)
{
	struct fake_exchange *watchers[2], *list;
	struct process_api_fixture s;
	struct busy_pool busy;
	unsigned pids[2];
	char text[200];

	process_api_fixture_begin(&s, state);
	watchers[0] = start_sleep(&s, "a", &pids[0]);
	watchers[1] = start_sleep(&s, "b", &pids[1]);
	busy_pool_begin(&busy, s.loop);
	list = process_api_fixture_call(&s, "List", "{}");
	for (size_t i = 0; i < 2; i++)
		end_process(&s, watchers[i], pids[i]);
	assert_false(list->is_answered);
	busy_pool_end(&busy);
	(void)snprintf(
		text, sizeof text,
		"{\"processes\":["
		"{\"config\":{\"cmd\":\"sleep\",\"args\":[\"60\"]},\"pid\":%u,\"tag\":\"b\"},"
		"{\"config\":{\"cmd\":\"sleep\",\"args\":[\"60\"]},\"pid\":%u,\"tag\":\"a\"}]}",
		pids[1], pids[0]);
	process_api_fixture_expect(&s, list, 200, text);
	assert_int_equal(s.service->list_bytes, 0);
	process_api_fixture_end(&s);
}

static void test_process_list_of_a_client_that_is_gone_is_let_go(void **state)
{
	struct fake_exchange *watcher, *list;
	struct process_api_fixture s;
	struct busy_pool busy;
	unsigned pid;

	process_api_fixture_begin(&s, state);
	watcher = start_sleep(&s, "a", &pid);
	busy_pool_begin(&busy, s.loop);
	list = process_api_fixture_call(&s, "List", "{}");
	fake_gone(list);
	loop_fixture_run_until(s.loop, &list->is_released);
	assert_int_equal(s.service->list_bytes, 0);
	fake_free(list);
	busy_pool_end(&busy);
	end_process(&s, watcher, pid);
	process_api_fixture_end(&s);
}

static void test_process_list_that_waits_outlives_its_service(void **state)
{
	struct fake_exchange *list;
	struct process_api_fixture s;
	struct busy_pool busy;

	process_api_fixture_begin(&s, state);
	busy_pool_begin(&busy, s.loop);
	list = process_api_fixture_call(&s, "List", "{}");
	process_api_fixture_close_service(&s);
	busy_pool_end(&busy);
	process_api_fixture_expect(&s, list, 200, "{}");
	process_api_fixture_end(&s);
}

static void test_process_list_one_too_many_is_refused(void **state)
{
	struct process_api_fixture s;

	process_api_fixture_begin(&s, state);
	s.service->list_bytes += LIST_BYTES_MAX;
	process_api_fixture_expect(&s, process_api_fixture_call(&s, "List", "{}"), 429,
	                           "\"too many lists at once\"");
	s.service->list_bytes -= LIST_BYTES_MAX;
	process_api_fixture_expect(&s, process_api_fixture_call(&s, "List", "{}"), 200, "{}");
	process_api_fixture_end(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, loop_fixture_setup, loop_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_process_list_of_none_is_empty),
		TEST(test_process_list_shows_who_lived_when_it_was_asked_for),
		TEST(test_process_list_of_a_client_that_is_gone_is_let_go),
		TEST(test_process_list_that_waits_outlives_its_service),
		TEST(test_process_list_one_too_many_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
