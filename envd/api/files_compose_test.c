/*
 * Compositions from their exchange to their answer, with jobs on a real pool.
 */
#include "api/files_compose.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"
#include "api/files_compose_body.h"
#include "base/mem.h"
#include "rpc/fake_exchange.h"
#include "tests/support/busy_pool.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

struct scene {
	struct loop *loop;
	struct api api;
	char *dir;
	char user[8];
	char text[8192];
};

static void scene_begin(struct scene *s, void **state)
{
	*s = (struct scene){
		.loop = loop_fixture_loop(state),
		.dir = temp_dir_new(),
		.user = "root",
	};
	s->api.loop = s->loop;
	s->api.defaults.user = s->user;
	free(temp_dir_file(s->dir, "a", "one ", 0600));
	free(temp_dir_file(s->dir, "b", "two", 0600));
}

static void scene_end(struct scene *s)
{
	assert_int_equal(s->api.composes.n_working, 0);
	temp_dir_free(s->dir);
}

/* Each @ is the directory; good until the next one. */
static const char *told(struct scene *s, const char *format)
{
	size_t at = 0;

	for (; *format; format++) {
		if (*format == '@')
			at += (size_t)snprintf(s->text + at, sizeof s->text - at, "%s", s->dir);
		else
			s->text[at++] = *format;
	}
	s->text[at] = '\0';
	return s->text;
}

static struct fake_exchange *begin(struct scene *s, int64_t length)
{
	struct fake_exchange *f = fake_new(HTTP_1_1, "POST", "");
	struct exchange *x = &f->x;

	fake_length(f, length);
	files_compose_post(&s->api, &x);
	assert_null(x);
	return f;
}

static struct fake_exchange *post(struct scene *s, const char *format)
{
	struct fake_exchange *f = begin(s, -1);
	const char *text = told(s, format);

	if (text[0])
		fake_push(f, text, strlen(text));
	fake_end(f, EXCHANGE_BODY_COMPLETE);
	return f;
}

#define GOOD "{\"source_paths\":[\"@/a\",\"@/b\"],\"destination\":\"@/all\"}"

static void check_answer(struct scene *s, struct fake_exchange *f, int status, const char *body)
{
	loop_fixture_run_until(s->loop, &f->is_released);
	assert_string_equal(fake_text(&f->body), told(s, body));
	assert_int_equal(f->status, status);
	fake_free(f);
}

static void check_good(struct scene *s, struct fake_exchange *f)
{
	check_answer(s, f, 200, "{\"name\":\"all\",\"path\":\"@/all\",\"type\":\"file\"}\n");
}

static bool has(const struct scene *s, const char *name)
{
	CLEANUP(freep) char *path = temp_dir_path(s->dir, name);

	return access(path, F_OK) == 0;
}

/* ---- what is answered ---- */

static void test_compose_is_answered_as_json(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	f = post(&s, GOOD);
	loop_fixture_run_until(s.loop, &f->is_released);
	assert_true(fake_has(&f->head, "Content-Type: application/json"));
	check_good(&s, f);
	assert_true(has(&s, "all"));
	assert_false(has(&s, "a"));
	scene_end(&s);
}

static void test_compose_answer_is_escaped_as_go_does(void **state)
{
	struct scene s;

	scene_begin(&s, state);
	check_answer(&s,
	             post(&s, "{\"source_paths\":[\"@/a\"],\"destination\":\"@/<\\\"&\\u00e4\"}"),
	             200,
	             "{\"name\":\"\\u003c\\\"\\u0026\xC3\xA4\",\"path\":\"@/"
	             "\\u003c\\\"\\u0026\xC3\xA4\","
	             "\"type\":\"file\"}\n");
	scene_end(&s);
}

static void test_compose_errors_have_the_status_of_their_kind(void **state)
{
	static const struct {
		const char *body;
		int status;
		const char *message;
	} cases[] = {
		{ "", 400, "invalid request body: EOF" },
		{ "{}", 400, "source_paths must not be empty" },
		{ "{\"source_paths\":[\"@/a\"]}", 400, "destination is required" },
		{ "{\"source_paths\":[\"@/a\"],\"destination\":\"@/c\",\"username\":\"no-such\"}",
		  401, "error looking up user 'no-such': user: unknown user no-such" },
		{ "{\"source_paths\":[\"@/a\"],\"destination\":\"@/c\",\"username\":\"\"}", 401,
		  "error looking up user '': user: unknown user " },
		{ "{\"source_paths\":[\"~x\"],\"destination\":\"~y\"}", 400,
		  "error resolving destination path: failed to expand path '~y' for user 'root': "
		  "cannot expand user-specific home dir" },
		{ "{\"source_paths\":[\"@/a\",\"~x\",\"@/none\"],\"destination\":\"@/c\"}", 400,
		  "error resolving source path \\\"~x\\\": failed to expand path '~x' for user "
		  "'root': "
		  "cannot expand user-specific home dir" },
		{ "{\"source_paths\":[\"@/none\",\"~x\"],\"destination\":\"@/c\"}", 404,
		  "source file not found: @/none" },
		{ "{\"source_paths\":[\"@/a\",\"@/b\"],\"destination\":\"@/b\"}", 400,
		  "source path \\\"@/b\\\" cannot be the same as destination" },
		{ "{\"source_paths\":[\"@\"],\"destination\":\"@/c\"}", 400,
		  "source path is not a regular file: @" },
		{ "{\"source_paths\":[\"@/a\"],\"destination\":\"@\"}", 500,
		  "error finalizing compose: rename @: file exists" },
		{ "{\"source_paths\":[\"@/a\"],\"destination\":\"@/b/c\"}", 500,
		  "error ensuring directories: path is a file: @/b" },
	};
	struct scene s;

	scene_begin(&s, state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char expected[1024];

		(void)snprintf(expected, sizeof expected, "{\"code\":%d,\"message\":\"%s\"}\n",
		               cases[i].status, cases[i].message);
		check_answer(&s, post(&s, cases[i].body), cases[i].status, expected);
	}
	assert_true(has(&s, "a"));
	assert_true(has(&s, "b"));
	assert_false(has(&s, "c"));
	scene_end(&s);
}

static void test_compose_without_any_user_is_refused(void **state)
{
	struct scene s;

	scene_begin(&s, state);
	s.user[0] = '\0';
	check_answer(&s, post(&s, GOOD), 400,
	             "{\"code\":400,\"message\":\"username not provided\"}\n");
	scene_end(&s);
}

/* ---- the body ---- */

static void test_compose_body_may_come_byte_by_byte(void **state)
{
	struct fake_exchange *f;
	struct scene s;
	const char *text;

	scene_begin(&s, state);
	f = begin(&s, -1);
	text = told(&s, GOOD);
	for (size_t i = 0; text[i]; i++)
		fake_push(f, text + i, 1);
	assert_int_equal(f->consumed, strlen(text));
	fake_end(f, EXCHANGE_BODY_COMPLETE);
	check_good(&s, f);
	scene_end(&s);
}

static void test_compose_body_that_is_cut_composes_nothing(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	f = begin(&s, -1);
	told(&s, GOOD);
	fake_push(f, s.text, strlen(s.text));
	fake_end(f, EXCHANGE_BODY_CUT);
	check_answer(&s, f, 400,
	             "{\"code\":400,\"message\":\"invalid request body: unexpected EOF\"}\n");
	f = begin(&s, -1);
	fake_end(f, EXCHANGE_BODY_MALFORMED);
	check_answer(&s, f, 400,
	             "{\"code\":400,\"message\":\"invalid request body: malformed chunked "
	             "encoding\"}\n");
	assert_false(has(&s, "all"));
	scene_end(&s);
}

#define TOO_LARGE "{\"code\":413,\"message\":\"request body is too large\"}\n"

static void test_compose_body_that_is_said_to_be_too_large_is_never_read(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	f = begin(&s, (int64_t)COMPOSE_BODY_MAX + 1);
	assert_false(f->is_reading);
	check_answer(&s, f, 413, TOO_LARGE);
	f = begin(&s, COMPOSE_BODY_MAX);
	assert_true(f->is_reading);
	fake_gone(f);
	fake_free(f);
	scene_end(&s);
}

static void push_spaces(struct fake_exchange *f, size_t len)
{
	static char spaces[EXCHANGE_WINDOW];

	memset(spaces, ' ', sizeof spaces);
	for (; len > 0 && !f->is_released; len -= MIN(len, sizeof spaces))
		fake_push(f, spaces, MIN(len, sizeof spaces));
}

static void test_compose_body_that_becomes_too_large_is_refused(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	f = begin(&s, -1);
	push_spaces(f, COMPOSE_BODY_MAX);
	assert_false(f->is_released);
	push_spaces(f, 1);
	check_answer(&s, f, 413, TOO_LARGE);
	scene_end(&s);
}

static void test_compose_bodies_of_all_that_are_too_large_together_are_refused(void **state)
{
	struct fake_exchange *first, *second;
	struct scene s;

	scene_begin(&s, state);
	first = begin(&s, -1);
	push_spaces(first, COMPOSE_BODY_MAX);
	second = begin(&s, -1);
	push_spaces(second, COMPOSE_BODY_MAX);
	check_answer(&s, second, 503,
	             "{\"code\":503,\"message\":\"too many bytes of unfinished messages, at most "
	             "268435456 at once\"}\n");
	fake_gone(first);
	fake_free(first);
	check_good(&s, post(&s, GOOD));
	scene_end(&s);
}

/* ---- clients that leave ---- */

static void test_compose_whose_client_leaves_while_it_reads_ends_at_once(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	f = begin(&s, -1);
	fake_push(f, "{", 1);
	fake_gone(f);
	assert_true(f->is_released);
	assert_int_equal(job_count(s.loop), 0);
	fake_free(f);
	scene_end(&s);
}

static void test_compose_whose_client_leaves_before_its_job_runs_does_nothing(void **state)
{
	struct fake_exchange *f;
	struct busy_pool busy;
	struct scene s;

	scene_begin(&s, state);
	busy_pool_begin(&busy, s.loop);
	f = post(&s, GOOD);
	fake_gone(f);
	busy_pool_end(&busy);
	loop_fixture_run_until(s.loop, &f->is_released);
	assert_false(f->is_answered);
	assert_false(has(&s, "all"));
	assert_true(has(&s, "a"));
	fake_free(f);
	scene_end(&s);
}

static void test_compose_whose_client_has_hung_up_ends_after_a_while(void **state)
{
	struct fake_exchange *f;
	struct busy_pool busy;
	struct scene s;

	scene_begin(&s, state);
	busy_pool_begin(&busy, s.loop);
	f = post(&s, GOOD);
	fake_hangup(f);
	timers_advance(&s.loop->timers, loop_now_ms(s.loop) + FILES_COMPOSE_HANGUP_MS);
	busy_pool_end(&busy);
	check_answer(&s, f, 499, "{\"code\":499,\"message\":\"nobody waits for it any more\"}\n");
	assert_false(has(&s, "all"));
	assert_true(has(&s, "a"));
	scene_end(&s);
}

static void test_compose_whose_client_has_hung_up_is_answered_if_it_is_quick(void **state)
{
	struct fake_exchange *f;
	struct busy_pool busy;
	struct scene s;

	scene_begin(&s, state);
	busy_pool_begin(&busy, s.loop);
	f = post(&s, GOOD);
	fake_hangup(f);
	timers_advance(&s.loop->timers, loop_now_ms(s.loop) + FILES_COMPOSE_HANGUP_MS - 1);
	busy_pool_end(&busy);
	check_good(&s, f);
	scene_end(&s);
}

/* ---- many ---- */

static void test_compose_beyond_the_limit_waits_for_another_to_end(void **state)
{
	struct fake_exchange *all[FILES_COMPOSES_MAX], *gone, *next;
	struct busy_pool busy;
	struct scene s;

	scene_begin(&s, state);
	busy_pool_begin(&busy, s.loop);
	for (unsigned i = 0; i < FILES_COMPOSES_MAX; i++)
		all[i] = post(&s, "{}");
	assert_int_equal(s.api.composes.n_working, FILES_COMPOSES_MAX);
	gone = post(&s, GOOD);
	next = post(&s, GOOD);
	assert_int_equal(s.api.composes.n_working, FILES_COMPOSES_MAX);
	fake_gone(gone);
	assert_true(gone->is_released);
	fake_free(gone);
	busy_pool_end(&busy);
	for (unsigned i = 0; i < FILES_COMPOSES_MAX; i++) {
		loop_fixture_run_until(s.loop, &all[i]->is_released);
		fake_free(all[i]);
	}
	check_good(&s, next);
	loop_fixture_run_jobs(s.loop);
	scene_end(&s);
}

static void test_compose_that_waits_too_long_is_refused(void **state)
{
	struct fake_exchange *all[FILES_COMPOSES_MAX], *next;
	struct busy_pool busy;
	struct scene s;

	scene_begin(&s, state);
	busy_pool_begin(&busy, s.loop);
	for (unsigned i = 0; i < FILES_COMPOSES_MAX; i++)
		all[i] = post(&s, "{}");
	next = post(&s, GOOD);
	timers_advance(&s.loop->timers, loop_now_ms(s.loop) + FILES_COMPOSE_WAIT_MS - 1);
	assert_false(next->is_released);
	timers_advance(&s.loop->timers, loop_now_ms(s.loop) + FILES_COMPOSE_WAIT_MS);
	assert_true(next->is_released);
	check_answer(&s, next, 503,
	             "{\"code\":503,\"message\":\"too many compositions at once\"}\n");
	busy_pool_end(&busy);
	for (unsigned i = 0; i < FILES_COMPOSES_MAX; i++) {
		loop_fixture_run_until(s.loop, &all[i]->is_released);
		fake_free(all[i]);
	}
	assert_false(has(&s, "all"));
	scene_end(&s);
}

#define T(name) cmocka_unit_test_setup_teardown(name, loop_fixture_setup, loop_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_compose_is_answered_as_json),
		T(test_compose_answer_is_escaped_as_go_does),
		T(test_compose_errors_have_the_status_of_their_kind),
		T(test_compose_without_any_user_is_refused),
		T(test_compose_body_may_come_byte_by_byte),
		T(test_compose_body_that_is_cut_composes_nothing),
		T(test_compose_body_that_is_said_to_be_too_large_is_never_read),
		T(test_compose_body_that_becomes_too_large_is_refused),
		T(test_compose_bodies_of_all_that_are_too_large_together_are_refused),
		T(test_compose_whose_client_leaves_while_it_reads_ends_at_once),
		T(test_compose_whose_client_leaves_before_its_job_runs_does_nothing),
		T(test_compose_whose_client_has_hung_up_ends_after_a_while),
		T(test_compose_whose_client_has_hung_up_is_answered_if_it_is_quick),
		T(test_compose_beyond_the_limit_waits_for_another_to_end),
		T(test_compose_that_waits_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
