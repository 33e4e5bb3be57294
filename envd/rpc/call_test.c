/*
 * A call's life over an exchange that has no connection: every kind, every way to end.
 */
#include "rpc/call.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/coding.h"
#include "rpc/call_fixture.h"
#include "rpc/envelope.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

#define UNARY_JSON  "content-type: application/json\n"
#define STREAM_JSON "content-type: application/connect+json\n"

struct scene {
	struct domain d;
	struct fake_exchange *f;
};

/* A POST over HTTP/1.1 whose head has arrived. */
static void scene_begin(struct scene *s, void **state, const struct rpc_method *method,
                        const char *fields)
{
	domain_init(&s->d, loop_fixture_loop(state));
	s->f = fake_new(HTTP_1_1, "POST", fields);
	domain_serve(&s->d, s->f, method);
}

static void scene_end(struct scene *s)
{
	loop_fixture_turn(s->d.loop, 2);
	assert_int_equal(s->d.n_freed_sessions, 1);
	domain_deinit(&s->d);
	fake_free(s->f);
}

static void assert_log(struct scene *s, const char *expected)
{
	loop_fixture_turn(s->d.loop, 2);
	assert_string_equal(fake_text(&s->d.log), expected);
}

/* Frames of a stream as "[flags]payload". */
static void assert_frames(struct scene *s, const char *expected)
{
	CLEANUP(buf_deinit) struct buf out = { 0 };
	struct buf *body = &s->f->body;
	size_t at = 0;

	buf_init(&out, 1u << 20);
	while (at < body->len) {
		struct envelope_reader r;
		CLEANUP(err_clear) struct err e = { 0 };
		ptrdiff_t n;

		envelope_init(&r, 1u << 20);
		n = envelope_feed(&r, body->data + at, body->len - at, &e);
		assert_true(n > 0 && envelope_is_complete(&r));
		buf_appendf(&out, "[%u]", envelope_flags(&r));
		buf_append(&out, r.payload.data, r.payload.len);
		at += (size_t)n;
		envelope_deinit(&r);
	}
	assert_string_equal(fake_text(&out), expected);
}

static void push_text(struct scene *s, const char *text)
{
	fake_push(s->f, text, strlen(text));
}

/* --- unary -------------------------------------------------------------------------------------- */

static void test_call_unary_answers_with_one_body(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_unary, UNARY_JSON);
	s.d.answers = true;
	assert_log(&s, "");
	push_text(&s, "{\"text\":");
	push_text(&s, "\"abc\"}");
	assert_log(&s, "");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_log(&s, "handle(abc) ");
	assert_int_equal(s.f->status, 200);
	assert_string_equal(fake_text(&s.f->body), "{\"text\":\"ok\"}");
	assert_string_equal(fake_text(&s.f->head),
	                    "Content-Type: application/json\nAccept-Encoding: gzip\n");
	assert_int_equal(s.f->consumed, s.f->pushed);
	scene_end(&s);
}

static void test_call_unary_error_has_status_and_json(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_unary,
	            "content-type: application/proto\naccept-encoding: gzip\n");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_log(&s, "handle() ");
	call_add_trailer(s.d.call, SPAN("x-bing"), SPAN("quux"));
	call_add_detail(s.d.call, "type.googleapis.com/a.B", "\x01\x02", 2);
	domain_fail(&s.d, ERR_NOT_FOUND, "no <such> \"thing\"");
	assert_int_equal(s.f->status, 404);
	assert_string_equal(fake_text(&s.f->body),
	                    "{\"code\":\"not_found\",\"message\":\"no \\u003csuch\\u003e "
	                    "\\\"thing\\\"\",\"details\":[{\"type\":\"a.B\",\"value\":\"AQI\"}]}");
	assert_string_equal(fake_text(&s.f->head), "Content-Type: application/json\n"
	                                           "Accept-Encoding: gzip\n"
	                                           "Trailer-x-bing: quux\n");
	scene_end(&s);
}

static void test_call_unary_error_without_text_has_no_message(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_unary, "content-type: application/proto\n");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	domain_fail(&s.d, ERR_UNAVAILABLE, "");
	assert_string_equal(fake_text(&s.f->body), "{\"code\":\"unavailable\"}");
	scene_end(&s);
}

static void check_unary_refusal(void **state, const struct rpc_method *method, const char *fields,
                                const char *body, enum exchange_body_end how, int status,
                                const char *answer)
{
	struct scene s;

	scene_begin(&s, state, method, fields);
	push_text(&s, body);
	fake_end(s.f, how);
	assert_log(&s, "");
	assert_int_equal(s.f->status, status);
	if (answer)
		assert_string_equal(fake_text(&s.f->body), answer);
	scene_end(&s);
}

static void test_call_unary_broken_body_is_refused(void **state)
{
	check_unary_refusal(state, &echo_unary, UNARY_JSON, "", EXCHANGE_BODY_COMPLETE, 400,
	                    "{\"code\":\"invalid_argument\",\"message\":\"unmarshal message: "
	                    "zero-length payload is not a valid JSON object\"}");
	check_unary_refusal(state, &echo_unary, UNARY_JSON, "{\"text\":", EXCHANGE_BODY_COMPLETE,
	                    400, NULL);
	check_unary_refusal(state, &echo_unary, UNARY_JSON, "{\"text\":", EXCHANGE_BODY_CUT, 499,
	                    "{\"code\":\"canceled\",\"message\":\"unexpected EOF\"}");
	check_unary_refusal(state, &echo_unary, UNARY_JSON, "{}", EXCHANGE_BODY_MALFORMED, 500,
	                    "{\"code\":\"unknown\",\"message\":\"read message: malformed body\"}");
	check_unary_refusal(state, &echo_unary, UNARY_JSON "content-encoding: gzip\n", "{}",
	                    EXCHANGE_BODY_COMPLETE, 400,
	                    "{\"code\":\"invalid_argument\","
	                    "\"message\":\"decompress: gzip: invalid data\"}");
}

static void test_call_unary_too_large_message_is_heard_out_and_refused(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_small, UNARY_JSON);
	push_text(&s, "{\"text\":\"0123456789\"}");
	assert_int_equal(s.f->status, 0);
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_int_equal(s.f->status, 429);
	assert_string_equal(fake_text(&s.f->body), "{\"code\":\"resource_exhausted\",\"message\":"
	                                           "\"message is larger than configured max 16\"}");
	scene_end(&s);
}

static void test_call_refused_message_is_heard_out_to_a_limit(void **state)
{
	static char much[CALL_HEAR_OUT_MAX + 1];
	struct scene s;

	scene_begin(&s, state, &echo_small, UNARY_JSON);
	push_text(&s, "{\"text\":\"0123456789\"}");
	memset(much, 'x', CALL_HEAR_OUT_MAX);
	push_text(&s, much);
	assert_int_equal(s.f->status, 0);
	push_text(&s, "x");
	assert_int_equal(s.f->status, 429);
	scene_end(&s);
}

static void test_call_refused_message_is_not_heard_out_on_http2(void **state)
{
	struct scene s;

	domain_init(&s.d, loop_fixture_loop(state));
	s.f = fake_new(HTTP_2, "POST", UNARY_JSON);
	domain_serve(&s.d, s.f, &echo_small);
	push_text(&s, "{\"text\":\"0123456789\"}");
	assert_int_equal(s.f->status, 429);
	scene_end(&s);
}

static void test_call_refused_message_ends_with_its_client(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_small, UNARY_JSON);
	push_text(&s, "{\"text\":\"0123456789\"}");
	fake_gone(s.f);
	assert_int_equal(s.f->status, 0);
	scene_end(&s);
}

static void test_call_unary_too_large_by_its_length_is_not_read(void **state)
{
	struct scene s;

	domain_init(&s.d, loop_fixture_loop(state));
	s.f = fake_new(HTTP_1_1, "POST", UNARY_JSON);
	fake_length(s.f, CALL_HEAR_OUT_MAX + 1);
	domain_serve(&s.d, s.f, &echo_small);
	assert_false(s.f->is_reading);
	assert_string_equal(fake_text(&s.f->body),
	                    "{\"code\":\"resource_exhausted\",\"message\":"
	                    "\"message size 262145 is larger than configured max 16\"}");
	scene_end(&s);
}

static void test_call_unary_message_of_exactly_the_limit_is_taken(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_small, UNARY_JSON);
	s.d.answers = true;
	push_text(&s, "{\"text\":\"12345\"}");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_log(&s, "handle(12345) ");
	scene_end(&s);
}

static void test_call_unary_empty_gzip_body_is_an_empty_body(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_unary,
	            "content-type: application/proto\ncontent-encoding: gzip\n");
	s.d.answers = true;
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_log(&s, "handle() ");
	assert_true(fake_has(&s.f->head, "Content-Encoding: gzip"));
	scene_end(&s);
}

static void test_call_unary_gzip_bomb_ends_at_the_limit(void **state)
{
	CLEANUP(buf_deinit) struct buf bomb = { 0 };
	struct scene s;
	char *spaces = xcalloc(1, 1u << 20);

	buf_init(&bomb, 1u << 20);
	assert_int_equal(gzip_compress(&bomb, spaces, 1u << 20), 0);
	free(spaces);
	scene_begin(&s, state, &echo_medium, UNARY_JSON "content-encoding: gzip\n");
	fake_push(s.f, bomb.data, bomb.len);
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_int_equal(s.f->status, 429);
	assert_string_equal(fake_text(&s.f->body),
	                    "{\"code\":\"resource_exhausted\",\"message\":"
	                    "\"message is larger than configured max 4096\"}");
	scene_end(&s);
}

static void test_call_cancelled_before_answer_frees_once(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_unary, "content-type: application/proto\n");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	fake_gone(s.f);
	assert_log(&s, "handle() cancel(1) ");
	assert_int_equal(s.d.n_freed_sessions, 0);
	assert_true(call_is_canceled(s.d.call));
	domain_finish(&s.d, "too late");
	assert_int_equal(s.f->body.len, 0);
	scene_end(&s);
}

static void test_call_cancelled_while_arriving_is_unknown_to_the_handler(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_unary, UNARY_JSON);
	push_text(&s, "{");
	fake_gone(s.f);
	assert_log(&s, "");
	scene_end(&s);
}

/* --- server streams ----------------------------------------------------------------------------- */

static void test_call_server_stream_sends_envelopes_and_end(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_server, STREAM_JSON);
	push_frame(s.f, 0, "{\"text\":\"abc\"}");
	assert_log(&s, "");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_log(&s, "handle(abc) ");
	assert_false(s.f->is_answered);
	assert_true(domain_send(&s.d, "one"));
	assert_int_equal(s.f->n_sends, 1);
	call_add_trailer(s.d.call, SPAN("x-a"), SPAN("1"));
	call_add_trailer(s.d.call, SPAN("x-b"), SPAN("2"));
	call_add_trailer(s.d.call, SPAN("X-A"), SPAN("3"));
	domain_finish(&s.d, "two");
	assert_frames(&s, "[0]{\"text\":\"one\"}[0]{\"text\":\"two\"}"
	                  "[2]{\"metadata\":{\"x-a\":[\"1\",\"3\"],\"x-b\":[\"2\"]}}");
	assert_string_equal(fake_text(&s.f->head), "Content-Type: application/connect+json\n"
	                                           "Connect-Accept-Encoding: gzip\n"
	                                           "X-Accel-Buffering: no\n");
	assert_true(s.f->is_finished);
	scene_end(&s);
}

static void test_call_server_stream_without_messages_ends_with_empty_json(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_server, STREAM_JSON);
	push_frame(s.f, 0, "");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_log(&s, "handle() ");
	domain_finish(&s.d, NULL);
	assert_frames(&s, "[2]{}");
	scene_end(&s);
}

static void test_call_server_stream_error_is_status_200_and_end(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_server, STREAM_JSON);
	push_frame(s.f, 0, "{}");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	domain_fail(&s.d, ERR_NOT_FOUND, "no pid");
	assert_int_equal(s.f->status, 200);
	assert_true(fake_has(&s.f->head, "X-Accel-Buffering: no"));
	assert_frames(&s, "[2]{\"error\":{\"code\":\"not_found\",\"message\":\"no pid\"}}");
	scene_end(&s);
}

struct frame_row {
	const char *name;
	uint8_t flags[2];
	const char *payloads[2];
	unsigned n;
	const char *tail; /* bytes after them */
	const char *answer;
};

static void check_frames(void **state, const struct frame_row *row)
{
	struct scene s;

	scene_begin(&s, state, &echo_server, STREAM_JSON);
	s.d.answers = true;
	for (unsigned i = 0; i < row->n; i++)
		push_frame(s.f, row->flags[i], row->payloads[i]);
	push_text(&s, row->tail);
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_frames(&s, row->answer);
	scene_end(&s);
}

static void test_call_stream_request_frames_are_checked(void **state)
{
	static const struct frame_row rows[] = {
		{ "none",
		  { 0 },
		  { 0 },
		  0,
		  "",
		  "[2]{\"error\":{\"code\":\"unimplemented\",\"message\":\"unary request has zero "
		  "messages\"}}" },
		{ "two",
		  { 0, 0 },
		  { "{}", "{}" },
		  2,
		  "",
		  "[2]{\"error\":{\"code\":\"unimplemented\",\"message\":\"unary request has "
		  "multiple "
		  "messages\"}}" },
		{ "compressed",
		  { 1 },
		  { "{}" },
		  1,
		  "",
		  "[2]{\"error\":{\"code\":\"internal\",\"message\":\"protocol error: sent "
		  "compressed "
		  "message without compression support\"}}" },
		{ "flags",
		  { 4 },
		  { "{}" },
		  1,
		  "",
		  "[2]{\"error\":{\"code\":\"internal\",\"message\":\"protocol error: invalid "
		  "envelope "
		  "flags 4\"}}" },
		{ "cut",
		  { 0 },
		  { "{}" },
		  1,
		  "\1\2",
		  "[2]{\"error\":{\"code\":\"invalid_argument\",\"message\":\"protocol error: "
		  "incomplete envelope: unexpected EOF\"}}" },
		{ "end", { 0, 2 }, { "{}", "{}" }, 2, "", "[0]{\"text\":\"ok\"}[2]{}" },
		{ "extra",
		  { 0, 2 },
		  { "{}", "{}" },
		  2,
		  "abc",
		  "[2]{\"error\":{\"code\":\"internal\",\"message\":\"corrupt response: 3 extra "
		  "bytes "
		  "after end of stream\"}}" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_frames(state, &rows[i]);
}

static void test_call_server_stream_bytes_one_at_a_time_are_the_same(void **state)
{
	static const uint8_t frame[] = { 0,   0,   0,   0,   12,  '{', '"', 't', 'e',
		                         'x', 't', '"', ':', '"', 'a', '"', '}' };
	struct scene s;

	scene_begin(&s, state, &echo_server, STREAM_JSON);
	s.d.answers = true;
	for (size_t i = 0; i < sizeof frame; i++)
		fake_push(s.f, &frame[i], 1);
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_log(&s, "handle(a) ");
	scene_end(&s);
}

static void test_call_server_stream_end_frame_leaves_the_message_alone(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_server, STREAM_JSON);
	push_frame(s.f, 0, "{\"text\":\"abcdefghijklmnopqrstuvwxyz\"}");
	push_frame(s.f, ENVELOPE_END_CONNECT, "{\"metadata\":{\"a\":[\"0123456789\"]}}");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_log(&s, "handle(abcdefghijklmnopqrstuvwxyz) ");
	domain_finish(&s.d, NULL);
	scene_end(&s);
}

static void test_call_slow_reader_is_waited_for(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_server, STREAM_JSON);
	push_frame(s.f, 0, "{}");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	s.f->is_full = true;
	assert_false(domain_send(&s.d, "one"));
	assert_false(domain_send(&s.d, "sent all the same"));
	assert_log(&s, "handle() ");
	fake_proceed(s.f);
	assert_log(&s, "handle() proceed ");
	domain_finish(&s.d, NULL);
	assert_frames(&s, "[0]{\"text\":\"one\"}[0]{\"text\":\"sent all the same\"}[2]{}");
	scene_end(&s);
}

static void test_call_cancelled_stream_swallows_messages(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_server, STREAM_JSON);
	push_frame(s.f, 0, "{}");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_true(domain_send(&s.d, "one"));
	fake_gone(s.f);
	assert_log(&s, "handle() cancel(1) ");
	assert_true(domain_send(&s.d, "two"));
	domain_fail(&s.d, ERR_CANCELED, "gone");
	assert_frames(&s, "[0]{\"text\":\"one\"}");
	scene_end(&s);
}

static void test_call_compressed_stream_compresses_everything(void **state)
{
	struct scene s;
	struct buf *body;

	scene_begin(&s, state, &echo_server, STREAM_JSON "connect-accept-encoding: gzip\n");
	push_frame(s.f, 0, "{}");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	domain_finish(&s.d, NULL);
	body = &s.f->body;
	assert_true(fake_has(&s.f->head, "Connect-Content-Encoding: gzip"));
	assert_int_equal(body->data[0], ENVELOPE_COMPRESSED | ENVELOPE_END_CONNECT);
	assert_memory_equal(body->data + ENVELOPE_HEADER, "\x1f\x8b", 2);
	scene_end(&s);
}

/* --- client and bidi streams --------------------------------------------------------------------- */

static void test_call_client_stream_gets_messages_when_it_asks(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_client, STREAM_JSON);
	assert_log(&s, "handle ");
	call_receive(s.d.call);
	call_receive(s.d.call);
	push_frame(s.f, 0, "{\"text\":\"a\"}");
	push_frame(s.f, 0, "{\"text\":\"b\"}");
	assert_log(&s, "handle message(a) ");
	call_receive(s.d.call);
	assert_string_equal(fake_text(&s.d.log), "handle message(a) ");
	assert_log(&s, "handle message(a) message(b) ");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_log(&s, "handle message(a) message(b) ");
	call_receive(s.d.call);
	assert_log(&s, "handle message(a) message(b) end ");
	domain_finish(&s.d, "ok");
	assert_frames(&s, "[0]{\"text\":\"ok\"}[2]{}");
	assert_false(fake_has(&s.f->head, "X-Accel-Buffering: no"));
	scene_end(&s);
}

static void test_call_client_stream_that_does_not_ask_stops_the_peer(void **state)
{
	static const uint8_t zeros[ENVELOPE_HEADER] = { 0 };
	struct scene s;

	scene_begin(&s, state, &echo_client, STREAM_JSON);
	call_receive(s.d.call);
	for (unsigned i = 0; i < 1000; i++)
		fake_push(s.f, zeros, sizeof zeros);
	assert_log(&s, "handle message() ");
	assert_int_equal(s.f->consumed, sizeof zeros);
	s.d.asks = true;
	call_receive(s.d.call);
	loop_fixture_turn(s.d.loop, 2);
	assert_int_equal(s.f->consumed, s.f->pushed);
	domain_finish(&s.d, "ok");
	scene_end(&s);
}

static void test_call_client_stream_early_error_is_answered_at_once(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_client, STREAM_JSON);
	call_receive(s.d.call);
	push_frame(s.f, 0, "{\"text\":\"a\"}");
	domain_fail(&s.d, ERR_NOT_FOUND, "no pid");
	assert_true(s.f->is_finished);
	assert_frames(&s, "[2]{\"error\":{\"code\":\"not_found\",\"message\":\"no pid\"}}");
	scene_end(&s);
}

static void test_call_client_stream_undecodable_message_is_its_cause(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_client, STREAM_JSON);
	s.d.asks = true;
	call_receive(s.d.call);
	push_frame(s.f, 0, "{\"text\":\"a\"}");
	push_frame(s.f, 0, "nonsense");
	assert_log(&s, "handle message(a) cancel(3) ");
	assert_true(s.f->is_finished);
	assert_non_null(strstr(fake_text(&s.f->body) + ENVELOPE_HEADER,
	                       "\"invalid_argument\",\"message\":\"unmarshal message: "));
	assert_int_equal(call_request(s.d.call)->n_fields, 0);
	domain_fail(&s.d, ERR_UNKNOWN, "dropped");
	scene_end(&s);
}

static void test_call_client_stream_cut_body_is_canceled(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_client, STREAM_JSON);
	call_receive(s.d.call);
	fake_end(s.f, EXCHANGE_BODY_CUT);
	assert_log(&s, "handle cancel(1) ");
	assert_frames(&s, "[2]{\"error\":{\"code\":\"canceled\",\"message\":\"unexpected EOF\"}}");
	domain_finish(&s.d, NULL);
	scene_end(&s);
}

static void test_call_bidi_stream_alternates(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_bidi, STREAM_JSON);
	call_receive(s.d.call);
	push_frame(s.f, 0, "{\"text\":\"a\"}");
	assert_true(domain_send(&s.d, "A"));
	call_receive(s.d.call);
	push_frame(s.f, 0, "{\"text\":\"b\"}");
	assert_true(domain_send(&s.d, "B"));
	call_receive(s.d.call);
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_log(&s, "handle message(a) message(b) end ");
	domain_finish(&s.d, NULL);
	assert_frames(&s, "[0]{\"text\":\"A\"}[0]{\"text\":\"B\"}[2]{}");
	scene_end(&s);
}

/* --- time --------------------------------------------------------------------------------------- */

static void test_call_deadline_answers_and_tells_the_handler(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_server, STREAM_JSON "connect-timeout-ms: 1\n");
	push_frame(s.f, 0, "{}");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	s.d.has_event = false;
	assert_int_equal(call_timeout_ms(s.d.call), 1);
	assert_int_equal(call_deadline_ms(s.d.call),
	                 loop_now_ms(s.d.loop) + 1 + CALL_DEADLINE_SLACK_MS);
	loop_fixture_run_until(s.d.loop, &s.d.has_event);
	assert_true(loop_now_ms(s.d.loop) >= call_deadline_ms(s.d.call));
	assert_log(&s, "handle() cancel(4) ");
	assert_frames(&s, "[2]{\"error\":{\"code\":\"deadline_exceeded\",\"message\":\"context "
	                  "deadline exceeded\"}}");
	assert_true(domain_send(&s.d, "late"));
	domain_finish(&s.d, NULL);
	scene_end(&s);
}

static void test_call_deadline_that_has_passed_does_nothing(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_unary, UNARY_JSON "connect-timeout-ms: -3\n");
	assert_log(&s, "");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_int_equal(s.f->status, 504);
	assert_string_equal(fake_text(&s.f->body), "{\"code\":\"deadline_exceeded\","
	                                           "\"message\":\"context deadline exceeded\"}");
	scene_end(&s);
}

static void test_call_hangup_is_told_once_and_leaves_the_answer_possible(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_unary, UNARY_JSON);
	push_text(&s, "{}");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	fake_hangup(s.f);
	fake_hangup(s.f);
	assert_log(&s, "handle() hangup ");
	domain_finish(&s.d, "late");
	assert_int_equal(s.f->status, 200);
	scene_end(&s);
}

/* While a user is looked up, or before the request is complete. */
static void test_call_hangup_before_the_handler_knows_the_call_is_told_after_handle(void **state)
{
	struct scene s;

	domain_init(&s.d, loop_fixture_loop(state));
	s.f = fake_new(HTTP_1_1, "POST", STREAM_JSON);
	fake_hangup(s.f);
	domain_serve(&s.d, s.f, &echo_server);
	push_frame(s.f, 0, "{}");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_log(&s, "handle() hangup ");
	domain_finish(&s.d, NULL);
	scene_end(&s);
}

static void test_call_hangup_does_not_wait_for_the_handler_to_ask(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_client, STREAM_JSON);
	call_receive(s.d.call);
	push_frame(s.f, 0, "{\"text\":\"a\"}");
	push_frame(s.f, 0, "{\"text\":\"b\"}");
	assert_log(&s, "handle message(a) ");
	fake_hangup(s.f);
	call_receive(s.d.call);
	assert_log(&s, "handle message(a) hangup message(b) ");
	domain_fail(&s.d, ERR_CANCELED, "context canceled");
	scene_end(&s);
}

static void test_call_that_ignores_its_deadline_does_not_run_out(void **state)
{
	struct rpc_method method = echo_client;
	struct scene s;

	method.ignores_deadline = true;
	scene_begin(&s, state, &method, STREAM_JSON "connect-timeout-ms: 1\n");
	assert_log(&s, "handle ");
	assert_int_equal(call_timeout_ms(s.d.call), 1);
	assert_int_equal(call_deadline_ms(s.d.call), 0);
	timers_advance(&s.d.loop->timers, loop_now_ms(s.d.loop) + 60000);
	assert_log(&s, "handle ");
	call_receive(s.d.call);
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_log(&s, "handle end ");
	domain_finish(&s.d, "ok");
	assert_frames(&s, "[0]{\"text\":\"ok\"}[2]{}");
	scene_end(&s);
}

static void test_call_that_ignores_its_deadline_is_refused_when_it_has_passed(void **state)
{
	struct rpc_method method = echo_client;
	struct scene s;

	method.ignores_deadline = true;
	scene_begin(&s, state, &method, STREAM_JSON "connect-timeout-ms: 0\n");
	assert_log(&s, "");
	assert_frames(&s, "[2]{\"error\":{\"code\":\"deadline_exceeded\",\"message\":\"context "
	                  "deadline exceeded\"}}");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	scene_end(&s);
}

static void test_call_that_runs_expired_is_heard_first(void **state)
{
	struct rpc_method method = echo_server;
	struct scene s;

	method.runs_expired = true;
	scene_begin(&s, state, &method, STREAM_JSON "connect-timeout-ms: 0\n");
	push_frame(s.f, 0, "{}");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_string_equal(fake_text(&s.d.log), "handle() ");
	assert_log(&s, "handle() cancel(4) ");
	domain_finish(&s.d, NULL);
	scene_end(&s);
}

static void test_call_keepalive_comes_every_interval(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_server, STREAM_JSON "keepalive-ping-interval: 7\n");
	push_frame(s.f, 0, "{}");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_int_equal(call_keepalive_ms(s.d.call), 7000);
	call_start_keepalive(s.d.call, 1);
	for (unsigned i = 0; i < 2; i++) {
		s.d.has_event = false;
		loop_fixture_run_until(s.d.loop, &s.d.has_event);
		assert_true(domain_send(&s.d, "alive"));
	}
	assert_memory_equal(s.d.log.data, "handle() keepalive keepalive ", 29);
	domain_finish(&s.d, NULL);
	scene_end(&s);
}

/* --- memory ------------------------------------------------------------------------------------- */

/* One whole exchange; whatever fails, something is answered and all is given back. */
static void run_kind(void **state, const struct rpc_method *method, const char *fields,
                     bool enveloped, unsigned nth)
{
	struct scene s;

	domain_init(&s.d, loop_fixture_loop(state));
	s.f = fake_new(HTTP_1_1, "POST", fields);
	mem_fail_nth(nth);
	domain_serve(&s.d, s.f, method);
	s.d.answers = !(method->kind & RPC_CLIENT_STREAM);
	if (s.d.call)
		call_receive(s.d.call);
	if (enveloped)
		push_frame(s.f, 0, "{\"text\":\"a text that is long enough\"}");
	else
		push_text(&s, "{\"text\":\"a text that is long enough\"}");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	loop_fixture_turn(s.d.loop, 2);
	if (s.d.call)
		domain_finish(&s.d, "ok");
	assert_true(s.f->is_finished || s.f->is_aborted);
	scene_end(&s);
}

static void test_call_every_allocation_failure_is_refused_cleanly(void **state)
{
	static const struct {
		const struct rpc_method *method;
		const char *fields;
		bool enveloped;
	} rows[] = {
		{ &echo_unary, UNARY_JSON "accept-encoding: gzip\n", false },
		{ &echo_server, STREAM_JSON "connect-accept-encoding: gzip\n", true },
		{ &echo_client, STREAM_JSON, true },
		{ &echo_server, "content-type: application/grpc+json\n", true },
		{ &echo_server, "content-type: application/grpc-web+json\n", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (unsigned nth = 1; nth < 1000; nth++) {
			run_kind(state, rows[i].method, rows[i].fields, rows[i].enveloped, nth);
			if (!mem_fail_nth(0))
				break;
		}
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, loop_fixture_setup, loop_fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_call_unary_answers_with_one_body),
		TEST(test_call_unary_error_has_status_and_json),
		TEST(test_call_unary_error_without_text_has_no_message),
		TEST(test_call_unary_broken_body_is_refused),
		TEST(test_call_unary_too_large_message_is_heard_out_and_refused),
		TEST(test_call_refused_message_is_heard_out_to_a_limit),
		TEST(test_call_refused_message_is_not_heard_out_on_http2),
		TEST(test_call_refused_message_ends_with_its_client),
		TEST(test_call_unary_too_large_by_its_length_is_not_read),
		TEST(test_call_unary_message_of_exactly_the_limit_is_taken),
		TEST(test_call_unary_empty_gzip_body_is_an_empty_body),
		TEST(test_call_unary_gzip_bomb_ends_at_the_limit),
		TEST(test_call_cancelled_before_answer_frees_once),
		TEST(test_call_cancelled_while_arriving_is_unknown_to_the_handler),
		TEST(test_call_server_stream_sends_envelopes_and_end),
		TEST(test_call_server_stream_without_messages_ends_with_empty_json),
		TEST(test_call_server_stream_error_is_status_200_and_end),
		TEST(test_call_stream_request_frames_are_checked),
		TEST(test_call_server_stream_bytes_one_at_a_time_are_the_same),
		TEST(test_call_server_stream_end_frame_leaves_the_message_alone),
		TEST(test_call_slow_reader_is_waited_for),
		TEST(test_call_cancelled_stream_swallows_messages),
		TEST(test_call_compressed_stream_compresses_everything),
		TEST(test_call_client_stream_gets_messages_when_it_asks),
		TEST(test_call_client_stream_that_does_not_ask_stops_the_peer),
		TEST(test_call_client_stream_early_error_is_answered_at_once),
		TEST(test_call_client_stream_undecodable_message_is_its_cause),
		TEST(test_call_client_stream_cut_body_is_canceled),
		TEST(test_call_bidi_stream_alternates),
		TEST(test_call_deadline_answers_and_tells_the_handler),
		TEST(test_call_deadline_that_has_passed_does_nothing),
		TEST(test_call_hangup_is_told_once_and_leaves_the_answer_possible),
		TEST(test_call_hangup_before_the_handler_knows_the_call_is_told_after_handle),
		TEST(test_call_hangup_does_not_wait_for_the_handler_to_ask),
		TEST(test_call_that_ignores_its_deadline_does_not_run_out),
		TEST(test_call_that_ignores_its_deadline_is_refused_when_it_has_passed),
		TEST(test_call_that_runs_expired_is_heard_first),
		TEST(test_call_keepalive_comes_every_interval),
		TEST(test_call_every_allocation_failure_is_refused_cleanly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
