/* Whole conversations over a socket pair: nghttp2's client on one end, conn and h2 on the other. */
#include "http/h2_fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/macros.h"
#include "base/mem.h"
#include "http/conn.h"
#include "http/h2_session.h"
#include "http/limits.h"
#include "tests/support/pattern_file.h"
#include "tests/support/test.h"

static bool send_bytes(struct peer_handler *h, size_t len)
{
	static const char bytes[1024 * 1024];

	assert_true(len <= sizeof bytes);
	return exchange_send(h->x, &(struct iovec){ h2_unconst(bytes), len }, 1);
}

static bool send_text(struct peer_handler *h, const char *text)
{
	return exchange_send(h->x, &(struct iovec){ h2_unconst(text), strlen(text) }, 1);
}

/* New streams may send nothing until the client says so. */
static void peer_close_windows(struct h2_peer *p)
{
	nghttp2_settings_entry none = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0 };

	nghttp2_submit_settings(p->session, NGHTTP2_FLAG_NONE, &none, 1);
}

/* ---- requests and answers ---- */

static void test_h2_get_is_answered(void **state)
{
	struct h2_peer *p = peer_of(state);
	struct peer_stream *s;
	int32_t id;

	peer_begin(p);
	id = peer_get(p, "/hello");
	peer_run(p);
	s = peer_stream(p, id);
	assert_int_equal(s->status, 200);
	assert_string_equal(s->length, "6");
	assert_memory_equal(s->body, "hello\n", 6);
	assert_true(s->ended && s->closed && !s->reset);
	assert_int_equal(s->n_fields, 3); /* status, length, date */
}

static void test_h2_request_is_split_into_its_parts(void **state)
{
	static const struct http_field fields[] = { HTTP_FIELD("x-one", "1"),
		                                    HTTP_FIELD("content-length", "12") };
	struct h2_peer *p = peer_of(state);
	struct peer_handler *h = &p->handlers[0];

	peer_begin(p);
	peer_request(p, "PATCH", "/a%20b?c=d?e", fields, 2, true);
	peer_run(p);
	assert_int_equal(p->n_handlers, 1);
	assert_string_equal(h->method, "PATCH");
	assert_string_equal(h->path, "/a%20b");
	assert_string_equal(h->query, "c=d?e");
	assert_string_equal(h->host, "localhost");
	assert_int_equal(h->n_fields, 2);
	assert_int_equal(h->content_length, 12);
	assert_true(h->has_body);
}

static void test_h2_head_answer_has_length_and_no_body(void **state)
{
	struct h2_peer *p = peer_of(state);
	struct peer_stream *s;
	int32_t id;

	peer_begin(p);
	id = peer_request(p, "HEAD", "/hello", NULL, 0, false);
	peer_run(p);
	s = peer_stream(p, id);
	assert_string_equal(s->length, "6");
	assert_int_equal(s->body_bytes, 0);
	assert_true(s->ended && !s->reset);
}

static void test_h2_head_of_a_stream_ends_with_its_header(void **state)
{
	struct http_field trailer = HTTP_FIELD("X-End", "1");
	struct h2_peer *p = peer_of(state);
	struct peer_stream *s;
	int32_t id;

	peer_begin(p);
	id = peer_request(p, "HEAD", "/x", NULL, 0, false);
	peer_run(p);
	exchange_begin(p->handlers[0].x, 200, NULL, 0, -1);
	assert_true(send_text(&p->handlers[0], "nothing of this"));
	exchange_finish(&p->handlers[0].x, &trailer, 1);
	peer_run(p);
	s = peer_stream(p, id);
	assert_int_equal(s->status, 200);
	assert_int_equal(s->body_bytes, 0);
	assert_true(s->ended && s->closed && !s->reset);
}

static void test_h2_204_has_neither_body_nor_length(void **state)
{
	struct h2_peer *p = peer_of(state);
	int32_t id;

	peer_begin(p);
	id = peer_get(p, "/x");
	peer_run(p);
	exchange_answer(&p->handlers[0].x, 204, NULL, 0, (struct span){ "", 0 });
	peer_run(p);
	assert_int_equal(peer_stream(p, id)->status, 204);
	assert_string_equal(peer_stream(p, id)->length, "");
	assert_true(peer_stream(p, id)->ended);
}

static void test_h2_response_fields_are_made_safe(void **state)
{
	static const struct http_field fields[] = {
		HTTP_FIELD("X-Evil", " a\r\nb\0c "),
		HTTP_FIELD("Connection", "close"),
		HTTP_FIELD("Transfer-Encoding", "chunked"),
		HTTP_FIELD("Keep-Alive", "1"),
	};
	struct h2_peer *p = peer_of(state);
	int32_t id;

	peer_begin(p);
	id = peer_get(p, "/x");
	peer_run(p);
	exchange_add_field(p->handlers[0].x, "Vary", SPAN("Origin"));
	exchange_answer(&p->handlers[0].x, 200, fields, ARRAY_SIZE(fields), SPAN("x"));
	peer_run(p);
	assert_int_equal(peer_stream(p, id)->status, 200);
	assert_int_equal(peer_stream(p, id)->n_fields, 5); /* with x-evil, vary, length, date */
	assert_true(peer_stream(p, id)->ended);
}

static void test_h2_nothing_goes_out_before_the_first_send(void **state)
{
	struct h2_peer *p = peer_of(state);
	int32_t id;

	peer_begin(p);
	id = peer_get(p, "/x");
	peer_run(p);
	exchange_begin(p->handlers[0].x, 200, NULL, 0, -1);
	peer_run(p);
	assert_int_equal(peer_stream(p, id)->status, 0);
	assert_true(send_text(&p->handlers[0], "first"));
	peer_run(p);
	assert_int_equal(peer_stream(p, id)->status, 200);
	assert_int_equal(peer_stream(p, id)->body_bytes, 5);
	assert_false(peer_stream(p, id)->ended);
	exchange_finish(&p->handlers[0].x, NULL, 0);
	peer_run(p);
	assert_true(peer_stream(p, id)->closed && !peer_stream(p, id)->reset);
}

static void test_h2_trailers_end_a_response(void **state)
{
	static const struct http_field trailers[] = { HTTP_FIELD("Grpc-Status", "0"),
		                                      HTTP_FIELD("Grpc-Message", "") };
	struct h2_peer *p = peer_of(state);
	struct peer_stream *s;
	int32_t id;

	peer_begin(p);
	id = peer_get(p, "/x");
	peer_run(p);
	exchange_begin(p->handlers[0].x, 200, NULL, 0, -1);
	send_text(&p->handlers[0], "body");
	exchange_finish(&p->handlers[0].x, trailers, 2);
	peer_run(p);
	s = peer_stream(p, id);
	assert_int_equal(s->n_trailers, 2);
	assert_int_equal(s->body_bytes, 4);
	assert_true(s->ended && s->closed && !s->reset);
}

static void test_h2_trailers_without_a_body_need_no_data_frame(void **state)
{
	struct http_field trailer = HTTP_FIELD("Grpc-Status", "12");
	struct h2_peer *p = peer_of(state);
	int32_t id;

	peer_begin(p);
	id = peer_get(p, "/x");
	peer_run(p);
	exchange_begin(p->handlers[0].x, 200, NULL, 0, -1);
	exchange_finish(&p->handlers[0].x, &trailer, 1);
	peer_run(p);
	assert_int_equal(peer_stream(p, id)->n_trailers, 1);
	assert_int_equal(p->n_frames[NGHTTP2_DATA], 0);
	assert_true(peer_stream(p, id)->closed && !peer_stream(p, id)->reset);
}

static void test_h2_begun_and_finished_at_once_is_one_frame(void **state)
{
	struct h2_peer *p = peer_of(state);
	int32_t id;

	peer_begin(p);
	id = peer_get(p, "/x");
	peer_run(p);
	exchange_begin(p->handlers[0].x, 200, NULL, 0, 0);
	exchange_finish(&p->handlers[0].x, NULL, 0);
	peer_run(p);
	assert_int_equal(p->n_frames[NGHTTP2_HEADERS], 1);
	assert_int_equal(p->n_frames[NGHTTP2_DATA], 0);
	assert_true(peer_stream(p, id)->ended);
}

static void test_h2_declared_length_that_is_not_kept_resets(void **state)
{
	struct h2_peer *p = peer_of(state);
	int32_t id;

	peer_begin(p);
	id = peer_get(p, "/x");
	peer_run(p);
	exchange_begin(p->handlers[0].x, 200, NULL, 0, 10);
	send_text(&p->handlers[0], "four");
	exchange_finish(&p->handlers[0].x, NULL, 0);
	peer_run(p);
	assert_true(peer_stream(p, id)->reset);
	assert_int_equal(peer_stream(p, id)->reset_code, NGHTTP2_INTERNAL_ERROR);
}

static void test_h2_more_than_the_declared_length_is_cut(void **state)
{
	struct h2_peer *p = peer_of(state);
	int32_t id;

	peer_begin(p);
	id = peer_get(p, "/x");
	peer_run(p);
	exchange_begin(p->handlers[0].x, 200, NULL, 0, 4);
	send_text(&p->handlers[0], "four and more");
	exchange_finish(&p->handlers[0].x, NULL, 0);
	peer_run(p);
	assert_int_equal(peer_stream(p, id)->body_bytes, 4);
	assert_true(peer_stream(p, id)->ended && !peer_stream(p, id)->reset);
}

static void test_h2_answers_a_client_that_sends_byte_by_byte(void **state)
{
	struct h2_peer *p = peer_of(state);
	int32_t id, upload;

	p->slice = 1;
	peer_begin(p);
	id = peer_get(p, "/hello");
	upload = peer_upload(p, "/upload", 1000);
	peer_run(p);
	exchange_read(p->handlers[0].x);
	peer_run(p);
	assert_true(peer_stream(p, id)->ended);
	assert_int_equal(p->handlers[0].n_body, 1000);
	exchange_answer(&p->handlers[0].x, 200, NULL, 0, SPAN("done"));
	peer_run(p);
	assert_true(peer_stream(p, upload)->ended);
}

/* ---- request bodies ---- */

static void test_h2_body_waits_for_read_and_then_for_consumed(void **state)
{
	size_t total = 3 * EXCHANGE_WINDOW + 1000;
	struct h2_peer *p = peer_of(state);
	struct peer_handler *h = &p->handlers[0];

	peer_begin(p);
	peer_upload(p, "/upload", total);
	peer_run(p);
	assert_int_equal(h->n_body, 0);
	assert_int_equal(total - p->upload_left, EXCHANGE_WINDOW);

	h->consume = false;
	exchange_read(h->x);
	assert_int_equal(h->n_body, 0); /* not inside the call */
	peer_run(p);
	assert_int_equal(h->n_body, EXCHANGE_WINDOW);
	assert_false(h->body_ended);

	exchange_consumed(h->x, EXCHANGE_WINDOW);
	peer_run(p);
	assert_int_equal(h->n_body, 2 * EXCHANGE_WINDOW);
	h->consume = true;
	exchange_consumed(h->x, EXCHANGE_WINDOW);
	h->unconsumed = 0;
	peer_run(p);
	assert_int_equal(h->n_body, total);
	assert_true(h->body_ended);
	exchange_answer(&h->x, 200, NULL, 0, SPAN("ok"));
}

static void test_h2_empty_body_ends_after_read_only(void **state)
{
	struct h2_peer *p = peer_of(state);
	struct peer_handler *h = &p->handlers[0];

	peer_begin(p);
	peer_get(p, "/x");
	peer_run(p);
	assert_false(h->has_body);
	assert_false(h->body_ended);
	exchange_read(h->x);
	assert_false(h->body_ended);
	peer_run(p);
	assert_true(h->body_ended);
}

static void test_h2_hundred_streams_and_one_does_not_read(void **state)
{
	struct h2_peer *p = peer_of(state);
	int32_t ids[100];

	peer_begin(p);
	peer_upload(p, "/stuck", 10 * EXCHANGE_WINDOW); /* larger than the connection's window */
	peer_run(p);
	for (size_t i = 0; i < 100; i++) {
		size_t left = p->upload_left;

		ids[i] = peer_upload(p, "/upload", 50000);
		peer_run(p);
		exchange_read(p->handlers[i + 1].x);
		peer_run(p);
		assert_int_equal(p->handlers[i + 1].n_body, 50000);
		assert_true(p->handlers[i + 1].body_ended);
		p->upload_left = left;
	}
	for (size_t i = 0; i < 100; i++)
		exchange_answer(&p->handlers[i + 1].x, 200, NULL, 0, SPAN("ok"));
	peer_run(p);
	for (size_t i = 0; i < 100; i++)
		assert_true(peer_stream(p, ids[i])->ended);
	assert_int_equal(p->handlers[0].n_body, 0);
}

static void test_h2_request_trailers_are_kept(void **state)
{
	/* x-end: 1, literal without indexing */
	static const uint8_t trailers[] = "\0\5x-end\1"
					  "1";
	struct h2_peer *p = peer_of(state);
	const struct http_field *fields;
	size_t n;

	peer_begin_raw(p);
	peer_raw_get(p, 1, "/x", 0);
	peer_frame(p, NGHTTP2_DATA, 0, 1, "abc", 3);
	peer_frame(p, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1,
	           trailers, sizeof trailers - 1);
	peer_run(p);
	exchange_read(p->handlers[0].x);
	peer_run(p);
	assert_true(p->handlers[0].body_ended);
	fields = exchange_trailers(p->handlers[0].x, &n);
	assert_int_equal(n, 1);
	assert_true(span_equal(fields[0].name, "x-end"));
	assert_true(span_equal(fields[0].value, "1"));
}

static void test_h2_continue_is_sent_at_the_first_read(void **state)
{
	static const struct http_field expect[] = { HTTP_FIELD("expect", "100-continue") };
	struct h2_peer *p = peer_of(state);
	int32_t id;

	peer_begin(p);
	id = peer_request(p, "POST", "/x", expect, 1, true);
	peer_run(p);
	assert_true(p->handlers[0].expects_continue);
	assert_int_equal(peer_stream(p, id)->n_informational, 0);
	exchange_read(p->handlers[0].x);
	exchange_read(p->handlers[0].x);
	peer_run(p);
	assert_int_equal(peer_stream(p, id)->n_informational, 1);
	exchange_answer(&p->handlers[0].x, 200, NULL, 0, SPAN("ok"));
	peer_run(p);
	assert_int_equal(peer_stream(p, id)->status, 200);
}

static void test_h2_unknown_expectation_is_417(void **state)
{
	static const struct http_field expect[] = { HTTP_FIELD("expect", "miracles") };
	struct h2_peer *p = peer_of(state);
	int32_t id;

	peer_begin(p);
	id = peer_request(p, "POST", "/x", expect, 1, true);
	peer_run(p);
	assert_int_equal(p->n_handlers, 0);
	assert_int_equal(peer_stream(p, id)->status, 417);
}

static void test_h2_early_answer_ends_the_request_without_an_error(void **state)
{
	struct h2_peer *p = peer_of(state);
	int32_t id;

	peer_begin(p);
	id = peer_request(p, "POST", "/x", NULL, 0, true);
	peer_run(p);
	exchange_answer(&p->handlers[0].x, 404, NULL, 0, SPAN("no"));
	peer_run(p);
	assert_int_equal(peer_stream(p, id)->status, 404);
	assert_int_equal(peer_stream(p, id)->body_bytes, 2);
	assert_true(peer_stream(p, id)->ended && !peer_stream(p, id)->reset);
	peer_pass_ms(p, HTTP_DRAIN_MS + 1);
	assert_true(peer_stream(p, id)->reset);
	assert_int_equal(peer_stream(p, id)->reset_code, NGHTTP2_NO_ERROR);
}

static void test_h2_early_answer_takes_the_rest_of_a_body_up_to_a_limit(void **state)
{
	struct h2_peer *p = peer_of(state);
	int32_t id;

	peer_begin(p);
	id = peer_upload(p, "/x", HTTP_DRAIN_MAX);
	peer_run(p);
	exchange_answer(&p->handlers[0].x, 404, NULL, 0, SPAN("no"));
	peer_run(p);
	assert_true(peer_stream(p, id)->closed && !peer_stream(p, id)->reset);
	assert_int_equal(p->upload_left, 0);

	id = peer_upload(p, "/x", 4 * HTTP_DRAIN_MAX);
	peer_run(p);
	exchange_answer(&p->handlers[1].x, 404, NULL, 0, SPAN("no"));
	peer_run(p);
	assert_int_equal(peer_stream(p, id)->status, 404);
	assert_true(peer_stream(p, id)->ended && peer_stream(p, id)->reset);
	assert_int_equal(peer_stream(p, id)->reset_code, NGHTTP2_NO_ERROR);
	assert_true(4 * HTTP_DRAIN_MAX - p->upload_left <= HTTP_DRAIN_MAX + 2 * EXCHANGE_WINDOW);
}

static void test_h2_late_frames_on_a_stream_that_we_reset_are_ignored(void **state)
{
	static const uint8_t trailers[] = "\0\1x\1y";
	struct h2_peer *p = peer_of(state);

	peer_begin_raw(p);
	peer_raw_get(p, 1, "/x", 0);
	peer_run(p);
	exchange_abort(&p->handlers[0].x);
	peer_run(p);
	assert_int_equal(p->rst_id, 1);
	assert_int_equal(p->rst_code, NGHTTP2_INTERNAL_ERROR);
	peer_frame(p, NGHTTP2_DATA, 0, 1, "late", 4);
	peer_frame(p, NGHTTP2_WINDOW_UPDATE, 0, 1, "\0\0\0\1", 4);
	peer_frame(p, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1,
	           trailers, sizeof trailers - 1);
	peer_raw_get(p, 3, "/hello", NGHTTP2_FLAG_END_STREAM);
	peer_run(p);
	assert_false(p->goaway);
	assert_int_equal(p->n_frames[NGHTTP2_HEADERS], 1);
}

static void test_h2_headers_on_a_skipped_stream_end_the_connection(void **state)
{
	struct h2_peer *p = peer_of(state);

	peer_begin_raw(p);
	peer_raw_get(p, 5, "/hello", NGHTTP2_FLAG_END_STREAM);
	peer_raw_get(p, 3, "/hello", NGHTTP2_FLAG_END_STREAM);
	peer_run(p);
	assert_true(p->goaway && p->eof);
	assert_int_equal(p->goaway_code, NGHTTP2_PROTOCOL_ERROR);
	assert_int_equal(p->goaway_last, 5);
	assert_int_equal(p->n_frames[NGHTTP2_HEADERS], 1); /* the first one was answered */
}

static void test_h2_host_and_authority_that_differ_are_malformed(void **state)
{
	static const struct http_field same[] = { HTTP_FIELD("host", "LOCALHOST") };
	static const struct http_field other[] = { HTTP_FIELD("host", "elsewhere") };
	struct h2_peer *p = peer_of(state);
	int32_t good, bad;

	peer_begin(p);
	good = peer_request(p, "GET", "/hello", same, 1, false);
	bad = peer_request(p, "GET", "/hello", other, 1, false);
	peer_run(p);
	assert_int_equal(peer_stream(p, good)->status, 200);
	assert_int_equal(peer_stream(p, bad)->reset_code, NGHTTP2_PROTOCOL_ERROR);
}

static void test_h2_path_with_a_broken_escape_is_malformed(void **state)
{
	struct h2_peer *p = peer_of(state);
	int32_t good, bad;

	peer_begin(p);
	good = peer_request(p, "GET", "/hello?%zz", NULL, 0, false);
	bad = peer_request(p, "GET", "/hello%zz", NULL, 0, false);
	peer_run(p);
	assert_int_equal(peer_stream(p, good)->status, 200);
	assert_int_equal(peer_stream(p, bad)->reset_code, NGHTTP2_PROTOCOL_ERROR);
}

/* ---- stop, abort and reset in each state ---- */

static void begin_in_state(struct h2_peer *p, int how)
{
	struct peer_handler *h = &p->handlers[0];

	if (how >= 1)
		exchange_read(h->x);
	if (how >= 2)
		exchange_begin(h->x, 200, NULL, 0, -1);
	if (how >= 3)
		send_text(h, "some");
	if (how >= 4)
		peer_run(p);
	if (how >= 5)
		send_bytes(h, 1024 * 1024); /* more than fits anywhere at once */
	if (how >= 6)
		peer_run(p);
}

#define STATES 7

static void in_each_state(void **state, void (*act)(struct h2_peer *p, int32_t id))
{
	for (int how = 0; how < STATES; how++) {
		struct h2_peer *p = peer_of(state);
		int32_t id;

		p->n_handlers = 0;
		peer_connect(p);
		peer_begin(p);
		id = peer_request(p, "POST", "/x", NULL, 0, true);
		peer_run(p);
		begin_in_state(p, how);
		act(p, id);
		assert_null(p->handlers[0].x);
		/* The connection goes on. */
		if (p->fd >= 0) {
			id = peer_get(p, "/hello");
			peer_run(p);
			assert_true(peer_stream(p, id)->ended);
		}
	}
}

static void act_peer_resets(struct h2_peer *p, int32_t id)
{
	nghttp2_submit_rst_stream(p->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
	peer_run(p);
	assert_true(p->handlers[0].stopped);
}

static void test_h2_peer_reset_in_each_state_stops_the_owner_once(void **state)
{
	in_each_state(state, act_peer_resets);
}

static void act_peer_resets_and_owner_answers_later(struct h2_peer *p, int32_t id)
{
	struct peer_handler *h = &p->handlers[0];

	h->stop_once = false;
	nghttp2_submit_rst_stream(p->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
	peer_run(p);
	assert_true(h->stopped);
	exchange_read(h->x);
	if (!h->x->answered)
		exchange_begin(h->x, 200, NULL, 0, -1);
	assert_true(send_text(h, "into the void"));
	peer_run(p);
	exchange_finish(&h->x, NULL, 0);
}

static void test_h2_owner_may_answer_long_after_the_peer_has_gone(void **state)
{
	in_each_state(state, act_peer_resets_and_owner_answers_later);
}

static void act_owner_aborts(struct h2_peer *p, int32_t id)
{
	exchange_abort(&p->handlers[0].x);
	peer_run(p);
	assert_true(peer_stream(p, id)->reset);
	assert_int_equal(peer_stream(p, id)->reset_code, NGHTTP2_INTERNAL_ERROR);
	assert_false(p->handlers[0].stopped);
}

static void test_h2_abort_in_each_state_resets_the_stream(void **state)
{
	in_each_state(state, act_owner_aborts);
}

static void act_owner_finishes(struct h2_peer *p, int32_t id)
{
	struct peer_handler *h = &p->handlers[0];

	if (!h->x->answered)
		exchange_begin(h->x, 200, NULL, 0, -1);
	exchange_finish(&h->x, NULL, 0);
	peer_run(p);
	assert_true(peer_stream(p, id)->ended);
	assert_false(h->stopped);
}

static void test_h2_finish_in_each_state_ends_the_stream(void **state)
{
	in_each_state(state, act_owner_finishes);
}

static void act_peer_vanishes(struct h2_peer *p, int32_t id)
{
	UNUSED(id);
	peer_hang_up(p);
	assert_true(p->handlers[0].stopped);
}

static void test_h2_peer_vanishing_in_each_state_stops_the_owner(void **state)
{
	in_each_state(state, act_peer_vanishes);
}

static void test_h2_reset_after_the_answer_frees_what_is_queued(void **state)
{
	struct h2_peer *p = peer_of(state);
	static const char big[1024 * 1024];
	int32_t id;

	peer_begin(p);
	id = peer_get(p, "/x");
	peer_run(p);
	exchange_answer(&p->handlers[0].x, 200, NULL, 0, (struct span){ big, sizeof big });
	p->reads = false;
	peer_run(p);
	nghttp2_submit_rst_stream(p->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
	peer_run(p);
	p->reads = true;
	peer_run(p);
	assert_false(peer_stream(p, id)->ended);
	assert_false(p->goaway);
}

/* ---- response bodies ---- */

static void test_h2_send_asks_to_wait_and_proceeds_when_the_window_opens(void **state)
{
	struct h2_peer *p = peer_of(state);
	struct peer_handler *h = &p->handlers[0];
	size_t sent = 0;
	int32_t id;

	peer_begin(p);
	nghttp2_session_set_local_window_size(p->session, NGHTTP2_FLAG_NONE, 0, 1 << 24);
	id = peer_get(p, "/x");
	peer_run(p);
	exchange_begin(h->x, 200, NULL, 0, -1);
	while (send_bytes(h, 16384))
		sent += 16384;
	sent += 16384;
	assert_int_equal(sent, EXCHANGE_SEND_HIGH);
	assert_int_equal(h->n_proceeds, 0); /* not inside a call */
	peer_run(p);
	assert_int_equal(h->n_proceeds, 1);
	assert_int_equal(peer_stream(p, id)->body_bytes, sent);
	peer_run(p);
	assert_int_equal(h->n_proceeds, 1);
	exchange_finish(&h->x, NULL, 0);
	peer_run(p);
	assert_true(peer_stream(p, id)->ended);
}

static void test_h2_stalled_stream_does_not_stall_another(void **state)
{
	struct h2_peer *p = peer_of(state);
	int32_t stuck, fine;

	peer_begin(p);
	peer_close_windows(p);
	stuck = peer_get(p, "/stuck");
	peer_run(p);
	exchange_begin(p->handlers[0].x, 200, NULL, 0, -1);
	while (send_bytes(&p->handlers[0], 16384))
		;
	peer_run(p);
	assert_int_equal(peer_stream(p, stuck)->body_bytes, 0);
	assert_int_equal(p->handlers[0].n_proceeds, 0);

	fine = peer_get(p, "/hello");
	peer_run(p);
	nghttp2_submit_window_update(p->session, NGHTTP2_FLAG_NONE, fine, 100);
	peer_run(p);
	assert_true(peer_stream(p, fine)->ended);
}

static void test_h2_many_stalled_streams_are_given_less_room_each(void **state)
{
	struct h2_peer *p = peer_of(state);
	size_t queued = 0;
	unsigned i;

	peer_begin(p);
	peer_close_windows(p);
	for (i = 0; i < 500; i++)
		peer_get(p, "/stuck");
	peer_run(p);
	assert_int_equal(p->n_handlers, 500);
	for (i = 0; i < 500; i++) {
		exchange_begin(p->handlers[i].x, 200, NULL, 0, -1);
		do
			queued += 1024;
		while (send_bytes(&p->handlers[i], 1024));
	}
	assert_true(queued < H2_SEND_TOTAL + 500 * (H2_SEND_LEAST + 1024));
}

static void test_h2_response_that_is_too_much_for_the_server_is_reset(void **state)
{
	struct h2_peer *p = peer_of(state);
	int32_t first, second;

	peer_begin(p);
	peer_close_windows(p);
	first = peer_get(p, "/x");
	second = peer_get(p, "/y");
	peer_run(p);
	assert_true(server_charge_queue(p->server, SERVER_QUEUES_MAX - 10000));
	exchange_answer(&p->handlers[0].x, 200, NULL, 0,
	                (struct span){ p->handlers[0].body, PEER_BODY_KEPT });
	exchange_begin(p->handlers[1].x, 200, NULL, 0, -1);
	send_bytes(&p->handlers[1], 10000 - PEER_BODY_KEPT + 1);
	peer_run(p);
	assert_true(p->handlers[1].stopped);
	assert_int_equal(peer_stream(p, second)->reset_code, NGHTTP2_INTERNAL_ERROR);
	nghttp2_submit_window_update(p->session, NGHTTP2_FLAG_NONE, first, PEER_BODY_KEPT);
	peer_run(p);
	assert_true(peer_stream(p, first)->ended);
	/* What has gone out is not charged any more. */
	assert_true(server_charge_queue(p->server, 10000));
	server_discharge_queue(p->server, SERVER_QUEUES_MAX);
}

static void test_h2_stalled_response_is_given_up_after_the_limit(void **state)
{
	struct h2_peer *p = peer_of(state);
	int32_t id, other;

	peer_begin(p);
	peer_close_windows(p);
	id = peer_get(p, "/stuck");
	other = peer_get(p, "/idle");
	peer_run(p);
	exchange_begin(p->handlers[0].x, 200, NULL, 0, -1);
	send_bytes(&p->handlers[0], 1000);
	peer_run(p);
	peer_pass_ms(p, HTTP_WRITE_STALL_MS - 1000);
	assert_false(p->handlers[0].stopped);
	peer_pass_ms(p, HTTP_WRITE_STALL_MS + 1);
	assert_true(p->handlers[0].stopped);
	assert_int_equal(peer_stream(p, id)->reset_code, NGHTTP2_CANCEL);
	assert_false(p->handlers[1].stopped); /* nobody owes it anything */
	assert_false(peer_stream(p, other)->closed);
}

static void test_h2_body_that_does_not_come_is_given_up_after_the_limit(void **state)
{
	struct h2_peer *p = peer_of(state);
	int32_t id;

	peer_begin(p);
	id = peer_request(p, "POST", "/x", NULL, 0, true);
	peer_run(p);
	exchange_read(p->handlers[0].x);
	peer_pass_ms(p, HTTP_BODY_IDLE_MS + 1);
	assert_true(p->handlers[0].stopped);
	assert_int_equal(peer_stream(p, id)->reset_code, NGHTTP2_CANCEL);
}

/* ---- files ---- */

static void test_h2_file_is_framed_as_the_windows_allow(void **state)
{
	struct h2_peer *p = peer_of(state);
	struct peer_handler *h = &p->handlers[0];
	struct http_file *file = http_file_new(p->loop, pattern_file(2000000));
	int32_t id;

	peer_begin(p);
	id = peer_get(p, "/x");
	peer_run(p);
	exchange_begin(h->x, 200, NULL, 0, 1900008);
	send_text(h, "head");
	exchange_send_file(h->x, file, 100000, 1900000);
	assert_int_equal(h->n_files_sent, 0);
	peer_run(p);
	assert_int_equal(h->n_files_sent, 1);
	assert_int_equal(h->file_error, 0);
	send_text(h, "tail");
	exchange_finish(&h->x, NULL, 0);
	http_file_unref(file);
	peer_run(p);
	assert_true(peer_stream(p, id)->ended);
	assert_int_equal(peer_stream(p, id)->body_bytes, 1900008);
	assert_memory_equal(peer_stream(p, id)->body, "head", 4);
	pattern_check(peer_stream(p, id)->body + 4, PEER_BODY_KEPT - 4, 100000);
}

static void test_h2_file_goes_through_a_small_window(void **state)
{
	struct h2_peer *p = peer_of(state);
	struct peer_handler *h = &p->handlers[0];
	struct http_file *file = http_file_new(p->loop, pattern_file(10000));
	int32_t id;

	peer_begin(p);
	peer_close_windows(p);
	id = peer_get(p, "/x");
	peer_run(p);
	exchange_begin(h->x, 200, NULL, 0, 10000);
	exchange_send_file(h->x, file, 0, 10000);
	http_file_unref(file);
	peer_run(p);
	assert_int_equal(h->n_files_sent, 0);
	assert_int_equal(peer_stream(p, id)->body_bytes, 0);
	/* The client opens it again as it takes what comes. */
	nghttp2_submit_window_update(p->session, NGHTTP2_FLAG_NONE, id, 100);
	peer_run(p);
	assert_int_equal(peer_stream(p, id)->body_bytes, 10000);
	assert_int_equal(h->n_files_sent, 1);
}

/* A slow reader holds a pipe full of pages, and no memory of ours. */
static void test_h2_stalled_file_is_given_up_after_the_limit(void **state)
{
	struct h2_peer *p = peer_of(state);
	struct peer_handler *h = &p->handlers[0];
	struct http_file *file = http_file_new(p->loop, pattern_file(1000000));
	int32_t id;

	peer_begin(p);
	peer_close_windows(p);
	id = peer_get(p, "/x");
	peer_run(p);
	exchange_begin(h->x, 200, NULL, 0, 1000000);
	exchange_send_file(h->x, file, 0, 1000000);
	http_file_unref(file);
	peer_run(p);
	peer_pass_ms(p, HTTP_WRITE_STALL_MS - 1000);
	assert_false(h->stopped);
	peer_pass_ms(p, HTTP_WRITE_STALL_MS + 1);
	assert_true(h->stopped);
	assert_int_equal(peer_stream(p, id)->reset_code, NGHTTP2_CANCEL);
}

static void test_h2_file_that_is_shorter_is_told(void **state)
{
	struct h2_peer *p = peer_of(state);
	struct peer_handler *h = &p->handlers[0];
	struct http_file *file = http_file_new(p->loop, pattern_file(10));
	int32_t id;

	peer_begin(p);
	id = peer_get(p, "/x");
	peer_run(p);
	exchange_begin(h->x, 200, NULL, 0, 20);
	exchange_send_file(h->x, file, 0, 20);
	http_file_unref(file);
	peer_run(p);
	assert_int_equal(h->n_files_sent, 1);
	assert_int_equal(h->file_error, -ENODATA);
	exchange_abort(&h->x);
	peer_run(p);
	assert_true(peer_stream(p, id)->reset);
}

static void test_h2_file_without_a_descriptor_resets_the_stream(void **state)
{
	struct h2_peer *p = peer_of(state);
	struct peer_handler *h = &p->handlers[0];
	struct http_file *file = http_file_new(p->loop, pattern_file(10));
	struct rlimit before, none;
	int32_t id;

	peer_begin(p);
	id = peer_get(p, "/x");
	peer_run(p);
	exchange_begin(h->x, 200, NULL, 0, 10);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ 0, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	exchange_send_file(h->x, file, 0, 10);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	http_file_unref(file);
	peer_run(p);
	assert_true(h->stopped);
	assert_true(peer_stream(p, id)->reset);
}

/* While it is read, while it waits for the window, and when it is sent. */
static void in_each_file_state(void **state, void (*act)(struct h2_peer *p, int32_t id))
{
	struct h2_peer *p = peer_of(state);

	for (int how = 0; how < 3; how++) {
		struct peer_handler *h = &p->handlers[0];
		struct http_file *file = http_file_new(p->loop, pattern_file(1000000));
		int32_t id;

		p->n_handlers = 0;
		peer_connect(p);
		peer_begin(p);
		if (how == 1)
			peer_close_windows(p);
		id = peer_get(p, "/x");
		peer_run(p);
		exchange_begin(h->x, 200, NULL, 0, 2000000);
		exchange_send_file(h->x, file, 0, 1000000);
		http_file_unref(file);
		if (how > 0)
			peer_run(p);
		act(p, id);
		assert_null(h->x);
		assert_int_equal(h->n_files_sent, how == 2);
		peer_run(p);
	}
}

static void test_h2_file_is_dropped_in_each_state(void **state)
{
	in_each_file_state(state, act_owner_aborts);
	in_each_file_state(state, act_peer_resets);
	in_each_file_state(state, act_peer_vanishes);
}

/* ---- the connection ---- */

static void test_h2_idle_connection_ends_with_a_goaway(void **state)
{
	struct h2_peer *p = peer_of(state);

	peer_begin(p);
	peer_get(p, "/hello");
	peer_run(p);
	peer_pass_ms(p, HTTP_IDLE_MS - 1000);
	assert_false(p->goaway);
	peer_pass_ms(p, HTTP_IDLE_MS + 1);
	assert_true(p->goaway && p->eof);
	assert_int_equal(p->goaway_code, NGHTTP2_NO_ERROR);
}

static void test_h2_connection_with_a_stream_is_not_idle(void **state)
{
	struct h2_peer *p = peer_of(state);

	peer_begin(p);
	peer_get(p, "/x");
	peer_run(p);
	peer_pass_ms(p, 10 * HTTP_IDLE_MS);
	assert_false(p->goaway);
	exchange_answer(&p->handlers[0].x, 200, NULL, 0, SPAN("after hours"));
	peer_run(p);
	assert_true(peer_stream(p, 1)->ended);
}

static void test_h2_slow_preface_slow_settings_and_slow_headers_are_ended(void **state)
{
	struct h2_peer *p = peer_of(state);

	peer_write(p, NGHTTP2_CLIENT_MAGIC, 20);
	peer_run(p);
	peer_pass_ms(p, HTTP_HEADER_MS + 1);
	assert_true(p->eof);

	peer_connect(p);
	peer_write(p, NGHTTP2_CLIENT_MAGIC, 24);
	peer_run(p);
	peer_pass_ms(p, HTTP_HEADER_MS + 1);
	assert_true(p->eof && p->goaway);

	peer_connect(p);
	peer_begin_raw(p);
	peer_frame(p, NGHTTP2_HEADERS, 0, 1, "\x82", 1); /* no END_HEADERS */
	peer_run(p);
	peer_pass_ms(p, HTTP_HEADER_MS - 1000);
	assert_false(p->eof);
	peer_frame(p, NGHTTP2_CONTINUATION, 0, 1, "\x86", 1); /* progress is no excuse */
	peer_run(p);
	peer_pass_ms(p, HTTP_HEADER_MS + 1);
	assert_true(p->eof && p->goaway);
	assert_int_equal(p->goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void test_h2_drain_finishes_what_runs_and_takes_what_was_on_its_way(void **state)
{
	struct h2_peer *p = peer_of(state);
	int32_t running, late;

	peer_begin(p);
	running = peer_get(p, "/x");
	peer_run(p);
	server_drain(p->server);
	late = peer_get(p, "/hello"); /* sent before the client sees the first GOAWAY */
	peer_run(p);
	assert_int_equal(p->n_goaways, 2);
	assert_int_equal(p->goaway_code, NGHTTP2_NO_ERROR);
	assert_int_equal(p->goaway_last, late);
	assert_true(peer_stream(p, late)->ended);
	assert_false(p->eof);
	exchange_answer(&p->handlers[0].x, 200, NULL, 0, SPAN("done"));
	peer_run(p);
	assert_true(peer_stream(p, running)->ended);
	assert_true(p->eof);
}

static void test_h2_drain_of_an_idle_connection_ends_it(void **state)
{
	struct h2_peer *p = peer_of(state);

	peer_begin(p);
	server_drain(p->server);
	peer_run(p);
	assert_int_equal(p->n_goaways, 2);
	assert_true(p->eof);
}

static void test_h2_drain_does_not_wait_for_a_ping_for_ever(void **state)
{
	struct h2_peer *p = peer_of(state);

	peer_begin_raw(p); /* answers no ping */
	server_drain(p->server);
	peer_run(p);
	assert_int_equal(p->n_goaways, 1);
	peer_pass_ms(p, HTTP_DRAIN_MS + 1);
	assert_int_equal(p->n_goaways, 2);
	assert_true(p->eof);
}

static void test_h2_goaway_of_the_client_ends_after_its_last_stream(void **state)
{
	struct h2_peer *p = peer_of(state);

	peer_begin(p);
	peer_get(p, "/x");
	peer_run(p);
	nghttp2_submit_goaway(p->session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0);
	peer_run(p);
	assert_false(p->eof);
	exchange_answer(&p->handlers[0].x, 200, NULL, 0, SPAN("done"));
	peer_run(p);
	assert_true(peer_stream(p, 1)->ended);
	assert_true(p->eof);
}

static void test_h2_client_that_does_not_read_is_not_read_from(void **state)
{
	struct h2_peer *p = peer_of(state);
	int32_t id = 0;

	peer_begin(p);
	p->reads = false;
	for (unsigned i = 0; i < 900; i++) {
		peer_request(p, "POST", "/x", NULL, 0, true);
		peer_run(p);
		if (i < p->n_handlers && p->handlers[i].x)
			exchange_answer(&p->handlers[i].x, 200, NULL, 0,
			                (struct span){ (const char *)p, 1000 });
	}
	/* Socket buffers and H2_OUTPUT_HIGH hold what there is; the rest waits at the client. */
	p->reads = true;
	peer_run(p);
	for (size_t i = 0; i < p->n_handlers; i++)
		if (p->handlers[i].x)
			exchange_answer(&p->handlers[i].x, 200, NULL, 0, SPAN("late"));
	id = peer_get(p, "/hello");
	peer_run(p);
	assert_true(peer_stream(p, id)->ended);
}

static void test_h2_wrong_preface_is_a_connection_error(void **state)
{
	struct h2_peer *p = peer_of(state);

	peer_write(p, "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 24);
	peer_run(p);
	assert_true(p->goaway && p->eof);
	assert_int_equal(p->goaway_code, NGHTTP2_PROTOCOL_ERROR);

	peer_connect(p);
	peer_write(p, "INVALID CONNECTION PREFACE\r\n\r\n", 30);
	peer_run(p);
	assert_true(p->goaway && p->eof);
	assert_int_equal(p->goaway_code, NGHTTP2_PROTOCOL_ERROR);
}

/* ---- Upgrade: h2c ---- */

static void test_h2_upgraded_request_is_stream_one(void **state)
{
	static const char request[] = "GET /hello?q HTTP/1.1\r\nHost: here\r\n"
				      "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
				      "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
	struct h2_peer *p = peer_of(state);
	char answer[sizeof HTTP_SWITCHING_H2C] = "";

	p->reads = false;
	peer_write(p, request, sizeof request - 1);
	peer_run(p);
	assert_int_equal(recv(p->fd, answer, sizeof answer - 1, MSG_DONTWAIT), sizeof answer - 1);
	assert_string_equal(answer, HTTP_SWITCHING_H2C);
	p->reads = true;
	peer_begin_raw(p);
	assert_int_equal(p->n_frames[NGHTTP2_SETTINGS], 2);
	assert_int_equal(p->n_frames[NGHTTP2_HEADERS], 1);
	assert_int_equal(p->n_frames[NGHTTP2_DATA], 1);
	peer_raw_get(p, 3, "/hello", NGHTTP2_FLAG_END_STREAM);
	peer_run(p);
	assert_int_equal(p->n_frames[NGHTTP2_HEADERS], 2);
	assert_false(p->goaway);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, peer_setup, peer_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_h2_get_is_answered),
		TEST(test_h2_request_is_split_into_its_parts),
		TEST(test_h2_head_answer_has_length_and_no_body),
		TEST(test_h2_head_of_a_stream_ends_with_its_header),
		TEST(test_h2_204_has_neither_body_nor_length),
		TEST(test_h2_response_fields_are_made_safe),
		TEST(test_h2_nothing_goes_out_before_the_first_send),
		TEST(test_h2_trailers_end_a_response),
		TEST(test_h2_trailers_without_a_body_need_no_data_frame),
		TEST(test_h2_begun_and_finished_at_once_is_one_frame),
		TEST(test_h2_declared_length_that_is_not_kept_resets),
		TEST(test_h2_more_than_the_declared_length_is_cut),
		TEST(test_h2_answers_a_client_that_sends_byte_by_byte),
		TEST(test_h2_body_waits_for_read_and_then_for_consumed),
		TEST(test_h2_empty_body_ends_after_read_only),
		TEST(test_h2_hundred_streams_and_one_does_not_read),
		TEST(test_h2_request_trailers_are_kept),
		TEST(test_h2_continue_is_sent_at_the_first_read),
		TEST(test_h2_unknown_expectation_is_417),
		TEST(test_h2_early_answer_ends_the_request_without_an_error),
		TEST(test_h2_early_answer_takes_the_rest_of_a_body_up_to_a_limit),
		TEST(test_h2_late_frames_on_a_stream_that_we_reset_are_ignored),
		TEST(test_h2_headers_on_a_skipped_stream_end_the_connection),
		TEST(test_h2_host_and_authority_that_differ_are_malformed),
		TEST(test_h2_path_with_a_broken_escape_is_malformed),
		TEST(test_h2_peer_reset_in_each_state_stops_the_owner_once),
		TEST(test_h2_owner_may_answer_long_after_the_peer_has_gone),
		TEST(test_h2_abort_in_each_state_resets_the_stream),
		TEST(test_h2_finish_in_each_state_ends_the_stream),
		TEST(test_h2_peer_vanishing_in_each_state_stops_the_owner),
		TEST(test_h2_reset_after_the_answer_frees_what_is_queued),
		TEST(test_h2_file_is_framed_as_the_windows_allow),
		TEST(test_h2_file_goes_through_a_small_window),
		TEST(test_h2_stalled_file_is_given_up_after_the_limit),
		TEST(test_h2_file_that_is_shorter_is_told),
		TEST(test_h2_file_without_a_descriptor_resets_the_stream),
		TEST(test_h2_file_is_dropped_in_each_state),
		TEST(test_h2_send_asks_to_wait_and_proceeds_when_the_window_opens),
		TEST(test_h2_stalled_stream_does_not_stall_another),
		TEST(test_h2_many_stalled_streams_are_given_less_room_each),
		TEST(test_h2_response_that_is_too_much_for_the_server_is_reset),
		TEST(test_h2_stalled_response_is_given_up_after_the_limit),
		TEST(test_h2_body_that_does_not_come_is_given_up_after_the_limit),
		TEST(test_h2_idle_connection_ends_with_a_goaway),
		TEST(test_h2_connection_with_a_stream_is_not_idle),
		TEST(test_h2_slow_preface_slow_settings_and_slow_headers_are_ended),
		TEST(test_h2_drain_finishes_what_runs_and_takes_what_was_on_its_way),
		TEST(test_h2_drain_of_an_idle_connection_ends_it),
		TEST(test_h2_drain_does_not_wait_for_a_ping_for_ever),
		TEST(test_h2_goaway_of_the_client_ends_after_its_last_stream),
		TEST(test_h2_client_that_does_not_read_is_not_read_from),
		TEST(test_h2_wrong_preface_is_a_connection_error),
		TEST(test_h2_upgraded_request_is_stream_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
