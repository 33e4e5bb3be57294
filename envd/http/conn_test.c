#include "http/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "http/limits.h"
#include "http/server_fixture.h"
#include "loop/job.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/pattern_file.h"
#include "tests/support/test.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

/* ---- a protocol that the test drives ---- */

static struct {
	struct conn *c;
	char got[65536 * 2 + 1];
	size_t n_got, takes; /* bytes it takes of each offer */
	unsigned n_eofs, n_hangups, n_drained, n_files, n_timeouts, n_gone, n_shutdowns;
	int file_error;
} probe;

static size_t probe_on_input(struct conn *c, const uint8_t *data, size_t len)
{
	size_t n = MIN(len, probe.takes);

	assert_ptr_equal(c, probe.c);
	memcpy(probe.got + probe.n_got, data, n);
	probe.n_got += n;
	return n;
}

static void probe_on_eof(struct conn *c)
{
	UNUSED(c);
	probe.n_eofs++;
}

static void probe_on_hangup(struct conn *c)
{
	UNUSED(c);
	probe.n_hangups++;
}

static void probe_on_drained(struct conn *c)
{
	assert_int_equal(conn_queued(c), 0);
	probe.n_drained++;
}

static void probe_on_file_sent(struct conn *c, int error)
{
	UNUSED(c);
	probe.n_files++;
	probe.file_error = error;
}

static void probe_on_timeout(struct conn *c)
{
	UNUSED(c);
	probe.n_timeouts++;
}

static void probe_on_shutdown(struct conn *c)
{
	UNUSED(c);
	probe.n_shutdowns++;
}

static void probe_on_gone(struct conn *c)
{
	UNUSED(c);
	probe.n_gone++;
	probe.c = NULL;
}

static const struct conn_protocol probe_protocol = {
	.on_input = probe_on_input,
	.on_eof = probe_on_eof,
	.on_hangup = probe_on_hangup,
	.on_drained = probe_on_drained,
	.on_file_sent = probe_on_file_sent,
	.on_timeout = probe_on_timeout,
	.on_shutdown = probe_on_shutdown,
	.on_gone = probe_on_gone,
};

/* A connection that speaks the probe's protocol from its first byte. */
static void probe_open(struct peer *p, struct server_fixture *f)
{
	memset(&probe, 0, sizeof probe);
	probe.takes = SIZE_MAX;
	probe.c = peer_open(p, f);
	conn_set_protocol(probe.c, &probe_protocol, &probe);
	assert_ptr_equal(conn_state(probe.c), &probe);
}

static bool write_text(const char *text)
{
	struct iovec piece = { (void *)(uintptr_t)text, strlen(text) };

	return conn_write(probe.c, &piece, 1);
}

/* Fills the socket until it takes no more. */
static void write_until_stuck(void)
{
	static char much[100000];
	struct iovec piece = { much, sizeof much };

	while (conn_write(probe.c, &piece, 1))
		;
	assert_true(conn_queued(probe.c) > 0);
}

/* ---- which protocol ---- */

static void test_conn_tells_protocols_apart_by_their_first_bytes(void **state)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	static const char other[] = "PRIZE /hello HTTP/1.1\r\nHost: a\r\n\r\n";
	struct peer p;

	for (size_t step = 1; step <= 16; step += 5) {
		peer_open(&p, *state);
		peer_send_slowly(&p, preface, sizeof preface - 1, step);
		peer_settle(&p);
		assert_true(p.got.len >= 9); /* its SETTINGS */
		assert_int_equal(p.got.data[3], 4);
		peer_close(&p);

		peer_open(&p, *state);
		peer_send_slowly(&p, other, sizeof other - 1, step);
		peer_settle(&p);
		assert_non_null(strstr(peer_text(&p), "200 OK"));
		peer_close(&p);
	}
}

/* A client of HTTP/2 that is wrong from its first line: how that came must not matter. */
static void test_conn_wrong_preface_is_an_error_of_http2_in_any_pieces(void **state)
{
	static const char wrong[] = "INVALID CONNECTION PREFACE\r\n\r\n";
	struct peer p;

	for (size_t step = 1; step < sizeof wrong; step++) {
		peer_open(&p, *state);
		peer_send_slowly(&p, wrong, sizeof wrong - 1, step);
		peer_settle(&p);
		assert_true(p.ended);
		assert_int_equal(p.got.len, 9 + 8);
		assert_int_equal(p.got.data[3], 7); /* GOAWAY */
		peer_close(&p);
	}
}

static void test_conn_with_half_a_preface_ends_in_time(void **state)
{
	struct peer p;

	peer_open(&p, *state);
	peer_send(&p, "PRI * HT");
	server_fixture_pass(*state, HTTP_HEADER_MS - 1000);
	peer_expect(&p, "");
	assert_false(p.ended);
	server_fixture_pass(*state, HTTP_HEADER_MS + 1);
	peer_expect_end(&p, "");
	peer_close(&p);
}

static void test_conn_silent_from_the_start_ends_in_time(void **state)
{
	struct peer p;

	peer_open(&p, *state);
	server_fixture_pass(*state, HTTP_IDLE_MS - 1000);
	peer_settle(&p);
	assert_false(p.ended);
	server_fixture_pass(*state, HTTP_IDLE_MS + 1);
	peer_expect_end(&p, "");
	peer_close(&p);
}

/* ---- input ---- */

static void test_conn_keeps_what_is_left_and_offers_it_on_resume(void **state)
{
	struct peer p;

	probe_open(&p, *state);
	probe.takes = 2;
	peer_send(&p, "abcde");
	assert_int_equal(probe.n_got, 2);
	assert_int_equal(conn_kept(probe.c), 3);
	peer_send(&p, "fgh");
	assert_int_equal(probe.n_got, 2);
	assert_int_equal(conn_kept(probe.c), 6);
	conn_resume(probe.c);
	assert_int_equal(probe.n_got, 2); /* not inside the call */
	peer_settle(&p);
	assert_int_equal(probe.n_got, 4);
	probe.takes = SIZE_MAX;
	conn_resume(probe.c);
	peer_settle(&p);
	peer_send(&p, "ijk");
	assert_string_equal(probe.got, "abcdefghijk");
	peer_close(&p);
}

static void test_conn_paused_reads_no_more_than_its_limit(void **state)
{
	char *much = xcalloc(1, 1000000);
	struct peer p;

	probe_open(&p, *state);
	probe.takes = 0;
	assert_true(peer_send_bytes(&p, much, 1000000) < 1000000);
	assert_int_equal(conn_kept(probe.c), HTTP_PENDING_MAX);
	peer_close(&p);
	free(much);
}

static void test_conn_end_is_told_after_the_last_byte_is_taken(void **state)
{
	struct peer p;

	probe_open(&p, *state);
	probe.takes = 1;
	peer_send(&p, "ab");
	peer_end(&p);
	assert_int_equal(probe.n_eofs, 0);
	assert_int_equal(probe.n_hangups, 1);
	conn_resume(probe.c);
	peer_settle(&p);
	assert_int_equal(probe.n_eofs, 1);
	assert_int_equal(probe.n_hangups, 1);
	peer_close(&p);
	conn_close(probe.c);
	peer_settle(&p);
}

static void test_conn_hangup_is_told_behind_a_full_window(void **state)
{
	char *much = xcalloc(1, 100000);
	struct peer p;

	probe_open(&p, *state);
	probe.takes = 0;
	peer_send_bytes(&p, much, 100000);
	assert_int_equal(conn_kept(probe.c), HTTP_PENDING_MAX);
	assert_int_equal(probe.n_hangups, 0);
	peer_end(&p);
	assert_int_equal(probe.n_hangups, 1);
	assert_int_equal(probe.n_eofs, 0);
	probe.takes = SIZE_MAX;
	conn_resume(probe.c);
	peer_settle(&p);
	assert_int_equal(probe.n_got, 100000);
	assert_int_equal(probe.n_eofs, 1);
	free(much);
	peer_close(&p);
	conn_close(probe.c);
	peer_settle(&p);
}

/* There is no room to read up to the error, and the loop must not be told of it for ever. */
static void test_conn_reset_behind_a_full_window_ends(void **state)
{
	char *much = xcalloc(1, 100000);
	struct peer p;

	probe_open(&p, *state);
	probe.takes = 0;
	peer_send_bytes(&p, much, 100000);
	free(much);
	assert_int_equal(conn_kept(probe.c), HTTP_PENDING_MAX);
	write_text("unread"); /* makes its close a reset */
	peer_reset(&p);
	assert_int_equal(probe.n_gone, 1);
}

/* ---- output ---- */

static void test_conn_corked_writes_go_out_at_the_last_uncork(void **state)
{
	struct peer p;

	probe_open(&p, *state);
	conn_cork(probe.c);
	conn_cork(probe.c);
	assert_true(write_text("ab"));
	conn_uncork(probe.c);
	assert_true(write_text("cd"));
	peer_expect(&p, "");
	assert_int_equal(conn_queued(probe.c), 4);
	conn_uncork(probe.c);
	assert_int_equal(conn_queued(probe.c), 0);
	peer_expect(&p, "abcd");
	assert_int_equal(probe.n_drained, 0);
	peer_close(&p);
}

static void test_conn_full_socket_queues_and_tells_when_drained(void **state)
{
	struct peer p;

	probe_open(&p, *state);
	write_until_stuck();
	conn_cork(probe.c);
	write_text("x");
	conn_uncork(probe.c);
	assert_false(write_text("y"));
	loop_fixture_turn(p.f->loop, 5);
	assert_int_equal(probe.n_drained, 0);
	peer_settle(&p);
	assert_int_equal(probe.n_drained, 1);
	assert_memory_equal(p.got.data + p.got.len - 2, "xy", 2);
	assert_int_equal(p.got.len % 100000, 2);
	peer_close(&p);
}

static void test_conn_peer_that_takes_nothing_is_cut_in_time(void **state)
{
	struct peer p;

	probe_open(&p, *state);
	conn_deadline(probe.c, 0);
	write_until_stuck();
	server_fixture_pass(*state, HTTP_WRITE_STALL_MS - 1000);
	assert_int_equal(probe.n_gone, 0);
	server_fixture_pass(*state, HTTP_WRITE_STALL_MS + 1);
	assert_int_equal(probe.n_gone, 1);
	peer_close(&p);
}

static void test_conn_whose_queue_is_too_much_for_the_server_is_cut(void **state)
{
	struct server_fixture *f = *state;
	struct peer p;

	assert_true(server_charge_queue(f->server, SERVER_QUEUES_MAX - 2));
	probe_open(&p, f);
	conn_cork(probe.c);
	write_text("ab");
	assert_false(server_charge_queue(f->server, 1));
	conn_uncork(probe.c);
	peer_expect(&p, "ab");
	conn_cork(probe.c); /* what has gone out is not charged any more */
	write_text("cd");
	conn_uncork(probe.c);
	peer_expect(&p, "cd");
	conn_cork(probe.c);
	write_text("efg");
	assert_true(conn_is_closing(probe.c));
	conn_uncork(probe.c);
	peer_expect_end(&p, "");
	assert_int_equal(probe.n_gone, 1);
	server_discharge_queue(f->server, SERVER_QUEUES_MAX - 2);
	peer_close(&p);
}

static void test_conn_without_memory_for_its_queue_is_cut(void **state)
{
	struct peer p;

	probe_open(&p, *state);
	conn_cork(probe.c);
	mem_fail_nth(1);
	write_text("x");
	assert_true(mem_fail_nth(0));
	conn_uncork(probe.c);
	peer_expect_end(&p, "");
	assert_int_equal(probe.n_gone, 1);
	peer_close(&p);
}

/* ---- files ---- */

static struct http_file *file_of(struct peer *p, size_t len)
{
	return http_file_new(p->f->loop, pattern_file(len));
}

static void test_conn_sends_a_file_behind_what_was_written(void **state)
{
	struct http_file *file;
	struct peer p;

	probe_open(&p, *state);
	file = file_of(&p, 3000000);
	write_text("head");
	conn_send_file(probe.c, file, 10, 2000000);
	assert_int_equal(probe.n_files, 0); /* not inside the call */
	http_file_unref(file);
	peer_settle(&p);
	assert_int_equal(probe.n_files, 1);
	assert_int_equal(probe.file_error, 0);
	write_text("tail");
	peer_settle(&p);
	assert_int_equal(p.got.len, 4 + 2000000 + 4);
	assert_memory_equal(p.got.data, "head", 4);
	pattern_check(p.got.data + 4, 2000000, 10);
	assert_memory_equal(p.got.data + 4 + 2000000, "tail", 4);
	assert_int_equal(probe.n_drained, 0);
	peer_close(&p);
}

static void test_conn_file_waits_for_a_queue_that_is_stuck(void **state)
{
	struct http_file *file;
	struct peer p;

	probe_open(&p, *state);
	file = file_of(&p, 1000000);
	write_until_stuck();
	conn_send_file(probe.c, file, 0, 1000000);
	assert_int_equal(job_count(p.f->loop), 0);
	peer_settle(&p);
	assert_int_equal(probe.n_drained, 1);
	assert_int_equal(probe.n_files, 1);
	assert_int_equal(p.got.len % 100000, 0);
	pattern_check(p.got.data + p.got.len - 1000000, 1000000, 0);
	http_file_unref(file);
	peer_close(&p);
}

static void test_conn_corked_file_goes_out_at_the_last_uncork(void **state)
{
	struct http_file *file;
	struct peer p;

	probe_open(&p, *state);
	file = file_of(&p, 10);
	conn_cork(probe.c);
	write_text("head");
	conn_send_file(probe.c, file, 0, 10);
	peer_expect(&p, "");
	conn_uncork(probe.c);
	peer_settle(&p);
	assert_int_equal(p.got.len, 14);
	assert_int_equal(probe.n_files, 1);
	http_file_unref(file);
	peer_close(&p);
}

static void test_conn_file_that_is_shorter_is_told(void **state)
{
	struct http_file *file;
	struct peer p;

	probe_open(&p, *state);
	file = file_of(&p, 1000);
	conn_send_file(probe.c, file, 0, 1001);
	peer_settle(&p);
	assert_int_equal(probe.n_files, 1);
	assert_int_equal(probe.file_error, -ENODATA);
	assert_int_equal(p.got.len, 1000);
	http_file_unref(file);
	peer_close(&p);
}

static void test_conn_peer_that_takes_nothing_of_a_file_is_cut_in_time(void **state)
{
	struct http_file *file;
	struct peer p;

	probe_open(&p, *state);
	file = file_of(&p, 3000000);
	conn_deadline(probe.c, 0);
	conn_send_file(probe.c, file, 0, 3000000);
	loop_fixture_run_jobs(p.f->loop);
	server_fixture_pass(*state, HTTP_WRITE_STALL_MS - 1000);
	assert_int_equal(probe.n_gone, 0);
	server_fixture_pass(*state, HTTP_WRITE_STALL_MS + 1);
	assert_int_equal(probe.n_gone, 1);
	assert_int_equal(probe.n_files, 0);
	http_file_unref(file);
	peer_settle(&p);
	peer_close(&p);
}

/* What was queued before goes out, the rest of the file does not, and nobody waits for it. */
static void test_conn_close_after_flush_drops_a_file_that_waits(void **state)
{
	struct http_file *file;
	struct peer p;

	for (int stuck_before = 0; stuck_before <= 1; stuck_before++) {
		probe_open(&p, *state);
		file = file_of(&p, 3000000);
		if (stuck_before)
			write_until_stuck();
		conn_send_file(probe.c, file, 0, 3000000);
		loop_fixture_run_jobs(p.f->loop);
		conn_close_after_flush(probe.c);
		http_file_unref(file);
		peer_settle(&p);
		assert_true(p.ended && !p.reset);
		if (stuck_before)
			assert_int_equal(p.got.len % 100000, 0);
		else
			pattern_check(p.got.data, p.got.len, 0);
		assert_true(p.got.len < 3000000);
		assert_int_equal(probe.n_files, 0);
		peer_end(&p);
		assert_int_equal(probe.n_gone, 1);
		peer_close(&p);
	}
}

/* Its job is left to end by itself: it may be stuck in a file system. */
static void test_conn_closed_while_a_file_is_sent_tells_nothing(void **state)
{
	static void (*const ends[])(struct conn * c) = { conn_close, conn_close_after_flush,
		                                         conn_reset };
	struct http_file *file;
	struct peer p;

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		probe_open(&p, *state);
		file = file_of(&p, 3000000);
		conn_send_file(probe.c, file, 0, 3000000);
		http_file_unref(file);
		ends[i](probe.c);
		conn_send_file(probe.c, file, 0, 1); /* nothing happens any more */
		peer_settle(&p);
		assert_true(p.ended);
		assert_int_equal(probe.n_gone, 1);
		assert_int_equal(probe.n_files, 0);
		peer_close(&p);
	}
}

static void test_conn_file_to_a_peer_that_is_gone_ends_it(void **state)
{
	struct http_file *file;
	struct peer p;

	probe_open(&p, *state);
	file = file_of(&p, 10);
	close(TAKE_FD(p.fd));
	conn_send_file(probe.c, file, 0, 10);
	http_file_unref(file);
	loop_fixture_run_jobs(p.f->loop);
	loop_fixture_turn(p.f->loop, 5);
	assert_int_equal(probe.n_gone, 1);
	assert_int_equal(probe.n_files, 0);
	peer_close(&p);
}

static void test_conn_file_without_a_descriptor_ends_it(void **state)
{
	struct rlimit before, none;
	struct http_file *file;
	struct peer p;

	probe_open(&p, *state);
	file = file_of(&p, 10);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ 0, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	conn_send_file(probe.c, file, 0, 10);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	peer_expect_end(&p, "");
	assert_int_equal(probe.n_gone, 1);
	http_file_unref(file);
	peer_close(&p);
}

/* ---- the end ---- */

static void test_conn_close_tells_from_the_loop_and_once(void **state)
{
	struct peer p;

	probe_open(&p, *state);
	conn_close(probe.c);
	conn_close(probe.c);
	assert_true(conn_is_closing(probe.c));
	write_text("x");
	conn_resume(probe.c);
	conn_deadline(probe.c, 1);
	assert_int_equal(probe.n_gone, 0);
	peer_expect_end(&p, "");
	assert_int_equal(probe.n_gone, 1);
	peer_close(&p);
}

static void test_conn_close_after_flush_waits_for_queue_and_peer(void **state)
{
	struct peer p;
	size_t queued;

	probe_open(&p, *state);
	write_until_stuck();
	queued = conn_queued(probe.c);
	conn_close_after_flush(probe.c);
	assert_int_equal(conn_queued(probe.c), queued);
	peer_settle(&p);
	assert_true(p.ended && p.got.len % 100000 == 0);
	assert_int_equal(probe.n_gone, 0);
	peer_send(&p, "dropped");
	assert_int_equal(probe.n_got, 0);
	peer_end(&p);
	assert_int_equal(probe.n_gone, 1);
	peer_close(&p);
}

static void test_conn_lingers_only_so_long(void **state)
{
	struct peer p;

	probe_open(&p, *state);
	conn_close_after_flush(probe.c);
	peer_expect_end(&p, "");
	assert_int_equal(probe.n_gone, 0);
	server_fixture_pass(*state, HTTP_DRAIN_MS + 1);
	assert_int_equal(probe.n_gone, 1);
	peer_close(&p);
}

static void test_conn_lingers_only_for_so_much(void **state)
{
	char *much = xcalloc(1, HTTP_LINGER_MAX);
	struct peer p;

	probe_open(&p, *state);
	conn_close_after_flush(probe.c);
	peer_send_bytes(&p, much, HTTP_LINGER_MAX);
	assert_int_equal(probe.n_gone, 0);
	peer_send_bytes(&p, "x", 1);
	assert_int_equal(probe.n_gone, 1);
	free(much);
	peer_close(&p);
}

static void test_conn_peer_that_is_gone_ends_it_at_the_next_write(void **state)
{
	struct peer p;

	probe_open(&p, *state);
	close(TAKE_FD(p.fd));
	write_text("x");
	assert_int_equal(probe.n_gone, 0);
	server_fixture_pass(*state, 0);
	assert_int_equal(probe.n_gone, 1);
	peer_close(&p);
}

static void test_conn_deadline_is_told_and_can_be_taken_back(void **state)
{
	struct peer p;

	probe_open(&p, *state);
	conn_deadline(probe.c, 1000);
	conn_deadline(probe.c, 0);
	server_fixture_pass(*state, 5000);
	assert_int_equal(probe.n_timeouts, 0);
	conn_deadline(probe.c, 1000);
	server_fixture_pass(*state, 1000);
	assert_int_equal(probe.n_timeouts, 1);
	peer_close(&p);
}

#define T(name) cmocka_unit_test_setup_teardown(name, server_fixture_setup, server_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_conn_tells_protocols_apart_by_their_first_bytes),
		T(test_conn_wrong_preface_is_an_error_of_http2_in_any_pieces),
		T(test_conn_with_half_a_preface_ends_in_time),
		T(test_conn_silent_from_the_start_ends_in_time),
		T(test_conn_keeps_what_is_left_and_offers_it_on_resume),
		T(test_conn_paused_reads_no_more_than_its_limit),
		T(test_conn_end_is_told_after_the_last_byte_is_taken),
		T(test_conn_hangup_is_told_behind_a_full_window),
		T(test_conn_reset_behind_a_full_window_ends),
		T(test_conn_corked_writes_go_out_at_the_last_uncork),
		T(test_conn_full_socket_queues_and_tells_when_drained),
		T(test_conn_peer_that_takes_nothing_is_cut_in_time),
		T(test_conn_whose_queue_is_too_much_for_the_server_is_cut),
		T(test_conn_without_memory_for_its_queue_is_cut),
		T(test_conn_sends_a_file_behind_what_was_written),
		T(test_conn_file_waits_for_a_queue_that_is_stuck),
		T(test_conn_corked_file_goes_out_at_the_last_uncork),
		T(test_conn_file_that_is_shorter_is_told),
		T(test_conn_peer_that_takes_nothing_of_a_file_is_cut_in_time),
		T(test_conn_close_after_flush_drops_a_file_that_waits),
		T(test_conn_closed_while_a_file_is_sent_tells_nothing),
		T(test_conn_file_to_a_peer_that_is_gone_ends_it),
		T(test_conn_file_without_a_descriptor_ends_it),
		T(test_conn_close_tells_from_the_loop_and_once),
		T(test_conn_close_after_flush_waits_for_queue_and_peer),
		T(test_conn_lingers_only_so_long),
		T(test_conn_lingers_only_for_so_much),
		T(test_conn_peer_that_is_gone_ends_it_at_the_next_write),
		T(test_conn_deadline_is_told_and_can_be_taken_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
