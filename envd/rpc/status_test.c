#include "rpc/status.h"

#include "tests/support/test.h"

static const struct {
	enum err_kind kind;
	const char *connect;
	int http;
	int grpc;
} table[] = {
	{ ERR_CANCELED, "canceled", 499, 1 },
	{ ERR_UNKNOWN, "unknown", 500, 2 },
	{ ERR_INVALID, "invalid_argument", 400, 3 },
	{ ERR_DEADLINE, "deadline_exceeded", 504, 4 },
	{ ERR_NOT_FOUND, "not_found", 404, 5 },
	{ ERR_EXISTS, "already_exists", 409, 6 },
	{ ERR_PERMISSION, "permission_denied", 403, 7 },
	{ ERR_LIMIT, "resource_exhausted", 429, 8 },
	{ ERR_PRECONDITION, "failed_precondition", 400, 9 },
	{ ERR_ABORTED, "aborted", 409, 10 },
	{ ERR_RANGE, "out_of_range", 400, 11 },
	{ ERR_UNIMPLEMENTED, "unimplemented", 501, 12 },
	{ ERR_INTERNAL, "internal", 500, 13 },
	{ ERR_UNAVAILABLE, "unavailable", 503, 14 },
	{ ERR_DATA_LOSS, "data_loss", 500, 15 },
	{ ERR_UNAUTHENTICATED, "unauthenticated", 401, 16 },
};

static void test_status_every_kind_has_its_codes(void **state)
{
	UNUSED(state);
	assert_int_equal(ARRAY_SIZE(table), ERR_KINDS - 1);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		assert_string_equal(status_connect_code(table[i].kind), table[i].connect);
		assert_int_equal(status_http(table[i].kind), table[i].http);
		assert_int_equal(status_grpc(table[i].kind), table[i].grpc);
	}
}

static void test_status_grpc_number_gives_kind_back(void **state)
{
	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		assert_int_equal(status_of_grpc(table[i].grpc), table[i].kind);
	assert_int_equal(status_of_grpc(0), ERR_NONE);
}

static void test_status_strange_grpc_number_is_unknown(void **state)
{
	UNUSED(state);
	assert_int_equal(status_of_grpc(17), ERR_UNKNOWN);
	assert_int_equal(status_of_grpc(-1), ERR_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_every_kind_has_its_codes),
		cmocka_unit_test(test_status_grpc_number_gives_kind_back),
		cmocka_unit_test(test_status_strange_grpc_number_is_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
