#include "rpc/negotiate.h"

#include <string.h>

#include "base/buf.h"
#include "rpc/protocol.h"
#include "tests/support/test.h"

static void test_content_type_known_values_are_canonicalized(void **state)
{
	static const struct {
		const char *value;
		const char *canonical; /* NULL: unknown */
	} table[] = {
		{ "application/proto", "application/proto" },
		{ "application/json", "application/json" },
		{ "Application/JSON", "application/json" },
		{ "application/json;", "application/json" },
		{ " application/json ", "application/json" },
		{ "application/json; charset=utf-8", "application/json; charset=utf-8" },
		{ "application/json;Charset=\"UTF-8\"", "application/json; charset=utf-8" },
		{ "application/connect+json", "application/connect+json" },
		{ "application/connect+json;charset=UTF-8",
		  "application/connect+json; charset=utf-8" },
		{ "application/grpc", "application/grpc" },
		{ "application/grpc+json ; charset=utf-8", "application/grpc+json; charset=utf-8" },
		{ "application/grpc-web+proto", "application/grpc-web+proto" },
		{ "", NULL },
		{ "application/json; charset=latin1", NULL },
		{ "application/json; charset=utf-8; charset=utf-8", NULL },
		{ "application/json; x=y", NULL },
		{ "application/proto; charset=utf-8", NULL },
		{ "application/grpc-web-text", NULL },
		{ "application/grpc+foo", NULL },
		{ "text/plain", NULL },
		{ "application/jsonaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		  NULL },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const struct content_type *type = content_type_find(span_of(table[i].value));

		if (table[i].canonical)
			assert_string_equal(type ? type->text : "none", table[i].canonical);
		else
			assert_null(type);
	}
	assert_null(content_type_find((struct span){ "application/json\0x", 18 }));
}

static void test_content_type_list_is_sorted_and_by_kind(void **state)
{
	struct buf b;

	UNUSED(state);
	buf_init(&b, 4096);
	content_type_list(RPC_UNARY, &b);
	buf_append_byte(&b, 0);
	assert_string_equal((char *)b.data,
	                    "application/grpc, application/grpc+json, "
	                    "application/grpc+json; charset=utf-8, application/grpc+proto, "
	                    "application/grpc-web, application/grpc-web+json, "
	                    "application/grpc-web+json; charset=utf-8, "
	                    "application/grpc-web+proto, application/json, "
	                    "application/json; charset=utf-8, application/proto");
	buf_reset(&b, 0);
	content_type_list(RPC_CLIENT_STREAM, &b);
	buf_append_byte(&b, 0);
	assert_string_equal((char *)b.data,
	                    "application/connect+json, application/connect+json; charset=utf-8, "
	                    "application/connect+proto, application/grpc, application/grpc+json, "
	                    "application/grpc+json; charset=utf-8, application/grpc+proto, "
	                    "application/grpc-web, application/grpc-web+json, "
	                    "application/grpc-web+json; charset=utf-8, "
	                    "application/grpc-web+proto");
	buf_deinit(&b);
}

static void test_compression_is_negotiated_as_the_reference_does(void **state)
{
	static const struct {
		const char *sent;
		const char *accept;
		int rc;
		bool request;
		bool response;
	} table[] = {
		{ "", "", 0, false, false },
		{ "identity", "", 0, false, false },
		{ "", "identity", 0, false, false },
		{ "", "gzip", 0, false, true },
		{ "", "gzip, deflate, br", 0, false, true },
		{ "", "br,gzip", 0, false, true },
		{ "", "br gzip", 0, false, true },
		{ "", "gzip;q=0.5", 0, false, false },
		{ "", "*", 0, false, false },
		{ "", "GZIP", 0, false, false },
		{ "gzip", "", 0, true, true },
		{ "gzip", "identity", 0, true, true },
		{ "GZIP", "", -1, false, false },
		{ "zstd", "gzip", -1, false, false },
		{ "gzip, gzip", "", -1, false, false },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		CLEANUP(err_clear) struct err e = { 0 };
		bool request = false;
		bool response = false;

		assert_int_equal(negotiate_compression(span_of(table[i].sent),
		                                       span_of(table[i].accept), &request,
		                                       &response, &e),
		                 table[i].rc);
		assert_int_equal(request, table[i].request);
		assert_int_equal(response, table[i].response);
		if (table[i].rc < 0)
			assert_int_equal(e.kind, ERR_UNIMPLEMENTED);
	}
}

static void test_compression_unknown_names_what_is_supported(void **state)
{
	CLEANUP(err_clear) struct err e = { 0 };
	bool request;
	bool response;

	UNUSED(state);
	assert_int_equal(negotiate_compression(SPAN("foo"), SPAN(""), &request, &response, &e), -1);
	assert_string_equal(err_text(&e),
	                    "unknown compression \"foo\": supported encodings are gzip");
}

struct timeout_row {
	const char *value;
	int64_t ms;
	const char *text; /* of the error; NULL: none */
};

static void check_timeouts(int (*parse)(struct span, int64_t *, struct err *),
                           const struct timeout_row *table, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		CLEANUP(err_clear) struct err e = { 0 };
		int64_t ms = 77;

		assert_int_equal(parse(span_of(table[i].value), &ms, &e), table[i].text ? -1 : 0);
		assert_int_equal(ms, table[i].text ? 77 : table[i].ms);
		assert_string_equal(err_text(&e), table[i].text ? table[i].text : "");
		assert_int_equal(e.kind, table[i].text ? ERR_INVALID : ERR_NONE);
	}
}

static void test_timeout_connect_values(void **state)
{
	static const struct timeout_row table[] = {
		{ "", -1, NULL },
		{ "1", 1, NULL },
		{ "60000", 60000, NULL },
		{ "9999999999", 9999999999, NULL },
		{ "0", 0, NULL },
		{ "-5", 0, NULL },
		{ "00000000001", 0, "parse timeout: \"00000000001\" has >10 digits" },
		{ "x", 0, "parse timeout: strconv.ParseInt: parsing \"x\": invalid syntax" },
		{ "1.5", 0, "parse timeout: strconv.ParseInt: parsing \"1.5\": invalid syntax" },
	};

	UNUSED(state);
	check_timeouts(timeout_parse_connect, table, ARRAY_SIZE(table));
}

static void test_timeout_grpc_values(void **state)
{
	static const struct timeout_row table[] = {
		{ "", -1, NULL },
		{ "1H", 3600000, NULL },
		{ "2M", 120000, NULL },
		{ "3S", 3000, NULL },
		{ "4m", 4, NULL },
		{ "5000u", 5, NULL },
		{ "1u", 1, NULL },
		{ "6000000n", 6, NULL },
		{ "0n", 0, NULL },
		{ "99999999H", 99999999ll * 3600000, NULL },
		{ "5", 0, "protocol error: timeout has invalid unit '5'" },
		{ "5x", 0, "protocol error: timeout has invalid unit 'x'" },
		{ "m", 0, "protocol error: invalid timeout \"m\"" },
		{ "-1m", 0, "protocol error: invalid timeout \"-1m\"" },
		{ "123456789m", 0, "protocol error: timeout \"123456789m\" is too long" },
	};

	UNUSED(state);
	check_timeouts(timeout_parse_grpc, table, ARRAY_SIZE(table));
}

static void test_keepalive_nonsense_is_the_default(void **state)
{
	static const struct {
		const char *value;
		uint64_t ms;
	} table[] = {
		{ "50", 50000 },
		{ "+50", 50000 },
		{ "1", 1000 },
		{ "9223372036", 9223372036000 },
		{ "9223372037", 90000 },
		{ "0", 90000 },
		{ "-1", 90000 },
		{ "", 90000 },
		{ "x", 90000 },
		{ "1.5", 90000 },
		{ "99999999999999999999", 90000 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		assert_int_equal(keepalive_parse(span_of(table[i].value)), table[i].ms);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_content_type_known_values_are_canonicalized),
		cmocka_unit_test(test_content_type_list_is_sorted_and_by_kind),
		cmocka_unit_test(test_compression_is_negotiated_as_the_reference_does),
		cmocka_unit_test(test_compression_unknown_names_what_is_supported),
		cmocka_unit_test(test_timeout_connect_values),
		cmocka_unit_test(test_timeout_grpc_values),
		cmocka_unit_test(test_keepalive_nonsense_is_the_default),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
