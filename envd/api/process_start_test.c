/*
 * Launches that wait for the pool. What a start does is in proc/ and tests/integration/test_process.py.
 */
#include "api/process_start.h"

#include "api/process_api_fixture.h"
#include "tests/support/busy_pool.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

#define TRUE_MESSAGE "{\"process\":{\"cmd\":\"true\"}}"

static struct fake_exchange *start_true(struct process_api_fixture *s)
{
	struct fake_exchange *f = process_api_fixture_serve(s, "Start", FIXTURE_STREAM);

	process_api_fixture_push(f, TRUE_MESSAGE);
	fake_end(f, EXCHANGE_BODY_COMPLETE);
	return f;
}

static void test_process_start_of_a_client_that_is_gone_starts_nothing(void **state)
{
	struct process_api_fixture s;
	struct fake_exchange *f;
	struct busy_pool busy;

	process_api_fixture_begin(&s, state);
	busy_pool_begin(&busy, s.loop);
	f = start_true(&s);
	assert_true(s.service->launches.n_bytes > 0);
	fake_gone(f);
	loop_fixture_run_until(s.loop, &f->is_released);
	busy_pool_end(&busy);
	assert_int_equal(s.service->registry.n_added, 0);
	assert_int_equal(s.service->launches.n_bytes, 0);
	fake_free(f);
	process_api_fixture_end(&s);
}

static void test_process_start_that_waits_when_the_service_closes_is_unavailable(void **state)
{
	struct process_api_fixture s;
	struct fake_exchange *f;
	struct busy_pool busy;

	process_api_fixture_begin(&s, state);
	busy_pool_begin(&busy, s.loop);
	f = start_true(&s);
	process_api_fixture_close_service(&s);
	busy_pool_end(&busy);
	process_api_fixture_expect(&s, f, 200, "\"code\":\"unavailable\"");
	process_api_fixture_end(&s);
}

static void test_process_start_one_too_many_is_refused(void **state)
{
	struct process_api_fixture s;

	process_api_fixture_begin(&s, state);
	s.service->launches.n_bytes += LAUNCH_BYTES_MAX;
	process_api_fixture_expect(&s, start_true(&s), 200,
	                           "\"code\":\"resource_exhausted\",\"message\":\"error starting "
	                           "process 'true': too many starts at once\"");
	s.service->launches.n_bytes -= LAUNCH_BYTES_MAX;
	process_api_fixture_expect(&s, start_true(&s), 200, "\"status\":\"exit status 0\"");
	assert_int_equal(s.service->launches.n_bytes, 0);
	process_api_fixture_end(&s);
}

static void test_process_start_of_more_than_fork_in_a_turn_starts_all(void **state)
{
	struct fake_exchange *f[3 * LAUNCHES_PER_TURN];
	struct process_api_fixture s;

	process_api_fixture_begin(&s, state);
	for (size_t i = 0; i < ARRAY_SIZE(f); i++)
		f[i] = start_true(&s);
	for (size_t i = 0; i < ARRAY_SIZE(f); i++)
		process_api_fixture_expect(&s, f[i], 200, "\"status\":\"exit status 0\"");
	process_api_fixture_end(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, loop_fixture_setup, loop_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_process_start_of_a_client_that_is_gone_starts_nothing),
		TEST(test_process_start_that_waits_when_the_service_closes_is_unavailable),
		TEST(test_process_start_one_too_many_is_refused),
		TEST(test_process_start_of_more_than_fork_in_a_turn_starts_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
