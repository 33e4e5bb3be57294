/*
 * What json.h promises beyond RFC 8259, and what yyjson must not do to us.
 */
#include "base/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/support/test.h"

/* A text with room behind it, as callers must have; exact, so that ASan sees what goes beyond. */
static char *text_of(const char *text, size_t len)
{
	char *copy = xmalloc(len + JSON_PADDING);

	memcpy(copy, text, len);
	return copy;
}

struct parsed {
	struct json_doc doc;
	char *text;
	int rc;
};

static struct parsed *parse_bytes(const char *text, size_t len, unsigned flags)
{
	struct parsed *p = xmalloc(sizeof *p);

	memset(p, 0xA5, sizeof *p);
	json_init(&p->doc);
	p->text = text_of(text, len);
	p->rc = json_parse(&p->doc, p->text, len, flags);
	return p;
}

static struct parsed *parse(const char *text, unsigned flags)
{
	return parse_bytes(text, strlen(text), flags);
}

static void parsed_free(struct parsed *p)
{
	json_deinit(&p->doc);
	json_deinit(&p->doc);
	free(p->text);
	free(p);
}

static void assert_span(struct span s, const char *text)
{
	assert_true(span_equal(s, text));
	assert_int_equal(s.at[s.len], '\0');
}

static void test_json_values_are_what_they_were(void **state)
{
	static const enum json_type types[] = { JSON_NULL,   JSON_BOOL,  JSON_BOOL,  JSON_NUMBER,
		                                JSON_STRING, JSON_ARRAY, JSON_OBJECT };
	struct parsed *p = parse(" [null,true,false,-1.50e+3,\"s\",[ ],{}] ", 0);
	const struct json *value;
	struct json_iter it;
	struct span key;
	size_t n = 0;

	UNUSED(state);
	assert_int_equal(p->rc, 0);
	assert_int_equal(json_count(p->doc.root), ARRAY_SIZE(types));
	for (value = json_first(&it, p->doc.root, &key); value; value = json_next(&it, &key)) {
		assert_int_equal(json_type(value), types[n]);
		assert_int_equal(key.len, 0);
		if (n == 1)
			assert_true(json_bool(value));
		if (n == 3)
			assert_span(json_number(value), "-1.50e+3");
		if (n == 4)
			assert_span(json_string(value), "s");
		if (n != 4)
			assert_int_equal(json_string(value).len, 0);
		if (n != 5 && n != 6)
			assert_null(json_first(&(struct json_iter){ 0 }, value, &key));
		n++;
	}
	assert_int_equal(n, ARRAY_SIZE(types));
	assert_null(json_next(&it, &key));
	parsed_free(p);
}

static void test_json_members_keep_order_and_repeat(void **state)
{
	struct parsed *p = parse("{\"a\":1,\"b\":{\"x\":[2]},\"a\":3,\"\":4}", 0);
	static const char *const keys[] = { "a", "b", "a", "" };
	const struct json *value;
	struct json_iter it;
	struct span key;
	size_t n = 0;

	UNUSED(state);
	assert_int_equal(p->rc, 0);
	for (value = json_first(&it, p->doc.root, &key); value; value = json_next(&it, &key))
		assert_span(key, keys[n++]);
	assert_int_equal(n, ARRAY_SIZE(keys));
	parsed_free(p);
}

static void test_json_string_knows_its_escapes(void **state)
{
	static const struct {
		const char *text, *string;
		bool escaped;
	} cases[] = {
		{ "\"plain\"", "plain", false },
		{ "\"\xC3\xA4\"", "\xC3\xA4", false },
		{ "\"a\\/b\"", "a/b", true },
		{ "\"\\u00e4\"", "\xC3\xA4", true },
		{ "\"\\ud83d\\ude00\"", "\xF0\x9F\x98\x80", true },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct parsed *p = parse(cases[i].text, 0);

		assert_int_equal(p->rc, 0);
		assert_span(json_string(p->doc.root), cases[i].string);
		assert_int_equal(json_string_was_escaped(p->doc.root), cases[i].escaped);
		parsed_free(p);
	}
}

static void test_json_integers_are_plain_ones(void **state)
{
	static const struct {
		const char *text;
		int rc;
		int64_t value;
	} cases[] = {
		{ "0", 0, 0 },
		{ "-0", 0, 0 },
		{ "9223372036854775807", 0, INT64_MAX },
		{ "-9223372036854775808", 0, INT64_MIN },
		{ "9223372036854775808", -ERANGE, 0 },
		{ "1.0", -EINVAL, 0 },
		{ "1e3", -EINVAL, 0 },
		{ "\"1\"", -EINVAL, 0 },
		{ "null", -EINVAL, 0 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct parsed *p = parse(cases[i].text, 0);
		int64_t value = 0;

		assert_int_equal(p->rc, 0);
		assert_int_equal(json_i64(p->doc.root, &value), cases[i].rc);
		assert_int_equal(value, cases[i].value);
		parsed_free(p);
	}
}

static const char *const broken[] = {
	"",
	" ",
	"{",
	"[",
	"\"",
	"{}x",
	"[1,]",
	"{\"a\":1,}",
	"{a:1}",
	"{'a':1}",
	"[01]",
	"[+1]",
	"[.5]",
	"[1.]",
	"[NaN]",
	"[Infinity]",
	"[tru]",
	"// x\n1",
	"/**/1",
	"\"\n\"",
	"\"\\x\"",
	"\"\\u12\"",
	"\xEF\xBB\xBF{}",
	"1 2",
	"[1}",
};

static void test_json_what_is_not_json_is_refused(void **state)
{
	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		for (unsigned flags = 0; flags <= JSON_REPAIR; flags++) {
			struct parsed *p = parse(broken[i], flags);

			assert_int_equal(p->rc, -EINVAL);
			assert_non_null(p->doc.error);
			assert_null(p->doc.root);
			parsed_free(p);
		}
	}
}

static void test_json_behind_the_first_value_is_ignored_when_told(void **state)
{
	static const char *const texts[] = { "{\"a\":1}", "{\"a\":1} x", "{\"a\":1}}",
		                             "{\"a\":1}\n{" };
	struct parsed *p;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		p = parse(texts[i], JSON_FIRST);
		assert_int_equal(p->rc, 0);
		assert_int_equal(json_count(p->doc.root), 1);
		parsed_free(p);
	}
	p = parse("{\"a\":1", JSON_FIRST);
	assert_int_equal(p->rc, -EINVAL);
	parsed_free(p);
}

/* Parsing in place, yyjson has no end but a NUL: it must not find one of ours further on. */
static void test_json_invalid_text_is_refused_or_repaired(void **state)
{
	static const struct {
		const char *text, *repaired;
	} cases[] = {
		{ "\"a\xFFz\"", "a\xEF\xBF\xBDz" },
		{ "\"\xED\xA0\x80\"", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD" },
		{ "\"\xC3\"", "\xEF\xBF\xBD" },
		{ "\"\\ud800\"", "\xEF\xBF\xBD" },
		{ "\"\\uDC00x\"", "\xEF\xBF\xBDx" },
		{ "\"\\ud800\\u0041\"", "\xEF\xBF\xBD"
		                        "A" },
		{ "\"\\ud800\\ud83d\\ude00\"", "\xEF\xBF\xBD\xF0\x9F\x98\x80" },
		{ "\"\\ud800\xFF\"", "\xEF\xBF\xBD\xEF\xBF\xBD" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct parsed *p = parse(cases[i].text, 0);

		assert_int_equal(p->rc, -EINVAL);
		parsed_free(p);
		p = parse(cases[i].text, JSON_REPAIR);
		assert_int_equal(p->rc, 0);
		assert_span(json_string(p->doc.root), cases[i].repaired);
		parsed_free(p);
	}
}

static void test_json_repair_leaves_valid_text_alone(void **state)
{
	struct parsed *p = parse("\"\\\\ud800 \\\\\\ud83d\\ude00 \\u00e4 \xC3\xA4\"", JSON_REPAIR);

	UNUSED(state);
	assert_int_equal(p->rc, 0);
	assert_span(json_string(p->doc.root), "\\ud800 \\\xF0\x9F\x98\x80 \xC3\xA4 \xC3\xA4");
	assert_null(p->doc.repaired);
	parsed_free(p);
}

static char *repeat(const char *piece, size_t n, const char *end)
{
	const size_t len = strlen(piece);
	char *text = xmalloc(n * len + strlen(end) + 1);

	for (size_t i = 0; i < n; i++)
		memcpy(text + i * len, piece, len);
	memcpy(text + n * len, end, strlen(end) + 1);
	return text;
}

static void assert_parses_to(const char *text, int rc)
{
	struct parsed *p = parse(text, 0);

	assert_int_equal(p->rc, rc);
	parsed_free(p);
}

static void test_json_depth_ends_at_the_limit(void **state)
{
	char *closing = repeat("]", JSON_DEPTH_MAX, "");
	char *deepest = repeat("[", JSON_DEPTH_MAX, closing);
	char *deeper = repeat("[", JSON_DEPTH_MAX + 1, closing);
	char *objects = repeat("{\"[\\\"[\":", 1000000, "");
	char *pairs = repeat("[\"[[\\\"[[\\\\\"],", 20000, "1]");
	char *wide = repeat("[", 1, pairs);

	UNUSED(state);
	assert_parses_to(deepest, 0);
	assert_parses_to(deeper, -EINVAL);
	assert_parses_to(objects, -EINVAL);
	assert_parses_to(wide, 0);
	free(closing);
	free(deepest);
	free(deeper);
	free(objects);
	free(pairs);
	free(wide);
}

static void test_json_values_end_at_the_memory_limit(void **state)
{
	const size_t n = JSON_MEMORY_MAX / 16 + 1;
	char *zeros = xmalloc(2 * n + 1);
	struct parsed *p;

	UNUSED(state);
	memset(zeros, ',', 2 * n + 1);
	for (size_t i = 0; i < n; i++)
		zeros[2 * i + 1] = '0';
	zeros[0] = '[';
	zeros[2 * n] = ']';
	p = parse_bytes(zeros, 2 * n + 1, 0);
	assert_int_equal(p->rc, -ENOBUFS);
	parsed_free(p);
	p = parse_bytes(zeros, 2000000, 0);
	assert_int_equal(p->rc, -EINVAL);
	parsed_free(p);
	free(zeros);
}

static void test_json_small_text_allocates_nothing(void **state)
{
	char *text = repeat("[", 300, "");
	struct parsed *p;

	UNUSED(state);
	mem_fail_nth(1);
	p = parse("{\"process\":{\"cmd\":\"/bin/bash\",\"args\":[\"-l\",\"-c\",\"true\"]}}", 0);
	assert_int_equal(p->rc, 0);
	parsed_free(p);
	p = parse(text, 0);
	assert_int_equal(p->rc, -EINVAL);
	parsed_free(p);
	mem_fail_nth(0);
	free(text);
}

/* What lies behind the text, be it the end that is missing, is not read. */
static void test_json_ends_where_its_length_says(void **state)
{
	static const char *const cut[] = { "[1", "{\"a\":1", "\"a", "[[", "[\"a\",", "tru" };
	static const char behind[] = "]}\"e0 ,";

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cut); i++) {
		for (size_t n = 0; n < sizeof behind - 1; n++) {
			const size_t len = strlen(cut[i]);
			struct json_doc doc;
			char text[32];

			memset(text, behind[n], sizeof text);
			memcpy(text, cut[i], len);
			json_init(&doc);
			assert_int_equal(json_parse(&doc, text, len, 0), -EINVAL);
			json_deinit(&doc);
			assert_int_equal(text[len + JSON_PADDING], behind[n]);
		}
	}
}

static void test_json_every_allocation_failure_is_reported(void **state)
{
	char *zeros = repeat(",0,1,2,\"\xFF\"", 2000, "]");

	UNUSED(state);
	zeros[0] = '[';
	for (unsigned nth = 1;; nth++) {
		struct parsed *p;
		bool failed;

		mem_fail_nth(nth);
		p = parse(zeros, JSON_REPAIR);
		failed = mem_fail_nth(0);
		assert_int_equal(p->rc, failed ? -ENOMEM : 0);
		parsed_free(p);
		if (!failed)
			break;
	}
	free(zeros);
}

static void test_json_mutated_and_truncated_text_is_safe(void **state)
{
	static const char valid[] =
		"{\"a\":[1,-2.5e3,\"\\u00e4\\ud83d\\ude00\xC3\xA4\"],\"b\":{\"c\":null}}";
	static const char bytes[] = "\"\\{}[],:0-e\xFF\x80u";

	UNUSED(state);
	for (size_t at = 0; at < sizeof valid - 1; at++) {
		for (size_t n = 0; n < sizeof bytes; n++) {
			char text[sizeof valid];

			memcpy(text, valid, sizeof valid);
			text[at] = bytes[n];
			parsed_free(parse_bytes(text, sizeof valid - 1, 0));
			parsed_free(parse_bytes(text, sizeof valid - 1, JSON_REPAIR));
			parsed_free(parse_bytes(text, at, JSON_REPAIR));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_values_are_what_they_were),
		cmocka_unit_test(test_json_members_keep_order_and_repeat),
		cmocka_unit_test(test_json_string_knows_its_escapes),
		cmocka_unit_test(test_json_integers_are_plain_ones),
		cmocka_unit_test(test_json_what_is_not_json_is_refused),
		cmocka_unit_test(test_json_behind_the_first_value_is_ignored_when_told),
		cmocka_unit_test(test_json_invalid_text_is_refused_or_repaired),
		cmocka_unit_test(test_json_repair_leaves_valid_text_alone),
		cmocka_unit_test(test_json_depth_ends_at_the_limit),
		cmocka_unit_test(test_json_values_end_at_the_memory_limit),
		cmocka_unit_test(test_json_small_text_allocates_nothing),
		cmocka_unit_test(test_json_ends_where_its_length_says),
		cmocka_unit_test(test_json_every_allocation_failure_is_reported),
		cmocka_unit_test(test_json_mutated_and_truncated_text_is_safe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
