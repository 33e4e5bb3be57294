#include "http/accept.h"

#include "base/macros.h"
#include "tests/support/test.h"

static void check(const char *field, enum http_coding best)
{
	assert_int_equal(accept_coding_choose(span_of(field)).best, best);
}

static void test_accept_follows_the_reference(void **state)
{
	UNUSED(state);
	check("", CODING_IDENTITY);
	check("deflate, gzip, br", CODING_GZIP);
	check("GZip", CODING_GZIP);
	check("*", CODING_IDENTITY);
	check("br", CODING_IDENTITY);
	check("br;q=0.5, gzip;q=1.0, deflate;q=0.8", CODING_GZIP);
	check("br;q=1.0, gzip;q=0.5", CODING_GZIP);
	check("gzip;q=0.5, identity;q=1.0", CODING_IDENTITY);
	check("gzip;q=0, identity", CODING_IDENTITY);
	check("gzip;q=0, br", CODING_IDENTITY);
	check("br, identity;q=0", CODING_NONE);
	check("*, identity;q=0", CODING_GZIP);
	check("*;q=0", CODING_NONE);
	check("*;q=0, identity", CODING_IDENTITY);
	check("*;q=0, gzip", CODING_GZIP);
	check("identity, gzip", CODING_IDENTITY);
	check("gzip, identity", CODING_GZIP);
}

static void test_accept_takes_odd_weights(void **state)
{
	UNUSED(state);
	check("gzip;q=x", CODING_GZIP);
	check("gzip;Q=0", CODING_IDENTITY);
	check("gzip;q=-1, br", CODING_GZIP);
	check("gzip; q = 0", CODING_GZIP);
	check("gzip; q= 0", CODING_IDENTITY);
	check("gzip;level=9;q=0", CODING_IDENTITY);
	check("gzip;q=0.00000000000000000000000000000000", CODING_GZIP);
	check("gzip;q=nan, identity;q=0.5", CODING_GZIP);
	check(";q=0, gzip", CODING_GZIP);
}

static void test_accept_tells_whether_identity_would_do(void **state)
{
	UNUSED(state);
	assert_true(accept_coding_choose(SPAN("gzip")).identity);
	assert_true(accept_coding_choose(SPAN("*;q=0, identity")).identity);
	assert_false(accept_coding_choose(SPAN("gzip; q=1,*; q=0")).identity);
	assert_false(accept_coding_choose(SPAN("gzip, identity;q=0")).identity);
}

static void test_content_coding_is_one_or_not_supported(void **state)
{
	UNUSED(state);
	assert_int_equal(content_coding_parse(SPAN("")), CODING_IDENTITY);
	assert_int_equal(content_coding_parse(SPAN("Identity")), CODING_IDENTITY);
	assert_int_equal(content_coding_parse(SPAN("gzip")), CODING_GZIP);
	assert_int_equal(content_coding_parse(SPAN("GZIP;q=0.5")), CODING_GZIP);
	assert_int_equal(content_coding_parse(SPAN("br")), CODING_NONE);
	assert_int_equal(content_coding_parse(SPAN("gzip, gzip")), CODING_NONE);
	assert_int_equal(content_coding_parse(SPAN(";")), CODING_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accept_follows_the_reference),
		cmocka_unit_test(test_accept_takes_odd_weights),
		cmocka_unit_test(test_accept_tells_whether_identity_would_do),
		cmocka_unit_test(test_content_coding_is_one_or_not_supported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
