/*
 * Uploads from their exchange to their answer, with jobs on a real pool.
 */
#include "api/files_upload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/api.h"
#include "base/mem.h"
#include "rpc/fake_exchange.h"
#include "tests/support/busy_pool.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

#define RAW "content-type: application/octet-stream\n"

struct scene {
	struct loop *loop;
	struct api api;
	char *dir;
	char user[8];
	char query[4096];
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
	(void)snprintf(s->query, sizeof s->query, "path=%s/f", s->dir);
}

static void scene_end(struct scene *s)
{
	assert_int_equal(s->api.uploads.n_reading, 0);
	secret_clear(&s->api.token);
	temp_dir_free(s->dir);
}

static struct fake_exchange *post(struct scene *s, const char *fields, int64_t length,
                                  bool expects_continue)
{
	struct fake_exchange *f = fake_new(HTTP_1_1, "POST", fields);
	struct exchange *x = &f->x;

	fake_query(f, s->query);
	fake_length(f, length);
	f->x.request.expects_continue = expects_continue;
	files_post(&s->api, &x);
	assert_null(x);
	return f;
}

static void push_text(struct fake_exchange *f, const char *text)
{
	fake_push(f, text, strlen(text));
}

static void check_answer(struct scene *s, struct fake_exchange *f, int status, const char *body)
{
	loop_fixture_run_until(s->loop, &f->is_released);
	assert_int_equal(f->status, status);
	if (body)
		assert_string_equal(fake_text(&f->body), body);
	fake_free(f);
}

static void check_written(struct scene *s, struct fake_exchange *f)
{
	char body[8192];

	(void)snprintf(body, sizeof body, "[{\"name\":\"f\",\"path\":\"%s/f\",\"type\":\"file\"}]",
	               s->dir);
	check_answer(s, f, 200, body);
}

static void check_file(struct scene *s, const void *data, size_t len)
{
	CLEANUP(freep) char *path = temp_dir_path(s->dir, "f");
	CLEANUP(freep) char *got = xmalloc(len + 1);
	FILE *file = fopen(path, "re");

	assert_non_null(file);
	assert_int_equal(fread(got, 1, len + 1, file), len);
	assert_memory_equal(got, data, len);
	(void)fclose(file);
}

static bool file_exists(const struct scene *s)
{
	CLEANUP(freep) char *path = temp_dir_path(s->dir, "f");

	return access(path, F_OK) == 0;
}

/* ---- the way of the body ---- */

static void test_upload_body_that_comes_with_its_head_is_one_job(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	f = post(&s, RAW, 5, false);
	assert_int_equal(job_count(s.loop), 0);
	push_text(f, "hello");
	fake_end(f, EXCHANGE_BODY_COMPLETE);
	check_written(&s, f);
	check_file(&s, "hello", 5);
	scene_end(&s);
}

static void test_upload_without_a_body_is_an_empty_file(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	f = post(&s, RAW, 0, false);
	fake_end(f, EXCHANGE_BODY_COMPLETE);
	check_written(&s, f);
	check_file(&s, "", 0);
	scene_end(&s);
}

static void test_upload_is_answered_as_json(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	f = post(&s, RAW, -1, false);
	fake_end(f, EXCHANGE_BODY_COMPLETE);
	loop_fixture_run_until(s.loop, &f->is_released);
	assert_true(fake_has(&f->head, "Content-Type: application/json"));
	fake_free(f);
	scene_end(&s);
}

/* The window goes round several times; pieces of odd sizes end anywhere in it. */
static void test_upload_of_any_size_goes_through_the_window(void **state)
{
	static const size_t size = 5 * (size_t)EXCHANGE_WINDOW + 77;
	static const size_t pieces[] = { 1, 65536, 30000, 7, 100001, 13 };
	char *data = xmalloc(size);
	struct fake_exchange *f;
	struct scene s;
	size_t at = 0;

	for (size_t i = 0; i < size; i++)
		data[i] = (char)(i * 31 + i / 251);
	scene_begin(&s, state);
	f = post(&s, RAW, -1, false);
	for (unsigned i = 0; at < size; i++) {
		size_t n = MIN(pieces[i % ARRAY_SIZE(pieces)], size - at);

		while (f->pushed - f->consumed + n > EXCHANGE_WINDOW)
			loop_fixture_turn(s.loop, 1);
		fake_push(f, data + at, n);
		at += n;
		if (i % 3 == 0)
			loop_fixture_turn(s.loop, 1);
	}
	fake_end(f, EXCHANGE_BODY_COMPLETE);
	check_written(&s, f);
	check_file(&s, data, size);
	free(data);
	scene_end(&s);
}

static void test_upload_that_is_cut_is_told_and_stays(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	f = post(&s, RAW, 100, false);
	push_text(f, "half");
	fake_end(f, EXCHANGE_BODY_CUT);
	check_answer(&s, f, 500,
	             "{\"code\":500,\"message\":\"error writing file: unexpected EOF\"}\n");
	assert_true(file_exists(&s));
	scene_end(&s);
}

static void test_upload_errors_have_the_status_of_their_kind(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	(void)snprintf(s.query, sizeof s.query, "path=/dev/full");
	f = post(&s, RAW, 4, false);
	push_text(f, "data");
	fake_end(f, EXCHANGE_BODY_COMPLETE);
	check_answer(&s, f, 507,
	             "{\"code\":507,\"message\":\"attempted to write 4 bytes: not enough disk "
	             "space available\"}\n");
	(void)snprintf(s.query, sizeof s.query, "path=%s", s.dir);
	f = post(&s, RAW, -1, false);
	check_answer(&s, f, 400, NULL);
	scene_end(&s);
}

/* ---- bodies that jobs read themselves ---- */

struct diverted {
	struct scene *s;
	struct fake_exchange *f;
	int fd; /* the client's */
	char *data;
	size_t size, sent;
};

static bool is_not_diverted(void *arg)
{
	const struct fake_exchange *f = arg;

	return !f->is_diverted;
}

/* The first bytes come with the head. */
static void divert(struct diverted *d, struct scene *s, size_t size)
{
	int fds[2];

	*d = (struct diverted){ .s = s, .data = xmalloc(size), .size = size, .sent = 100 };
	for (size_t i = 0; i < size; i++)
		d->data[i] = (char)(i * 31 + i / 251);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	d->fd = fds[0];
	d->f = post(s, RAW, (int64_t)size, false);
	d->f->source = fds[1];
	fake_push(d->f, d->data, d->sent);
	loop_fixture_run_while(s->loop, is_not_diverted, d->f);
}

/* Sends as much as there is room for, and lets it be read. */
static void send_some(struct diverted *d, size_t max)
{
	size_t before = d->f->diverted;
	ssize_t n = send(d->fd, d->data + d->sent, MIN(max, d->size - d->sent), MSG_DONTWAIT);

	assert_true(n > 0);
	d->sent += (size_t)n;
	fake_readable(d->f);
	while (d->f->diverted == before)
		loop_fixture_turn(d->s->loop, 1);
}

static void diverted_end(struct diverted *d)
{
	close_fdp(&d->f->source);
	close_fdp(&d->fd);
	free(d->data);
}

static void test_upload_that_is_diverted_is_read_by_jobs(void **state)
{
	struct diverted d;
	struct scene s;

	scene_begin(&s, state);
	divert(&d, &s, 3 * (size_t)EXCHANGE_WINDOW + 5);
	while (d.sent < d.size)
		send_some(&d, SIZE_MAX);
	assert_int_equal(d.f->pushed + d.f->diverted, d.size);
	check_file(&s, d.data, d.size);
	diverted_end(&d);
	check_written(&s, d.f);
	scene_end(&s);
}

static void test_upload_that_is_diverted_reads_no_byte_of_the_next_request(void **state)
{
	struct diverted d;
	struct scene s;
	char text[8] = "";

	scene_begin(&s, state);
	divert(&d, &s, EXCHANGE_WINDOW + 1);
	while (d.size - d.sent > 100)
		send_some(&d, d.size - d.sent - 100);
	assert_int_equal(send(d.fd, d.data + d.sent, 100, 0), 100);
	assert_int_equal(send(d.fd, "GET /", 5, 0), 5);
	fake_readable(d.f);
	loop_fixture_run_until(s.loop, &d.f->is_released);
	assert_int_equal(recv(d.f->source, text, sizeof text, MSG_DONTWAIT), 5);
	check_file(&s, d.data, d.size);
	diverted_end(&d);
	check_written(&s, d.f);
	scene_end(&s);
}

static void test_upload_that_is_diverted_and_ends_early_is_cut(void **state)
{
	struct diverted d;
	struct scene s;

	scene_begin(&s, state);
	divert(&d, &s, EXCHANGE_WINDOW + 1);
	send_some(&d, 1000);
	close_fdp(&d.fd);
	fake_readable(d.f);
	while (d.f->is_diverted)
		loop_fixture_turn(s.loop, 1);
	loop_fixture_turn(s.loop, 2);
	assert_int_equal(d.f->n_diverts, 1); /* or it would find the same end for ever */
	fake_end(d.f, EXCHANGE_BODY_CUT);
	diverted_end(&d);
	check_answer(&s, d.f, 500,
	             "{\"code\":500,\"message\":\"error writing file: unexpected EOF\"}\n");
	scene_end(&s);
}

static void test_upload_that_is_diverted_and_fails_tells_how_much_it_has_read(void **state)
{
	struct diverted d;
	struct scene s;

	scene_begin(&s, state);
	(void)snprintf(s.query, sizeof s.query, "path=/dev/full");
	divert(&d, &s, EXCHANGE_WINDOW + 1);
	send_some(&d, 10000);
	assert_int_equal(d.f->diverted, 10000);
	assert_false(d.f->is_diverted);
	diverted_end(&d);
	check_answer(&s, d.f, 507, NULL);
	scene_end(&s);
}

static void test_upload_that_is_diverted_may_be_left_while_a_job_reads(void **state)
{
	struct diverted d;
	struct busy_pool busy;
	struct scene s;

	scene_begin(&s, state);
	divert(&d, &s, EXCHANGE_WINDOW + 1);
	loop_fixture_run_jobs(s.loop);
	busy_pool_begin(&busy, s.loop);
	assert_int_equal(send(d.fd, d.data, 10, 0), 10);
	fake_readable(d.f);
	loop_fixture_turn(s.loop, 2);
	fake_gone(d.f);
	busy_pool_end(&busy);
	loop_fixture_run_jobs(s.loop);
	diverted_end(&d);
	fake_free(d.f);
	scene_end(&s);
}

/* ---- what is refused before its body ---- */

static void test_upload_without_the_right_is_never_read(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	assert_int_equal(secret_set(&s.api.token, SPAN("secret")), 0);
	f = post(&s, RAW, 5, false);
	assert_true(f->is_released);
	assert_int_equal(f->status, 401);
	assert_false(f->is_reading);
	fake_free(f);
	scene_end(&s);
}

static void test_upload_of_an_unknown_coding_is_never_read(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	f = post(&s, RAW "content-encoding: br\n", 5, false);
	assert_true(f->is_released);
	assert_false(f->is_reading);
	check_answer(&s, f, 400,
	             "{\"code\":400,\"message\":\"error decompressing request body: unsupported "
	             "Content-Encoding: br, supported: [gzip]\"}\n");
	scene_end(&s);
}

static void test_upload_of_an_unknown_user_is_answered_without_its_body(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	(void)snprintf(s.query, sizeof s.query, "path=x&username=no-such");
	f = post(&s, RAW, 5, true);
	loop_fixture_run_until(s.loop, &f->is_released);
	assert_false(f->is_reading);
	check_answer(&s, f, 401, NULL);
	/* Also where the client has begun to send. */
	f = post(&s, RAW, 5, false);
	push_text(f, "he");
	check_answer(&s, f, 401, NULL);
	scene_end(&s);
}

static bool is_not_reading(void *arg)
{
	const struct fake_exchange *f = arg;

	return !f->is_reading;
}

static void test_upload_is_given_leave_to_send_when_its_file_is_open(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	f = post(&s, RAW, 5, true);
	assert_false(f->is_reading);
	loop_fixture_run_while(s.loop, is_not_reading, f);
	assert_true(file_exists(&s));
	push_text(f, "hello");
	fake_end(f, EXCHANGE_BODY_COMPLETE);
	check_written(&s, f);
	check_file(&s, "hello", 5);
	scene_end(&s);
}

/* ---- clients that leave ---- */

static void test_upload_whose_client_leaves_between_jobs_ends(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	f = post(&s, RAW, -1, false);
	push_text(f, "some");
	loop_fixture_turn(s.loop, 1);
	loop_fixture_run_jobs(s.loop);
	assert_true(file_exists(&s));
	fake_gone(f);
	assert_true(f->is_released);
	assert_false(f->is_answered);
	fake_free(f);
	scene_end(&s);
}

static void test_upload_whose_client_leaves_before_its_job_runs_writes_nothing(void **state)
{
	struct fake_exchange *f;
	struct busy_pool busy;
	struct scene s;

	scene_begin(&s, state);
	busy_pool_begin(&busy, s.loop);
	f = post(&s, RAW, 4, false);
	push_text(f, "some");
	fake_end(f, EXCHANGE_BODY_COMPLETE);
	loop_fixture_turn(s.loop, 2);
	fake_gone(f);
	assert_true(f->is_released);
	assert_int_equal(s.api.uploads.n_reading, 1);
	busy_pool_end(&busy);
	loop_fixture_run_jobs(s.loop);
	assert_false(file_exists(&s));
	fake_free(f);
	scene_end(&s);
}

/* ---- many ---- */

static void open_all(struct scene *s, struct fake_exchange **all)
{
	for (unsigned i = 0; i < FILES_UPLOADS_MAX; i++)
		all[i] = post(s, RAW, -1, false);
	assert_int_equal(s->api.uploads.n_reading, FILES_UPLOADS_MAX);
	loop_fixture_turn(s->loop, 1);
	loop_fixture_run_jobs(s->loop);
}

static void close_all(struct fake_exchange **all, unsigned first)
{
	for (unsigned i = first; i < FILES_UPLOADS_MAX; i++) {
		fake_gone(all[i]);
		fake_free(all[i]);
	}
}

static void test_upload_beyond_the_limit_waits_for_another_to_end(void **state)
{
	struct fake_exchange *all[FILES_UPLOADS_MAX], *next, *gone;
	struct scene s;

	scene_begin(&s, state);
	open_all(&s, all);
	gone = post(&s, RAW, -1, false);
	next = post(&s, RAW, -1, false);
	loop_fixture_turn(s.loop, 2);
	assert_false(next->is_reading);
	fake_gone(gone);
	fake_free(gone);
	fake_end(all[0], EXCHANGE_BODY_COMPLETE);
	loop_fixture_run_while(s.loop, is_not_reading, next);
	assert_true(all[0]->is_released);
	fake_free(all[0]);
	fake_end(next, EXCHANGE_BODY_COMPLETE);
	check_written(&s, next);
	close_all(all, 1);
	scene_end(&s);
}

/* The limit is one of memory: who waits has no window yet. */
static void test_upload_without_memory_for_its_window_is_refused_and_the_next_begins(void **state)
{
	struct fake_exchange *all[FILES_UPLOADS_MAX], *refused, *next;
	struct scene s;

	scene_begin(&s, state);
	open_all(&s, all);
	refused = post(&s, RAW, -1, false);
	next = post(&s, RAW, -1, false);
	(void)mem_fail_nth(1);
	fake_gone(all[0]);
	assert_int_equal(mem_fail_nth(0), 1);
	fake_free(all[0]);
	check_answer(&s, refused, 503, "{\"code\":503,\"message\":\"out of memory\"}\n");
	fake_end(next, EXCHANGE_BODY_COMPLETE);
	check_written(&s, next);
	close_all(all, 1);
	scene_end(&s);
}

static void test_upload_that_waits_too_long_is_refused(void **state)
{
	struct fake_exchange *all[FILES_UPLOADS_MAX], *next;
	struct scene s;

	scene_begin(&s, state);
	open_all(&s, all);
	next = post(&s, RAW, -1, false);
	timers_advance(&s.loop->timers, loop_now_ms(s.loop) + FILES_UPLOAD_WAIT_MS - 1);
	assert_false(next->is_released);
	timers_advance(&s.loop->timers, loop_now_ms(s.loop) + FILES_UPLOAD_WAIT_MS);
	assert_true(next->is_released);
	check_answer(&s, next, 503, "{\"code\":503,\"message\":\"too many uploads at once\"}\n");
	close_all(all, 0);
	scene_end(&s);
}

#define T(name) cmocka_unit_test_setup_teardown(name, loop_fixture_setup, loop_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_upload_body_that_comes_with_its_head_is_one_job),
		T(test_upload_without_a_body_is_an_empty_file),
		T(test_upload_is_answered_as_json),
		T(test_upload_of_any_size_goes_through_the_window),
		T(test_upload_that_is_cut_is_told_and_stays),
		T(test_upload_errors_have_the_status_of_their_kind),
		T(test_upload_that_is_diverted_is_read_by_jobs),
		T(test_upload_that_is_diverted_reads_no_byte_of_the_next_request),
		T(test_upload_that_is_diverted_and_ends_early_is_cut),
		T(test_upload_that_is_diverted_and_fails_tells_how_much_it_has_read),
		T(test_upload_that_is_diverted_may_be_left_while_a_job_reads),
		T(test_upload_without_the_right_is_never_read),
		T(test_upload_of_an_unknown_coding_is_never_read),
		T(test_upload_of_an_unknown_user_is_answered_without_its_body),
		T(test_upload_is_given_leave_to_send_when_its_file_is_open),
		T(test_upload_whose_client_leaves_between_jobs_ends),
		T(test_upload_whose_client_leaves_before_its_job_runs_writes_nothing),
		T(test_upload_beyond_the_limit_waits_for_another_to_end),
		T(test_upload_without_memory_for_its_window_is_refused_and_the_next_begins),
		T(test_upload_that_waits_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
