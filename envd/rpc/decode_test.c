#include "rpc/decode.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "echo_test.pb-c.h"
#include "http/coding.h"
#include "tests/support/busy_pool.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

#define LARGE (16u * DECODE_NOW_MAX) /* bytes */

static const struct decode_form proto = {
	.type = &test__echo__descriptor,
	.codec = CODEC_PROTO,
	.message_max = 2 * LARGE,
};
static const struct decode_form json = {
	.type = &test__echo__descriptor,
	.codec = CODEC_JSON,
	.message_max = 2 * LARGE,
};

/* A message whose data are so many bytes, no two pieces alike. */
static void put_proto(struct buf *out, size_t n_data)
{
	CLEANUP(freep) uint8_t *data = xmalloc(n_data);
	CLEANUP(err_clear) struct err e = { 0 };
	Test__Echo message = TEST__ECHO__INIT;

	for (size_t i = 0; i < n_data; i++)
		data[i] = (uint8_t)(i * 2654435761u >> 13);
	message.data = (ProtobufCBinaryData){ n_data, data };
	buf_init(out, 4 * LARGE);
	assert_int_equal(codec_encode(CODEC_PROTO, &message.base, out, &e), 0);
	assert_int_equal(buf_error(out), 0);
}

/* begin, then spaces up to size, then end. */
static void put_json(struct buf *out, const char *begin, size_t size, const char *end)
{
	buf_init(out, 4 * LARGE);
	buf_append_text(out, begin);
	while (out->len + strlen(end) < size)
		buf_append_byte(out, ' ');
	buf_append_text(out, end);
	assert_int_equal(buf_error(out), 0);
}

static void compress(struct buf *b)
{
	struct buf packed;

	buf_init(&packed, 4 * LARGE);
	assert_int_equal(gzip_compress(&packed, b->data, b->len), 0);
	buf_deinit(b);
	*b = packed;
}

static struct decode_form compressed(const struct decode_form *form)
{
	struct decode_form f = *form;

	f.is_compressed = true;
	return f;
}

/* --- at once ------------------------------------------------------------------------------------ */

static int try_it(const struct decode_form *form, const struct buf *payload, size_t *out_used)
{
	CLEANUP(arena_deinit) struct arena arena = { 0 };
	CLEANUP(err_clear) struct err e = { 0 };
	ProtobufCMessage *message = NULL;
	int rc;

	arena_init(&arena, CODEC_MESSAGE_MEMORY_MAX, NULL, 0);
	rc = decode_try(form, payload, &arena, &message, &e);
	assert_int_equal(rc == 1, message != NULL);
	assert_int_equal(rc < 0, e.kind != ERR_NONE);
	*out_used = arena.used;
	return rc;
}

static void test_decode_up_to_the_limit_is_done_at_once(void **state)
{
	CLEANUP(buf_deinit) struct buf payload = { 0 };
	const struct decode_form gzip = compressed(&json);
	size_t used;

	UNUSED(state);
	put_json(&payload, "{\"text\":\"a\"", DECODE_NOW_MAX, "}");
	assert_int_equal(payload.len, DECODE_NOW_MAX);
	assert_int_equal(try_it(&json, &payload, &used), 1);
	compress(&payload);
	assert_int_equal(try_it(&gzip, &payload, &used), 1);
}

static void test_decode_beyond_the_limit_has_not_begun(void **state)
{
	CLEANUP(buf_deinit) struct buf payload = { 0 };
	const struct decode_form gzip = compressed(&json);
	size_t used;

	UNUSED(state);
	put_json(&payload, "{\"text\":\"a\"", DECODE_NOW_MAX + 1, "}");
	assert_int_equal(try_it(&json, &payload, &used), 0);
	assert_int_equal(used, 0);
	compress(&payload);
	assert_true(payload.len < 4096);
	assert_int_equal(try_it(&gzip, &payload, &used), 0);
	assert_int_equal(used, 0);
}

static void test_decode_end_frame_beyond_its_limit_is_refused(void **state)
{
	CLEANUP(buf_deinit) struct buf payload = { 0 };
	CLEANUP(err_clear) struct err e = { 0 };

	UNUSED(state);
	put_json(&payload, "{", DECODE_END_MAX, "}");
	assert_int_equal(decode_end(&payload, false, &e), 0);
	buf_append_byte(&payload, ' ');
	assert_int_equal(decode_end(&payload, false, &e), -1);
	assert_int_equal(e.kind, ERR_LIMIT);
	assert_string_equal(e.text, "message is larger than configured max 65536");
	compress(&payload);
	assert_int_equal(decode_end(&payload, true, &e), -1);
	assert_int_equal(e.kind, ERR_LIMIT);
}

/* --- jobs --------------------------------------------------------------------------------------- */

struct outcome {
	struct decode_job *job;
	bool is_done;
	int rc;
	ProtobufCMessage *message;
	struct err e;
};

static void on_done(void *data)
{
	struct outcome *o = data;

	assert_false(o->is_done);
	assert_true(decode_job_is_done(o->job));
	o->rc = decode_job_take(o->job, &o->message, &o->e);
	o->is_done = true;
}

static void begin(struct outcome *o, struct loop *loop, const struct decode_form *form,
                  struct buf *payload, struct charge *charge)
{
	struct charge none = { 0 };

	*o = (struct outcome){ 0 };
	o->job = decode_job_start(loop, form, payload, charge ? charge : &none, on_done, o);
	assert_non_null(o->job);
	assert_int_equal(payload->len, 0);
	assert_false(o->is_done);
}

static void check_unchanged(void **state, bool gzip)
{
	CLEANUP(buf_deinit) struct buf payload = { 0 }, expected = { 0 };
	const struct decode_form form = gzip ? compressed(&proto) : proto;
	struct loop *loop = loop_fixture_loop(state);
	CLEANUP(err_clear) struct err e = { 0 };
	struct outcome o;

	put_proto(&payload, LARGE);
	buf_init(&expected, 4 * LARGE);
	buf_append(&expected, payload.data, payload.len);
	if (gzip)
		compress(&payload);
	begin(&o, loop, &form, &payload, NULL);
	loop_fixture_run_until(loop, &o.is_done);
	assert_int_equal(o.rc, 0);
	assert_int_equal(codec_encode(CODEC_PROTO, o.message, &payload, &e), 0);
	assert_int_equal(payload.len, expected.len);
	assert_memory_equal(payload.data, expected.data, expected.len);
	decode_job_free(o.job);
}

static void test_decode_job_hands_the_message_over_unchanged(void **state)
{
	check_unchanged(state, false);
	check_unchanged(state, true);
}

static void test_decode_job_error_is_that_of_a_small_message(void **state)
{
	CLEANUP(buf_deinit) struct buf small = { 0 }, large = { 0 };
	struct loop *loop = loop_fixture_loop(state);
	CLEANUP(arena_deinit) struct arena arena = { 0 };
	CLEANUP(err_clear) struct err e = { 0 };
	ProtobufCMessage *message;
	struct outcome o;

	put_json(&small, "{\"text\":1", 0, "}");
	put_json(&large, "{\"text\":1", LARGE, "}");
	arena_init(&arena, CODEC_MESSAGE_MEMORY_MAX, NULL, 0);
	assert_int_equal(decode_try(&json, &small, &arena, &message, &e), -1);
	begin(&o, loop, &json, &large, NULL);
	loop_fixture_run_until(loop, &o.is_done);
	assert_int_equal(o.rc, -1);
	assert_int_equal(o.e.kind, e.kind);
	assert_string_equal(o.e.text, e.text);
	err_clear(&o.e);
	decode_job_free(o.job);
}

static void test_decode_job_bomb_ends_at_the_limit(void **state)
{
	CLEANUP(buf_deinit) struct buf payload = { 0 };
	const struct decode_form gzip = compressed(&json);
	struct loop *loop = loop_fixture_loop(state);
	struct outcome o;

	put_json(&payload, "{", json.message_max + 1, "}");
	compress(&payload);
	begin(&o, loop, &gzip, &payload, NULL);
	loop_fixture_run_until(loop, &o.is_done);
	assert_int_equal(o.rc, -1);
	assert_int_equal(o.e.kind, ERR_LIMIT);
	assert_string_equal(o.e.text, "message is larger than configured max 2097152");
	err_clear(&o.e);
	decode_job_free(o.job);
}

/* --- several, and those that nobody waits for ---------------------------------------------------- */

#define N_JOBS (2u * DECODE_JOBS_MAX + 1u)

static void begin_all(struct outcome *outcomes, struct loop *loop)
{
	for (unsigned i = 0; i < N_JOBS; i++) {
		CLEANUP(buf_deinit) struct buf payload = { 0 };

		put_json(&payload, "{\"text\":\"a\"", LARGE, "}");
		begin(&outcomes[i], loop, &json, &payload, NULL);
	}
}

static void test_decode_jobs_beyond_the_limit_wait_in_line(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct outcome outcomes[N_JOBS];
	struct busy_pool pool;

	busy_pool_begin(&pool, loop);
	begin_all(outcomes, loop);
	loop_fixture_turn(loop, 2);
	assert_int_equal(job_count(loop), pool.n + DECODE_JOBS_MAX);
	busy_pool_end(&pool);
	for (unsigned i = 0; i < N_JOBS; i++) {
		loop_fixture_run_until(loop, &outcomes[i].is_done);
		assert_int_equal(outcomes[i].rc, 0);
		assert_string_equal(((Test__Echo *)outcomes[i].message)->text, "a");
		decode_job_free(outcomes[i].job);
	}
}

static void test_decode_job_freed_in_line_makes_way(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct outcome outcomes[N_JOBS];
	struct busy_pool pool;

	busy_pool_begin(&pool, loop);
	begin_all(outcomes, loop);
	for (unsigned i = 0; i + 1 < N_JOBS; i++)
		decode_job_free(outcomes[i].job);
	busy_pool_end(&pool);
	loop_fixture_run_until(loop, &outcomes[N_JOBS - 1].is_done);
	for (unsigned i = 0; i + 1 < N_JOBS; i++)
		assert_false(outcomes[i].is_done);
	decode_job_free(outcomes[N_JOBS - 1].job);
}

/* Wherever they are by then; the end of the loop waits for them. */
static void test_decode_jobs_that_are_freed_tell_nobody(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct outcome outcomes[N_JOBS];

	begin_all(outcomes, loop);
	for (unsigned i = 0; i < N_JOBS; i++)
		decode_job_free(outcomes[i].job);
	assert_true(loop_run_out(loop, LOOP_FIXTURE_WAIT_MS));
	for (unsigned i = 0; i < N_JOBS; i++)
		assert_false(outcomes[i].is_done);
}

static int charge_all(void)
{
	CLEANUP(charge_release) struct charge rest = { 0 };
	CLEANUP(err_clear) struct err e = { 0 };

	return charge_raise(&rest, CHARGE_TOTAL_MAX + CHARGE_FREE_MAX, &e);
}

static void check_charge(void **state, bool is_left)
{
	CLEANUP(buf_deinit) struct buf payload = { 0 };
	struct loop *loop = loop_fixture_loop(state);
	CLEANUP(err_clear) struct err e = { 0 };
	struct charge charge = { 0 };
	struct outcome o;

	put_json(&payload, "{\"text\":\"a\"", LARGE, "}");
	assert_int_equal(charge_raise(&charge, payload.len, &e), 0);
	begin(&o, loop, &json, &payload, &charge);
	assert_int_equal(charge.bytes, 0);
	if (is_left)
		decode_job_free(o.job);
	assert_int_equal(charge_all(), -1);
	assert_true(loop_run_out(loop, LOOP_FIXTURE_WAIT_MS));
	assert_int_equal(charge_all(), 0);
	assert_int_equal(o.is_done, !is_left);
	if (!is_left)
		decode_job_free(o.job);
}

static void test_decode_job_is_charged_until_its_payload_is_freed(void **state)
{
	check_charge(state, false);
	check_charge(state, true);
}

/* --- memory ------------------------------------------------------------------------------------- */

static void test_decode_job_every_allocation_failure_is_refused_cleanly(void **state)
{
	const struct decode_form gzip = compressed(&json);
	struct loop *loop = loop_fixture_loop(state);

	for (unsigned nth = 1; nth < 1000; nth++) {
		CLEANUP(buf_deinit) struct buf payload = { 0 };
		struct charge none = { 0 };
		struct outcome o = { 0 };

		put_json(&payload, "{\"text\":\"a\"", LARGE, "}");
		compress(&payload);
		mem_fail_nth(nth);
		o.job = decode_job_start(loop, &gzip, &payload, &none, on_done, &o);
		if (o.job) {
			loop_fixture_run_until(loop, &o.is_done);
			assert_int_equal(o.rc < 0, o.e.kind == ERR_LIMIT);
			err_clear(&o.e);
			decode_job_free(o.job);
		} else {
			assert_true(payload.len > 0);
		}
		if (!mem_fail_nth(0))
			return;
	}
	fail_msg("there was always something to fail");
}

int main(void)
{
#define ON_LOOP(test)                                                                              \
	cmocka_unit_test_setup_teardown(test, loop_fixture_setup, loop_fixture_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode_up_to_the_limit_is_done_at_once),
		cmocka_unit_test(test_decode_beyond_the_limit_has_not_begun),
		cmocka_unit_test(test_decode_end_frame_beyond_its_limit_is_refused),
		ON_LOOP(test_decode_job_hands_the_message_over_unchanged),
		ON_LOOP(test_decode_job_error_is_that_of_a_small_message),
		ON_LOOP(test_decode_job_bomb_ends_at_the_limit),
		ON_LOOP(test_decode_jobs_beyond_the_limit_wait_in_line),
		ON_LOOP(test_decode_job_freed_in_line_makes_way),
		ON_LOOP(test_decode_jobs_that_are_freed_tell_nobody),
		ON_LOOP(test_decode_job_is_charged_until_its_payload_is_freed),
		ON_LOOP(test_decode_job_every_allocation_failure_is_refused_cleanly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
