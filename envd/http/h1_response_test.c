#include "http/h1_response.h"

#include <string.h>

#include "base/mem.h"
#include "tests/support/test.h"

#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"

static void check(const struct h1_head_spec *spec, const char *text)
{
	char out[1024];
	size_t len = h1_head_write(spec, out);

	assert_true(len <= h1_head_size(spec));
	assert_int_equal(len, strlen(text));
	assert_memory_equal(out, text, len);
}

static void test_h1_head_has_fields_extra_date_and_framing(void **state)
{
	struct http_field fields[] = { HTTP_FIELD("A", "1") };
	struct http_field extra[] = { HTTP_FIELD("B", "") };
	struct exchange x = { .request = { .version = HTTP_1_1 }, .extra = extra, .n_extra = 1 };
	struct h1_head_spec spec = { .x = &x,
		                     .status = 200,
		                     .fields = fields,
		                     .n_fields = 1,
		                     .framing = H1_LENGTH,
		                     .length = INT64_MAX,
		                     .date = SPAN(DATE) };

	UNUSED(state);
	check(&spec, "HTTP/1.1 200 OK\r\nA: 1\r\nB: \r\nDate: " DATE
	             "\r\nContent-Length: 9223372036854775807\r\n\r\n");
	spec.framing = H1_CHUNKED;
	spec.close = true;
	check(&spec, "HTTP/1.1 200 OK\r\nA: 1\r\nB: \r\nDate: " DATE
	             "\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
	spec.framing = H1_NO_LENGTH;
	spec.close = false;
	spec.status = 299;
	x.request.version = HTTP_1_0;
	check(&spec,
	      "HTTP/1.0 299 \r\nA: 1\r\nB: \r\nDate: " DATE "\r\nConnection: keep-alive\r\n\r\n");
}

static void test_h1_head_cannot_be_split_by_a_value(void **state)
{
	struct http_field field = { SPAN("A\r\nB: c"), SPAN("d\r\n\r\nHTTP\0") };
	struct exchange x = { .request = { .version = HTTP_1_1 } };
	struct h1_head_spec spec = {
		.x = &x, .status = 404, .fields = &field, .n_fields = 1, .date = SPAN(DATE)
	};

	UNUSED(state);
	check(&spec, "HTTP/1.1 404 Not Found\r\nA  B: c: d    HTTP \r\nDate: " DATE "\r\n\r\n");
}

/* Every status that any layer may answer with has a text. */
static void test_h1_status_texts_are_there(void **state)
{
	static const int used[] = { 200, 204, 400, 401, 403, 404, 405, 406, 408, 409, 413,
		                    415, 417, 429, 431, 500, 501, 503, 504, 505, 507 };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(used); i++)
		assert_true(strlen(h1_status_text(used[i])) > 0);
	assert_string_equal(h1_status_text(499), "");
}

static void test_h1_refusal_is_the_reference_s(void **state)
{
	struct h1_refusal why = { .status = 400, .detail = "invalid header name" };
	char out[H1_REFUSAL_MAX];
	size_t len = h1_refusal_write(&why, out);
	static const char text[] = "HTTP/1.1 400 Bad Request: invalid header name\r\n"
				   "Content-Type: text/plain; charset=utf-8\r\n"
				   "Connection: close\r\n\r\n400 Bad Request: invalid header name";

	UNUSED(state);
	assert_int_equal(len, sizeof text - 1);
	assert_memory_equal(out, text, len);
}

static void test_h1_chunk_lines(void **state)
{
	char line[H1_CHUNK_LINE_MAX + 1] = "";

	UNUSED(state);
	line[h1_chunk_line(line, 1)] = '\0';
	assert_string_equal(line, "1\r\n");
	line[h1_chunk_line(line, 0xabc0)] = '\0';
	assert_string_equal(line, "abc0\r\n");
	assert_int_equal(h1_chunk_line(line, SIZE_MAX), H1_CHUNK_LINE_MAX);
}

static void test_h1_last_chunk_without_memory_is_nothing(void **state)
{
	struct http_field trailer = HTTP_FIELD("A", "1");
	struct arena memory;

	UNUSED(state);
	arena_init(&memory, 10000, NULL, 0);
	assert_true(span_equal(h1_last_chunk(&memory, &trailer, 1), "0\r\nA: 1\r\n\r\n"));
	arena_reset(&memory);
	mem_fail_nth(1);
	assert_null(h1_last_chunk(&memory, &trailer, 1).at);
	assert_true(mem_fail_nth(0));
	arena_deinit(&memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_h1_head_has_fields_extra_date_and_framing),
		cmocka_unit_test(test_h1_head_cannot_be_split_by_a_value),
		cmocka_unit_test(test_h1_status_texts_are_there),
		cmocka_unit_test(test_h1_refusal_is_the_reference_s),
		cmocka_unit_test(test_h1_chunk_lines),
		cmocka_unit_test(test_h1_last_chunk_without_memory_is_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
