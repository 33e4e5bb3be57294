/*
 * Downloads from their exchange to their end, with jobs on a real pool.
 */
#include "api/files_download.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "api/api.h"
#include "api/files_pieces.h"
#include "base/mem.h"
#include "http/coding.h"
#include "rpc/fake_exchange.h"
#include "tests/support/busy_pool.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/pattern_file.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

#define GZIP  "accept-encoding: gzip\n"
#define LARGE 1000000u

struct scene {
	struct loop *loop;
	struct api api;
	char *dir;
	char user[16];
	char query[4096];
	unsigned fail_nth; /* allocation of the request's own; 0: none */
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
}

static void scene_end(struct scene *s)
{
	loop_fixture_run_jobs(s->loop);
	assert_int_equal(s->api.downloads.n_transfers, 0);
	assert_int_equal(s->api.downloads.n_deflating, 0);
	secret_clear(&s->api.token);
	temp_dir_free(s->dir);
}

/* GET /files?path=DIR/name, or with another query if name begins with a `?`. */
static struct fake_exchange *get(struct scene *s, const char *name, const char *fields)
{
	struct fake_exchange *f = fake_new(HTTP_1_1, "GET", fields);
	struct exchange *x = &f->x;

	if (name[0] == '?')
		(void)snprintf(s->query, sizeof s->query, "%s", name + 1);
	else
		(void)snprintf(s->query, sizeof s->query, "path=%s/%s", s->dir, name);
	fake_query(f, s->query);
	exchange_add_field(x, "Vary", SPAN("Origin")); /* as CORS does */
	mem_fail_nth(s->fail_nth);
	files_get(&s->api, &x);
	assert_null(x);
	return f;
}

/* byte i is i % 251 */
static void make_file(struct scene *s, const char *name, size_t len)
{
	CLEANUP(freep) char *path = temp_dir_path(s->dir, name);
	CLEANUP(close_fdp) int from = pattern_file(len);
	CLEANUP(close_fdp) int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	off_t at = 0;

	assert_true(to >= 0);
	while ((size_t)at < len)
		assert_true(copy_file_range(from, &at, to, NULL, len, 0) > 0 ||
		            sendfile(to, from, &at, len) > 0);
}

static void shrink_file(struct scene *s, const char *name, size_t len)
{
	CLEANUP(freep) char *path = temp_dir_path(s->dir, name);

	assert_int_equal(truncate(path, (off_t)len), 0);
}

static void check_vary(const struct fake_exchange *f, const char *vary)
{
	for (size_t i = 0; i < f->x.n_extra; i++)
		if (span_equal(f->x.extra[i].name, "Vary"))
			assert_true(span_equal(f->x.extra[i].value, vary));
	assert_int_equal(f->x.n_extra, 1);
}

/* ---- refusals ---- */

/* text has the directory in the place of each `@`. */
static void refused(struct scene *s, const char *name, const char *fields, int status,
                    const char *text, bool varies)
{
	struct fake_exchange *f = get(s, name, fields);
	char expected[8192];
	struct buf b;

	buf_init_fixed(&b, expected, sizeof expected);
	buf_appendf(&b, "{\"code\":%d,\"message\":\"", status);
	for (; *text != '\0'; text++)
		buf_append(&b, *text == '@' ? s->dir : text, *text == '@' ? strlen(s->dir) : 1);
	buf_append(&b, "\"}\n", sizeof "\"}\n"); /* with the NUL */
	assert_int_equal(buf_error(&b), 0);
	loop_fixture_run_until(s->loop, &f->is_released);
	assert_string_equal(fake_text(&f->body), expected);
	assert_int_equal(f->status, status);
	check_vary(f, varies ? "Origin, Accept-Encoding" : "Origin");
	fake_free(f);
}

static void test_download_refusals_come_in_their_order(void **state)
{
	struct scene s;
	char *fifo;

	scene_begin(&s, state);
	fifo = temp_dir_path(s.dir, "fifo");
	assert_int_equal(mkfifo(fifo, 0600), 0);
	make_file(&s, "file", 1);
	s.user[0] = '\0';
	refused(&s, "?path=~x", "", 400, "username not provided", false);
	refused(&s, "?path=~x&username=", "", 401, "error looking up user '': user: unknown user ",
	        false);
	refused(&s, "?path=~x&username=nobody-here", "", 401,
	        "error looking up user 'nobody-here': user: unknown user nobody-here", false);
	strcpy(s.user, "root");
	refused(&s, "?path=~x", "", 400,
	        "error expanding and resolving path '~x': failed to expand path '~x' for user "
	        "'root': cannot expand user-specific home dir",
	        false);
	refused(&s, "none", "accept-encoding: *;q=0\n", 404, "path '@/none' does not exist", false);
	refused(&s, "file/x", "accept-encoding: *;q=0\n", 500,
	        "error checking if path exists '@/file/x': stat @/file/x: not a directory", false);
	refused(&s, "", "accept-encoding: *;q=0\n", 400, "path '@/' is a directory", false);
	refused(&s, "fifo", "accept-encoding: *;q=0\nrange: x\n", 406,
	        "error parsing Accept-Encoding: no acceptable encoding found, supported: [gzip]",
	        false);
	refused(&s, "fifo", "accept-encoding: gzip; q=1,*; q=0\nrange: x\n", 406,
	        "identity encoding not acceptable for Range or conditional request", true);
	refused(&s, "fifo", "", 400, "path '@/fifo' is not a regular file", true);
	refused(&s, "fifo", GZIP, 400, "path '@/fifo' is not a regular file", true);
	free(fifo);
	scene_end(&s);
}

static void test_download_without_a_path_is_of_a_directory(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	s.api.defaults.workdir = s.dir;
	for (int is_empty = 0; is_empty <= 1; is_empty++) {
		f = get(&s, is_empty ? "?path=" : "?", "");
		loop_fixture_run_until(s.loop, &f->is_released);
		assert_int_equal(f->status, 400);
		assert_non_null(strstr(fake_text(&f->body), "' is a directory"));
		fake_free(f);
	}
	scene_end(&s);
}

/* The gate lets everybody through to here. */
static void test_download_without_the_right_is_refused_at_once(void **state)
{
	struct scene s;

	scene_begin(&s, state);
	assert_int_equal(secret_set(&s.api.token, SPAN("secret")), 0);
	refused(&s, "none", "", 401, "missing signature query parameter", false);
	refused(&s, "none", "x-access-token: other\n", 401,
	        "access token present in header but does not match", false);
	refused(&s, "none", "x-access-token: secret\n", 404, "path '@/none' does not exist", false);
	assert_int_equal(job_count(s.loop), 0);
	scene_end(&s);
}

/* ---- small files ---- */

static struct span PRINTF_LIKE(3, 4) print(char *out, size_t size, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(out, size, fmt, args);
	va_end(args);
	assert_true(n >= 0 && (size_t)n < size);
	return (struct span){ out, (size_t)n };
}

static void check_pattern(struct fake_exchange *f, size_t from, size_t len)
{
	assert_int_equal(f->body.len, len);
	pattern_check(f->body.data, len, from);
}

static void check_gzip(struct fake_exchange *f, size_t len)
{
	struct buf plain;

	buf_init(&plain, 64u * 1024u * 1024u);
	assert_int_equal(gzip_decompress(&plain, f->body.data, f->body.len), 0);
	assert_int_equal(plain.len, len);
	pattern_check(plain.data, len, 0);
	buf_deinit(&plain);
}

static void test_download_of_a_small_file_is_one_answer(void **state)
{
	static const size_t sizes[] = { 0, 1, 4096, FILE_SOURCE_WHOLE_MAX };
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		char name[16];

		(void)snprintf(name, sizeof name, "%zu.txt", i);
		make_file(&s, name, sizes[i]);
		f = get(&s, name, "");
		loop_fixture_run_until(s.loop, &f->is_released);
		assert_int_equal(f->status, 200);
		assert_int_equal(f->n_sends, 0);
		check_pattern(f, 0, sizes[i]);
		check_vary(f, "Origin, Accept-Encoding");
		assert_true(fake_has(&f->head, "Content-Type: text/plain; charset=utf-8"));
		fake_free(f);

		f = get(&s, name, GZIP);
		loop_fixture_run_until(s.loop, &f->is_released);
		assert_int_equal(f->status, 200);
		assert_int_equal(f->n_sends, 0);
		assert_true(fake_has(&f->head, "Content-Encoding: gzip"));
		check_gzip(f, sizes[i]);
		fake_free(f);
	}
	scene_end(&s);
}

/* Of a file of 100 bytes: the first ten and the last ten. */
static void check_two_parts(struct fake_exchange *f)
{
	static const char type[] = "Content-Type: multipart/byteranges; boundary=";
	const char *boundary = strstr(fake_text(&f->head), type) + sizeof type - 1;
	const int len = (int)strcspn(boundary, "\n");
	char first[256], second[256], end[128];
	struct span texts[3];
	const uint8_t *at = f->body.data;

	texts[0] = print(first, sizeof first,
	                 "--%.*s\r\nContent-Range: bytes 0-9/100\r\nContent-Type: "
	                 "application/octet-stream\r\n\r\n",
	                 len, boundary);
	texts[1] = print(second, sizeof second,
	                 "\r\n--%.*s\r\nContent-Range: bytes 90-99/100\r\nContent-Type: "
	                 "application/octet-stream\r\n\r\n",
	                 len, boundary);
	texts[2] = print(end, sizeof end, "\r\n--%.*s--\r\n", len, boundary);
	assert_int_equal(f->body.len, texts[0].len + 10 + texts[1].len + 10 + texts[2].len);
	for (size_t i = 0; i < 3; i++) {
		assert_memory_equal(at, texts[i].at, texts[i].len);
		at += texts[i].len;
		if (i < 2)
			pattern_check(at, 10, i * 90);
		at += 10;
	}
}

static void test_download_of_ranges_of_a_small_file(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	make_file(&s, "file", 100);
	f = get(&s, "file", GZIP "range: bytes=10-19\n"); /* with ranges: as it is */
	loop_fixture_run_until(s.loop, &f->is_released);
	assert_int_equal(f->status, 206);
	check_pattern(f, 10, 10);
	fake_free(f);
	f = get(&s, "file", "range: bytes=0-9,90-99\n");
	loop_fixture_run_until(s.loop, &f->is_released);
	assert_int_equal(f->status, 206);
	check_two_parts(f);
	fake_free(f);
	f = get(&s, "file", "range: bytes=100-\n");
	loop_fixture_run_until(s.loop, &f->is_released);
	assert_int_equal(f->status, 416);
	assert_string_equal(fake_text(&f->body), "invalid range: failed to overlap\n");
	fake_free(f);
	scene_end(&s);
}

/* ---- large files, as they are ---- */

/* Lets it be opened, and begin to be sent. */
static struct fake_exchange *begin_large(struct scene *s, const char *fields)
{
	struct fake_exchange *f = get(s, "large", fields);

	loop_fixture_run_jobs(s->loop);
	assert_false(f->is_released);
	assert_int_equal(s->api.downloads.n_transfers, 1);
	return f;
}

static void test_download_of_a_large_file_sends_it_as_a_file(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	make_file(&s, "large", LARGE);
	f = begin_large(&s, "");
	assert_int_equal(f->status, 200);
	assert_int_equal(f->file_left, LARGE);
	fake_proceed(f); /* says nothing */
	fake_file_sent(f);
	assert_true(f->is_finished);
	check_pattern(f, 0, LARGE);
	fake_free(f);
	f = begin_large(&s, "range: bytes=1000-200999\n");
	assert_int_equal(f->status, 206);
	fake_file_sent(f);
	assert_true(f->is_finished);
	check_pattern(f, 1000, 200000);
	fake_free(f);
	scene_end(&s);
}

static void test_download_of_ranges_of_a_large_file(void **state)
{
	struct fake_exchange *f;
	struct scene s;
	const uint8_t *at;
	char *end;

	scene_begin(&s, state);
	make_file(&s, "large", LARGE);
	f = begin_large(&s, "range: bytes=5-400004,-3,0-0\n");
	assert_int_equal(f->status, 206);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(f->is_finished, false);
		fake_file_sent(f);
	}
	assert_true(f->is_finished);
	at = (const uint8_t *)strstr(fake_text(&f->body), "\r\n\r\n") + 4;
	pattern_check(at, 400000, 5);
	at += 400000;
	assert_memory_equal(at, "\r\n--", 4);
	end = strstr((const char *)at, "\r\n\r\n") + 4;
	pattern_check(end, 3, LARGE - 3);
	fake_free(f);
	scene_end(&s);
}

static void test_download_of_a_file_that_shrinks_is_broken_off(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	make_file(&s, "large", LARGE);
	f = begin_large(&s, "");
	shrink_file(&s, "large", LARGE - 1);
	fake_file_sent(f);
	assert_true(f->is_aborted);
	assert_true(f->is_released);
	fake_free(f);
	scene_end(&s);
}

static void test_download_of_a_file_that_grows_has_the_length_it_had(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	make_file(&s, "large", LARGE);
	f = begin_large(&s, "");
	shrink_file(&s, "large", LARGE + 1);
	fake_file_sent(f);
	assert_true(f->is_finished);
	check_pattern(f, 0, LARGE);
	fake_free(f);
	scene_end(&s);
}

static void test_download_whose_peer_goes_closes_its_file(void **state)
{
	static const char *const codings[] = { "", GZIP };
	struct fake_exchange *f;
	struct busy_pool pool;
	struct scene s;

	scene_begin(&s, state);
	make_file(&s, "large", LARGE);
	for (size_t i = 0; i < ARRAY_SIZE(codings); i++) {
		/* While its file is opened, and while that waits for a thread. */
		f = get(&s, "large", codings[i]);
		fake_gone(f);
		assert_false(f->is_released);
		loop_fixture_run_until(s.loop, &f->is_released);
		fake_free(f);
		busy_pool_begin(&pool, s.loop);
		f = get(&s, "large", codings[i]);
		fake_gone(f);
		loop_fixture_run_until(s.loop, &f->is_released);
		busy_pool_end(&pool);
		assert_false(f->is_answered);
		fake_free(f);
	}
	/* While it is sent. */
	f = begin_large(&s, "");
	fake_gone(f);
	assert_true(f->is_released);
	fake_free(f);
	scene_end(&s);
}

/* ---- in pieces ---- */

static void finish_pieces(struct scene *s, struct fake_exchange *f)
{
	loop_fixture_run_until(s->loop, &f->is_released);
	assert_int_equal(f->status, 200);
	assert_true(f->is_finished);
	assert_true(f->n_sends > 1);
}

static void test_download_of_a_large_file_is_compressed_on_the_way(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	make_file(&s, "large", 20 * LARGE);
	f = get(&s, "large", GZIP);
	finish_pieces(&s, f);
	assert_true(fake_has(&f->head, "Content-Encoding: gzip"));
	check_gzip(f, 20 * LARGE);
	fake_free(f);
	scene_end(&s);
}

static void test_download_of_a_large_file_without_a_size(void **state)
{
	static const char path[] = "?path=/proc/kallsyms";
	struct fake_exchange *plain, *packed;
	struct buf unpacked;
	struct scene s;

	scene_begin(&s, state);
	plain = get(&s, path, "range: bytes=0-1\n");
	finish_pieces(&s, plain);
	assert_false(fake_has(&plain->head, "Accept-Ranges: bytes"));
	packed = get(&s, path, GZIP);
	finish_pieces(&s, packed);
	buf_init(&unpacked, 64u * 1024u * 1024u);
	assert_int_equal(gzip_decompress(&unpacked, packed->body.data, packed->body.len), 0);
	assert_int_equal(unpacked.len, plain->body.len);
	assert_memory_equal(unpacked.data, plain->body.data, unpacked.len);
	buf_deinit(&unpacked);
	fake_free(plain);
	fake_free(packed);
	scene_end(&s);
}

/* Nothing is read for a peer before it has taken what was read. */
static void test_download_in_pieces_waits_for_a_slow_peer(void **state)
{
	struct fake_exchange *f;
	struct scene s;
	unsigned n_sends = 0;

	scene_begin(&s, state);
	make_file(&s, "large", 20 * LARGE);
	f = get(&s, "large", GZIP);
	f->is_full = true;
	loop_fixture_run_jobs(s.loop);
	while (!f->is_released) {
		assert_int_equal(f->n_sends, ++n_sends);
		assert_true(f->body.len <= n_sends * FILES_PIECE);
		fake_proceed(f);
		f->is_full = true;
		loop_fixture_run_jobs(s.loop);
	}
	assert_true(f->is_finished);
	check_gzip(f, 20 * LARGE);
	fake_free(f);
	scene_end(&s);
}

static void test_download_in_pieces_of_a_file_that_shrinks_is_broken_off(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	make_file(&s, "large", 20 * LARGE);
	f = get(&s, "large", GZIP);
	f->is_full = true;
	loop_fixture_run_jobs(s.loop);
	shrink_file(&s, "large", 20 * LARGE - 1);
	fake_proceed(f);
	loop_fixture_run_until(s.loop, &f->is_released);
	assert_true(f->is_aborted);
	fake_free(f);
	scene_end(&s);
}

static void test_download_in_pieces_whose_peer_goes_is_given_up(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	make_file(&s, "large", 20 * LARGE);
	for (int reads = 0; reads <= 1; reads++) {
		f = get(&s, "large", GZIP);
		f->is_full = true;
		loop_fixture_run_jobs(s.loop);
		if (reads)
			fake_proceed(f);
		fake_gone(f);
		assert_int_equal(f->is_released, !reads);
		loop_fixture_run_until(s.loop, &f->is_released);
		fake_free(f);
	}
	scene_end(&s);
}

/* ---- limits ---- */

static void test_download_that_is_one_too_many_is_refused(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	make_file(&s, "large", LARGE);
	make_file(&s, "small", 1);
	s.api.downloads.n_transfers = FILES_TRANSFERS_MAX;
	refused(&s, "large", "", 503, "too many downloads at once", true);
	refused(&s, "large", GZIP, 503, "too many downloads at once", true);
	f = get(&s, "small", "");
	loop_fixture_run_until(s.loop, &f->is_released);
	assert_int_equal(f->status, 200);
	fake_free(f);
	s.api.downloads.n_transfers = 0;
	scene_end(&s);
}

static void test_download_that_is_one_too_many_to_compress_comes_as_it_is(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	make_file(&s, "large", LARGE);
	s.api.downloads.n_deflating = FILES_DEFLATING_MAX;
	f = begin_large(&s, GZIP);
	assert_int_equal(f->status, 200);
	check_vary(f, "Origin, Accept-Encoding");
	fake_file_sent(f);
	assert_true(f->is_finished);
	check_pattern(f, 0, LARGE);
	fake_free(f);
	refused(&s, "large", "accept-encoding: gzip, identity;q=0\n", 503,
	        "too many downloads at once", true);
	s.api.downloads.n_deflating = 0;
	scene_end(&s);
}

static void test_download_every_allocation_failure_is_refused(void **state)
{
	static const char *const fields[] = { "", GZIP, "range: bytes=0-1,5-6\n" };
	static const char *const names[] = { "large", "small" };
	struct fake_exchange *f;
	struct scene s;
	bool failed;

	scene_begin(&s, state);
	make_file(&s, "large", 3 * LARGE);
	make_file(&s, "small", 1000);
	for (size_t i = 0; i < ARRAY_SIZE(fields) * ARRAY_SIZE(names); i++) {
		for (unsigned nth = 1;; nth++) {
			s.fail_nth = nth;
			f = get(&s, names[i % 2], fields[i / 2]);
			loop_fixture_run_jobs(s.loop);
			failed = mem_fail_nth(0);
			while (f->file)
				fake_file_sent(f);
			assert_true(f->is_released);
			assert_true(f->is_aborted || f->is_finished);
			if (!failed)
				break;
			fake_free(f);
		}
		assert_true(f->is_finished);
		assert_in_range(f->status, 200, 206);
		fake_free(f);
	}
	scene_end(&s);
}

#define T(name) cmocka_unit_test_setup_teardown(name, loop_fixture_setup, loop_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_download_refusals_come_in_their_order),
		T(test_download_without_a_path_is_of_a_directory),
		T(test_download_without_the_right_is_refused_at_once),
		T(test_download_of_a_small_file_is_one_answer),
		T(test_download_of_ranges_of_a_small_file),
		T(test_download_of_a_large_file_sends_it_as_a_file),
		T(test_download_of_ranges_of_a_large_file),
		T(test_download_of_a_file_that_shrinks_is_broken_off),
		T(test_download_of_a_file_that_grows_has_the_length_it_had),
		T(test_download_whose_peer_goes_closes_its_file),
		T(test_download_of_a_large_file_is_compressed_on_the_way),
		T(test_download_of_a_large_file_without_a_size),
		T(test_download_in_pieces_waits_for_a_slow_peer),
		T(test_download_in_pieces_of_a_file_that_shrinks_is_broken_off),
		T(test_download_in_pieces_whose_peer_goes_is_given_up),
		T(test_download_that_is_one_too_many_is_refused),
		T(test_download_that_is_one_too_many_to_compress_comes_as_it_is),
		T(test_download_every_allocation_failure_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
