#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/file.h"
#include "http/limits.h"
#include "http/server_fixture.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/pattern_file.h"
#include "tests/support/test.h"

#define GET(path)   "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define CHUNKED     "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
#define HELLO       "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define HELLO_CLOSE "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
#define ECHOED(length, body)                                                                       \
	"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " length "\r\n\r\n" body
#define DONE     "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"
#define REFUSAL  "Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"
#define LARGE    5000u /* bytes: not worth joining to the end of a response */

static void talk(void **state, const char *input, const char *output)
{
	struct peer p;

	peer_open(&p, *state);
	peer_send(&p, input);
	peer_expect(&p, output);
	assert_false(p.ended);
	peer_close(&p);
}

static void talk_to_end(void **state, const char *input, const char *output)
{
	struct peer p;

	peer_open(&p, *state);
	peer_send(&p, input);
	peer_expect_end(&p, output);
	peer_close(&p);
}

/* ---- ordinary requests ---- */

static void test_h1_request_is_answered_and_connection_kept(void **state)
{
	talk(state, GET("/hello"), HELLO);
}

static void test_h1_pipelined_requests_are_answered_in_order(void **state)
{
	talk(state, GET("/hello") CHUNKED "3\r\nabc\r\n0\r\n\r\n" GET("/404") GET("/hello"),
	     HELLO ECHOED("3", "abc") "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" HELLO);
}

static void test_h1_pipelined_request_waits_for_the_answer_before(void **state)
{
	struct server_fixture *f = *state;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, GET("/hold") GET("/hello"));
	peer_expect(&p, "");
	assert_int_equal(f->n_requests, 1);
	held_finish(server_fixture_held(f));
	peer_expect(&p, DONE HELLO);
	peer_close(&p);
}

static void test_h1_connection_close_is_obeyed(void **state)
{
	talk_to_end(state,
	            "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n" GET("/"),
	            HELLO_CLOSE);
}

static void test_h1_1_0_closes_unless_asked_to_keep_alive(void **state)
{
	talk_to_end(state, "GET /hello HTTP/1.0\r\n\r\n",
	            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
	talk(state, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
	     "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello");
}

static void test_h1_head_has_length_but_no_body(void **state)
{
	talk(state, "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n" GET("/hello"),
	     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" HELLO);
}

static void test_h1_empty_lines_before_a_request_are_skipped(void **state)
{
	talk(state, "\r\n" GET("/hello") "\r\n" GET("/hello"), HELLO HELLO);
	talk_to_end(state, "\r\n\r\n\r\n",
	            "HTTP/1.1 400 Bad Request\r\n" REFUSAL "400 Bad Request");
}

/* ---- request bodies ---- */

static void test_h1_body_with_length_arrives(void **state)
{
	talk(state, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody" GET("/hello"),
	     ECHOED("4", "body") HELLO);
}

static void test_h1_chunked_body_arrives_with_trailers(void **state)
{
	struct server_fixture *f = *state;
	const struct http_field *trailers;
	struct held *h;
	struct peer p;
	size_t n;

	peer_open(&p, f);
	peer_send(&p,
	          "POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
	          "4;ext=\"a b\"\r\nWiki\r\n005 ;x\r\npedia\r\n0\r\nX-Sum:  1 \r\nY: 2\r\n\r\n");
	h = server_fixture_held(f);
	assert_true(h->ended);
	assert_int_equal(h->how, EXCHANGE_BODY_COMPLETE);
	assert_int_equal(h->body.len, 9);
	assert_memory_equal(h->body.data, "Wikipedia", 9);
	trailers = exchange_trailers(h->x, &n);
	assert_int_equal(n, 2);
	assert_true(span_equal(trailers[0].name, "x-sum"));
	assert_true(span_equal(trailers[0].value, "1"));
	assert_true(span_equal(trailers[1].name, "y"));
	held_finish(h);
	peer_expect(&p, DONE);
	peer_close(&p);
}

static void test_h1_broken_chunk_is_told_and_closes_after_the_answer(void **state)
{
	struct server_fixture *f = *state;
	struct held *h;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, "POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	              "4\r\nWikiX\r\n0\r\n\r\n" GET("/hello"));
	h = server_fixture_held(f);
	assert_true(h->ended);
	assert_int_equal(h->how, EXCHANGE_BODY_MALFORMED);
	held_finish(h);
	peer_expect_end(&p,
	                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone");
	assert_int_equal(f->n_requests, 1);
	peer_close(&p);
}

static void test_h1_body_is_not_pushed_before_read_nor_beyond_the_window(void **state)
{
	struct server_fixture *f = *state;
	size_t size = EXCHANGE_WINDOW + 100000;
	char *body = xcalloc(1, size);
	struct held *h;
	struct peer p;
	size_t sent;

	peer_open(&p, f);
	peer_send(&p, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 362144\r\n\r\n");
	sent = peer_send_bytes(&p, body, size);
	assert_true(sent < size);
	h = server_fixture_held(f);
	assert_int_equal(h->body.len, 0);
	h->consumes = false;
	exchange_read(h->x);
	peer_settle(&p);
	sent += peer_send_bytes(&p, body, size - sent);
	assert_int_equal(h->body.len, EXCHANGE_WINDOW);
	assert_false(h->ended);
	exchange_consumed(h->x, EXCHANGE_WINDOW);
	peer_settle(&p);
	peer_send_bytes(&p, body, size - sent);
	assert_true(h->ended);
	assert_int_equal(h->body.len, size);
	free(body);
	peer_close(&p);
}

static void test_h1_big_body_arrives_whole(void **state)
{
	struct server_fixture *f = *state;
	char *body = xcalloc(1, 1000000);
	struct held *h;
	struct peer p;

	for (size_t i = 0; i < 1000000; i++)
		body[i] = (char)(i * 7919 >> 8);
	peer_open(&p, f);
	peer_send(&p, "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
	peer_send_bytes(&p, body, 1000000);
	h = server_fixture_held(f);
	assert_true(h->ended);
	assert_int_equal(h->body.len, 1000000);
	assert_memory_equal(h->body.data, body, 1000000);
	free(body);
	peer_close(&p);
}

static void test_h1_reading_a_request_without_body_ends_at_once(void **state)
{
	struct server_fixture *f = *state;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, GET("/read"));
	assert_true(server_fixture_held(f)->ended);
	assert_int_equal(server_fixture_held(f)->how, EXCHANGE_BODY_COMPLETE);
	peer_close(&p);
}

/* ---- expectations ---- */

#define EXPECTS(path, length)                                                                      \
	"POST " path " HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: " length     \
	"\r\n\r\n"

static void test_h1_continue_is_sent_when_the_body_is_read(void **state)
{
	struct server_fixture *f = *state;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, EXPECTS("/hold", "4"));
	peer_expect(&p, "");
	exchange_read(server_fixture_held(f)->x);
	peer_expect(&p, CONTINUE);
	peer_send(&p, "body");
	assert_true(server_fixture_held(f)->ended);
	held_finish(server_fixture_held(f));
	peer_expect(&p, DONE);
	peer_close(&p);
}

static void test_h1_answer_without_continue_closes(void **state)
{
	talk_to_end(state, EXPECTS("/hello", "4"), HELLO_CLOSE);
}

static void test_h1_other_expectation_is_417(void **state)
{
	talk_to_end(state,
	            "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n",
	            "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\nConnection: "
	            "close\r\n\r\n");
}

/* ---- answers before the body ---- */

static void test_h1_short_unread_body_is_dropped_and_connection_kept(void **state)
{
	talk(state,
	     "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody" GET("/hello"),
	     HELLO HELLO);
	talk(state,
	     "POST /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	     "3\r\nabc\r\n0\r\nA: b\r\n\r\n" GET("/hello"),
	     HELLO HELLO);
}

static void test_h1_long_unread_body_closes(void **state)
{
	talk_to_end(state, "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 16777217\r\n\r\n",
	            HELLO_CLOSE);
}

static void test_h1_endless_unread_body_closes_at_the_limit(void **state)
{
	struct server_fixture *f = *state;
	char *chunk = xcalloc(1, 65540);
	struct peer p;

	memcpy(chunk, "10000\r\n", 7);
	memcpy(chunk + 7 + 65536 - 7, "\r\n", 2);
	peer_open(&p, f);
	peer_send(&p, "POST /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
	peer_expect(&p, HELLO);
	for (unsigned i = 0; i < HTTP_DRAIN_MAX / 65536 + 2 && !p.ended; i++) {
		peer_send(&p, "10000\r\n");
		peer_send_bytes(&p, chunk, 65536);
		peer_send(&p, "\r\n");
		peer_settle(&p);
	}
	assert_true(p.ended);
	free(chunk);
	peer_close(&p);
}

static void test_h1_slow_unread_body_closes_in_time(void **state)
{
	struct peer p;

	peer_open(&p, *state);
	peer_send(&p, "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
	peer_expect(&p, HELLO);
	server_fixture_pass(*state, HTTP_DRAIN_MS + 1);
	peer_expect_end(&p, "");
	peer_close(&p);
}

/* ---- streamed responses ---- */

static void send_text(struct held *h, const char *text)
{
	struct iovec pieces[2] = { { (void *)(uintptr_t)text, 1 },
		                   { (void *)(uintptr_t)(text + 1), strlen(text) - 1 } };

	assert_true(exchange_send(h->x, pieces, 2));
}

static void test_h1_head_travels_with_the_first_piece(void **state)
{
	struct server_fixture *f = *state;
	struct http_field trailer = HTTP_FIELD("X", "y");
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, GET("/begin"));
	peer_expect(&p, "");
	send_text(server_fixture_held(f), "one");
	peer_expect(&p, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
	send_text(server_fixture_held(f), "0123456789abcdefg");
	exchange_send(server_fixture_held(f)->x, NULL, 0);
	exchange_finish(&server_fixture_held(f)->x, &trailer, 1);
	peer_expect(&p, "11\r\n0123456789abcdefg\r\n0\r\n\r\n");
	peer_send(&p, GET("/hello"));
	peer_expect(&p, HELLO);
	peer_close(&p);
}

static void test_h1_held_response_ends_in_one_write(void **state)
{
	struct server_fixture *f = *state;
	struct held *h;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, GET("/begin"));
	h = server_fixture_held(f);
	send_text(h, "one");
	peer_expect(&p, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
	exchange_hold(h->x);
	send_text(h, "two");
	send_text(h, "three");
	peer_expect(&p, "");
	exchange_finish(&h->x, NULL, 0);
	peer_expect(&p, "3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n");
	peer_send(&p, GET("/hello"));
	peer_expect(&p, HELLO);
	peer_close(&p);
}

static void test_h1_held_response_that_is_aborted_is_cut_behind_what_was_sent(void **state)
{
	struct server_fixture *f = *state;
	struct held *h;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, GET("/begin"));
	h = server_fixture_held(f);
	exchange_hold(h->x);
	send_text(h, "one");
	exchange_abort(&h->x);
	peer_expect_end(&p, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
	peer_close(&p);
}

static void test_h1_held_response_whose_peer_has_gone_is_given_back(void **state)
{
	struct server_fixture *f = *state;
	struct held *h;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, GET("/begin"));
	h = server_fixture_held(f);
	exchange_hold(h->x);
	send_text(h, "one");
	peer_reset(&p);
	assert_int_equal(h->n_stops, 1);
	exchange_finish(&h->x, NULL, 0);
}

static void test_h1_large_piece_of_a_held_response_is_not_kept_back(void **state)
{
	static char text[LARGE + 1];
	struct server_fixture *f = *state;
	struct held *h;
	struct peer p;

	memset(text, 'x', LARGE);
	peer_open(&p, f);
	peer_send(&p, GET("/begin"));
	h = server_fixture_held(f);
	exchange_hold(h->x);
	send_text(h, text);
	peer_settle(&p);
	assert_true(strlen(peer_text(&p)) > LARGE);
	exchange_finish(&h->x, NULL, 0);
	peer_expect(&p, "0\r\n\r\n");
	peer_close(&p);
}

static void test_h1_announced_trailers_are_sent(void **state)
{
	struct server_fixture *f = *state;
	struct http_field announced = HTTP_FIELD("Trailer", "X");
	struct http_field trailer = HTTP_FIELD("X", "a\r\nb");
	struct held *h;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, GET("/hold"));
	h = server_fixture_held(f);
	exchange_begin(h->x, 200, &announced, 1, -1);
	exchange_finish(&h->x, &trailer, 1);
	peer_expect(&p, "HTTP/1.1 200 OK\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n"
	                "0\r\nX: a  b\r\n\r\n");
	peer_close(&p);
}

static void test_h1_1_0_stream_runs_until_the_close(void **state)
{
	struct server_fixture *f = *state;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, "GET /begin HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	send_text(server_fixture_held(f), "one");
	held_finish(server_fixture_held(f));
	peer_expect_end(&p, "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\none");
	peer_close(&p);
}

static void test_h1_stream_short_of_its_length_is_cut(void **state)
{
	struct server_fixture *f = *state;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, GET("/hold"));
	exchange_begin(server_fixture_held(f)->x, 200, NULL, 0, 10);
	send_text(server_fixture_held(f), "one");
	held_finish(server_fixture_held(f));
	peer_expect_end(&p, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\none");
	peer_close(&p);
}

static void test_h1_full_queue_asks_to_wait_and_then_to_proceed(void **state)
{
	struct server_fixture *f = *state;
	char *piece = xcalloc(1, 100000);
	struct iovec iov = { piece, 100000 };
	struct held *h;
	struct peer p;
	unsigned n = 1;

	peer_open(&p, f);
	peer_send(&p, GET("/begin"));
	h = server_fixture_held(f);
	while (exchange_send(h->x, &iov, 1))
		n++;
	assert_int_equal(h->n_proceeds, 0);
	peer_settle(&p);
	assert_int_equal(h->n_proceeds, 1);
	assert_true(p.got.len > n * 100000);
	free(piece);
	peer_close(&p);
}

static void test_h1_files_are_sent_behind_the_head(void **state)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 2000008\r\n\r\n";
	struct server_fixture *f = *state;
	struct http_file *file = http_file_new(f->loop, pattern_file(2000000));
	struct held *h;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, GET("/hold") GET("/hello"));
	h = server_fixture_held(f);
	exchange_begin(h->x, 200, NULL, 0, 2000008);
	exchange_send_file(h->x, file, 0, 1000000);
	peer_settle(&p);
	assert_int_equal(h->n_files_sent, 1);
	send_text(h, "between:");
	exchange_send_file(h->x, file, 1000000, 1000000);
	peer_settle(&p);
	assert_int_equal(h->n_files_sent, 2);
	assert_int_equal(h->file_error, 0);
	exchange_finish(&h->x, NULL, 0);
	peer_settle(&p);
	assert_int_equal(p.got.len, 37 + sizeof head - 1 + 2000008 + 37 + sizeof HELLO - 1);
	pattern_check(p.got.data + 37 + sizeof head - 1, 1000000, 0);
	pattern_check(p.got.data + 37 + sizeof head - 1 + 1000008, 1000000, 1000000);
	http_file_unref(file);
	p.got.len = 0;
	peer_close(&p);
}

static void test_h1_response_whose_file_is_shorter_is_cut(void **state)
{
	struct server_fixture *f = *state;
	struct http_file *file = http_file_new(f->loop, pattern_file(3));
	struct held *h;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, GET("/hold") GET("/hello"));
	h = server_fixture_held(f);
	exchange_begin(h->x, 200, NULL, 0, 10);
	exchange_send_file(h->x, file, 2, 10);
	peer_settle(&p);
	assert_int_equal(h->n_files_sent, 1);
	assert_int_equal(h->file_error, -ENODATA);
	exchange_abort(&h->x);
	peer_expect_end(&p, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n\x02");
	http_file_unref(file);
	peer_close(&p);
}

static void test_h1_abort_while_a_file_is_sent_cuts(void **state)
{
	struct server_fixture *f = *state;
	struct http_file *file;
	struct held *h;
	struct peer p;

	for (int is_full = 0; is_full <= 1; is_full++) {
		file = http_file_new(f->loop, pattern_file(3000000));
		peer_open(&p, f);
		peer_send(&p, GET("/hold"));
		h = server_fixture_held(f);
		exchange_begin(h->x, 200, NULL, 0, 3000000);
		exchange_send_file(h->x, file, 0, 3000000);
		http_file_unref(file);
		if (is_full)
			loop_fixture_run_jobs(f->loop);
		exchange_abort(&h->x);
		peer_settle(&p);
		assert_true(p.ended);
		assert_true(p.got.len < 3000000);
		p.got.len = 0;
		peer_close(&p);
	}
}

static void test_h1_peer_that_goes_stops_a_file_that_is_sent(void **state)
{
	struct server_fixture *f = *state;
	struct http_file *file;
	struct held *h;
	struct peer p;

	for (int is_full = 0; is_full <= 1; is_full++) {
		file = http_file_new(f->loop, pattern_file(3000000));
		peer_open(&p, f);
		peer_send(&p, GET("/hold"));
		h = server_fixture_held(f);
		exchange_begin(h->x, 200, NULL, 0, 3000001);
		exchange_send_file(h->x, file, 0, 3000000);
		if (is_full)
			loop_fixture_run_jobs(f->loop);
		peer_close(&p);
		loop_fixture_run_jobs(f->loop);
		loop_fixture_turn(f->loop, 5);
		assert_int_equal(h->n_stops, 1);
		assert_int_equal(h->n_files_sent, 0);
		exchange_send_file(h->x, file, 0, 1); /* swallowed */
		http_file_unref(file);
	}
	loop_fixture_run_jobs(f->loop);
}

/* Behind another answer it is written in one go with it, perhaps without the socket ever filling. */
static void test_h1_pipelined_streams_go_on_to_their_end(void **state)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n\r\n";
	struct server_fixture *f = *state;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, GET("/hello") GET("/pour") GET("/pour") GET("/hello"));
	peer_settle(&p);
	assert_int_equal(strlen(peer_text(&p)), sizeof HELLO - 1 + sizeof head - 1);
	assert_true(server_fixture_held(f)->n_proceeds > 0);
	assert_int_equal(f->n_requests, 4);
	peer_close(&p);
}

static void test_h1_abort_before_the_head_sends_nothing(void **state)
{
	struct server_fixture *f = *state;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, GET("/begin"));
	exchange_abort(&server_fixture_held(f)->x);
	peer_expect_end(&p, "");
	peer_close(&p);
}

static void test_h1_abort_leaves_the_answers_before_it_alone(void **state)
{
	struct server_fixture *f = *state;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, GET("/hello") GET("/hello") GET("/drop") GET("/hello"));
	peer_expect_end(&p, HELLO HELLO);
	assert_int_equal(f->n_requests, 3);
	peer_close(&p);
}

static void test_h1_abort_of_a_chunked_response_leaves_out_the_end(void **state)
{
	struct server_fixture *f = *state;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, GET("/begin"));
	send_text(server_fixture_held(f), "one");
	exchange_abort(&server_fixture_held(f)->x);
	peer_expect_end(&p, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
	peer_close(&p);
}

/* ---- the peer goes ---- */

static void test_h1_half_close_before_the_answer_still_gets_it(void **state)
{
	struct server_fixture *f = *state;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, GET("/hold"));
	assert_int_equal(server_fixture_held(f)->n_hangups, 0);
	peer_end(&p);
	assert_int_equal(server_fixture_held(f)->n_stops, 0);
	assert_int_equal(server_fixture_held(f)->n_hangups, 1);
	held_finish(server_fixture_held(f));
	peer_expect_end(&p,
	                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone");
	peer_close(&p);
}

static void test_h1_half_close_of_pipelined_requests_answers_all(void **state)
{
	struct server_fixture *f = *state;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, GET("/hold") GET("/hello"));
	peer_end(&p);
	assert_int_equal(server_fixture_held(f)->n_hangups, 1);
	held_finish(server_fixture_held(f));
	peer_expect_end(&p, DONE HELLO);
	peer_close(&p);
}

static void test_h1_half_close_in_the_body_cuts_it(void **state)
{
	struct server_fixture *f = *state;
	struct held *h;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nshort");
	peer_end(&p);
	h = server_fixture_held(f);
	assert_true(h->ended);
	assert_int_equal(h->how, EXCHANGE_BODY_CUT);
	assert_int_equal(h->body.len, 5);
	assert_int_equal(h->n_hangups, 1);
	held_finish(h);
	peer_expect_end(&p,
	                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone");
	peer_close(&p);
}

static void test_h1_half_close_while_streaming_stops(void **state)
{
	struct server_fixture *f = *state;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, GET("/begin"));
	send_text(server_fixture_held(f), "one");
	peer_end(&p);
	assert_int_equal(server_fixture_held(f)->n_stops, 1);
	send_text(server_fixture_held(f), "two");
	held_finish(server_fixture_held(f));
	peer_close(&p);
}

static void test_h1_ended_peer_does_not_hold_a_handler_that_reads_no_more(void **state)
{
	struct server_fixture *f = *state;
	char *body = xcalloc(1, EXCHANGE_WINDOW + 1000);
	struct held *h;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, "POST /greedy HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
	peer_send_bytes(&p, body, EXCHANGE_WINDOW + 1000);
	free(body);
	peer_end(&p);
	h = server_fixture_held(f);
	assert_int_equal(h->n_stops, 0);
	assert_int_equal(h->n_hangups, 1);
	server_fixture_pass(f, HTTP_HANGUP_MS + 1);
	assert_int_equal(h->n_stops, 1);
	peer_close(&p);
}

/* The time for its body is not a time for the answer. */
static void test_h1_ended_peer_whose_body_was_read_waits_for_the_answer(void **state)
{
	struct server_fixture *f = *state;
	char *body = xcalloc(1, 100000);
	struct held *h;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
	peer_send_bytes(&p, body, 100000);
	free(body);
	peer_end(&p);
	h = server_fixture_held(f);
	exchange_read(h->x);
	peer_settle(&p);
	assert_true(h->ended && h->how == EXCHANGE_BODY_COMPLETE);
	server_fixture_pass(f, HTTP_HANGUP_MS + 1);
	assert_int_equal(h->n_stops, 0);
	held_finish(h);
	peer_expect_end(&p,
	                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone");
	peer_close(&p);
}

/* In every state: the exchange, if there is one, is told once, and nothing leaks. */
static void test_h1_peer_reset_in_each_state_stops_once(void **state)
{
	static const char *const inputs[] = {
		"",
		"GET /hold HT",
		"GET /hold HTTP/1.1\r\nHost: a\r\n",
		GET("/hello"),
		GET("/hold"),
		GET("/begin"),
		GET("/hold") GET("/hello"),
		"POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
		"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
		"POST /greedy HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
		"POST /begin HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
		"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
	};
	struct server_fixture *f = *state;
	struct peer p;

	for (size_t i = 0; i < ARRAY_SIZE(inputs); i++) {
		unsigned n_held = f->n_held;

		peer_open(&p, f);
		peer_send(&p, inputs[i]);
		if (f->n_held > n_held && server_fixture_held(f)->x->answered)
			send_text(server_fixture_held(f), "one");
		peer_reset(&p);
		server_fixture_pass(f, HTTP_HANGUP_MS + 1);
		if (f->n_held > n_held && !server_fixture_held(f)->n_stops)
			held_finish(server_fixture_held(f)); /* it was asked before the answer */
		server_fixture_pass(f, HTTP_DRAIN_MS + 1);
		assert_int_equal(server_n_connections(f->server), 0);
	}
}

/* ---- time and limits ---- */

static void test_h1_idle_connection_ends_in_time(void **state)
{
	struct peer p;

	peer_open(&p, *state);
	peer_send(&p, GET("/hello"));
	peer_expect(&p, HELLO);
	server_fixture_pass(*state, HTTP_IDLE_MS - 1000);
	peer_expect(&p, "");
	assert_false(p.ended);
	server_fixture_pass(*state, HTTP_IDLE_MS + 1);
	peer_expect_end(&p, "");
	peer_close(&p);
}

static void test_h1_slow_header_is_408(void **state)
{
	struct peer p;

	peer_open(&p, *state);
	peer_send(&p, "GET /hello HTTP/1.1\r\nHost: a\r\n");
	server_fixture_pass(*state, HTTP_HEADER_MS - 1000);
	peer_send(&p, "X: y\r\n"); /* buys no time */
	assert_false(p.ended);
	server_fixture_pass(*state, HTTP_HEADER_MS);
	peer_expect_end(&p, "HTTP/1.1 408 Request Timeout\r\n" REFUSAL "408 Request Timeout");
	peer_close(&p);
}

static void test_h1_long_running_handler_is_left_alone(void **state)
{
	struct server_fixture *f = *state;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, GET("/hold"));
	server_fixture_pass(f, 2 * HTTP_IDLE_MS);
	server_fixture_pass(f, 2 * HTTP_IDLE_MS);
	assert_int_equal(server_fixture_held(f)->n_stops, 0);
	held_finish(server_fixture_held(f));
	peer_expect(&p, DONE);
	peer_close(&p);
}

static void test_h1_body_that_never_comes_stops(void **state)
{
	struct server_fixture *f = *state;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
	server_fixture_pass(f, HTTP_BODY_IDLE_MS + 1);
	assert_int_equal(server_fixture_held(f)->n_stops, 1);
	peer_close(&p);
}

/* A handler that wants no more until its timer. */
struct late_reader {
	struct timer timer;
	struct exchange *x;
};

static void late_reader_on_due(struct timer *timer)
{
	exchange_consumed(CONTAINER_OF(timer, struct late_reader, timer)->x, EXCHANGE_WINDOW);
}

static void test_h1_body_that_was_not_wanted_has_its_time_from_then(void **state)
{
	struct late_reader reader = { .timer.on_due = late_reader_on_due };
	struct server_fixture *f = *state;
	char *body = xcalloc(1, EXCHANGE_WINDOW);
	struct held *h;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, "POST /greedy HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
	peer_send_bytes(&p, body, EXCHANGE_WINDOW);
	free(body);
	h = server_fixture_held(f);
	reader.x = h->x;
	timer_start(&f->loop->timers, &reader.timer, HTTP_BODY_IDLE_MS - 2000);
	server_fixture_pass(f, HTTP_BODY_IDLE_MS - 1000);
	server_fixture_pass(f, HTTP_BODY_IDLE_MS + 1000);
	assert_int_equal(h->n_stops, 0);
	server_fixture_pass(f, 2 * HTTP_BODY_IDLE_MS);
	assert_int_equal(h->n_stops, 1);
	peer_close(&p);
}

static void test_h1_header_block_beyond_the_limit_is_431(void **state)
{
	struct peer p;
	char line[1024];

	memset(line, 'x', sizeof line);
	memcpy(line, "X: ", 3);
	memcpy(line + sizeof line - 2, "\r\n", 2);
	peer_open(&p, *state);
	peer_send(&p, "GET /hello HTTP/1.1\r\nHost: a\r\n");
	for (unsigned i = 0; i < HTTP_HEADER_MAX / sizeof line + 2 && !p.ended; i++)
		peer_send_bytes(&p, line, sizeof line);
	peer_expect_end(&p, "HTTP/1.1 431 Request Header Fields Too Large\r\n" REFUSAL
	                    "431 Request Header Fields Too Large");
	peer_close(&p);
}

static void test_h1_fields_beyond_the_limit_are_431(void **state)
{
	struct server_fixture *f = *state;
	struct peer p;

	for (unsigned n = HTTP_FIELDS_MAX; n <= HTTP_FIELDS_MAX + 1; n++) {
		peer_open(&p, f);
		peer_send(&p, "GET /hello HTTP/1.1\r\nHost: a\r\n");
		for (unsigned i = 1; i < n; i++)
			peer_send(&p, "X: y\r\n");
		peer_send(&p, "\r\n");
		peer_expect(&p, n == HTTP_FIELDS_MAX
		                        ? HELLO
		                        : "HTTP/1.1 431 Request Header Fields Too Large\r\n" REFUSAL
		                          "431 Request Header Fields Too Large");
		peer_close(&p);
	}
	assert_int_equal(f->n_requests, 1);
}

static void test_h1_large_header_block_is_accepted(void **state)
{
	struct server_fixture *f = *state;
	size_t size = 1000000;
	char *value = xmalloc(size + 1);
	struct peer p;

	memset(value, 'v', size);
	value[size] = '\0';
	peer_open(&p, f);
	peer_send(&p, "GET /hello HTTP/1.1\r\nHost: a\r\nX: ");
	peer_send(&p, value);
	peer_send(&p, "\r\n\r\n");
	peer_expect(&p, HELLO);
	free(value);
	peer_close(&p);
}

/* ---- draining ---- */

static void test_h1_drain_ends_idle_and_lets_busy_finish(void **state)
{
	struct server_fixture *f = *state;
	struct peer idle, busy, fresh;

	peer_open(&fresh, f);
	peer_open(&idle, f);
	peer_send(&idle, GET("/hello"));
	peer_expect(&idle, HELLO);
	peer_open(&busy, f);
	peer_send(&busy, GET("/hold"));
	server_drain(f->server);
	peer_expect_end(&idle, "");
	peer_expect_end(&fresh, "");
	peer_expect(&busy, "");
	/* Without waiting for their peers, who keep idle connections in pools and look at none. */
	peer_settle(&busy);
	assert_int_equal(server_n_connections(f->server), 1);
	held_finish(server_fixture_held(f));
	peer_expect_end(&busy,
	                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone");
	peer_close(&idle);
	peer_close(&busy);
	peer_close(&fresh);
	assert_int_equal(server_n_connections(f->server), 0);
}

/* ---- everything, in pieces of every size ---- */

static void test_h1_conversation_does_not_depend_on_its_pieces(void **state)
{
	static const char input[] = "\r\n" GET("/hello") CHUNKED
		"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nT: u\r\n\r\n"
		"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz"
		"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: "
		"close\r\n\r\nlast";
	static const char output[] = HELLO ECHOED("13", "abc0123456789") HELLO
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n"
		"Connection: close\r\n\r\nlast";
	struct server_fixture *f = *state;
	struct peer p;

	for (size_t step = 1; step < 20; step++) {
		peer_open(&p, f);
		peer_send_slowly(&p, input, sizeof input - 1, step);
		peer_expect_end(&p, output);
		peer_close(&p);
		server_fixture_forget(f);
	}
}

/* Whatever one wrong byte does, the server answers or waits, and nothing leaks. */
static void test_h1_any_byte_of_a_request_may_be_anything(void **state)
{
	static const char request[] =
		"POST /hello HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
		"Expect: 100-continue\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n";
	static const unsigned char values[] = {
		0, '\t', '\n', '\r', ' ', ':', ';', '0', 0x7f, 0xff
	};
	struct server_fixture *f = *state;
	char changed[sizeof request];
	struct peer p;

	for (size_t i = 0; i < sizeof request - 1; i++) {
		for (size_t v = 0; v <= ARRAY_SIZE(values); v++) {
			size_t len = v < ARRAY_SIZE(values) ? sizeof request - 1 : i;

			memcpy(changed, request, sizeof request);
			if (v < ARRAY_SIZE(values))
				changed[i] = (char)values[v];
			peer_open(&p, f);
			peer_send_bytes(&p, changed, len);
			peer_settle(&p);
			peer_close(&p);
			server_fixture_forget(f);
		}
	}
	server_fixture_pass(f, HTTP_DRAIN_MS + 1);
	assert_int_equal(server_n_connections(f->server), 0);
}

static void test_h1_every_allocation_failure_is_survived(void **state)
{
	struct server_fixture *f = *state;
	struct buf head;
	struct held *h;
	struct peer p;

	buf_init(&head, 20000);
	buf_append_text(&head,
	                "POST /hold HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX: ");
	memset(buf_extend(&head, 10000), 'x', 10000);
	buf_append_text(&head, "\r\n\r\n3\r\nabc\r\n0\r\nT: u\r\n\r\n");
	for (unsigned nth = 1;; nth++) {
		unsigned n_held = f->n_held;

		peer_open(&p, f);
		mem_fail_nth(nth);
		peer_send_bytes(&p, head.data, 5000);
		peer_send_bytes(&p, head.data + 5000, head.len - 5000);
		if (f->n_held > n_held) {
			h = server_fixture_held(f);
			exchange_begin(h->x, 200, NULL, 0, -1);
			exchange_send(h->x, NULL, 0);
			exchange_read(h->x);
			peer_settle(&p);
			exchange_finish(&h->x, NULL, 0);
		}
		peer_settle(&p);
		peer_close(&p);
		if (!mem_fail_nth(0))
			break;
	}
	buf_deinit(&head);
}

#define T(name) cmocka_unit_test_setup_teardown(name, server_fixture_setup, server_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_h1_request_is_answered_and_connection_kept),
		T(test_h1_pipelined_requests_are_answered_in_order),
		T(test_h1_pipelined_request_waits_for_the_answer_before),
		T(test_h1_connection_close_is_obeyed),
		T(test_h1_1_0_closes_unless_asked_to_keep_alive),
		T(test_h1_head_has_length_but_no_body),
		T(test_h1_empty_lines_before_a_request_are_skipped),
		T(test_h1_body_with_length_arrives),
		T(test_h1_chunked_body_arrives_with_trailers),
		T(test_h1_broken_chunk_is_told_and_closes_after_the_answer),
		T(test_h1_body_is_not_pushed_before_read_nor_beyond_the_window),
		T(test_h1_big_body_arrives_whole),
		T(test_h1_reading_a_request_without_body_ends_at_once),
		T(test_h1_continue_is_sent_when_the_body_is_read),
		T(test_h1_answer_without_continue_closes),
		T(test_h1_other_expectation_is_417),
		T(test_h1_short_unread_body_is_dropped_and_connection_kept),
		T(test_h1_long_unread_body_closes),
		T(test_h1_endless_unread_body_closes_at_the_limit),
		T(test_h1_slow_unread_body_closes_in_time),
		T(test_h1_head_travels_with_the_first_piece),
		T(test_h1_held_response_ends_in_one_write),
		T(test_h1_held_response_that_is_aborted_is_cut_behind_what_was_sent),
		T(test_h1_held_response_whose_peer_has_gone_is_given_back),
		T(test_h1_large_piece_of_a_held_response_is_not_kept_back),
		T(test_h1_announced_trailers_are_sent),
		T(test_h1_1_0_stream_runs_until_the_close),
		T(test_h1_stream_short_of_its_length_is_cut),
		T(test_h1_full_queue_asks_to_wait_and_then_to_proceed),
		T(test_h1_files_are_sent_behind_the_head),
		T(test_h1_response_whose_file_is_shorter_is_cut),
		T(test_h1_abort_while_a_file_is_sent_cuts),
		T(test_h1_peer_that_goes_stops_a_file_that_is_sent),
		T(test_h1_pipelined_streams_go_on_to_their_end),
		T(test_h1_abort_before_the_head_sends_nothing),
		T(test_h1_abort_leaves_the_answers_before_it_alone),
		T(test_h1_abort_of_a_chunked_response_leaves_out_the_end),
		T(test_h1_half_close_before_the_answer_still_gets_it),
		T(test_h1_half_close_of_pipelined_requests_answers_all),
		T(test_h1_half_close_in_the_body_cuts_it),
		T(test_h1_half_close_while_streaming_stops),
		T(test_h1_ended_peer_does_not_hold_a_handler_that_reads_no_more),
		T(test_h1_ended_peer_whose_body_was_read_waits_for_the_answer),
		T(test_h1_peer_reset_in_each_state_stops_once),
		T(test_h1_idle_connection_ends_in_time),
		T(test_h1_slow_header_is_408),
		T(test_h1_long_running_handler_is_left_alone),
		T(test_h1_body_that_never_comes_stops),
		T(test_h1_body_that_was_not_wanted_has_its_time_from_then),
		T(test_h1_header_block_beyond_the_limit_is_431),
		T(test_h1_fields_beyond_the_limit_are_431),
		T(test_h1_large_header_block_is_accepted),
		T(test_h1_drain_ends_idle_and_lets_busy_finish),
		T(test_h1_conversation_does_not_depend_on_its_pieces),
		T(test_h1_any_byte_of_a_request_may_be_anything),
		T(test_h1_every_allocation_failure_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
