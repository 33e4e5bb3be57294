#include "http/h2_guard.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "tests/support/test.h"

#define NOW 1000u

static struct h2_guard guard_after_preface(void)
{
	struct h2_guard g;
	uint32_t error = 0;

	h2_guard_init(&g, 0, NOW);
	assert_int_equal(h2_guard_input(&g, (const uint8_t *)NGHTTP2_CLIENT_MAGIC,
	                                NGHTTP2_CLIENT_MAGIC_LEN, NOW, &error),
	                 NGHTTP2_CLIENT_MAGIC_LEN);
	return g;
}

/* Gives one frame with a payload of zeros; returns the error code. */
static uint32_t give_at(struct h2_guard *g, uint8_t type, uint8_t flags, uint32_t id, size_t len,
                        uint64_t now_ms)
{
	uint8_t frame[9 + 64] = {
		0,           0, (uint8_t)len,        type,
		flags,       0, (uint8_t)(id >> 16), (uint8_t)(id >> 8),
		(uint8_t)id,
	};
	uint32_t error = 0;
	size_t taken = h2_guard_input(g, frame, 9 + len, now_ms, &error);

	assert_int_equal(taken, error ? 0 : 9 + len);
	return error;
}

static uint32_t give(struct h2_guard *g, uint8_t type, uint8_t flags, uint32_t id, size_t len)
{
	return give_at(g, type, flags, id, len, NOW);
}

#define HEADERS(g, id) give((g), NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, (id), 4)

static void test_guard_ids_in_order_are_fine(void **state)
{
	struct h2_guard g = guard_after_preface();

	UNUSED(state);
	for (uint32_t id = 1; id < 60001; id += 2)
		assert_int_equal(HEADERS(&g, id), 0);
	assert_int_equal(g.n_skipped, 0);
	assert_int_equal(HEADERS(&g, 1), 0); /* trailers, or late on a closed stream */
}

static void test_guard_client_goes_on_with_a_stream_that_it_has_ended(void **state)
{
	UNUSED(state);
	for (int how = 0; how < 3; how++) {
		for (int then = 0; then < 2; then++) {
			struct h2_guard g = guard_after_preface();
			uint8_t type = then ? NGHTTP2_DATA : NGHTTP2_HEADERS;

			if (how == 0) {
				assert_int_equal(give(&g, NGHTTP2_HEADERS, 5, 1, 4), 0);
			} else {
				assert_int_equal(HEADERS(&g, 1), 0);
				assert_int_equal(how == 1 ? give(&g, NGHTTP2_DATA, 1, 1, 4)
				                          : give(&g, NGHTTP2_RST_STREAM, 0, 1, 4),
				                 0);
			}
			assert_int_equal(give(&g, NGHTTP2_PRIORITY, 0, 1, 5), 0);
			assert_int_equal(give(&g, NGHTTP2_WINDOW_UPDATE, 0, 1, 4), 0);
			assert_int_equal(give(&g, NGHTTP2_RST_STREAM, 0, 1, 4), 0);
			assert_int_equal(give(&g, type, 4, 1, 4), NGHTTP2_STREAM_CLOSED);
		}
	}
}

static void test_guard_forgets_streams_that_ended_long_ago(void **state)
{
	struct h2_guard g = guard_after_preface();

	UNUSED(state);
	for (uint32_t id = 1; id <= 2 * H2_ENDED_KEPT + 1; id += 2)
		assert_int_equal(give(&g, NGHTTP2_HEADERS, 5, id, 4), 0);
	assert_int_equal(give(&g, NGHTTP2_DATA, 0, 1, 4), 0); /* nghttp2 ignores it */
	assert_int_equal(give(&g, NGHTTP2_DATA, 0, 3, 4), NGHTTP2_STREAM_CLOSED);
}

static void test_guard_skipped_id_is_a_protocol_error_for_every_frame_of_a_stream(void **state)
{
	static const uint8_t types[] = { NGHTTP2_HEADERS, NGHTTP2_DATA, NGHTTP2_RST_STREAM,
		                         NGHTTP2_WINDOW_UPDATE };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct h2_guard g = guard_after_preface();

		assert_int_equal(HEADERS(&g, 5), 0);
		assert_int_equal(give(&g, types[i], NGHTTP2_FLAG_END_HEADERS, 3, 4),
		                 NGHTTP2_PROTOCOL_ERROR);
	}
}

static void test_guard_priority_on_skipped_id_is_fine(void **state)
{
	struct h2_guard g = guard_after_preface();

	UNUSED(state);
	assert_int_equal(HEADERS(&g, 13), 0);
	assert_int_equal(give(&g, NGHTTP2_PRIORITY, 0, 5, 5), 0);
}

static void test_guard_first_id_after_upgrade_is_three(void **state)
{
	struct h2_guard g;

	UNUSED(state);
	h2_guard_init(&g, 1, NOW);
	g.magic_left = 0;
	assert_int_equal(HEADERS(&g, 3), 0);
	assert_int_equal(g.n_skipped, 0);
}

static void test_guard_remembers_the_latest_skips_only(void **state)
{
	struct h2_guard g = guard_after_preface();
	uint32_t n = H2_SKIPPED_MAX + 1;

	UNUSED(state);
	for (uint32_t i = 1; i <= n; i++)
		assert_int_equal(HEADERS(&g, 4 * i + 1), 0); /* skips 3, 7, 11... */
	assert_int_equal(g.n_skipped, H2_SKIPPED_MAX);
	assert_int_equal(HEADERS(&g, 1), 0); /* forgotten: nghttp2 ignores it */
	assert_int_equal(HEADERS(&g, 4 * n - 1), NGHTTP2_PROTOCOL_ERROR);
}

static void test_guard_control_frames_end_when_the_budget_does(void **state)
{
	static const struct {
		uint8_t type, flags;
		uint32_t id;
	} kinds[] = {
		{ NGHTTP2_PING, 0, 0 },          { NGHTTP2_SETTINGS, 0, 0 },
		{ NGHTTP2_SETTINGS, 1, 0 },      { NGHTTP2_PRIORITY, 0, 1 },
		{ NGHTTP2_WINDOW_UPDATE, 0, 0 }, { NGHTTP2_GOAWAY, 0, 0 },
		{ NGHTTP2_DATA, 0, 1 },          { 0x77, 0, 0 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct h2_guard g = guard_after_preface();

		for (unsigned n = 0; n < H2_CONTROL_BURST; n++)
			assert_int_equal(give(&g, kinds[i].type, kinds[i].flags, kinds[i].id, 0),
			                 0);
		assert_int_equal(give(&g, kinds[i].type, kinds[i].flags, kinds[i].id, 0),
		                 NGHTTP2_ENHANCE_YOUR_CALM);
	}
}

static void test_guard_control_budget_grows_with_time_and_with_what_we_send(void **state)
{
	struct h2_guard g = guard_after_preface();

	UNUSED(state);
	for (unsigned n = 0; n < H2_CONTROL_BURST; n++)
		assert_int_equal(give(&g, NGHTTP2_PING, 0, 0, 8), 0);
	for (unsigned n = 0; n < H2_CONTROL_PER_S; n++)
		assert_int_equal(give_at(&g, NGHTTP2_PING, 0, 0, 8, NOW + 1000), 0);
	h2_guard_earn(&g);
	for (unsigned n = 0; n < H2_CONTROL_EARNED; n++)
		assert_int_equal(give_at(&g, NGHTTP2_WINDOW_UPDATE, 0, 1, 4, NOW + 1000), 0);
	assert_int_equal(give_at(&g, NGHTTP2_PING, 0, 0, 8, NOW + 1000), NGHTTP2_ENHANCE_YOUR_CALM);
}

static void test_guard_resets_end_when_the_budget_does(void **state)
{
	struct h2_guard g = guard_after_preface();
	unsigned n = 0;

	UNUSED(state);
	for (uint32_t id = 1;; id += 2, n++) {
		assert_int_equal(HEADERS(&g, id), 0);
		if (give(&g, NGHTTP2_RST_STREAM, 0, id, 4))
			break;
	}
	assert_int_equal(n, H2_RESETS_BURST);
	assert_false(h2_guard_charge_reset(&g, NOW));
	assert_true(h2_guard_charge_reset(&g, NOW + 1000));
}

static void test_guard_steady_uploads_with_empty_ends_are_never_charged_out(void **state)
{
	struct h2_guard g = guard_after_preface();

	UNUSED(state);
	for (uint32_t id = 1; id < 20000; id += 2) {
		assert_int_equal(HEADERS(&g, id), 0);
		assert_int_equal(give(&g, NGHTTP2_DATA, 0, id, 5), 0);
		assert_int_equal(give(&g, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id, 0), 0);
	}
}

static void test_guard_endless_header_block_ends(void **state)
{
	struct h2_guard g = guard_after_preface();

	UNUSED(state);
	assert_int_equal(give(&g, NGHTTP2_HEADERS, 0, 1, 4), 0);
	for (unsigned n = 0; n < H2_CONTINUATIONS_MAX; n++)
		assert_int_equal(give(&g, NGHTTP2_CONTINUATION, 0, 1, 4), 0);
	assert_int_equal(give(&g, NGHTTP2_CONTINUATION, 0, 1, 4), NGHTTP2_ENHANCE_YOUR_CALM);
}

static void test_guard_waits_for_what_has_begun(void **state)
{
	static const uint8_t header[9] = { 0, 0, 8, NGHTTP2_PING };
	struct h2_guard g;
	uint32_t error = 0;

	UNUSED(state);
	h2_guard_init(&g, 0, NOW);
	assert_true(h2_guard_is_waiting(&g));
	g = guard_after_preface();
	assert_false(h2_guard_is_waiting(&g));
	h2_guard_input(&g, header, 1, NOW, &error);
	assert_true(h2_guard_is_waiting(&g));
	h2_guard_input(&g, header + 1, 8, NOW, &error);
	assert_true(h2_guard_is_waiting(&g));
	h2_guard_input(&g, header, 8, NOW, &error);
	assert_false(h2_guard_is_waiting(&g));

	assert_int_equal(give(&g, NGHTTP2_HEADERS, 0, 1, 4), 0);
	assert_true(h2_guard_is_waiting(&g));
	assert_int_equal(give(&g, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1, 4), 0);
	assert_false(h2_guard_is_waiting(&g));

	/* Bytes of a body may take their time. */
	h2_guard_input(&g, (const uint8_t[9]){ 0, 0, 8, NGHTTP2_DATA, 0, 0, 0, 0, 1 }, 9, NOW,
	               &error);
	assert_false(h2_guard_is_waiting(&g));
}

static void test_guard_split_anywhere_sees_the_same(void **state)
{
	uint8_t input[256];
	size_t len = 0;

	UNUSED(state);
	memcpy(input, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
	len = NGHTTP2_CLIENT_MAGIC_LEN;
	memcpy(input + len, "\0\0\3\1\4\0\0\0\5abc\0\0\2\0\1\0\0\0\5de", 23);
	len += 23;
	memcpy(input + len, "\0\0\1\1\4\0\0\0\3x", 10); /* skipped */
	for (size_t split = 1; split < len + 10; split++) {
		uint32_t error = 0;
		struct h2_guard g;
		size_t at = 0;

		h2_guard_init(&g, 0, NOW);
		while (at < len + 10 && !error)
			at += h2_guard_input(&g, input + at, MIN(split, len + 10 - at), NOW,
			                     &error);
		assert_int_equal(error, NGHTTP2_PROTOCOL_ERROR);
		assert_true(at >= len && at < len + 9);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guard_ids_in_order_are_fine),
		cmocka_unit_test(test_guard_client_goes_on_with_a_stream_that_it_has_ended),
		cmocka_unit_test(test_guard_forgets_streams_that_ended_long_ago),
		cmocka_unit_test(
			test_guard_skipped_id_is_a_protocol_error_for_every_frame_of_a_stream),
		cmocka_unit_test(test_guard_priority_on_skipped_id_is_fine),
		cmocka_unit_test(test_guard_first_id_after_upgrade_is_three),
		cmocka_unit_test(test_guard_remembers_the_latest_skips_only),
		cmocka_unit_test(test_guard_control_frames_end_when_the_budget_does),
		cmocka_unit_test(test_guard_control_budget_grows_with_time_and_with_what_we_send),
		cmocka_unit_test(test_guard_resets_end_when_the_budget_does),
		cmocka_unit_test(test_guard_steady_uploads_with_empty_ends_are_never_charged_out),
		cmocka_unit_test(test_guard_endless_header_block_ends),
		cmocka_unit_test(test_guard_waits_for_what_has_begun),
		cmocka_unit_test(test_guard_split_anywhere_sees_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
