#include "api/files_compose_body.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fs/compose.h"
#include "tests/support/test.h"

struct parsed {
	struct compose_body b;
	char *text;
	int rc;
	struct err e;
};

static void parse(struct parsed *p, const char *text)
{
	const size_t len = strlen(text);

	*p = (struct parsed){ .text = xmalloc(len + JSON_PADDING) };
	memcpy(p->text, text, len);
	p->rc = compose_body_parse(&p->b, p->text, len, &p->e);
}

static void parsed_deinit(struct parsed *p)
{
	compose_body_deinit(&p->b);
	err_clear(&p->e);
	free(p->text);
}

/* The sources with a comma behind each. */
static void check(const char *text, const char *sources, const char *destination,
                  const char *username)
{
	char found[256] = "";
	struct json_iter it;
	struct parsed p;
	struct span none;

	parse(&p, text);
	assert_string_equal(err_text(&p.e), "");
	assert_int_equal(p.rc, 0);
	for (const struct json *v = json_first(&it, p.b.sources, &none); v;
	     v = json_next(&it, &none)) {
		strncat(found, json_string(v).at, sizeof found - strlen(found) - 1);
		strncat(found, ",", sizeof found - strlen(found) - 1);
	}
	assert_string_equal(found, sources);
	assert_string_equal(p.b.destination, destination);
	if (username)
		assert_string_equal(p.b.username, username);
	else
		assert_null(p.b.username);
	parsed_deinit(&p);
}

static void check_refused(const char *text, const char *why)
{
	struct parsed p;

	parse(&p, text);
	assert_int_equal(p.rc, -1);
	assert_int_equal(p.e.kind, ERR_INVALID);
	if (strncmp(err_text(&p.e), why, strlen(why)) != 0)
		fail_msg("'%s' instead of '%s'", err_text(&p.e), why);
	parsed_deinit(&p);
}

static void test_compose_body_says_sources_destination_and_user(void **state)
{
	UNUSED(state);
	check("{\"source_paths\":[\"/a\",\"~/b\"],\"destination\":\"/c\"}", "/a,~/b,", "/c", NULL);
	check("{\"username\":\"me\",\"destination\":\"\\u00e4\",\"source_paths\":[\"\"]}", ",",
	      "\xC3\xA4", "me");
	check("{\"source_paths\":[\"a\"],\"destination\":\"b\",\"username\":\"\"}", "a,", "b", "");
}

static void test_compose_body_is_read_as_go_reads_it(void **state)
{
	UNUSED(state);
	/* In any case, unknown ones skipped, and what comes behind it. */
	check("{\"Source_Paths\":[\"a\"],\"DESTINATION\":\"b\",\"other\":[{}]} trailing {", "a,",
	      "b", NULL);
	/* The last one counts. */
	check("{\"source_paths\":[\"x\",\"y\"],\"destination\":\"z\",\"source_paths\":[\"a\"],"
	      "\"destination\":\"b\"}",
	      "a,", "b", NULL);
	/* null is nothing. */
	check("{\"source_paths\":[\"a\",null],\"destination\":\"b\",\"destination\":null,"
	      "\"username\":\"me\",\"username\":null}",
	      "a,,", "b", NULL);
	check("{\"source_paths\":[\"\xFF\"],\"destination\":\"\\ud800\"}", "\xEF\xBF\xBD,",
	      "\xEF\xBF\xBD", NULL);
}

static void test_compose_body_that_says_nothing_to_do_is_refused(void **state)
{
	UNUSED(state);
	check_refused("", "invalid request body: EOF");
	check_refused(" \r\n\t", "invalid request body: EOF");
	check_refused("{", "invalid request body: ");
	check_refused("x", "invalid request body: ");
	check_refused("[]", "invalid request body: ");
	check_refused("\"x\"", "invalid request body: ");
	check_refused("null", "source_paths must not be empty");
	check_refused("{}", "source_paths must not be empty");
	check_refused("{\"source_paths\":[],\"destination\":\"a\"}",
	              "source_paths must not be empty");
	check_refused("{\"source_paths\":[\"a\"],\"source_paths\":null,\"destination\":\"a\"}",
	              "source_paths must not be empty");
	check_refused("{\"source_paths\":[\"a\"]}", "destination is required");
	check_refused("{\"source_paths\":[\"a\"],\"destination\":\"\"}", "destination is required");
}

static void test_compose_body_with_wrong_types_is_refused(void **state)
{
	static const char *const texts[] = {
		"{\"source_paths\":\"a\",\"destination\":\"b\"}",
		"{\"source_paths\":[\"a\",1],\"destination\":\"b\"}",
		"{\"source_paths\":[[\"a\"]],\"destination\":\"b\"}",
		"{\"source_paths\":{},\"destination\":\"b\"}",
		"{\"source_paths\":[\"a\"],\"destination\":1}",
		"{\"source_paths\":[\"a\"],\"destination\":\"b\",\"username\":false}",
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		check_refused(texts[i], "invalid request body: json: ");
	check_refused("{\"source_paths\":[\"a\\u0000b\"],\"destination\":\"b\"}",
	              "source_paths contains a NUL byte");
	check_refused("{\"source_paths\":[\"a\"],\"destination\":\"b\\u0000\"}",
	              "destination contains a NUL byte");
	check_refused("{\"source_paths\":[\"a\"],\"destination\":\"b\",\"username\":\"\\u0000\"}",
	              "username contains a NUL byte");
}

static void test_compose_body_of_more_sources_than_the_limit_is_refused(void **state)
{
	static const char begin[] = "{\"destination\":\"b\",\"source_paths\":[\"a\"";
	char *text = xmalloc(sizeof begin + 4 * COMPOSE_SOURCES_MAX + 2);
	struct parsed p;
	char *at = text;

	UNUSED(state);
	memcpy(at, begin, sizeof begin - 1);
	at += sizeof begin - 1;
	for (unsigned i = 1; i < COMPOSE_SOURCES_MAX; i++, at += 4)
		memcpy(at, ",\"a\"", 4);
	memcpy(at, "]}", 3);
	parse(&p, text);
	assert_int_equal(p.rc, 0);
	assert_int_equal(json_count(p.b.sources), COMPOSE_SOURCES_MAX);
	parsed_deinit(&p);
	memcpy(at, ",\"\"]}", 6);
	check_refused(text, "source_paths has more than 16384 elements");
	free(text);
}

static void test_compose_body_without_memory_is_refused_as_that(void **state)
{
	static const char format[] =
		"{\"destination\":\"b\",\"source_paths\":[\"a\"], \"x\":[%01000d]}";
	unsigned n_failed = 0;

	UNUSED(state);
	for (unsigned nth = 1;; nth++, n_failed++) {
		struct parsed p;
		char text[2048];
		bool failed;

		(void)snprintf(text, sizeof text, format, 0);
		memset(strchr(text, '0'), '1', 1000);
		mem_fail_nth(nth);
		parse(&p, text);
		failed = mem_fail_nth(0);
		assert_int_equal(p.rc, failed ? -1 : 0);
		assert_int_equal(p.e.kind, failed ? ERR_UNAVAILABLE : ERR_NONE);
		parsed_deinit(&p);
		if (!failed)
			break;
	}
	assert_true(n_failed > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compose_body_says_sources_destination_and_user),
		cmocka_unit_test(test_compose_body_is_read_as_go_reads_it),
		cmocka_unit_test(test_compose_body_that_says_nothing_to_do_is_refused),
		cmocka_unit_test(test_compose_body_with_wrong_types_is_refused),
		cmocka_unit_test(test_compose_body_of_more_sources_than_the_limit_is_refused),
		cmocka_unit_test(test_compose_body_without_memory_is_refused_as_that),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
