/*
 * Watchers of clients that ask from time to time, over exchanges whose peer the test plays.
 */
#include "api/filesystem_pollers.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/filesystem_job.h"
#include "api/filesystem_watch_fixture.h"
#include "base/mem.h"
#include "filesystem/filesystem.pb-c.h"
#include "rpc/answer.h"
#include "tests/support/busy_pool.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

#define LEGACY   WATCH_UNARY "user-agent: connect-python\n"
#define ID_SIZE  64u
#define MIB      (1024u * 1024u)
#define OVERFLOW "\"internal\",\"message\":\"watcher error: fsnotify: queue or buffer overflow\""

/* Creates one and returns its id, until the next. */
static const char *create(struct watch_fixture *f, const char *message)
{
	static char id[ID_SIZE];
	struct fake_exchange *x = watch_fixture_call(f, "CreateWatcher", WATCH_UNARY, message);

	loop_fixture_run_until(f->loop, &x->is_released);
	assert_int_equal(x->status, 200);
	assert_int_equal(sscanf(fake_text(&x->body), "{\"watcherId\":\"%63[^\"]\"}", id), 1);
	fake_free(x);
	return id;
}

static struct fake_exchange *ask_as(struct watch_fixture *f, const char *method, const char *fields,
                                    const char *id)
{
	char message[2 * ID_SIZE];

	(void)snprintf(message, sizeof message, "{\"watcherId\":\"%s\"}", id);
	return watch_fixture_call(f, method, fields, message);
}

static struct fake_exchange *ask(struct watch_fixture *f, const char *method, const char *id)
{
	return ask_as(f, method, WATCH_UNARY, id);
}

static void expect(struct watch_fixture *f, const char *method, const char *id, int status,
                   const char *text)
{
	watch_fixture_expect(f, ask(f, method, id), status, text);
}

static void expect_unknown(struct watch_fixture *f, const char *method, const char *id)
{
	char text[2 * ID_SIZE];

	(void)snprintf(text, sizeof text,
	               "{\"code\":\"not_found\",\"message\":\"watcher with id %s not found\"}", id);
	expect(f, method, id, 404, text);
}

static void test_poller_gives_what_has_happened_at_once_and_once(void **state)
{
	struct watch_fixture f;
	const char *id;

	watch_fixture_begin(&f, state);
	id = create(&f, "{\"path\":\"%s\"}");
	assert_int_equal(id[0], 'w');
	assert_int_equal(strlen(id), 21);
	for (const char *at = id; *at; at++)
		assert_true(islower((unsigned char)*at) || isdigit((unsigned char)*at));
	watch_fixture_make(&f, "a");
	expect(&f, "GetWatcherEvents", id, 200,
	       "{\"events\":[{\"name\":\"a\",\"type\":\"EVENT_TYPE_CREATE\"}]}");
	expect(&f, "GetWatcherEvents", id, 200, "{}");
	watch_fixture_end(&f);
}

static void test_poller_gives_many_by_a_job(void **state)
{
	struct watch_fixture f;
	struct fake_exchange *x;
	char name[32];
	const char *id;

	watch_fixture_begin(&f, state);
	id = create(&f, "{\"path\":\"%s\",\"includeEntry\":true}");
	for (unsigned i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof name, "file%u", i);
		watch_fixture_make(&f, name);
	}
	x = ask(&f, "GetWatcherEvents", id);
	watch_fixture_await(&f, x, "{\"events\":[{\"name\":\"file0\"");
	watch_fixture_expect(&f, x, 200, "\"name\":\"file999\"");
	assert_int_equal(f.service->n_job_bytes, 0);
	watch_fixture_end(&f);
}

static void test_poller_is_unknown_before_and_after(void **state)
{
	struct watch_fixture f;
	const char *id;

	watch_fixture_begin(&f, state);
	expect_unknown(&f, "GetWatcherEvents", "");
	expect_unknown(&f, "RemoveWatcher", "wabc");
	id = create(&f, "{\"path\":\"%s\"}");
	watch_fixture_await_watches(&f, 1);
	expect(&f, "RemoveWatcher", id, 200, "{}");
	expect_unknown(&f, "RemoveWatcher", id);
	expect_unknown(&f, "GetWatcherEvents", id);
	watch_fixture_await_watches(&f, 0);
	watch_fixture_end(&f);
}

static void test_poller_that_cannot_be_armed_is_refused(void **state)
{
	struct watch_fixture f;

	watch_fixture_begin(&f, state);
	watch_fixture_expect(
		&f,
		watch_fixture_call(&f, "CreateWatcher", WATCH_UNARY, "{\"path\":\"/dev/null\"}"),
		400, "\"invalid_argument\",\"message\":\"path /dev/null not a directory\"");
	assert_true(list_is_empty(&f.service->pollers));
	watch_fixture_end(&f);
}

static void test_poller_sends_the_client_of_2024_what_it_knows(void **state)
{
	struct watch_fixture f;
	struct fake_exchange *x;
	const char *id;

	watch_fixture_begin(&f, state);
	x = watch_fixture_call(&f, "CreateWatcher", LEGACY, "{\"path\":\"%s\"}");
	loop_fixture_run_until(f.loop, &x->is_released);
	assert_true(fake_has(&x->head, "X-E2B-Legacy-SDK: true"));
	fake_free(x);
	id = create(&f, "{\"path\":\"%s\",\"includeEntry\":true}");
	watch_fixture_make(&f, "a");
	x = ask_as(&f, "GetWatcherEvents", LEGACY, id);
	watch_fixture_await(&f, x,
	                    "{\"events\":[{\"name\":\"a\",\"type\":\"EVENT_TYPE_CREATE\"}]}");
	assert_true(fake_has(&x->head, "X-E2B-Legacy-SDK: true"));
	fake_free(x);
	x = ask_as(&f, "RemoveWatcher", LEGACY, id);
	loop_fixture_run_until(f.loop, &x->is_released);
	assert_true(fake_has(&x->head, "X-E2B-Legacy-SDK: true"));
	fake_free(x);
	x = ask_as(&f, "RemoveWatcher", LEGACY, id);
	loop_fixture_run_until(f.loop, &x->is_released);
	assert_false(fake_has(&x->head, "X-E2B-Legacy-SDK: true"));
	fake_free(x);
	watch_fixture_end(&f);
}

static void test_poller_whose_creator_leaves_before_it_knows_the_id_goes(void **state)
{
	struct watch_fixture f;
	struct fake_exchange *x;

	watch_fixture_begin(&f, state);
	x = watch_fixture_call(&f, "CreateWatcher", WATCH_UNARY, "{\"path\":\"%s\"}");
	while (f.service->n_job_bytes > 0)
		loop_fixture_turn(f.loop, 1);
	assert_false(x->is_answered);
	fake_gone(x);
	assert_true(x->is_released);
	fake_free(x);
	loop_fixture_run_jobs(f.loop);
	watch_fixture_await_watches(&f, 0);
	assert_true(list_is_empty(&f.service->pollers));
	watch_fixture_end(&f);
}

/* With entries, which the pool does not look up yet. */
static struct fake_exchange *wait_for_entries(struct watch_fixture *f, const char *id)
{
	struct fake_exchange *x;

	watch_fixture_make(f, "a");
	x = ask(f, "GetWatcherEvents", id);
	loop_fixture_turn(f->loop, 3);
	assert_false(x->is_answered);
	return x;
}

static void test_poll_whose_client_leaves_while_it_waits_takes_no_event(void **state)
{
	struct watch_fixture f;
	struct fake_exchange *x;
	struct busy_pool pool;
	const char *id;

	watch_fixture_begin(&f, state);
	id = create(&f, "{\"path\":\"%s\",\"includeEntry\":true}");
	busy_pool_begin(&pool, f.loop);
	x = wait_for_entries(&f, id);
	fake_gone(x);
	assert_true(x->is_released);
	fake_free(x);
	busy_pool_end(&pool);
	expect(&f, "GetWatcherEvents", id, 200, "\"name\":\"a\"");
	watch_fixture_end(&f);
}

static void test_poll_that_waits_is_refused_when_its_poller_is_removed(void **state)
{
	struct watch_fixture f;
	struct fake_exchange *x;
	struct busy_pool pool;
	const char *id;

	watch_fixture_begin(&f, state);
	id = create(&f, "{\"path\":\"%s\",\"includeEntry\":true}");
	busy_pool_begin(&pool, f.loop);
	x = wait_for_entries(&f, id);
	expect(&f, "RemoveWatcher", id, 200, "{}");
	watch_fixture_expect(&f, x, 404, "not found");
	busy_pool_end(&pool);
	watch_fixture_end(&f);
}

/* More events than are encoded at once, which wait for a job. */
static struct fake_exchange *wait_for_job(struct watch_fixture *f, const char *id)
{
	struct fake_exchange *x;

	watch_fixture_change(f, POLL_EVENTS_INLINE);
	x = ask(f, "GetWatcherEvents", id);
	while (f->service->n_job_bytes == 0)
		loop_fixture_turn(f->loop, 1);
	assert_false(x->is_answered);
	return x;
}

static void test_poll_that_has_its_events_answers_although_its_poller_is_removed(void **state)
{
	struct watch_fixture f;
	struct fake_exchange *x;
	struct busy_pool pool;
	const char *id;

	watch_fixture_begin(&f, state);
	id = create(&f, "{\"path\":\"%s\"}");
	busy_pool_begin(&pool, f.loop);
	x = wait_for_job(&f, id);
	expect(&f, "RemoveWatcher", id, 200, "{}");
	busy_pool_end(&pool);
	watch_fixture_expect(&f, x, 200, "\"odd\"");
	assert_int_equal(f.service->n_job_bytes, 0);
	watch_fixture_end(&f);
}

static void test_poll_whose_client_leaves_with_its_events_frees_them(void **state)
{
	struct watch_fixture f;
	struct fake_exchange *x;
	struct busy_pool pool;
	const char *id;

	watch_fixture_begin(&f, state);
	id = create(&f, "{\"path\":\"%s\"}");
	busy_pool_begin(&pool, f.loop);
	x = wait_for_job(&f, id);
	fake_gone(x);
	busy_pool_end(&pool);
	loop_fixture_run_until(f.loop, &x->is_released);
	fake_free(x);
	assert_int_equal(f.service->n_job_bytes, 0);
	expect(&f, "GetWatcherEvents", id, 200, "{}");
	watch_fixture_end(&f);
}

static void test_poller_that_nobody_asks_fails_until_it_is_removed(void **state)
{
	struct watch_fixture f;
	const char *id;

	watch_fixture_begin(&f, state);
	id = create(&f, "{\"path\":\"%s\"}");
	watch_fixture_change(&f, WATCHER_EVENTS_MAX + 1);
	expect(&f, "GetWatcherEvents", id, 500, OVERFLOW);
	expect(&f, "GetWatcherEvents", id, 500, OVERFLOW);
	watch_fixture_await_watches(&f, 0);
	expect(&f, "RemoveWatcher", id, 200, "{}");
	expect_unknown(&f, "GetWatcherEvents", id);
	watch_fixture_end(&f);
}

/* The memory of all answers, but for what is free. */
static void fill_answers(struct answer **answers, size_t n)
{
	const struct answer_form form = {
		.type = &filesystem__list_dir_response__descriptor,
		.codec = CODEC_PROTO,
	};
	Filesystem__EntryInfo entry = FILESYSTEM__ENTRY_INFO__INIT;
	CLEANUP(freep) char *name = xmalloc(MIB);
	CLEANUP(err_clear) struct err e = { 0 };

	memset(name, 'x', MIB - 1);
	name[MIB - 1] = '\0';
	entry.name = name;
	for (size_t i = 0; i < n; i++) {
		answers[i] = answer_new(&form);
		while (answer_add(answers[i], &entry.base, &e) == 0)
			;
	}
}

/* Events that no job has to look up. */
static void make_and_remove_many(struct watch_fixture *f, const char *id)
{
	char name[64];

	for (unsigned step = 0; step < 2; step++) {
		for (unsigned i = 0; i < 2000; i++) {
			(void)snprintf(name, sizeof name, "a-file-with-a-long-name-%u", i);
			if (step == 0)
				watch_fixture_make(f, name);
			else
				assert_int_equal(unlink(watch_fixture_path(f, name)), 0);
		}
		if (step == 0)
			expect(f, "GetWatcherEvents", id, 200, "-1999\"");
	}
}

static void test_poller_whose_events_find_no_memory_has_lost_them(void **state)
{
	struct answer *answers[ANSWER_TOTAL_MAX / ANSWER_MAX + 1];
	struct fake_exchange *first, *second;
	struct watch_fixture f;
	struct busy_pool pool;
	const char *id;

	watch_fixture_begin(&f, state);
	id = create(&f, "{\"path\":\"%s\",\"includeEntry\":true}");
	make_and_remove_many(&f, id); /* more than ANSWER_FREE_MAX of JSON */
	fill_answers(answers, ARRAY_SIZE(answers));
	busy_pool_begin(&pool, f.loop);
	first = ask(&f, "GetWatcherEvents", id);
	while (f.service->n_job_bytes == 0)
		loop_fixture_turn(f.loop, 1);
	second = wait_for_entries(&f, id); /* of what happens later */
	sem_post(&pool.gate);              /* one thread, so the first one comes first */
	watch_fixture_expect(&f, first, 500, OVERFLOW);
	watch_fixture_expect(&f, second, 500, OVERFLOW);
	busy_pool_end(&pool);
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		answer_free(answers[i]);
	expect(&f, "GetWatcherEvents", id, 500, OVERFLOW);
	assert_int_equal(f.service->n_job_bytes, 0);
	expect(&f, "RemoveWatcher", id, 200, "{}");
	watch_fixture_await_watches(&f, 0);
	watch_fixture_end(&f);
}

static void test_poll_that_finds_no_memory_when_its_poller_is_removed_ends_alone(void **state)
{
	struct answer *answers[ANSWER_TOTAL_MAX / ANSWER_MAX + 1];
	struct fake_exchange *x;
	struct watch_fixture f;
	struct busy_pool pool;
	const char *id;

	watch_fixture_begin(&f, state);
	id = create(&f, "{\"path\":\"%s\"}");
	make_and_remove_many(&f, id);
	fill_answers(answers, ARRAY_SIZE(answers));
	busy_pool_begin(&pool, f.loop);
	x = wait_for_job(&f, id);
	expect(&f, "RemoveWatcher", id, 200, "{}");
	busy_pool_end(&pool);
	watch_fixture_expect(&f, x, 500, OVERFLOW);
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		answer_free(answers[i]);
	watch_fixture_end(&f);
}

static void test_polls_count_among_file_operations_while_they_have_events(void **state)
{
	struct watch_fixture f;
	const char *id;

	watch_fixture_begin(&f, state);
	id = create(&f, "{\"path\":\"%s\"}");
	f.service->n_job_bytes = FILE_JOB_BYTES_MAX; /* by others */
	expect(&f, "GetWatcherEvents", id, 200, "{}");
	watch_fixture_make(&f, "a");
	watch_fixture_make(&f, "b");
	expect(&f, "GetWatcherEvents", id, 429, "too many file operations at once");
	f.service->n_job_bytes = FILE_JOB_BYTES_MAX - 1;
	expect(&f, "GetWatcherEvents", id, 200,
	       "{\"events\":[{\"name\":\"a\",\"type\":\"EVENT_TYPE_CREATE\"}]}");
	f.service->n_job_bytes = 0;
	expect(&f, "GetWatcherEvents", id, 200,
	       "{\"events\":[{\"name\":\"b\",\"type\":\"EVENT_TYPE_CREATE\"}]}");
	watch_fixture_end(&f);
}

static void test_pollers_are_limited(void **state)
{
	struct watch_fixture f;

	watch_fixture_begin(&f, state);
	for (unsigned i = 0; i < WATCHERS_MAX; i++)
		(void)create(&f, "{\"path\":\"%s\"}");
	watch_fixture_expect(
		&f, watch_fixture_call(&f, "CreateWatcher", WATCH_UNARY, "{\"path\":\"%s\"}"), 429,
		"\"resource_exhausted\",\"message\":\"error creating watcher: too many watchers\"");
	watch_fixture_end(&f);
}

static void test_poller_ends_with_the_service_but_a_poll_that_has_events_answers(void **state)
{
	struct watch_fixture f;
	struct fake_exchange *x;
	struct busy_pool pool;
	const char *id;

	watch_fixture_begin(&f, state);
	id = create(&f, "{\"path\":\"%s\"}");
	busy_pool_begin(&pool, f.loop);
	x = wait_for_job(&f, id);
	watch_fixture_close_service(&f);
	busy_pool_end(&pool);
	watch_fixture_expect(&f, x, 200, "\"odd\"");
	watch_fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, loop_fixture_setup, loop_fixture_teardown)
		T(test_poller_gives_what_has_happened_at_once_and_once),
		T(test_poller_gives_many_by_a_job),
		T(test_poller_is_unknown_before_and_after),
		T(test_poller_that_cannot_be_armed_is_refused),
		T(test_poller_sends_the_client_of_2024_what_it_knows),
		T(test_poller_whose_creator_leaves_before_it_knows_the_id_goes),
		T(test_poll_whose_client_leaves_while_it_waits_takes_no_event),
		T(test_poll_that_waits_is_refused_when_its_poller_is_removed),
		T(test_poll_that_has_its_events_answers_although_its_poller_is_removed),
		T(test_poll_whose_client_leaves_with_its_events_frees_them),
		T(test_poller_that_nobody_asks_fails_until_it_is_removed),
		T(test_poller_whose_events_find_no_memory_has_lost_them),
		T(test_poll_that_finds_no_memory_when_its_poller_is_removed_ends_alone),
		T(test_polls_count_among_file_operations_while_they_have_events),
		T(test_pollers_are_limited),
		T(test_poller_ends_with_the_service_but_a_poll_that_has_events_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
