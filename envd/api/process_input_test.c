/*
 * Input that a process does not take, over exchanges that a test plays the peer of, into real
 * processes. What the wire looks like is in tests/integration/test_input.py.
 */
#include "api/process_api.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include "api/process_api_fixture.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

#define INPUT_TEXT 40000u /* base64 of 30,000 bytes, three of which are more than a pipe takes */

struct scene {
	struct process_api_fixture of;
	struct loop *loop;
	struct fake_exchange *watcher; /* of the process */
	unsigned pid;
};

/* One process that does not read its input. */
static void scene_begin(struct scene *s, void **state)
{
	process_api_fixture_begin(&s->of, state);
	s->loop = s->of.loop;
	s->watcher = process_api_fixture_start(
		&s->of, "{\"process\":{\"cmd\":\"sleep\",\"args\":[\"60\"]}}", &s->pid);
}

static void scene_end(struct scene *s)
{
	process_api_fixture_close_service(&s->of);
	(void)kill((pid_t)s->pid, SIGKILL); /* it lives on without its service */
	fake_free(s->watcher);
	process_api_fixture_end(&s->of);
}

static struct fake_exchange *send_input(struct scene *s, const char *fields)
{
	struct fake_exchange *f = process_api_fixture_serve(&s->of, "SendInput", fields);
	char message[INPUT_TEXT + 200];

	(void)snprintf(message, sizeof message,
	               "{\"process\":{\"pid\":%u},\"input\":{\"stdin\":\"%0*d\"}}", s->pid,
	               (int)INPUT_TEXT, 0);
	fake_push(f, message, strlen(message));
	fake_end(f, EXCHANGE_BODY_COMPLETE);
	return f;
}

static struct fake_exchange *stream_input(struct scene *s, const char *fields)
{
	struct fake_exchange *f = process_api_fixture_serve(&s->of, "StreamInput", fields);
	char message[INPUT_TEXT + 200];

	(void)snprintf(message, sizeof message, "{\"start\":{\"process\":{\"pid\":%u}}}", s->pid);
	process_api_fixture_push(f, message);
	(void)snprintf(message, sizeof message, "{\"data\":{\"input\":{\"stdin\":\"%0*d\"}}}",
	               (int)INPUT_TEXT, 0);
	process_api_fixture_push(f, message);
	return f;
}

static void fill_pipe(struct scene *s)
{
	for (unsigned i = 0; i < 2; i++) {
		struct fake_exchange *f = send_input(s, FIXTURE_UNARY);

		assert_int_equal(f->status, 200);
		fake_free(f);
	}
}

static void expect_waiting(struct scene *s, struct fake_exchange *const *waiting, size_t n)
{
	loop_fixture_turn(s->loop, 4);
	for (size_t i = 0; i < n; i++)
		assert_false(waiting[i]->is_answered);
}

/* The first has been written in part, the others wait behind it. */
static void wait_in_line(struct scene *s, struct fake_exchange *waiting[4])
{
	fill_pipe(s);
	waiting[0] = send_input(s, FIXTURE_UNARY);
	waiting[1] = stream_input(s, FIXTURE_STREAM);
	waiting[2] = send_input(s, FIXTURE_UNARY);
	waiting[3] = stream_input(s, FIXTURE_STREAM);
	expect_waiting(s, waiting, 4);
}

static void test_process_input_of_a_client_that_hangs_up_does_not_wait(void **state)
{
	static const char canceled[] = "\"code\":\"canceled\",\"message\":\"context canceled\"";
	struct fake_exchange *waiting[4];
	struct scene s;

	scene_begin(&s, state);
	wait_in_line(&s, waiting);
	fake_hangup(waiting[2]);
	process_api_fixture_expect(&s.of, waiting[2], 499, canceled);
	fake_hangup(waiting[1]);
	process_api_fixture_expect(&s.of, waiting[1], 200, canceled);
	fake_hangup(waiting[0]);
	process_api_fixture_expect(&s.of, waiting[0], 499, canceled);
	fake_hangup(waiting[3]);
	process_api_fixture_expect(&s.of, waiting[3], 200, canceled);
	scene_end(&s);
}

/* The stream hung up before its message was there. */
static void test_process_input_of_a_client_that_has_hung_up_does_not_begin_to_wait(void **state)
{
	struct fake_exchange *first, *f;
	struct scene s;
	char start[100];

	scene_begin(&s, state);
	fill_pipe(&s);
	first = send_input(&s, FIXTURE_UNARY);
	f = process_api_fixture_serve(&s.of, "StreamInput", FIXTURE_STREAM);
	(void)snprintf(start, sizeof start, "{\"start\":{\"process\":{\"pid\":%u}}}", s.pid);
	process_api_fixture_push(f, start);
	fake_hangup(f);
	loop_fixture_turn(s.loop, 2);
	assert_false(f->is_answered);
	process_api_fixture_push(f, "{\"data\":{\"input\":{\"stdin\":\"eA==\"}}}");
	process_api_fixture_expect(&s.of, f, 200, "\"context canceled\"");
	fake_hangup(first);
	process_api_fixture_expect(&s.of, first, 499, "\"context canceled\"");
	scene_end(&s);
}

static void test_process_input_of_a_client_that_is_gone_is_let_go(void **state)
{
	static const unsigned order[] = { 1, 0, 3, 2 };
	struct fake_exchange *waiting[4];
	struct scene s;

	scene_begin(&s, state);
	wait_in_line(&s, waiting);
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		struct fake_exchange *f = waiting[order[i]];

		fake_gone(f);
		loop_fixture_run_until(s.loop, &f->is_released);
		fake_free(f);
	}
	scene_end(&s);
}

static void
test_process_input_waits_no_longer_than_its_deadline_which_a_stream_has_not(void **state)
{
	struct fake_exchange *call, *stream;
	struct scene s;

	scene_begin(&s, state);
	fill_pipe(&s);
	call = send_input(&s, FIXTURE_UNARY "connect-timeout-ms: 60000\n");
	stream = stream_input(&s, FIXTURE_STREAM "connect-timeout-ms: 60000\n");
	expect_waiting(&s, (struct fake_exchange *[]){ call, stream }, 2);
	timers_advance(&s.loop->timers, loop_now_ms(s.loop) + 61000);
	process_api_fixture_expect(&s.of, call, 504, "\"context deadline exceeded\"");
	expect_waiting(&s, &stream, 1);
	fake_gone(stream);
	loop_fixture_run_until(s.loop, &stream->is_released);
	fake_free(stream);
	scene_end(&s);
}

static void test_process_input_that_waits_is_refused_when_the_process_ends(void **state)
{
	struct fake_exchange *waiting[4];
	struct scene s;

	scene_begin(&s, state);
	wait_in_line(&s, waiting);
	assert_int_equal(kill((pid_t)s.pid, SIGKILL), 0);
	for (unsigned i = 0; i < 4; i++)
		process_api_fixture_expect(
			&s.of, waiting[i], i % 2 ? 200 : 500,
			"\"code\":\"internal\",\"message\":\"error writing to stdin: ");
	loop_fixture_run_until(s.loop, &s.watcher->is_released);
	scene_end(&s);
}

static void test_process_input_stream_whose_process_has_ended_says_so(void **state)
{
	static const struct {
		const char *input, *text;
	} cases[] = {
		{ "{\"stdin\":\"eA==\"}", "write |1: file already closed\"" },
		{ "{\"pty\":\"eA==\"}", "write /dev/ptmx: file already closed\"" },
		{ "{}", "\"code\":\"unimplemented\",\"message\":\"invalid input type" },
	};
	struct fake_exchange *streams[ARRAY_SIZE(cases)];
	char message[100];
	struct scene s;

	scene_begin(&s, state);
	(void)snprintf(message, sizeof message, "{\"start\":{\"process\":{\"pid\":%u}}}", s.pid);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		streams[i] = process_api_fixture_serve(&s.of, "StreamInput", FIXTURE_STREAM);
		process_api_fixture_push(streams[i], message);
	}
	expect_waiting(&s, streams, ARRAY_SIZE(streams));
	assert_int_equal(kill((pid_t)s.pid, SIGKILL), 0);
	loop_fixture_run_until(s.loop, &s.watcher->is_released);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		(void)snprintf(message, sizeof message, "{\"data\":{\"input\":%s}}",
		               cases[i].input);
		process_api_fixture_push(streams[i], message);
		process_api_fixture_expect(&s.of, streams[i], 200, cases[i].text);
	}
	scene_end(&s);
}

static void test_process_input_that_waits_when_the_service_closes_is_answered(void **state)
{
	struct fake_exchange *waiting[4];
	struct scene s;

	scene_begin(&s, state);
	wait_in_line(&s, waiting);
	process_api_fixture_close_service(&s.of);
	for (unsigned i = 0; i < 4; i++)
		process_api_fixture_expect(&s.of, waiting[i], i % 2 ? 200 : 503,
		                           "\"code\":\"unavailable\"");
	scene_end(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, loop_fixture_setup, loop_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_process_input_of_a_client_that_hangs_up_does_not_wait),
		TEST(test_process_input_of_a_client_that_has_hung_up_does_not_begin_to_wait),
		TEST(test_process_input_of_a_client_that_is_gone_is_let_go),
		TEST(test_process_input_waits_no_longer_than_its_deadline_which_a_stream_has_not),
		TEST(test_process_input_that_waits_is_refused_when_the_process_ends),
		TEST(test_process_input_stream_whose_process_has_ended_says_so),
		TEST(test_process_input_that_waits_when_the_service_closes_is_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
