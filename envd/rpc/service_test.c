/*
 * From a request's head to a protocol: refusals, Connect GET, and the answers of gRPC and gRPC-Web.
 */
#include "rpc/service.h"

#include <string.h>

#include "rpc/call_fixture.h"
#include "rpc/envelope.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

struct scene {
	struct domain d;
	struct fake_exchange *f;
};

static void scene_begin(struct scene *s, void **state, enum http_version version,
                        const char *http_method, const char *fields)
{
	domain_init(&s->d, loop_fixture_loop(state));
	s->f = fake_new(version, http_method, fields);
}

static void scene_end(struct scene *s)
{
	loop_fixture_turn(s->d.loop, 2);
	assert_int_equal(s->d.n_freed_sessions, 1);
	domain_deinit(&s->d);
	fake_free(s->f);
}

/* --- no RPC ------------------------------------------------------------------------------------- */

static void test_service_other_methods_are_405_with_allow(void **state)
{
	static const char *const methods[] = { "GET", "DELETE", "PUT", "HEAD" };
	struct scene s;

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		scene_begin(&s, state, HTTP_1_1, methods[i], "content-type: application/json\n");
		domain_serve(&s.d, s.f, &echo_unary);
		assert_int_equal(s.f->status, 405);
		assert_string_equal(fake_text(&s.f->head), "Allow: POST\n");
		assert_int_equal(s.f->body.len, 0);
		scene_end(&s);
	}
	scene_begin(&s, state, HTTP_1_1, "DELETE", "");
	domain_serve(&s.d, s.f, &echo_get);
	assert_string_equal(fake_text(&s.f->head), "Allow: GET, POST\n");
	scene_end(&s);
}

static void check_415(void **state, const struct rpc_method *method, const char *fields)
{
	struct scene s;

	scene_begin(&s, state, HTTP_1_1, "POST", fields);
	domain_serve(&s.d, s.f, method);
	assert_int_equal(s.f->status, 415);
	assert_memory_equal(fake_text(&s.f->head), "Accept-Post: application/", 25);
	assert_int_equal(s.f->body.len, 0);
	scene_end(&s);
}

static void test_service_unknown_content_type_is_415_with_accept_post(void **state)
{
	check_415(state, &echo_unary, "");
	check_415(state, &echo_unary, "content-type: image/jpeg\n");
	check_415(state, &echo_unary, "content-type: application/connect+json\n");
	check_415(state, &echo_server, "content-type: application/json\n");
	check_415(state, &echo_server, "content-type: application/grpc+foo\n");
}

static void test_service_bidi_over_http1_is_505(void **state)
{
	struct rpc_method method = echo_bidi;
	struct scene s;

	method.options = NULL;
	scene_begin(&s, state, HTTP_1_1, "POST", "content-type: application/connect+json\n");
	domain_serve(&s.d, s.f, &method);
	assert_int_equal(s.f->status, 505);
	assert_int_equal(s.f->head.len, 0);
	scene_end(&s);
}

static void check_head_refusal(void **state, const char *fields, int status, const char *answer)
{
	struct scene s;

	scene_begin(&s, state, HTTP_1_1, "POST", fields);
	domain_serve(&s.d, s.f, &echo_unary);
	assert_int_equal(s.f->status, status);
	assert_string_equal(fake_text(&s.f->body), answer);
	assert_string_equal(fake_text(&s.f->head),
	                    "Content-Type: application/json\nAccept-Encoding: gzip\n");
	scene_end(&s);
}

static void test_service_bad_heads_are_refused_before_the_body(void **state)
{
	check_head_refusal(
		state, "content-type: application/json\ncontent-encoding: br\n", 501,
		"{\"code\":\"unimplemented\",\"message\":\"unknown compression \\\"br\\\": "
		"supported encodings are gzip\"}");
	check_head_refusal(state, "content-type: application/json\nconnect-protocol-version: 2\n",
	                   400,
	                   "{\"code\":\"invalid_argument\",\"message\":\"Connect-Protocol-Version "
	                   "must be \\\"1\\\": got \\\"2\\\"\"}");
	check_head_refusal(state, "content-type: application/json\nconnect-timeout-ms: soon\n", 400,
	                   "{\"code\":\"invalid_argument\",\"message\":\"parse timeout: "
	                   "strconv.ParseInt: parsing \\\"soon\\\": invalid syntax\"}");
}

/* --- Connect GET -------------------------------------------------------------------------------- */

static void check_get(void **state, const char *query, int status, const char *log)
{
	struct scene s;

	scene_begin(&s, state, HTTP_1_1, "GET", "");
	fake_query(s.f, query);
	s.d.answers = true;
	domain_serve(&s.d, s.f, &echo_get);
	assert_int_equal(s.f->status, status);
	assert_string_equal(fake_text(&s.d.log), log);
	if (status == 200)
		assert_true(fake_has(&s.f->head, "Vary: Accept-Encoding"));
	scene_end(&s);
}

static void test_service_get_takes_its_message_from_the_query(void **state)
{
	check_get(state, "encoding=json&message=%7B%22text%22%3A%22a+b%22%7D&connect=v1", 200,
	          "handle(a b) ");
	check_get(state, "connect=v1&base64=1&message=eyJ0ZXh0IjoiYSJ9&encoding=json", 200,
	          "handle(a) ");
	check_get(state, "encoding=proto&base64=1&message=CgFi", 200, "handle(b) ");
	check_get(state, "encoding=proto&message=", 200, "handle() ");
	check_get(state, "encoding=proto", 400, "");
	check_get(state, "message=", 415, "");
	check_get(state, "encoding=xml&message=", 415, "");
	check_get(state, "encoding=proto&message=&connect=v2", 400, "");
	check_get(state, "encoding=proto&message=&compression=br", 501, "");
	check_get(state, "encoding=proto&base64=1&message=!", 400, "");
	check_get(state, "encoding=proto&message=%zz", 400, "");
}

static void test_service_get_with_a_body_is_415(void **state)
{
	struct scene s;

	scene_begin(&s, state, HTTP_1_1, "GET", "");
	fake_query(s.f, "encoding=proto&message=");
	fake_length(s.f, 3);
	domain_serve(&s.d, s.f, &echo_get);
	assert_int_equal(s.f->status, 415);
	scene_end(&s);
}

/* --- gRPC --------------------------------------------------------------------------------------- */

static void test_service_grpc_ends_with_trailers(void **state)
{
	struct scene s;

	scene_begin(&s, state, HTTP_2, "POST", "content-type: application/grpc+json\n");
	domain_serve(&s.d, s.f, &echo_unary);
	push_frame(s.f, 0, "{\"text\":\"a\"}");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	call_add_header(s.d.call, SPAN("x-head"), SPAN("1"));
	call_add_trailer(s.d.call, SPAN("x-tail"), SPAN("2"));
	assert_false(call_is_connect(s.d.call));
	domain_finish(&s.d, "ok");
	assert_string_equal(fake_text(&s.f->head), "Content-Type: application/grpc+json\n"
	                                           "Grpc-Accept-Encoding: gzip\n"
	                                           "x-head: 1\n");
	assert_string_equal(fake_text(&s.f->trailers), "Grpc-Status: 0\nx-tail: 2\n");
	assert_string_equal(fake_text(&s.f->body) + ENVELOPE_HEADER, "{\"text\":\"ok\"}");
	scene_end(&s);
}

static void test_service_grpc_error_alone_is_trailers_only(void **state)
{
	struct scene s;

	scene_begin(&s, state, HTTP_2, "POST", "content-type: application/grpc\n");
	domain_serve(&s.d, s.f, &echo_unary);
	push_frame(s.f, 0, "");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	call_add_detail(s.d.call, "a.B", "x", 1);
	domain_fail(&s.d, ERR_NOT_FOUND, "100% \u263a\r\n");
	/* 08 05, 12 0a text, 1a 1c (0a 17 url, 12 01 x) */
	assert_string_equal(fake_text(&s.f->head),
	                    "Content-Type: application/grpc\n"
	                    "Grpc-Accept-Encoding: gzip\n"
	                    "Grpc-Status: 5\n"
	                    "Grpc-Message: 100%25 %E2%98%BA%0D%0A\n"
	                    "Grpc-Status-Details-Bin: "
	                    "CAUSCjEwMCUg4pi6DQoaHAoXdHlwZS5nb29nbGVhcGlzLmNvbS9hLkISAXg\n");
	assert_int_equal(s.f->trailers.len, 0);
	assert_int_equal(s.f->n_sends, 0);
	scene_end(&s);
}

static void test_service_grpc_over_http1_has_announced_trailers(void **state)
{
	struct scene s;

	scene_begin(&s, state, HTTP_1_1, "POST", "content-type: application/grpc\n");
	domain_serve(&s.d, s.f, &echo_unary);
	push_frame(s.f, 0, "");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	domain_fail(&s.d, ERR_ABORTED, "no");
	assert_true(fake_has(&s.f->head,
	                     "Trailer: Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin"));
	assert_string_equal(fake_text(&s.f->trailers), "Grpc-Status: 10\nGrpc-Message: no\n");
	scene_end(&s);
}

static void test_service_grpc_web_ends_with_a_frame_of_trailers(void **state)
{
	struct scene s;
	const uint8_t *end;

	scene_begin(&s, state, HTTP_1_1, "POST", "content-type: application/grpc-web+json\n");
	domain_serve(&s.d, s.f, &echo_server);
	push_frame(s.f, 0, "");
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_true(domain_send(&s.d, ""));
	call_add_trailer(s.d.call, SPAN("X-Tail"), SPAN("2"));
	domain_finish(&s.d, NULL);
	assert_int_equal(s.f->body.len, ENVELOPE_HEADER + 2 + ENVELOPE_HEADER + 27);
	end = s.f->body.data + ENVELOPE_HEADER + 2;
	assert_int_equal(end[0], ENVELOPE_TRAILERS_GRPC_WEB);
	assert_memory_equal(end + ENVELOPE_HEADER, "grpc-status: 0\r\nx-tail: 2\r\n", 27);
	assert_int_equal(s.f->trailers.len, 0);
	scene_end(&s);
}

static void test_service_grpc_web_error_alone_is_trailers_only(void **state)
{
	struct scene s;

	scene_begin(&s, state, HTTP_1_1, "POST",
	            "content-type: application/grpc-web\ngrpc-timeout: 0m\n");
	domain_serve(&s.d, s.f, &echo_server);
	fake_end(s.f, EXCHANGE_BODY_COMPLETE);
	assert_string_equal(fake_text(&s.f->head), "Content-Type: application/grpc-web\n"
	                                           "Grpc-Accept-Encoding: gzip\n"
	                                           "X-Accel-Buffering: no\n"
	                                           "Grpc-Status: 4\n"
	                                           "Grpc-Message: context deadline exceeded\n");
	assert_int_equal(s.f->body.len, 0);
	scene_end(&s);
}

/* --- rpc_refuse --------------------------------------------------------------------------------- */

static void check_refuse(enum http_version version, const char *method, const char *fields,
                         int status, const char *head, const char *body)
{
	struct fake_exchange *f = fake_new(version, method, fields);
	struct exchange *x = &f->x;
	struct err e = { 0 };

	(void)!err_set(&e, ERR_UNAUTHENTICATED, "invalid username: 'x'");
	rpc_refuse(&x, &e);
	assert_null(x);
	assert_int_equal(e.kind, ERR_NONE);
	assert_int_equal(f->status, status);
	assert_string_equal(fake_text(&f->head), head);
	assert_int_equal(f->body.len, body ? f->body.len : 0);
	if (body)
		assert_non_null(memmem(f->body.data, f->body.len, body, strlen(body)));
	fake_free(f);
}

static void test_refuse_has_the_shape_of_the_content_type(void **state)
{
	static const char json[] =
		"{\"code\":\"unauthenticated\",\"message\":\"invalid username: 'x'\"}";

	UNUSED(state);
	check_refuse(HTTP_1_1, "GET", "", 401, "Content-Type: application/json\n", json);
	check_refuse(HTTP_1_1, "POST", "content-type: application/proto\n", 401,
	             "Content-Type: application/json\n", json);
	check_refuse(HTTP_1_1, "POST", "content-type: Application/connect+JSON\n", 200,
	             "Content-Type: application/connect+json\n", "{\"error\":{\"code\":");
	check_refuse(HTTP_1_1, "POST", "content-type: application/connect+xml\n", 200,
	             "Content-Type: application/connect+xml\n", "{\"error\":{\"code\":");
	check_refuse(HTTP_2, "POST", "content-type: application/grpc\n", 200,
	             "Content-Type: application/grpc\nGrpc-Status: 16\n"
	             "Grpc-Message: invalid username: 'x'\n",
	             NULL);
	check_refuse(HTTP_1_1, "POST", "content-type: application/grpc-web+proto\n", 200,
	             "Content-Type: application/grpc-web+proto\nGrpc-Status: 16\n"
	             "Grpc-Message: invalid username: 'x'\n",
	             NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, loop_fixture_setup, loop_fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_service_other_methods_are_405_with_allow),
		TEST(test_service_unknown_content_type_is_415_with_accept_post),
		TEST(test_service_bidi_over_http1_is_505),
		TEST(test_service_bad_heads_are_refused_before_the_body),
		TEST(test_service_get_takes_its_message_from_the_query),
		TEST(test_service_get_with_a_body_is_415),
		TEST(test_service_grpc_ends_with_trailers),
		TEST(test_service_grpc_error_alone_is_trailers_only),
		TEST(test_service_grpc_over_http1_has_announced_trailers),
		TEST(test_service_grpc_web_ends_with_a_frame_of_trailers),
		TEST(test_service_grpc_web_error_alone_is_trailers_only),
		TEST(test_refuse_has_the_shape_of_the_content_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
