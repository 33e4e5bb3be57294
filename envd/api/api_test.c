/*
 * The way of a request to its handler, with exchanges that a test plays the peer of.
 */
#include "api/api.h"

#include "api/filesystem_api.h"
#include "api/process_api.h"
#include "host/environ.h"
#include "rpc/fake_exchange.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

#define AS_ROOT   "authorization: Basic cm9vdDo=\n"     /* root:     */
#define AS_NOBODY "authorization: Basic bm8tc3VjaDo=\n" /* no-such:  */

struct scene {
	struct loop *loop;
	struct environ_store environ;
	struct cgroups cgroups;
	struct process_service *process;
	struct filesystem_service *filesystem;
	struct api api;
};

static void scene_begin(struct scene *s, void **state)
{
	*s = (struct scene){ .loop = loop_fixture_loop(state) };
	environ_init(&s->environ);
	cgroups_init(&s->cgroups);
	s->process = process_service_new(s->loop, &s->environ, &s->api.defaults, &s->cgroups);
	s->filesystem = filesystem_service_new(s->loop, &s->api.defaults);
	api_init(&s->api, s->loop, &s->environ, s->process, s->filesystem);
}

static void scene_end(struct scene *s)
{
	process_service_close(s->process);
	filesystem_service_close(s->filesystem);
	api_deinit(&s->api);
	cgroups_deinit(&s->cgroups);
	environ_deinit(&s->environ);
}

static struct fake_exchange *scene_request(struct scene *s, const char *path, const char *fields)
{
	struct fake_exchange *f = fake_new(HTTP_1_1, "POST", fields);

	f->x.request.path = span_of(path);
	api_on_request(&s->api, &f->x);
	return f;
}

static void test_api_unknown_basic_user_is_401_in_connects_shape(void **state)
{
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	f = scene_request(&s, "/init", AS_NOBODY);
	loop_fixture_run_until(s.loop, &f->is_released);
	assert_int_equal(f->status, 401);
	assert_string_equal(
		fake_text(&f->body),
		"{\"code\":\"unauthenticated\",\"message\":\"invalid username: 'no-such'\"}");
	fake_free(f);
	scene_end(&s);
}

/* Whoever owned the request next would wait for a body and an end that have come already. */
static void test_api_peer_leaving_while_its_user_is_looked_up_leaves_nothing(void **state)
{
	static const char *const paths[] = { "/init", "/process.Process/List", "/none" };
	struct fake_exchange *f;
	struct scene s;

	scene_begin(&s, state);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		f = scene_request(&s, paths[i], AS_ROOT "content-type: application/json\n");
		fake_gone(f);
		assert_false(f->is_released);
		loop_fixture_run_until(s.loop, &f->is_released);
		assert_false(f->is_answered);
		fake_free(f);
	}
	scene_end(&s);
}

#define T(name) cmocka_unit_test_setup_teardown(name, loop_fixture_setup, loop_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_api_unknown_basic_user_is_401_in_connects_shape),
		T(test_api_peer_leaving_while_its_user_is_looked_up_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
