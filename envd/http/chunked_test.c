#include "http/chunked.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/limits.h"
#include "tests/support/test.h"

/* What a body decodes to, fed in pieces of step bytes with room for body_max at a time. */
struct decoded {
	char body[65536];
	size_t len, taken;
	enum chunked_state state;
	char trailer[HTTP_TRAILER_MAX + 1];
};

static const struct decoded *decode(const char *data, size_t len, size_t step, size_t body_max)
{
	static struct decoded d;
	struct chunked k;

	memset(&d, 0, sizeof d);
	chunked_init(&k);
	while (d.taken < len && k.state < CHUNKED_DONE) {
		const uint8_t *body;
		size_t n_body, n;

		n = chunked_feed(&k, (const uint8_t *)data + d.taken, MIN(step, len - d.taken),
		                 body_max, &body, &n_body);
		assert_true(n_body <= body_max && n_body <= n && d.len + n_body < sizeof d.body);
		if (n_body > 0)
			memcpy(d.body + d.len, body, n_body);
		d.len += n_body;
		d.taken += n;
		if (n == 0)
			break;
	}
	d.state = k.state;
	if (k.trailer.len > 0)
		memcpy(d.trailer, k.trailer.data, k.trailer.len);
	chunked_deinit(&k);
	return &d;
}

static const char sample[] =
	"5\r\nhello\r\n1;ext=\"v\"\r\n,\r\n00006 ;x\r\n world\r\n0\r\nA: b\r\nC: d\r\n\r\n";

static void test_chunked_decodes_in_pieces_of_any_size(void **state)
{
	UNUSED(state);
	for (size_t step = 1; step <= sizeof sample; step++) {
		for (size_t body_max = 1; body_max < 8; body_max++) {
			const struct decoded *d = decode(sample, sizeof sample - 1, step, body_max);

			assert_int_equal(d->state, CHUNKED_DONE);
			assert_int_equal(d->taken, sizeof sample - 1);
			assert_string_equal(d->body, "hello, world");
			assert_string_equal(d->trailer, "A: b\r\nC: d\r\n\r\n");
		}
	}
}

static void test_chunked_leaves_what_follows(void **state)
{
	UNUSED(state);
	assert_int_equal(decode("1\r\na\r\n0\r\n\r\nGET", 14, 14, 9)->taken, 11);
	assert_int_equal(decode("1\r\na\r\n0\r\nA: b\r\n\r\nGET", 20, 20, 9)->taken, 17);
}

static void test_chunked_without_room_stops_before_the_data(void **state)
{
	const struct decoded *d = decode("3\r\nabc", 6, 6, 0);

	UNUSED(state);
	assert_int_equal(d->state, CHUNKED_DATA);
	assert_int_equal(d->taken, 3);
}

static void test_chunked_any_byte_may_be_anything(void **state)
{
	char changed[sizeof sample];

	UNUSED(state);
	for (size_t i = 0; i < sizeof sample - 1; i++) {
		for (unsigned value = 0; value < 256; value++) {
			memcpy(changed, sample, sizeof sample);
			changed[i] = (char)value;
			decode(changed, sizeof sample - 1, 7, 100);
		}
		assert_true(decode(sample, i, 3, 100)->state < CHUNKED_DONE);
	}
}

static void test_chunked_long_size_line_is_malformed(void **state)
{
	char line[HTTP_CHUNK_LINE_MAX + 8];

	UNUSED(state);
	memset(line, 'x', sizeof line);
	memcpy(line, "1;", 2);
	memcpy(line + HTTP_CHUNK_LINE_MAX - 2, "\r\na", 3);
	assert_int_equal(decode(line, HTTP_CHUNK_LINE_MAX + 1, 100, 9)->state, CHUNKED_DATA_CR);
	memset(line + 2, 'x', sizeof line - 2);
	memcpy(line + HTTP_CHUNK_LINE_MAX - 1, "\r\na", 3);
	assert_int_equal(decode(line, HTTP_CHUNK_LINE_MAX + 2, 100, 9)->state, CHUNKED_MALFORMED);
}

static void test_chunked_much_framing_for_little_data_is_malformed(void **state)
{
	static const char chunk[] = "1;0123456789012345678901234567890123456789\r\na\r\n";
	char *data = xcalloc(2000, sizeof chunk - 1);
	const struct decoded *d;

	UNUSED(state);
	for (unsigned i = 0; i < 2000; i++)
		memcpy(data + i * (sizeof chunk - 1), chunk, sizeof chunk - 1);
	d = decode(data, 2000 * (sizeof chunk - 1), 4096, 100);
	assert_int_equal(d->state, CHUNKED_MALFORMED);
	assert_true(d->len > 100 && d->len < 1000);
	free(data);
}

static void test_chunked_small_chunks_are_fair(void **state)
{
	char *data = xcalloc(10000, 6);
	const struct decoded *d;

	UNUSED(state);
	for (unsigned i = 0; i < 10000; i++)
		memcpy(data + (size_t)i * 6, "1\r\na\r\n", 6);
	d = decode(data, 60000, 4096, 100);
	assert_int_equal(d->state, CHUNKED_SIZE);
	assert_int_equal(d->len, 10000);
	free(data);
}

static void test_chunked_long_trailer_is_malformed(void **state)
{
	char data[HTTP_TRAILER_MAX + 16];

	UNUSED(state);
	memset(data, 'x', sizeof data);
	memcpy(data, "0\r\nA: ", 6);
	assert_int_equal(decode(data, sizeof data, 1000, 9)->state, CHUNKED_MALFORMED);
	memcpy(data + 3 + HTTP_TRAILER_MAX - 4, "\r\n\r\n", 4);
	assert_int_equal(decode(data, sizeof data, 1000, 9)->state, CHUNKED_DONE);
}

static void test_chunked_without_memory_for_trailers_is_malformed(void **state)
{
	UNUSED(state);
	mem_fail_nth(1);
	assert_int_equal(decode(sample, sizeof sample - 1, 100, 100)->state, CHUNKED_MALFORMED);
	assert_true(mem_fail_nth(0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chunked_decodes_in_pieces_of_any_size),
		cmocka_unit_test(test_chunked_leaves_what_follows),
		cmocka_unit_test(test_chunked_without_room_stops_before_the_data),
		cmocka_unit_test(test_chunked_any_byte_may_be_anything),
		cmocka_unit_test(test_chunked_long_size_line_is_malformed),
		cmocka_unit_test(test_chunked_much_framing_for_little_data_is_malformed),
		cmocka_unit_test(test_chunked_small_chunks_are_fair),
		cmocka_unit_test(test_chunked_long_trailer_is_malformed),
		cmocka_unit_test(test_chunked_without_memory_for_trailers_is_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
