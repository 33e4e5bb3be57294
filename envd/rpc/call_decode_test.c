/*
 * Calls whose messages are decoded by a job: the same as decoded at once, only later.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/coding.h"
#include "rpc/call.h"
#include "rpc/call_fixture.h"
#include "rpc/decode.h"
#include "rpc/envelope.h"
#include "tests/support/busy_pool.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

#define UNARY_JSON  "content-type: application/json\n"
#define STREAM_JSON "content-type: application/connect+json\n"

#define LARGE     (8u * DECODE_NOW_MAX) /* bytes */
#define PIECE     65536u                /* bytes the peer sends at a time */
#define LIMIT_MAX (1024u * 1024u)       /* bytes, of a message of limited */

struct scene {
	struct domain d;
	struct fake_exchange *f;
};

static void scene_begin(struct scene *s, void **state, const struct rpc_method *method,
                        const char *fields)
{
	domain_init(&s->d, loop_fixture_loop(state));
	s->f = fake_new(HTTP_1_1, "POST", fields);
	domain_serve(&s->d, s->f, method);
}

static void scene_end(struct scene *s)
{
	assert_int_equal(s->d.n_freed_sessions, 1);
	domain_deinit(&s->d);
	fake_free(s->f);
}

static void assert_log_now(struct scene *s, const char *expected)
{
	assert_string_equal(fake_text(&s->d.log), expected);
}

struct wait {
	struct scene *s;
	size_t len;
};

static bool log_is_shorter(void *arg)
{
	const struct wait *w = arg;

	return w->s->d.log.len < w->len;
}

static void wait_for_log(struct scene *s, const char *expected)
{
	struct wait w = { s, strlen(expected) };

	loop_fixture_run_while(s->d.loop, log_is_shorter, &w);
	assert_log_now(s, expected);
}

/* begin, spaces, end: quick to decode, and large. */
static void put_large(struct buf *out, const char *begin, size_t size, bool gzip)
{
	CLEANUP(buf_deinit) struct buf plain = { 0 };

	buf_init(&plain, 4 * LARGE);
	buf_append_text(&plain, begin);
	while (plain.len + 1 < size)
		buf_append_byte(&plain, ' ');
	buf_append_byte(&plain, '}');
	buf_init(out, 4 * LARGE);
	if (gzip)
		assert_int_equal(gzip_compress(out, plain.data, plain.len), 0);
	else
		buf_append(out, plain.data, plain.len);
	assert_int_equal(buf_error(out), 0);
}

static void put_large_frame(struct buf *out, uint8_t flags, const char *begin, size_t size)
{
	CLEANUP(buf_deinit) struct buf payload = { 0 };
	uint8_t header[ENVELOPE_HEADER];

	put_large(&payload, begin, size, flags & ENVELOPE_COMPRESSED);
	envelope_put_header(header, flags, (uint32_t)payload.len);
	buf_init(out, 4 * LARGE);
	buf_append(out, header, sizeof header);
	buf_append(out, payload.data, payload.len);
	assert_int_equal(buf_error(out), 0);
}

static void push_bytes(struct scene *s, const uint8_t *data, size_t len)
{
	for (size_t at = 0; at < len; at += PIECE)
		fake_push(s->f, data + at, MIN(PIECE, len - at));
}

static void push_body(struct scene *s, const char *begin, size_t size, bool gzip)
{
	CLEANUP(buf_deinit) struct buf body = { 0 };

	put_large(&body, begin, size, gzip);
	push_bytes(s, body.data, body.len);
}

static void push_large_frame(struct scene *s, uint8_t flags, const char *begin, size_t size)
{
	CLEANUP(buf_deinit) struct buf frame = { 0 };

	put_large_frame(&frame, flags, begin, size);
	push_bytes(s, frame.data, frame.len);
}

/* --- handed over -------------------------------------------------------------------------------- */

static void test_call_large_unary_message_is_handed_over_later(void **state)
{
	for (unsigned gzip = 0; gzip <= 1; gzip++) {
		struct scene s;

		scene_begin(&s, state, &echo_unary,
		            gzip ? UNARY_JSON "content-encoding: gzip\n" : UNARY_JSON);
		s.d.answers = true;
		push_body(&s, "{\"text\":\"abc\"", LARGE, gzip);
		fake_end(s.f, EXCHANGE_BODY_COMPLETE);
		assert_log_now(&s, "");
		wait_for_log(&s, "handle(abc) ");
		assert_int_equal(s.f->status, 200);
		assert_int_equal(s.f->consumed, s.f->pushed);
		scene_end(&s);
	}
}

static void test_call_large_server_stream_message_is_handed_over_later(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_server, STREAM_JSON "connect-content-encoding: gzip\n");
	push_large_frame(&s, ENVELOPE_COMPRESSED, "{\"text\":\"abc\"", LARGE);
	push_frame(s.f, ENVELOPE_END_CONNECT, "{}");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_log_now(&s, "");
	wait_for_log(&s, "handle(abc) ");
	assert_true(domain_send(&s.d, "one"));
	domain_finish(&s.d, NULL);
	scene_end(&s);
}

static void test_call_client_stream_keeps_the_order_of_large_and_small(void **state)
{
	struct scene s;
	size_t consumed;

	scene_begin(&s, state, &echo_client, STREAM_JSON);
	s.d.asks = true;
	call_receive(s.d.call);
	push_frame(s.f, 0, "{\"text\":\"a\"}");
	push_large_frame(&s, 0, "{\"text\":\"b\"", LARGE);
	consumed = s.f->consumed;
	assert_int_equal(consumed, s.f->pushed);
	push_frame(s.f, 0, "{\"text\":\"c\"}");
	push_large_frame(&s, 0, "{\"text\":\"d\"", EXCHANGE_WINDOW / 2);
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_log_now(&s, "handle message(a) ");
	assert_int_equal(s.f->consumed, consumed); /* the peer is stopped */
	wait_for_log(&s, "handle message(a) message(b) message(c) message(d) end ");
	assert_int_equal(s.f->consumed, s.f->pushed);
	domain_finish(&s.d, "ok");
	scene_end(&s);
}

static void test_call_asking_twice_for_a_large_message_is_asking_once(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_client, STREAM_JSON);
	call_receive(s.d.call);
	push_large_frame(&s, 0, "{\"text\":\"a\"", LARGE);
	call_receive(s.d.call);
	push_frame(s.f, 0, "{\"text\":\"b\"}");
	wait_for_log(&s, "handle message(a) ");
	loop_fixture_turn(s.d.loop, 2);
	assert_log_now(&s, "handle message(a) ");
	domain_finish(&s.d, "ok");
	scene_end(&s);
}

/* Its memory is the call's until the handler asks again or lets go. */
static void test_call_large_message_outlives_its_peer(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_server, STREAM_JSON);
	push_large_frame(&s, 0, "{\"text\":\"abc\"", LARGE);
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	wait_for_log(&s, "handle(abc) ");
	fake_gone(s.f);
	wait_for_log(&s, "handle(abc) cancel(1) ");
	assert_string_equal(s.d.message->text, "abc");
	call_drop_message(s.d.call);
	domain_finish(&s.d, NULL);
	scene_end(&s);
}

static void test_call_several_large_messages_at_once_are_all_handed_over(void **state)
{
	struct scene scenes[2 * DECODE_JOBS_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(scenes); i++) {
		scene_begin(&scenes[i], state, &echo_unary, UNARY_JSON);
		push_body(&scenes[i], "{\"text\":\"abc\"", LARGE, false);
		fake_end(scenes[i].f, EXCHANGE_BODY_COMPLETE);
	}
	for (size_t i = 0; i < ARRAY_SIZE(scenes); i++) {
		wait_for_log(&scenes[i], "handle(abc) ");
		domain_finish(&scenes[i].d, "ok");
		scene_end(&scenes[i]);
	}
}

/* --- refused ------------------------------------------------------------------------------------ */

/* The answer's text, which the caller frees. */
static char *answer_to(void **state, const struct rpc_method *method, const char *begin,
                       size_t size, bool gzip)
{
	struct scene s;
	char *answer;

	scene_begin(&s, state, method, gzip ? UNARY_JSON "content-encoding: gzip\n" : UNARY_JSON);
	push_body(&s, begin, size, gzip);
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	loop_fixture_run_until(s.d.loop, &s.f->is_finished);
	assert_log_now(&s, "");
	answer = xstrdup(fake_text(&s.f->body));
	scene_end(&s);
	return answer;
}

static void test_call_undecodable_large_message_has_the_error_of_a_small_one(void **state)
{
	CLEANUP(freep) char *small = answer_to(state, &echo_unary, "{\"text\":1", 0, false);
	CLEANUP(freep) char *large = answer_to(state, &echo_unary, "{\"text\":1", LARGE, false);
	CLEANUP(freep) char *packed = answer_to(state, &echo_unary, "{\"text\":1", LARGE, true);

	assert_non_null(strstr(small, "\"message\":\"unmarshal message: "));
	assert_string_equal(large, small);
	assert_string_equal(packed, small);
}

static void test_call_large_gzip_bomb_ends_at_the_limit(void **state)
{
	static const struct rpc_options options = { .message_max = LIMIT_MAX };
	struct rpc_method limited = echo_unary;
	CLEANUP(freep) char *answer = NULL;

	limited.options = &options;
	answer = answer_to(state, &limited, "{", LIMIT_MAX + 1, true);
	assert_string_equal(answer, "{\"code\":\"resource_exhausted\",\"message\":"
	                            "\"message is larger than configured max 1048576\"}");
}

static void test_call_client_stream_large_undecodable_message_is_its_cause(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_client, STREAM_JSON);
	s.d.asks = true;
	call_receive(s.d.call);
	push_large_frame(&s, 0, "{\"text\":1", LARGE);
	push_frame(s.f, 0, "{\"text\":\"b\"}");
	wait_for_log(&s, "handle cancel(3) ");
	assert_true(s.f->is_finished);
	domain_fail(&s.d, ERR_UNKNOWN, "dropped");
	scene_end(&s);
}

static void test_call_body_cut_while_decoding_is_canceled_after_the_message(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_client, STREAM_JSON);
	s.d.asks = true;
	call_receive(s.d.call);
	push_large_frame(&s, 0, "{\"text\":\"a\"", LARGE);
	fake_end(s.f, EXCHANGE_BODY_CUT);
	assert_log_now(&s, "handle ");
	wait_for_log(&s, "handle message(a) cancel(1) ");
	domain_finish(&s.d, NULL);
	scene_end(&s);
}

static void test_call_large_end_frame_is_refused(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_server, STREAM_JSON);
	push_frame(s.f, 0, "{}");
	push_large_frame(&s, ENVELOPE_END_CONNECT, "{", DECODE_END_MAX + 1);
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_true(s.f->is_finished);
	assert_non_null(strstr(fake_text(&s.f->body) + ENVELOPE_HEADER, "\"resource_exhausted\""));
	scene_end(&s);
}

/* --- ends while it is decoded ------------------------------------------------------------------- */

static void test_call_peer_gone_while_decoding_frees_once(void **state)
{
	for (unsigned is_busy = 0; is_busy <= 1; is_busy++) {
		struct busy_pool pool;
		struct scene s;

		if (is_busy)
			busy_pool_begin(&pool, loop_fixture_loop(state));
		scene_begin(&s, state, &echo_unary, UNARY_JSON);
		push_body(&s, "{\"text\":\"abc\"", LARGE, false);
		fake_end(s.f, EXCHANGE_BODY_COMPLETE);
		fake_gone(s.f);
		assert_int_equal(s.d.n_freed_sessions, 1);
		if (is_busy)
			busy_pool_end(&pool);
		assert_true(loop_run_out(s.d.loop, LOOP_FIXTURE_WAIT_MS));
		assert_log_now(&s, "");
		scene_end(&s);
	}
}

static void test_call_stream_peer_gone_while_decoding_is_told_once(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_client, STREAM_JSON);
	call_receive(s.d.call);
	push_large_frame(&s, 0, "{\"text\":\"a\"", LARGE);
	fake_gone(s.f);
	assert_true(loop_run_out(s.d.loop, LOOP_FIXTURE_WAIT_MS));
	assert_log_now(&s, "handle cancel(1) ");
	domain_finish(&s.d, NULL);
	scene_end(&s);
}

static void test_call_answered_while_decoding_drops_the_message(void **state)
{
	struct scene s;

	scene_begin(&s, state, &echo_bidi, STREAM_JSON);
	call_receive(s.d.call);
	push_large_frame(&s, 0, "{\"text\":\"a\"", LARGE);
	domain_fail(&s.d, ERR_NOT_FOUND, "no pid");
	assert_true(s.f->is_finished);
	assert_true(loop_run_out(s.d.loop, LOOP_FIXTURE_WAIT_MS));
	assert_log_now(&s, "handle ");
	scene_end(&s);
}

static void test_call_deadline_while_decoding_answers(void **state)
{
	struct busy_pool pool;
	struct scene s;

	busy_pool_begin(&pool, loop_fixture_loop(state));
	scene_begin(&s, state, &echo_unary, UNARY_JSON "connect-timeout-ms: 1\n");
	push_body(&s, "{\"text\":\"abc\"", LARGE, false);
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	loop_fixture_run_until(s.d.loop, &s.f->is_finished);
	assert_int_equal(s.f->status, 504);
	busy_pool_end(&pool);
	assert_log_now(&s, "");
	scene_end(&s);
}

/* --- memory ------------------------------------------------------------------------------------- */

static bool is_open(void *arg)
{
	const struct scene *s = arg;

	return !s->d.call && !s->f->is_finished && !s->f->is_aborted;
}

static void run_kind(void **state, const struct rpc_method *method, const char *fields,
                     const struct buf *body, unsigned nth)
{
	struct scene s;

	domain_init(&s.d, loop_fixture_loop(state));
	s.f = fake_new(HTTP_1_1, "POST", fields);
	mem_fail_nth(nth);
	domain_serve(&s.d, s.f, method);
	s.d.asks = method->kind & RPC_CLIENT_STREAM;
	if (s.d.call)
		call_receive(s.d.call);
	push_bytes(&s, body->data, body->len);
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	loop_fixture_run_while(s.d.loop, is_open, &s);
	assert_true(loop_run_out(s.d.loop, LOOP_FIXTURE_WAIT_MS));
	if (s.d.call)
		domain_finish(&s.d, "ok");
	assert_true(s.f->is_finished || s.f->is_aborted);
	scene_end(&s);
}

static void check_every_allocation_failure(void **state, const struct rpc_method *method,
                                           const char *fields, bool enveloped)
{
	CLEANUP(buf_deinit) struct buf body = { 0 };

	if (enveloped)
		put_large_frame(&body, 0, "{\"text\":\"abc\"", LARGE);
	else
		put_large(&body, "{\"text\":\"abc\"", LARGE, false);
	for (unsigned nth = 1; nth < 1000; nth++) {
		run_kind(state, method, fields, &body, nth);
		if (!mem_fail_nth(0))
			return;
	}
	fail_msg("there was always something to fail");
}

static void test_call_every_allocation_failure_of_a_large_message_is_refused(void **state)
{
	check_every_allocation_failure(state, &echo_unary, UNARY_JSON, false);
	check_every_allocation_failure(state, &echo_server, STREAM_JSON, true);
	check_every_allocation_failure(state, &echo_client, STREAM_JSON, true);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, loop_fixture_setup, loop_fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_call_large_unary_message_is_handed_over_later),
		TEST(test_call_large_server_stream_message_is_handed_over_later),
		TEST(test_call_client_stream_keeps_the_order_of_large_and_small),
		TEST(test_call_asking_twice_for_a_large_message_is_asking_once),
		TEST(test_call_large_message_outlives_its_peer),
		TEST(test_call_several_large_messages_at_once_are_all_handed_over),
		TEST(test_call_undecodable_large_message_has_the_error_of_a_small_one),
		TEST(test_call_large_gzip_bomb_ends_at_the_limit),
		TEST(test_call_client_stream_large_undecodable_message_is_its_cause),
		TEST(test_call_body_cut_while_decoding_is_canceled_after_the_message),
		TEST(test_call_large_end_frame_is_refused),
		TEST(test_call_peer_gone_while_decoding_frees_once),
		TEST(test_call_stream_peer_gone_while_decoding_is_told_once),
		TEST(test_call_answered_while_decoding_drops_the_message),
		TEST(test_call_deadline_while_decoding_answers),
		TEST(test_call_every_allocation_failure_of_a_large_message_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
