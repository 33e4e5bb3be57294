/*
 * Peers that mean no good: floods, stalls, bombs, broken bytes. Each ends its own connection, with
 * the right error, and nobody else's. tests/floods does the same to the daemon, in bulk.
 */
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/mem.h"
#include "http/h2_fixture.h"
#include "http/h2_session.h"
#include "http/limits.h"
#include "tests/support/test.h"

/* More than any budget allows; the server hangs up before the end. */
#define FLOOD 5000u

static void assert_ended_with(struct h2_peer *p, uint32_t code)
{
	peer_run(p);
	assert_true(p->goaway);
	assert_int_equal(p->goaway_code, code);
	assert_true(p->eof);
}

static void assert_server_is_well(struct h2_peer *p)
{
	int32_t id;

	peer_connect(p);
	peer_begin(p);
	id = peer_get(p, "/hello");
	peer_run(p);
	assert_true(peer_stream(p, id)->ended);
}

/* ---- frames that cost us something ---- */

static void test_flood_of_resets_ends_the_connection(void **state)
{
	struct h2_peer *p = peer_of(state);
	unsigned handed_over;

	peer_begin_raw(p);
	for (uint32_t id = 1; id < 2 * FLOOD && !p->eof; id += 2) {
		peer_raw_get(p, id, "/hello", NGHTTP2_FLAG_END_STREAM);
		peer_frame(p, NGHTTP2_RST_STREAM, 0, id, "\0\0\0\x8", 4);
	}
	assert_ended_with(p, NGHTTP2_ENHANCE_YOUR_CALM);
	handed_over = p->goaway_last / 2;
	assert_true(handed_over <= H2_RESETS_BURST + H2_RESETS_PER_S * 5);
	assert_server_is_well(p);
}

/* CVE-2025-8671: the client does not reset, it makes us do so. */
static void test_flood_of_provoked_resets_ends_the_connection(void **state)
{
	struct h2_peer *p = peer_of(state);

	peer_begin_raw(p);
	for (uint32_t id = 1; id < 2 * FLOOD && !p->eof; id += 2) {
		peer_raw_get(p, id, "/x", 0);
		peer_frame(p, NGHTTP2_WINDOW_UPDATE, 0, id, "\x7f\xff\xff\xff", 4);
		peer_run(p);
	}
	assert_ended_with(p, NGHTTP2_ENHANCE_YOUR_CALM);
	assert_true(p->n_handlers <= H2_RESETS_BURST + H2_RESETS_PER_S);
	assert_server_is_well(p);
}

static void test_flood_of_control_frames_ends_the_connection(void **state)
{
	static const struct {
		uint8_t type, flags;
		uint32_t id;
		uint8_t payload[8];
		size_t len;
	} kinds[] = {
		{ NGHTTP2_PING, 0, 0, { 1 }, 8 },
		{ NGHTTP2_SETTINGS, 0, 0, { 0 }, 0 },
		{ NGHTTP2_SETTINGS, 0, 0, { 0, 4, 0, 0, 0, 9 }, 6 },
		{ NGHTTP2_PRIORITY, 0, 3, { 0, 0, 0, 0, 9 }, 5 },
		{ NGHTTP2_WINDOW_UPDATE, 0, 0, { 0, 0, 0, 1 }, 4 },
		{ NGHTTP2_WINDOW_UPDATE, 0, 1, { 0, 0, 0, 1 }, 4 },
		{ NGHTTP2_DATA, 0, 1, { 0 }, 0 },
		{ NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, { 2 }, 3 },
		{ NGHTTP2_GOAWAY, 0, 0, { 0 }, 8 },
		{ 0xee, 0, 0, { 0 }, 8 },
	};
	struct h2_peer *p = peer_of(state);

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		peer_connect(p);
		peer_begin_raw(p);
		peer_raw_get(p, 1, "/x", 0);
		for (unsigned n = 0; n < FLOOD && !p->eof; n++)
			peer_frame(p, kinds[k].type, kinds[k].flags, kinds[k].id, kinds[k].payload,
			           kinds[k].len);
		assert_ended_with(p, NGHTTP2_ENHANCE_YOUR_CALM);
	}
	assert_server_is_well(p);
}

static void test_flood_in_one_write_ends_the_connection_too(void **state)
{
	static uint8_t pings[FLOOD][17];
	struct h2_peer *p = peer_of(state);

	for (unsigned n = 0; n < FLOOD; n++) {
		pings[n][2] = 8;
		pings[n][3] = NGHTTP2_PING;
	}
	peer_begin_raw(p);
	peer_write(p, pings, sizeof pings);
	assert_ended_with(p, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void test_continuations_without_end_end_the_connection(void **state)
{
	struct h2_peer *p = peer_of(state);

	peer_begin_raw(p);
	peer_frame(p, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, "\x82\x86", 2);
	for (unsigned n = 0; n < FLOOD && !p->eof; n++)
		peer_frame(p, NGHTTP2_CONTINUATION, 0, 1, NULL, 0);
	assert_ended_with(p, NGHTTP2_ENHANCE_YOUR_CALM);
	assert_int_equal(p->n_handlers, 0);
}

static void test_more_streams_than_allowed_are_refused(void **state)
{
	struct h2_peer *p = peer_of(state);

	peer_begin_raw(p);
	for (uint32_t i = 0; i < H2_STREAMS_MAX; i++)
		peer_raw_get(p, 2 * i + 1, "/x", NGHTTP2_FLAG_END_STREAM);
	peer_run(p);
	assert_false(p->goaway);
	assert_int_equal(p->n_handlers, H2_STREAMS_MAX);
	peer_raw_get(p, 2 * H2_STREAMS_MAX + 1, "/x", NGHTTP2_FLAG_END_STREAM);
	peer_run(p);
	assert_int_equal(p->n_handlers, H2_STREAMS_MAX);
	assert_true(p->goaway || p->n_frames[NGHTTP2_RST_STREAM]);
}

/* ---- header bombs ---- */

static struct http_field big_field(char *text, size_t len)
{
	memset(text, 'v', len);
	return (struct http_field){ SPAN("x-big"), { text, len } };
}

static void test_header_block_beyond_the_limit_is_431(void **state)
{
	struct http_field fields[40];
	struct h2_peer *p = peer_of(state);
	static char text[30000];
	int32_t id;

	peer_begin(p);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		fields[i] = big_field(text, sizeof text);
	id = peer_request(p, "GET", "/hello", fields, ARRAY_SIZE(fields), false);
	peer_run(p);
	assert_int_equal(peer_stream(p, id)->status, 431);
	assert_true(peer_stream(p, id)->ended);
	peer_request(p, "GET", "/x", fields, ARRAY_SIZE(fields) - 8, false);
	peer_run(p);
	assert_int_equal(p->n_handlers, 1); /* below the limit, on the same connection */
	assert_int_equal(p->handlers[0].n_fields, ARRAY_SIZE(fields) - 8);
}

static void test_too_many_header_fields_are_431(void **state)
{
	static struct http_field fields[HTTP_FIELDS_MAX + 1];
	struct h2_peer *p = peer_of(state);
	int32_t id;

	peer_begin(p);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		fields[i] = HTTP_FIELD("a", "b");
	id = peer_request(p, "GET", "/hello", fields, ARRAY_SIZE(fields), false);
	peer_run(p);
	assert_int_equal(peer_stream(p, id)->status, 431);
	id = peer_request(p, "GET", "/hello", fields, HTTP_FIELDS_MAX, false);
	peer_run(p);
	assert_int_equal(peer_stream(p, id)->status, 200);
}

/* One byte a field: each names the same 4 kB of the dynamic table. */
static void test_hpack_bomb_is_reset_and_costs_one_limit(void **state)
{
	struct h2_peer *p = peer_of(state);
	uint8_t block[16384] = { 0x82, 0x86, 0x84, 0x01, 1, 'h', 0x40, 1, 'b', 0x7f };
	size_t value = 3900, at = 10;

	block[at++] = (uint8_t)(((value - 127) & 0x7f) | 0x80); /* RFC 7541 5.1 */
	block[at++] = (uint8_t)((value - 127) >> 7);
	memset(block + at, 'x', value);
	at += value;
	memset(block + at, 0xbe, sizeof block - at); /* the newest entry, 12,000 times */

	peer_begin_raw(p);
	peer_frame(p, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, block,
	           sizeof block);
	peer_run(p);
	assert_int_equal(p->n_handlers, 0);
	assert_int_equal(p->n_frames[NGHTTP2_HEADERS], 0);
	assert_int_equal(p->n_frames[NGHTTP2_RST_STREAM], 1);
	assert_int_equal(p->rst_code, NGHTTP2_ENHANCE_YOUR_CALM);
	assert_false(p->goaway);
	/* The table is still the client's: its entry can be named by the next request. */
	peer_frame(p, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 3,
	           "\x82\x86\x84\1\1h\xbe", 7);
	peer_run(p);
	assert_int_equal(p->n_handlers, 1);
	assert_int_equal(p->handlers[0].n_fields, 1);
}

static void test_many_large_header_blocks_are_charged_to_the_server(void **state)
{
	struct http_field fields[33];
	struct h2_peer *p = peer_of(state);
	static char text[30000];
	unsigned refused = 0;

	peer_begin(p);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		fields[i] = big_field(text, sizeof text);
	for (unsigned n = 0; n < SERVER_HEADS_MAX / 1000000 + 10; n++) {
		int32_t id = peer_request(p, "GET", "/x", fields, ARRAY_SIZE(fields), false);

		peer_run(p);
		refused += peer_stream(p, id)->status == 431;
	}
	assert_true(refused > 0);
	assert_true(p->n_handlers >= SERVER_HEADS_MAX / 1100000);
	for (size_t i = 0; i < p->n_handlers; i++)
		exchange_answer(&p->handlers[i].x, 200, NULL, 0, SPAN("ok"));
	peer_run(p);
	/* All of it was given back. */
	p->n_handlers = 0;
	peer_request(p, "GET", "/x", fields, ARRAY_SIZE(fields), false);
	peer_run(p);
	assert_int_equal(p->n_handlers, 1);
}

static void test_too_large_trailers_reset_the_stream(void **state)
{
	static uint8_t block[9000] = { 0x00, 1, 'x', 0x7f, 0xa9, 0x44 }; /* a value of 8,872 */
	struct h2_peer *p = peer_of(state);

	memset(block + 6, 'v', sizeof block - 6);
	peer_begin_raw(p);
	peer_raw_get(p, 1, "/x", 0);
	peer_frame(p, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, block, 6 + 8872);
	peer_frame(p, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1, block, 6 + 8872);
	peer_run(p);
	assert_true(p->handlers[0].stopped);
	assert_int_equal(p->rst_code, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* ---- broken bytes ---- */

/* A short conversation with something of everything, in client bytes. */
static size_t valid_conversation(uint8_t *out, size_t room)
{
	static const uint8_t frames[] = {
		0,    0,   6,   4,    0,    0, 0, 0, 0, 0,    4,    0,    1,    0,
		0,                                      /* SETTINGS */
		0,    0,   0,   4,    1,    0, 0, 0, 0, /* its ACK */
		0,    0,   12,  1,    4,    0, 0, 0, 1, 0x83, 0x86, 0x01, 1,    'h',
		0x04,                                                              /* POST /x */
		2,    '/', 'x', 0x0f, 0x0d, 0,                                     /* ... */
		0,    0,   4,   0,    8,    0, 0, 0, 1, 1,    'a',  'b',  0,       /* padded DATA */
		0,    0,   5,   2,    0,    0, 0, 0, 1, 0,    0,    0,    0,    9, /* PRIORITY */
		0,    0,   4,   8,    0,    0, 0, 0, 1, 0,    0,    1,    0, /* WINDOW_UPDATE */
		0,    0,   8,   6,    0,    0, 0, 0, 0, 1,    2,    3,    4,    5,
		6,    7,   8, /* PING */
		0,    0,   7,   1,    5,    0, 0, 0, 3, 0x82, 0x86, 0x84, 0x01, 2,
		'h',  'h',                                                           /* GET / */
		0,    0,   5,   1,    5,    0, 0, 0, 1, 0,    1,    'x',  1,    'y', /* trailers */
		0,    0,   4,   3,    0,    0, 0, 0, 3, 0,    0,    0,    8, /* RST_STREAM */
		0,    0,   8,   7,    0,    0, 0, 0, 0, 0,    0,    0,    0,    0,
		0,    0,   0, /* GOAWAY */
	};
	size_t len = NGHTTP2_CLIENT_MAGIC_LEN + sizeof frames;

	assert_true(len <= room);
	memcpy(out, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
	memcpy(out + NGHTTP2_CLIENT_MAGIC_LEN, frames, sizeof frames);
	return len;
}

static void converse(struct h2_peer *p, const uint8_t *bytes, size_t len)
{
	p->n_handlers = 0;
	peer_connect(p);
	peer_write(p, bytes, len);
	peer_run(p);
	for (size_t i = 0; i < p->n_handlers; i++) {
		struct peer_handler *h = &p->handlers[i];

		if (h->x)
			exchange_read(h->x);
	}
	peer_run(p);
	for (size_t i = 0; i < p->n_handlers; i++)
		if (p->handlers[i].x)
			exchange_answer(&p->handlers[i].x, 200, NULL, 0, SPAN("ok"));
	peer_run(p);
	peer_hang_up(p);
	assert_int_equal(server_n_connections(p->server), 0);
}

static void test_every_byte_of_a_conversation_may_be_wrong(void **state)
{
	static const uint8_t masks[] = { 0x01, 0x80, 0xff };
	struct h2_peer *p = peer_of(state);
	uint8_t bytes[512];
	size_t len = valid_conversation(bytes, sizeof bytes);

	for (size_t i = 16; i < len; i++) { /* the first 16 choose the protocol */
		for (size_t m = 0; m < ARRAY_SIZE(masks); m++) {
			bytes[i] ^= masks[m];
			converse(p, bytes, len);
			bytes[i] ^= masks[m];
		}
	}
}

static void test_a_conversation_may_end_anywhere(void **state)
{
	struct h2_peer *p = peer_of(state);
	uint8_t bytes[512];
	size_t len = valid_conversation(bytes, sizeof bytes);

	for (size_t i = 0; i <= len; i++)
		converse(p, bytes, i);
}

static void test_every_allocation_failure_is_survived(void **state)
{
	struct h2_peer *p = peer_of(state);
	uint8_t bytes[512];
	size_t len = valid_conversation(bytes, sizeof bytes);
	unsigned n = 0;

	do {
		mem_fail_nth(++n);
		converse(p, bytes, len);
	} while (mem_fail_nth(0));
	assert_true(n > 20);
	assert_server_is_well(p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, peer_setup, peer_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_flood_of_resets_ends_the_connection),
		TEST(test_flood_of_provoked_resets_ends_the_connection),
		TEST(test_flood_of_control_frames_ends_the_connection),
		TEST(test_flood_in_one_write_ends_the_connection_too),
		TEST(test_continuations_without_end_end_the_connection),
		TEST(test_more_streams_than_allowed_are_refused),
		TEST(test_header_block_beyond_the_limit_is_431),
		TEST(test_too_many_header_fields_are_431),
		TEST(test_hpack_bomb_is_reset_and_costs_one_limit),
		TEST(test_many_large_header_blocks_are_charged_to_the_server),
		TEST(test_too_large_trailers_reset_the_stream),
		TEST(test_every_byte_of_a_conversation_may_be_wrong),
		TEST(test_a_conversation_may_end_anywhere),
		TEST(test_every_allocation_failure_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
