/*
 * Input that a process does not take, over exchanges that a test plays the peer of, into real
 * processes. What the wire looks like is in tests/integration/test_input.py.
 */
#include "api/process_api.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rpc/envelope.h"
#include "rpc/fake_exchange.h"
#include "rpc/service.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

#define UNARY  "content-type: application/json\n"
#define STREAM "content-type: application/connect+json\n"

#define INPUT_TEXT 40000u /* base64 of 30,000 bytes, three of which are more than a pipe takes */

struct scene {
	struct loop *loop;
	char *dir, *passwd, *group;
	struct user_db users;
	struct environ_store environ;
	struct cgroups cgroups;
	struct defaults defaults;
	struct process_service *service;
	struct fake_exchange *watcher; /* of the process */
	unsigned pid;
};

static struct fake_exchange *serve(struct scene *s, const char *path, const char *fields)
{
	struct fake_exchange *f = fake_new(HTTP_1_1, "POST", fields);
	struct exchange *x = &f->x;

	for (size_t i = 0; i < process_n_methods; i++) {
		if (strcmp(process_methods[i].path, path) == 0)
			rpc_serve(s->loop, &x, &process_methods[i], s->service, NULL, NULL);
	}
	assert_null(x);
	return f;
}

static void push_frame(struct fake_exchange *f, const char *message)
{
	uint8_t head[ENVELOPE_HEADER];

	envelope_put_header(head, 0, (uint32_t)strlen(message));
	fake_push(f, head, sizeof head);
	fake_push(f, message, strlen(message));
}

/* NULL: it is not there. The head of a frame has zeros in it. */
static const char *find(struct buf *body, const char *text)
{
	(void)fake_text(body); /* which ends it */
	return body->len > 0 ? memmem(body->data, body->len, text, strlen(text)) : NULL;
}

static bool has_not_started(void *arg)
{
	struct scene *s = arg;
	const char *event = find(&s->watcher->body, "{\"event\"");

	return !event || sscanf(event, "{\"event\":{\"start\":{\"pid\":%u}}}", &s->pid) != 1;
}

/* One process that does not read its input. */
static void scene_begin(struct scene *s, void **state)
{
	char line[512];

	*s = (struct scene){ .loop = loop_fixture_loop(state), .dir = temp_dir_new() };
	(void)snprintf(line, sizeof line, "me:x:%u:%u::%s:/bin/sh\n", (unsigned)getuid(),
	               (unsigned)getgid(), s->dir);
	s->passwd = temp_dir_file(s->dir, "passwd", line, 0644);
	s->group = temp_dir_file(s->dir, "group", "", 0644);
	s->users = (struct user_db){ s->passwd, s->group };
	(void)signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	environ_init(&s->environ);
	s->defaults.user = xstrdup("me");
	cgroups_init(&s->cgroups);
	s->service = process_service_new(s->loop, &s->environ, &s->defaults, &s->cgroups);
	s->service->users = &s->users;
	s->watcher = serve(s, "/process.Process/Start", STREAM);
	push_frame(s->watcher, "{\"process\":{\"cmd\":\"sleep\",\"args\":[\"60\"]}}");
	fake_end(s->watcher, EXCHANGE_BODY_COMPLETE);
	loop_fixture_run_while(s->loop, has_not_started, s);
}

static void scene_close_service(struct scene *s)
{
	if (s->service)
		process_service_close(TAKE_PTR(s->service));
	loop_fixture_turn(s->loop, 4);
}

static void scene_end(struct scene *s)
{
	scene_close_service(s);
	(void)kill((pid_t)s->pid, SIGKILL); /* it lives on without its service */
	fake_free(s->watcher);
	cgroups_deinit(&s->cgroups);
	environ_deinit(&s->environ);
	free(s->defaults.user);
	free(s->passwd);
	free(s->group);
	temp_dir_free(s->dir);
}

static struct fake_exchange *send_input(struct scene *s, const char *fields)
{
	struct fake_exchange *f = serve(s, "/process.Process/SendInput", fields);
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
	struct fake_exchange *f = serve(s, "/process.Process/StreamInput", fields);
	char message[INPUT_TEXT + 200];

	(void)snprintf(message, sizeof message, "{\"start\":{\"process\":{\"pid\":%u}}}", s->pid);
	push_frame(f, message);
	(void)snprintf(message, sizeof message, "{\"data\":{\"input\":{\"stdin\":\"%0*d\"}}}",
	               (int)INPUT_TEXT, 0);
	push_frame(f, message);
	return f;
}

static void fill_pipe(struct scene *s)
{
	for (unsigned i = 0; i < 2; i++) {
		struct fake_exchange *f = send_input(s, UNARY);

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
	waiting[0] = send_input(s, UNARY);
	waiting[1] = stream_input(s, STREAM);
	waiting[2] = send_input(s, UNARY);
	waiting[3] = stream_input(s, STREAM);
	expect_waiting(s, waiting, 4);
}

static void expect_answer(struct scene *s, struct fake_exchange *f, int status, const char *text)
{
	loop_fixture_run_until(s->loop, &f->is_released);
	assert_int_equal(f->status, status);
	assert_non_null(find(&f->body, text));
	fake_free(f);
}

static void test_process_input_of_a_client_that_hangs_up_does_not_wait(void **state)
{
	static const char canceled[] = "\"code\":\"canceled\",\"message\":\"context canceled\"";
	struct fake_exchange *waiting[4];
	struct scene s;

	scene_begin(&s, state);
	wait_in_line(&s, waiting);
	fake_hangup(waiting[2]);
	expect_answer(&s, waiting[2], 499, canceled);
	fake_hangup(waiting[1]);
	expect_answer(&s, waiting[1], 200, canceled);
	fake_hangup(waiting[0]);
	expect_answer(&s, waiting[0], 499, canceled);
	fake_hangup(waiting[3]);
	expect_answer(&s, waiting[3], 200, canceled);
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
	first = send_input(&s, UNARY);
	f = serve(&s, "/process.Process/StreamInput", STREAM);
	(void)snprintf(start, sizeof start, "{\"start\":{\"process\":{\"pid\":%u}}}", s.pid);
	push_frame(f, start);
	fake_hangup(f);
	loop_fixture_turn(s.loop, 2);
	assert_false(f->is_answered);
	push_frame(f, "{\"data\":{\"input\":{\"stdin\":\"eA==\"}}}");
	expect_answer(&s, f, 200, "\"context canceled\"");
	fake_hangup(first);
	expect_answer(&s, first, 499, "\"context canceled\"");
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
	call = send_input(&s, UNARY "connect-timeout-ms: 60000\n");
	stream = stream_input(&s, STREAM "connect-timeout-ms: 60000\n");
	expect_waiting(&s, (struct fake_exchange *[]){ call, stream }, 2);
	timers_advance(&s.loop->timers, loop_now_ms(s.loop) + 61000);
	expect_answer(&s, call, 504, "\"context deadline exceeded\"");
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
		expect_answer(&s, waiting[i], i % 2 ? 200 : 500,
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
		streams[i] = serve(&s, "/process.Process/StreamInput", STREAM);
		push_frame(streams[i], message);
	}
	expect_waiting(&s, streams, ARRAY_SIZE(streams));
	assert_int_equal(kill((pid_t)s.pid, SIGKILL), 0);
	loop_fixture_run_until(s.loop, &s.watcher->is_released);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		(void)snprintf(message, sizeof message, "{\"data\":{\"input\":%s}}",
		               cases[i].input);
		push_frame(streams[i], message);
		expect_answer(&s, streams[i], 200, cases[i].text);
	}
	scene_end(&s);
}

static void test_process_input_that_waits_when_the_service_closes_is_answered(void **state)
{
	struct fake_exchange *waiting[4];
	struct scene s;

	scene_begin(&s, state);
	wait_in_line(&s, waiting);
	scene_close_service(&s);
	for (unsigned i = 0; i < 4; i++)
		expect_answer(&s, waiting[i], i % 2 ? 200 : 503, "\"code\":\"unavailable\"");
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
