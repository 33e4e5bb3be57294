/*
 * Calls whose answer was encoded away from the loop: the same as any other, in pieces.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/coding.h"
#include "loop/timer.h"
#include "rpc/answer.h"
#include "rpc/call.h"
#include "rpc/call_fixture.h"
#include "rpc/envelope.h"
#include "rpc/protocol.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

#define LARGE (3u * REPLY_TURN_MAX) /* bytes of a message */

struct scene {
	struct domain d;
	struct fake_exchange *f;
};

/* A call whose request is complete. */
static void scene_begin(struct scene *s, void **state, enum http_version version,
                        const char *fields)
{
	domain_init(&s->d, loop_fixture_loop(state));
	s->f = fake_new(version, "POST", fields);
	domain_serve(&s->d, s->f, &echo_unary);
	if (strstr(fields, "application/grpc"))
		push_frame(s->f, 0, "");
	else if (strstr(fields, "json"))
		fake_push(s->f, "{}", 2);
	fake_end(s->f, EXCHANGE_BODY_COMPLETE);
	assert_non_null(s->d.call);
}

static void scene_end(struct scene *s)
{
	loop_fixture_turn(s->d.loop, 2);
	assert_int_equal(s->d.n_freed_sessions, 1);
	assert_int_equal(answer_charged(), 0);
	domain_deinit(&s->d);
	fake_free(s->f);
}

/* As a job would make it. */
static struct answer *answer_of(struct scene *s, const char *text)
{
	Test__Echo message = TEST__ECHO__INIT;
	struct answer *a = call_new_answer(s->d.call);
	struct err e = { 0 };

	memcpy(&message.text, &text, sizeof text); /* is only read */
	assert_int_equal(answer_put(a, &message.base, &e), 0);
	assert_int_equal(answer_seal(a, &e), 0);
	return a;
}

static void finish(struct scene *s, const char *text)
{
	struct answer *a = answer_of(s, text);

	call_finish_encoded(&s->d.call, &a);
	assert_null(s->d.call);
	assert_null(a);
}

static char *large_text(void)
{
	char *text = xmalloc(LARGE + 1);

	memset(text, 'x', LARGE);
	text[LARGE] = '\0';
	return text;
}

static bool is_unfinished(void *arg)
{
	const struct scene *s = arg;

	return !s->f->is_finished;
}

static void test_call_answer_of_connect_is_one_body(void **state)
{
	struct scene s;

	scene_begin(&s, state, HTTP_1_1, "content-type: application/json\n");
	finish(&s, "ok");
	assert_int_equal(s.f->status, 200);
	assert_string_equal(fake_text(&s.f->head),
	                    "Content-Type: application/json\nAccept-Encoding: gzip\n");
	assert_string_equal(fake_text(&s.f->body), "{\"text\":\"ok\"}");
	assert_true(s.f->is_finished);
	assert_int_equal(s.f->n_sends, 1);
	scene_end(&s);
}

static void test_call_answer_without_bytes_is_an_empty_body(void **state)
{
	struct scene s;

	scene_begin(&s, state, HTTP_1_1, "content-type: application/proto\n");
	finish(&s, "");
	assert_int_equal(s.f->status, 200);
	assert_int_equal(s.f->body.len, 0);
	assert_true(s.f->is_finished);
	scene_end(&s);
}

static void test_call_answer_of_connect_is_compressed(void **state)
{
	CLEANUP(buf_deinit) struct buf plain = { 0 };
	struct scene s;

	scene_begin(&s, state, HTTP_1_1, "content-type: application/json\naccept-encoding: gzip\n");
	finish(&s, "ok");
	assert_true(fake_has(&s.f->head, "Content-Encoding: gzip"));
	buf_init(&plain, LARGE);
	assert_int_equal(gzip_decompress(&plain, s.f->body.data, s.f->body.len), 0);
	assert_string_equal(fake_text(&plain), "{\"text\":\"ok\"}");
	scene_end(&s);
}

static void test_call_answer_of_grpc_is_a_frame_and_trailers(void **state)
{
	static const char frame[] = "\0\0\0\0\4\x0a\2ok";
	struct scene s;

	scene_begin(&s, state, HTTP_2, "content-type: application/grpc\n");
	finish(&s, "ok");
	assert_int_equal(s.f->body.len, sizeof frame - 1);
	assert_memory_equal(s.f->body.data, frame, sizeof frame - 1);
	assert_true(fake_has(&s.f->trailers, "Grpc-Status: 0"));
	assert_true(s.f->is_finished);
	scene_end(&s);
}

static void test_call_answer_of_grpc_web_ends_with_a_frame_of_trailers(void **state)
{
	static const char frames[] = "\0\0\0\0\4\x0a\2ok\x80\0\0\0\x10grpc-status: 0\r\n";
	struct scene s;

	scene_begin(&s, state, HTTP_1_1, "content-type: application/grpc-web\n");
	finish(&s, "ok");
	assert_int_equal(s.f->body.len, sizeof frames - 1);
	assert_memory_equal(s.f->body.data, frames, sizeof frames - 1);
	scene_end(&s);
}

static void test_call_answer_that_is_large_takes_several_turns(void **state)
{
	CLEANUP(freep) char *text = large_text();
	struct scene s;

	scene_begin(&s, state, HTTP_1_1, "content-type: application/proto\n");
	finish(&s, text);
	assert_int_equal(s.f->body.len, REPLY_TURN_MAX);
	assert_false(s.f->is_finished);
	loop_fixture_run_while(s.d.loop, is_unfinished, &s);
	assert_int_equal(s.f->body.len, LARGE + 5);
	assert_memory_equal(s.f->body.data + 5, text, LARGE);
	scene_end(&s);
}

static void test_call_answer_waits_for_a_slow_peer(void **state)
{
	CLEANUP(freep) char *text = large_text();
	struct scene s;
	unsigned n;

	scene_begin(&s, state, HTTP_1_1, "content-type: application/proto\n");
	s.f->is_full = true;
	finish(&s, text);
	assert_int_equal(s.f->body.len, REPLY_PIECE);
	for (n = 0; !s.f->is_finished; n++) {
		size_t sent = s.f->body.len;

		loop_fixture_turn(s.d.loop, 2);
		assert_int_equal(s.f->body.len, sent);
		fake_proceed(s.f);
		s.f->is_full = true;
		if (n == 0)
			assert_int_equal(s.f->body.len, sent + REPLY_TURN_MAX);
		loop_fixture_turn(s.d.loop, 2);
	}
	assert_int_equal(s.f->body.len, LARGE + 5);
	scene_end(&s);
}

static void test_call_answer_ends_with_its_peer(void **state)
{
	CLEANUP(freep) char *text = large_text();
	struct scene s;

	scene_begin(&s, state, HTTP_1_1, "content-type: application/proto\n");
	s.f->is_full = true;
	finish(&s, text);
	assert_true(answer_charged() > 0);
	fake_gone(s.f);
	assert_string_equal(fake_text(&s.d.log), "handle() ");
	scene_end(&s);
}

static void test_call_answer_between_two_turns_ends_with_its_peer(void **state)
{
	CLEANUP(freep) char *text = large_text();
	struct scene s;

	scene_begin(&s, state, HTTP_1_1, "content-type: application/proto\n");
	finish(&s, text);
	assert_false(s.f->is_finished);
	fake_gone(s.f);
	scene_end(&s);
}

static void test_call_answer_that_nobody_waits_for_is_dropped(void **state)
{
	struct scene s;
	struct answer *a;

	scene_begin(&s, state, HTTP_1_1, "content-type: application/proto\n");
	a = answer_of(&s, "ok");
	fake_gone(s.f);
	loop_fixture_turn(s.d.loop, 2);
	assert_string_equal(fake_text(&s.d.log), "handle() cancel(1) ");
	call_finish_encoded(&s.d.call, &a);
	assert_int_equal(s.f->body.len, 0);
	scene_end(&s);
}

static void test_call_answer_is_given_though_the_deadline_passes_meanwhile(void **state)
{
	CLEANUP(freep) char *text = large_text();
	struct scene s;

	scene_begin(&s, state, HTTP_1_1,
	            "content-type: application/proto\nconnect-timeout-ms: 1\n");
	s.f->is_full = true;
	finish(&s, text);
	timers_advance(&s.d.loop->timers, timers_now(&s.d.loop->timers) + 1000);
	s.f->is_full = false;
	fake_proceed(s.f);
	loop_fixture_run_while(s.d.loop, is_unfinished, &s);
	assert_int_equal(s.f->body.len, LARGE + 5);
	scene_end(&s);
}

static void test_call_answer_with_too_much_metadata_is_an_error(void **state)
{
	struct scene s;

	scene_begin(&s, state, HTTP_1_1, "content-type: application/json\n");
	for (unsigned i = 0; i <= RPC_METADATA_FIELDS_MAX; i++)
		call_add_header(s.d.call, SPAN("X-Name"), SPAN("value"));
	finish(&s, "ok");
	assert_int_equal(s.f->status, 429);
	assert_non_null(strstr(fake_text(&s.f->body), "resource_exhausted"));
	scene_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, loop_fixture_setup, loop_fixture_teardown)
		T(test_call_answer_of_connect_is_one_body),
		T(test_call_answer_without_bytes_is_an_empty_body),
		T(test_call_answer_of_connect_is_compressed),
		T(test_call_answer_of_grpc_is_a_frame_and_trailers),
		T(test_call_answer_of_grpc_web_ends_with_a_frame_of_trailers),
		T(test_call_answer_that_is_large_takes_several_turns),
		T(test_call_answer_waits_for_a_slow_peer),
		T(test_call_answer_ends_with_its_peer),
		T(test_call_answer_between_two_turns_ends_with_its_peer),
		T(test_call_answer_that_nobody_waits_for_is_dropped),
		T(test_call_answer_is_given_though_the_deadline_passes_meanwhile),
		T(test_call_answer_with_too_much_metadata_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
