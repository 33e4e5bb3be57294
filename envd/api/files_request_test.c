#include "api/files_request.h"

#include <string.h>

#include "rpc/fake_exchange.h"
#include "tests/support/test.h"

/* printf '%s' ... | openssl dgst -sha256 -binary | base64, of the text above each, escaped for a query */
/* /a b.txt:read::secret */
#define SIGNED_READ "v1_lOhIAlkOCK8IqgkxnAFuMgoamvaGI6KxjI5Z%2BIDqkgs"
/* /a b.txt:write::secret */
#define SIGNED_WRITE "v1_6ox%2B9Kc%2B%2FqkbFLYF4ZP13gUw1s8G9dJQ%2BE3xTr37GEg"
/* /a b.txt:read:root:secret */
#define SIGNED_USER "v1_D7%2BWX4SuD9chcHTL9vzpQj0dGROXetjIMpRRNf6JZPA"
/* :write::secret */
#define SIGNED_NAKED "v1_JCyAJPTnXGsDlmQriXLwWd7jJjjtTfInABmuIz0%2BPiw"
/* /a b.txt:read::secret:1000 */
#define SIGNED_EXPIRY "v1_t1pwryhf191GAi3rfZ1V4c3Am6XLTSoxuZj110dow30"
/* /a b.txt:read::secret:999 */
#define SIGNED_PAST "v1_SOJImZAO4FRlaA8UmJO%2BH9nYcvMt5VZ%2FlmVCVLFaKyI"

#define BINDING "Invalid format for parameter "

static void check_parse(const char *query, const char *error)
{
	CLEANUP(arena_deinit) struct arena memory;
	CLEANUP(err_clear) struct err e = { 0 };
	struct files_query q;

	arena_init(&memory, FILES_QUERY_MEMORY_MAX, NULL, 0);
	assert_int_equal(files_query_parse(&q, span_of(query), &memory, &e), error ? -1 : 0);
	assert_string_equal(err_text(&e), error ? error : "");
}

static void test_files_query_wrong_parameters_are_told_in_their_order(void **state)
{
	UNUSED(state);
	check_parse("", NULL);
	check_parse("path=a;b&other=1&other=2&signature_expiration=-5", NULL);
	check_parse("path=a&path=%zz", NULL); /* a broken pair is none */
	check_parse("path=a&path=a",
	            BINDING "path: multiple values for single value parameter 'path'");
	check_parse("signature_expiration=x&username=a&username=b",
	            BINDING "username: multiple values for single value parameter 'username'");
	check_parse("signature=&signature=",
	            BINDING "signature: multiple values for single value parameter 'signature'");
	check_parse("signature_expiration=1&signature_expiration=1",
	            BINDING "signature_expiration: multiple values for single value parameter "
	                    "'signature_expiration'");
	check_parse("signature_expiration=x", BINDING
	            "signature_expiration: error binding string parameter: strconv.ParseInt: "
	            "parsing \"x\": invalid syntax");
	check_parse("signature_expiration=", BINDING
	            "signature_expiration: error binding string parameter: strconv.ParseInt: "
	            "parsing \"\": invalid syntax");
	check_parse("signature_expiration=9223372036854775808", BINDING
	            "signature_expiration: error binding string parameter: strconv.ParseInt: "
	            "parsing \"9223372036854775808\": value out of range");
}

static void test_files_query_without_memory_is_refused(void **state)
{
	CLEANUP(arena_deinit) struct arena memory;
	CLEANUP(err_clear) struct err e = { 0 };
	struct files_query q;

	UNUSED(state);
	arena_init(&memory, 32, NULL, 0);
	assert_int_equal(files_query_parse(&q, SPAN("a=1&b=2&c=3"), &memory, &e), -1);
	assert_int_equal(e.kind, ERR_INVALID);
}

static void check_refusal(const char *query, enum files_operation operation, const char *sent,
                          const char *refusal)
{
	CLEANUP(arena_deinit) struct arena memory;
	CLEANUP(err_clear) struct err e = { 0 };
	CLEANUP(secret_clear) struct secret token = { 0 };
	struct files_query q;
	const char *got;

	arena_init(&memory, FILES_QUERY_MEMORY_MAX, NULL, 0);
	assert_int_equal(secret_set(&token, SPAN("secret")), 0);
	assert_int_equal(files_query_parse(&q, span_of(query), &memory, &e), 0);
	got = files_query_refusal(&q, operation, &token, span_of(sent), 1000);
	assert_string_equal(got ? got : "", refusal ? refusal : "");
}

static void test_files_query_with_the_right_signature_may(void **state)
{
	UNUSED(state);
	check_refusal("path=/a+b.txt&signature=" SIGNED_READ, FILES_READ, "", NULL);
	check_refusal("path=/a%20b.txt&signature=" SIGNED_WRITE, FILES_WRITE, "", NULL);
	check_refusal("path=/a+b.txt&username=root&signature=" SIGNED_USER, FILES_READ, "", NULL);
	check_refusal("signature=" SIGNED_NAKED, FILES_WRITE, "", NULL);
	check_refusal("path=/a+b.txt&username=&signature=" SIGNED_READ, FILES_READ, "", NULL);
	check_refusal("path=/a+b.txt&signature_expiration=%2B1000&signature=" SIGNED_EXPIRY,
	              FILES_READ, "", NULL);
}

static void test_files_query_with_another_signature_may_not(void **state)
{
	static const char *const queries[] = {
		"path=/a+b.txt&signature=",
		"path=/a+b.txt&signature=" SIGNED_WRITE,
		"path=/a+b.txt&signature=" SIGNED_READ "=",
		"path=/a+b.txt&username=root&signature=" SIGNED_READ,
		"path=/a+b.txt&signature_expiration=1000&signature=" SIGNED_READ,
		"path=/a+b.txt%00&signature=" SIGNED_READ,
		"signature=" SIGNED_READ,
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(queries); i++)
		check_refusal(queries[i], FILES_READ, "", "invalid signature");
	check_refusal("path=/a+b.txt", FILES_READ, "", "missing signature query parameter");
}

static void test_files_query_every_bit_of_a_signature_counts(void **state)
{
	char query[] = "path=/a+b.txt&signature=" SIGNED_READ;

	UNUSED(state);
	for (size_t i = strlen("path=/a+b.txt&signature="); i < strlen(query); i++) {
		char was = query[i];

		query[i] = was == 'A' ? 'B' : 'A';
		check_refusal(query, FILES_READ, "", "invalid signature");
		query[i] = was;
	}
}

static void test_files_query_signature_expires_after_its_second(void **state)
{
	UNUSED(state);
	/* Expiry is looked at last. */
	check_refusal("path=/a+b.txt&signature_expiration=999&signature=" SIGNED_EXPIRY, FILES_READ,
	              "", "invalid signature");
	check_refusal("path=/a+b.txt&signature_expiration=999&signature=" SIGNED_PAST, FILES_READ,
	              "", "signature is already expired");
}

static void test_files_query_token_in_the_header_decides_alone(void **state)
{
	UNUSED(state);
	check_refusal("path=x", FILES_READ, "secret", NULL);
	check_refusal("path=/a+b.txt&signature=" SIGNED_READ, FILES_READ, "wrong",
	              "access token present in header but does not match");
}

static void test_files_query_without_a_token_every_request_may(void **state)
{
	const struct secret unset = { 0 };
	struct files_query q = { .has_signature = true, .signature = SPAN("wrong") };

	UNUSED(state);
	assert_null(files_query_refusal(&q, FILES_READ, &unset, SPAN("wrong"), 0));
}

/* ---- whole requests ---- */

struct scene {
	struct api api;
	struct fake_exchange *f;
	struct exchange *x;
	struct files_request r;
};

static void on_stop(struct exchange *x)
{
	UNUSED(x);
}

static int scene_begin(struct scene *s, const char *query, const char *fields)
{
	static const struct exchange_ops ops = { .on_stop = on_stop };

	*s = (struct scene){ 0 };
	s->api.defaults.user = (char[]){ "root" };
	s->f = fake_new(HTTP_1_1, "POST", fields);
	fake_query(s->f, query);
	s->x = &s->f->x;
	exchange_own(s->x, &ops, s);
	return files_request_init(&s->r, &s->api, &s->x, FILES_WRITE);
}

static void scene_end(struct scene *s)
{
	if (s->x)
		exchange_abort(&s->x);
	files_request_deinit(&s->r);
	secret_clear(&s->api.token);
	fake_free(s->f);
}

static void check_answer(const char *query, int status, const char *body)
{
	struct scene s;

	assert_int_equal(scene_begin(&s, query, ""), -1);
	assert_null(s.x);
	assert_int_equal(s.f->status, status);
	assert_string_equal(fake_text(&s.f->body), body);
	assert_false(s.f->is_reading);
	scene_end(&s);
}

static void test_files_request_binding_error_is_plain_text(void **state)
{
	struct scene s;

	UNUSED(state);
	assert_int_equal(scene_begin(&s, "path=&path=", ""), -1);
	assert_int_equal(s.f->status, 400);
	assert_string_equal(fake_text(&s.f->body),
	                    "Invalid format for parameter path: multiple values "
	                    "for single value parameter 'path'\n");
	assert_true(fake_has(&s.f->head, "Content-Type: text/plain; charset=utf-8"));
	assert_true(fake_has(&s.f->head, "X-Content-Type-Options: nosniff"));
	scene_end(&s);
}

static void test_files_request_nul_is_refused_and_not_the_end_of_a_name(void **state)
{
	UNUSED(state);
	check_answer("path=/a%00b", 400,
	             "{\"code\":400,\"message\":\"path contains a NUL byte\"}\n");
	check_answer("username=root%00", 400,
	             "{\"code\":400,\"message\":\"username contains a NUL byte\"}\n");
}

static void test_files_request_names_its_user_or_the_default(void **state)
{
	struct scene s;

	UNUSED(state);
	assert_int_equal(scene_begin(&s, "path=", ""), 0);
	assert_string_equal(s.r.path, "");
	assert_string_equal(s.r.requester.name, "root");
	scene_end(&s);
	assert_int_equal(scene_begin(&s, "username=", ""), 0);
	assert_null(s.r.path);
	assert_string_equal(s.r.requester.name, "");
	scene_end(&s);
}

static void test_files_request_without_any_user_is_400(void **state)
{
	CLEANUP(err_clear) struct err e = { 0 };
	const struct api api = { .defaults.user = (char[]){ "" } };
	struct requester r = { 0 };

	UNUSED(state);
	assert_int_equal(files_name_user(&r, &api.defaults, NULL, &e), -1);
	assert_string_equal(err_text(&e), "username not provided");
}

static void test_files_request_unknown_user_is_named(void **state)
{
	CLEANUP(err_clear) struct err e = { 0 };
	const struct api api = { .defaults.user = (char[]){ "root" } };
	struct requester r = { 0 };

	UNUSED(state);
	assert_int_equal(files_name_user(&r, &api.defaults, "no-such", &e), 0);
	assert_int_equal(files_find_user(&r, &e), -1);
	assert_string_equal(err_text(&e),
	                    "error looking up user 'no-such': user: unknown user no-such");
	requester_deinit(&r);
	assert_int_equal(files_name_user(&r, &api.defaults, NULL, &e), 0);
	assert_int_equal(files_find_user(&r, &e), 0);
	assert_int_equal(r.user.uid, 0);
	requester_deinit(&r);
}

static void test_files_request_checks_the_right_before_the_user(void **state)
{
	struct scene s = { 0 };
	static const struct exchange_ops ops = { .on_stop = on_stop };

	UNUSED(state);
	assert_int_equal(secret_set(&s.api.token, SPAN("secret")), 0);
	s.api.defaults.user = (char[]){ "" };
	s.f = fake_new(HTTP_1_1, "POST", "");
	fake_query(s.f, "path=%00");
	s.x = &s.f->x;
	exchange_own(s.x, &ops, &s);
	assert_int_equal(files_request_init(&s.r, &s.api, &s.x, FILES_WRITE), -1);
	assert_int_equal(s.f->status, 401);
	assert_string_equal(fake_text(&s.f->body),
	                    "{\"code\":401,\"message\":\"missing signature query parameter\"}\n");
	assert_true(fake_has(&s.f->head, "Content-Type: application/json; charset=utf-8"));
	scene_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files_query_wrong_parameters_are_told_in_their_order),
		cmocka_unit_test(test_files_query_without_memory_is_refused),
		cmocka_unit_test(test_files_query_with_the_right_signature_may),
		cmocka_unit_test(test_files_query_with_another_signature_may_not),
		cmocka_unit_test(test_files_query_every_bit_of_a_signature_counts),
		cmocka_unit_test(test_files_query_signature_expires_after_its_second),
		cmocka_unit_test(test_files_query_token_in_the_header_decides_alone),
		cmocka_unit_test(test_files_query_without_a_token_every_request_may),
		cmocka_unit_test(test_files_request_binding_error_is_plain_text),
		cmocka_unit_test(test_files_request_nul_is_refused_and_not_the_end_of_a_name),
		cmocka_unit_test(test_files_request_names_its_user_or_the_default),
		cmocka_unit_test(test_files_request_without_any_user_is_400),
		cmocka_unit_test(test_files_request_unknown_user_is_named),
		cmocka_unit_test(test_files_request_checks_the_right_before_the_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
