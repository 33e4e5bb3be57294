#include "rpc/envelope.h"

#include <string.h>

#include "base/mem.h"
#include "tests/support/test.h"

#define PAYLOAD_MAX 100u

/* A frame of five bytes, an empty one, and one that ends a stream. */
static const uint8_t frames[] = { 0, 0, 0, 0, 5, 'h', 'e', 'l', 'l', 'o', 1,
	                          0, 0, 0, 0, 2, 0,   0,   0,   2,   '{', '}' };

/* Reads all frames in pieces of that size; returns how many, or -1. "hello" and "{}" are joined. */
static int read_all(const uint8_t *data, size_t len, size_t piece, char joined[PAYLOAD_MAX],
                    struct err *e)
{
	struct envelope_reader r;
	size_t at = 0;
	size_t n_joined = 0;
	int n_frames = 0;
	int rc = 0;

	envelope_init(&r, PAYLOAD_MAX);
	while (at < len && rc == 0) {
		ptrdiff_t n = envelope_feed(&r, data + at, MIN(piece, len - at), e);

		if (n < 0) {
			rc = -1;
			break;
		}
		at += (size_t)n;
		if (!envelope_is_complete(&r))
			continue;
		n_frames++;
		if (n_joined + r.payload.len < PAYLOAD_MAX) {
			memcpy(joined + n_joined, r.payload.len ? r.payload.data : data,
			       r.payload.len);
			n_joined += r.payload.len;
		}
		envelope_next(&r);
	}
	joined[n_joined] = '\0';
	if (rc == 0)
		rc = envelope_finish(&r, e);
	envelope_deinit(&r);
	return rc < 0 ? -1 : n_frames;
}

static void test_envelope_pieces_of_any_size_give_the_same_frames(void **state)
{
	CLEANUP(err_clear) struct err e = { 0 };
	char joined[PAYLOAD_MAX];

	UNUSED(state);
	for (size_t piece = 1; piece <= sizeof frames; piece++) {
		assert_int_equal(read_all(frames, sizeof frames, piece, joined, &e), 3);
		assert_string_equal(joined, "hello{}");
	}
}

static void test_envelope_header_shows_flags_and_promise(void **state)
{
	CLEANUP(err_clear) struct err e = { 0 };
	struct envelope_reader r;
	const uint8_t header[] = { 0x81, 0, 0, 0, 100 };

	UNUSED(state);
	envelope_init(&r, PAYLOAD_MAX);
	assert_int_equal(envelope_promised(&r), 0);
	assert_int_equal(envelope_feed(&r, header, sizeof header, &e), 5);
	assert_int_equal(envelope_flags(&r), 0x81);
	assert_int_equal(envelope_promised(&r), 100);
	assert_false(envelope_is_complete(&r));
	envelope_deinit(&r);
}

static void test_envelope_too_large_promise_is_refused_at_once(void **state)
{
	CLEANUP(err_clear) struct err e = { 0 };
	struct envelope_reader r;
	const uint8_t header[] = { 0, 0, 0, 0, 101 };

	UNUSED(state);
	envelope_init(&r, PAYLOAD_MAX);
	assert_int_equal(envelope_feed(&r, header, sizeof header, &e), -1);
	assert_int_equal(e.kind, ERR_LIMIT);
	assert_string_equal(err_text(&e), "message size 101 is larger than configured max 100");
	envelope_deinit(&r);
}

static void test_envelope_promise_alone_takes_little_memory(void **state)
{
	CLEANUP(err_clear) struct err e = { 0 };
	struct envelope_reader r;
	const uint8_t header[] = { 0, 0x03, 0, 0, 0 };

	UNUSED(state);
	envelope_init(&r, 64u << 20);
	assert_int_equal(envelope_feed(&r, header, sizeof header, &e), 5);
	assert_true(r.payload.cap <= 16384);
	envelope_deinit(&r);
}

static void test_envelope_cut_frame_tells_what_is_missing(void **state)
{
	CLEANUP(err_clear) struct err e = { 0 };
	char joined[PAYLOAD_MAX];

	UNUSED(state);
	assert_int_equal(read_all(frames, 8, 3, joined, &e), -1);
	assert_int_equal(e.kind, ERR_INVALID);
	assert_string_equal(err_text(&e),
	                    "protocol error: promised 5 bytes in enveloped message, got 3 bytes");
	assert_int_equal(read_all(frames, 3, 3, joined, &e), -1);
	assert_int_equal(e.kind, ERR_INVALID);
	assert_string_equal(err_text(&e), "protocol error: incomplete envelope: unexpected EOF");
}

static void test_envelope_every_truncation_and_flip_is_frames_or_error(void **state)
{
	char joined[PAYLOAD_MAX];
	uint8_t copy[sizeof frames];

	UNUSED(state);
	for (size_t len = 0; len <= sizeof frames; len++) {
		CLEANUP(err_clear) struct err e = { 0 };
		bool is_whole = len == 0 || len == 10 || len == 15 || len == sizeof frames;

		assert_int_equal(read_all(frames, len, 4, joined, &e) >= 0, is_whole);
	}
	for (size_t i = 0; i < sizeof frames * 8; i++) {
		CLEANUP(err_clear) struct err e = { 0 };

		memcpy(copy, frames, sizeof copy);
		copy[i / 8] ^= (uint8_t)BIT(i % 8);
		if (read_all(copy, sizeof copy, 7, joined, &e) < 0)
			assert_int_not_equal(e.kind, ERR_NONE);
	}
}

static void test_envelope_every_allocation_failure_is_a_limit(void **state)
{
	char joined[PAYLOAD_MAX];

	UNUSED(state);
	for (unsigned nth = 1;; nth++) {
		CLEANUP(err_clear) struct err e = { 0 };
		int rc;

		mem_fail_nth(nth);
		rc = read_all(frames, sizeof frames, 6, joined, &e);
		if (!mem_fail_nth(0)) {
			assert_int_equal(rc, 3);
			break;
		}
		assert_int_equal(rc, -1);
		assert_int_equal(e.kind, ERR_LIMIT);
	}
}

static void test_envelope_put_header_is_read_back(void **state)
{
	uint8_t header[ENVELOPE_HEADER];
	const uint8_t expected[] = { 2, 0x01, 0x02, 0x03, 0x04 };

	UNUSED(state);
	envelope_put_header(header, ENVELOPE_END_CONNECT, 0x01020304);
	assert_memory_equal(header, expected, sizeof expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_envelope_pieces_of_any_size_give_the_same_frames),
		cmocka_unit_test(test_envelope_header_shows_flags_and_promise),
		cmocka_unit_test(test_envelope_too_large_promise_is_refused_at_once),
		cmocka_unit_test(test_envelope_promise_alone_takes_little_memory),
		cmocka_unit_test(test_envelope_cut_frame_tells_what_is_missing),
		cmocka_unit_test(test_envelope_every_truncation_and_flip_is_frames_or_error),
		cmocka_unit_test(test_envelope_every_allocation_failure_is_a_limit),
		cmocka_unit_test(test_envelope_put_header_is_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
