#include "api/process_api_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "rpc/envelope.h"
#include "rpc/service.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

void process_api_fixture_begin(struct process_api_fixture *s, void **state)
{
	char line[512];

	*s = (struct process_api_fixture){ .loop = loop_fixture_loop(state),
		                           .dir = temp_dir_new() };
	(void)snprintf(line, sizeof line, "me:x:%u:%u::%s:/bin/sh\n", (unsigned)getuid(),
	               (unsigned)getgid(), s->dir);
	s->passwd = temp_dir_file(s->dir, "passwd", line, 0644);
	s->group = temp_dir_file(s->dir, "group", "", 0644);
	s->users = (struct user_db){ s->passwd, s->group };
	(void)signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	environ_init(&s->environ);
	s->defaults.user = xstrdup("me");
	cgroups_init(&s->cgroups);
	s->service = process_service_new(s->loop, &s->environ, &s->defaults, &s->cgroups);
	s->service->users = &s->users;
}

void process_api_fixture_close_service(struct process_api_fixture *s)
{
	if (s->service)
		process_service_close(TAKE_PTR(s->service));
	loop_fixture_turn(s->loop, 4);
}

void process_api_fixture_end(struct process_api_fixture *s)
{
	process_api_fixture_close_service(s);
	cgroups_deinit(&s->cgroups);
	environ_deinit(&s->environ);
	free(s->defaults.user);
	free(s->passwd);
	free(s->group);
	temp_dir_free(s->dir);
}

struct fake_exchange *process_api_fixture_serve(struct process_api_fixture *s, const char *method,
                                                const char *fields)
{
	struct fake_exchange *f = fake_new(HTTP_1_1, "POST", fields);
	struct exchange *x = &f->x;

	for (size_t i = 0; i < process_n_methods; i++) {
		if (strcmp(strrchr(process_methods[i].path, '/') + 1, method) == 0)
			rpc_serve(s->loop, &x, &process_methods[i], s->service, NULL, NULL);
	}
	assert_null(x);
	return f;
}

struct fake_exchange *process_api_fixture_call(struct process_api_fixture *s, const char *method,
                                               const char *message)
{
	struct fake_exchange *f = process_api_fixture_serve(s, method, FIXTURE_UNARY);

	fake_push(f, message, strlen(message));
	fake_end(f, EXCHANGE_BODY_COMPLETE);
	return f;
}

void process_api_fixture_push(struct fake_exchange *f, const char *message)
{
	uint8_t head[ENVELOPE_HEADER];

	envelope_put_header(head, 0, (uint32_t)strlen(message));
	fake_push(f, head, sizeof head);
	fake_push(f, message, strlen(message));
}

/* NULL: it is not there. The head of a frame has zeros in it. */
static const char *find(struct buf *body, const char *text)
{
	(void)fake_text(body); /* which ends it */
	return body->len > 0 ? memmem(body->data, body->len, text, strlen(text)) : NULL;
}

static bool has_not_started(void *arg)
{
	struct fake_exchange *f = arg;

	return !find(&f->body, "{\"event\"");
}

struct fake_exchange *process_api_fixture_start(struct process_api_fixture *s, const char *message,
                                                unsigned *out_pid)
{
	struct fake_exchange *f = process_api_fixture_serve(s, "Start", FIXTURE_STREAM);

	process_api_fixture_push(f, message);
	fake_end(f, EXCHANGE_BODY_COMPLETE);
	loop_fixture_run_while(s->loop, has_not_started, f);
	assert_int_equal(sscanf(find(&f->body, "{\"event\""),
	                        "{\"event\":{\"start\":{\"pid\":%u}}}", out_pid),
	                 1);
	return f;
}

void process_api_fixture_expect(struct process_api_fixture *s, struct fake_exchange *f, int status,
                                const char *text)
{
	loop_fixture_run_until(s->loop, &f->is_released);
	assert_int_equal(f->status, status);
	assert_non_null(find(&f->body, text));
	fake_free(f);
}
