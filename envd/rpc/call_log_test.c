/*
 * The line of a finished call: one for each way to end, and nothing of what was said in it.
 */
#include "rpc/call_log.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "rpc/call_fixture.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

struct scene {
	struct domain d;
	struct fake_exchange *f;
	int fds[2];
};

static void scene_begin(struct scene *s, void **state, const struct rpc_method *method,
                        const char *fields)
{
	assert_int_equal(pipe2(s->fds, O_CLOEXEC | O_NONBLOCK), 0);
	log_open(s->fds[1], LOG_DEBUG);
	domain_init(&s->d, loop_fixture_loop(state));
	s->f = fake_new(HTTP_2, "POST", fields);
	domain_serve(&s->d, s->f, method);
}

/* The call has logged exactly one line, which holds each text (NULL ends them) and no secret. */
static void scene_end(struct scene *s, const char *const *texts)
{
	char lines[LOG_LINE_MAX];
	ssize_t n;

	loop_fixture_turn(s->d.loop, 2);
	log_open(-1, LOG_DEBUG);
	n = read(s->fds[0], lines, sizeof lines - 1);
	assert_true(n > 0);
	lines[n] = '\0';
	assert_ptr_equal(strchr(lines, '\n'), lines + n - 1);
	for (; *texts; texts++)
		assert_non_null(strstr(lines, *texts));
	assert_null(strstr(lines, "s3cr3t"));
	close(s->fds[0]);
	close(s->fds[1]);
	domain_deinit(&s->d);
	fake_free(s->f);
}

#define EXPECT(s, ...) scene_end((s), (const char *const[]){ __VA_ARGS__, NULL })

static void push_text(struct scene *s, const char *text)
{
	fake_push(s->f, text, strlen(text));
	fake_end(s->f, EXCHANGE_BODY_COMPLETE);
}

static void test_call_log_success_is_info_without_an_error(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_unary, "content-type: application/json\n");
	s.d.answers = true;
	push_text(&s, "{\"text\":\"s3cr3t\"}");
	EXPECT(&s,
	       "{\"level\":\"info\",\"logger\":\"test\",\"method\":\"POST /test.Echo/Echo\","
	       "\"operation_id\":\"",
	       "\",\"timestamp\"", "\"message\":\"Echo echo\"");
}

static void test_call_log_failure_is_an_error_with_its_code_but_not_its_text(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_server, "content-type: application/connect+json\n");
	push_frame(s.f, 0, "{}");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	domain_fail(&s.d, ERR_NOT_FOUND, "s3cr3t");
	EXPECT(&s, "\"level\":\"error\"", "\"error\":\"not_found\",\"error_code\":5,",
	       "\"message\":\"Echo echo (server stream end)\"");
}

static void test_call_log_broken_request_is_logged_without_a_handler(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_unary, "content-type: application/json\n");
	push_text(&s, "{\"s3cr3t");
	EXPECT(&s, "\"level\":\"error\"", "\"error\":\"invalid_argument\",\"error_code\":3,");
}

static void test_call_log_client_that_left_is_info_and_the_late_answer_says_nothing(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_unary, "content-type: application/json\n");
	push_text(&s, "{}");
	fake_gone(s.f);
	domain_finish(&s.d, "s3cr3t");
	EXPECT(&s, "\"level\":\"info\"", "\"error\":\"canceled\",\"error_code\":1,");
}

static void test_call_log_deadline_is_a_warning(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_unary,
	            "content-type: application/json\nconnect-timeout-ms: 0\n");
	EXPECT(&s, "\"level\":\"warn\"", "\"error\":\"deadline_exceeded\",\"error_code\":4,");
}

#define T(name) cmocka_unit_test_setup_teardown(name, loop_fixture_setup, loop_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_call_log_success_is_info_without_an_error),
		T(test_call_log_failure_is_an_error_with_its_code_but_not_its_text),
		T(test_call_log_broken_request_is_logged_without_a_handler),
		T(test_call_log_client_that_left_is_info_and_the_late_answer_says_nothing),
		T(test_call_log_deadline_is_a_warning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
