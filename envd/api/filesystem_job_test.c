/*
 * Calls of the Filesystem service on their way through the pool, over exchanges that a test plays the
 * peer of. What they answer is in tests/integration/test_filesystem.py.
 */
#include "api/filesystem_job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "api/filesystem_api.h"
#include "base/mem.h"
#include "rpc/fake_exchange.h"
#include "rpc/service.h"
#include "tests/support/busy_pool.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

#define UNARY_JSON "content-type: application/json\n"
#define PIECE      65536u /* bytes the peer sends at a time */

struct scene {
	struct loop *loop;
	struct defaults defaults;
	struct filesystem_service *service;
	char *dir;
};

static void scene_begin(struct scene *s, void **state)
{
	s->loop = loop_fixture_loop(state);
	s->defaults = (struct defaults){ .user = xstrdup("root") };
	s->service = filesystem_service_new(s->loop, &s->defaults);
	s->dir = temp_dir_new();
}

static void scene_end(struct scene *s)
{
	filesystem_service_close(s->service);
	free(s->defaults.user);
	temp_dir_free(s->dir);
}

static const struct rpc_method *find_method(const char *name)
{
	for (size_t i = 0; i < filesystem_n_methods; i++) {
		if (strcmp(strrchr(filesystem_methods[i].path, '/') + 1, name) == 0)
			return &filesystem_methods[i];
	}
	fail_msg("%s", name);
	return NULL;
}

static struct fake_exchange *ask_bytes(struct scene *s, const char *method, const char *fields,
                                       const char *message, size_t len)
{
	struct fake_exchange *f = fake_new(HTTP_1_1, "POST", fields);
	struct exchange *x = &f->x;

	rpc_serve(s->loop, &x, find_method(method), s->service, NULL, NULL);
	for (size_t at = 0; at < len; at += PIECE)
		fake_push(f, message + at, MIN(PIECE, len - at));
	fake_end(f, EXCHANGE_BODY_COMPLETE);
	return f;
}

static struct fake_exchange *ask(struct scene *s, const char *method, const char *path)
{
	char message[4096];
	int len = snprintf(message, sizeof message, "{\"path\":\"%s\"}", path);

	return ask_bytes(s, method, UNARY_JSON, message, (size_t)len);
}

static void expect(struct scene *s, struct fake_exchange *f, int status, const char *text)
{
	loop_fixture_run_until(s->loop, &f->is_released);
	assert_int_equal(f->status, status);
	assert_non_null(strstr(fake_text(&f->body), text));
	fake_free(f);
}

static bool is_busy(void *arg)
{
	const struct scene *s = arg;

	return s->service->n_job_bytes > 0;
}

static void test_file_job_answers_and_gives_back_what_it_was_charged(void **state)
{
	struct scene s;

	scene_begin(&s, state);
	expect(&s, ask(&s, "Stat", s.dir), 200, "FILE_TYPE_DIRECTORY");
	expect(&s, ask(&s, "Stat", "/no/such"), 404, "\"not_found\"");
	assert_int_equal(s.service->n_job_bytes, 0);
	scene_end(&s);
}

static void test_file_job_whose_client_leaves_before_it_began_does_nothing(void **state)
{
	CLEANUP(freep) char *path = NULL;
	struct fake_exchange *f;
	struct busy_pool pool;
	struct stat st;
	struct scene s;

	scene_begin(&s, state);
	path = temp_dir_path(s.dir, "new");
	busy_pool_begin(&pool, s.loop);
	f = ask(&s, "MakeDir", path);
	fake_gone(f);
	loop_fixture_run_while(s.loop, is_busy, &s);
	assert_true(f->is_released);
	assert_int_equal(stat(path, &st), -1);
	fake_free(f);
	busy_pool_end(&pool);
	scene_end(&s);
}

static void test_file_job_that_waits_too_long_is_answered_in_time_and_not_done(void **state)
{
	CLEANUP(freep) char *path = NULL;
	char message[4096];
	struct fake_exchange *f;
	struct busy_pool pool;
	struct stat st;
	struct scene s;
	int len;

	scene_begin(&s, state);
	path = temp_dir_path(s.dir, "new");
	busy_pool_begin(&pool, s.loop);
	len = snprintf(message, sizeof message, "{\"path\":\"%s\"}", path);
	f = ask_bytes(&s, "MakeDir", UNARY_JSON "connect-timeout-ms: 1\n", message, (size_t)len);
	expect(&s, f, 504, "deadline_exceeded");
	loop_fixture_run_while(s.loop, is_busy, &s);
	assert_int_equal(stat(path, &st), -1);
	busy_pool_end(&pool);
	scene_end(&s);
}

static void test_file_jobs_are_limited_together(void **state)
{
	struct scene s;

	scene_begin(&s, state);
	s.service->n_job_bytes = FILE_JOB_BYTES_MAX - sizeof(struct file_job); /* by others */
	expect(&s, ask(&s, "Stat", "/"), 429, "too many file operations at once");
	s.service->n_job_bytes -= 3;
	expect(&s, ask(&s, "Stat", "/"), 200, "FILE_TYPE_DIRECTORY");
	scene_end(&s);
}

/* The service outlives its jobs' work, not the other way round. */
static void test_file_job_that_runs_keeps_its_service(void **state)
{
	struct fake_exchange *f;
	struct busy_pool pool;
	struct scene s;

	scene_begin(&s, state);
	busy_pool_begin(&pool, s.loop);
	f = ask(&s, "ListDir", "/");
	scene_end(&s);
	busy_pool_end(&pool);
	loop_fixture_run_until(s.loop, &f->is_released);
	assert_int_equal(f->status, 200);
	fake_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, loop_fixture_setup, loop_fixture_teardown)
		T(test_file_job_answers_and_gives_back_what_it_was_charged),
		T(test_file_job_whose_client_leaves_before_it_began_does_nothing),
		T(test_file_job_that_waits_too_long_is_answered_in_time_and_not_done),
		T(test_file_jobs_are_limited_together),
		T(test_file_job_that_runs_keeps_its_service),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
