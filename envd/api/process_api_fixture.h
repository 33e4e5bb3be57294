/*
 * For tests of the Process service: the service with one account, "me", and calls whose peer the test
 * plays.
 */
#pragma once

#include "api/process_api.h"
#include "rpc/fake_exchange.h"

#define FIXTURE_UNARY  "content-type: application/json\n"
#define FIXTURE_STREAM "content-type: application/connect+json\n"

struct process_api_fixture {
	struct loop *loop;
	char *dir, *passwd, *group;
	struct user_db users;
	struct environ_store environ;
	struct cgroups cgroups;
	struct defaults defaults;
	struct process_service *service; /* NULL: closed */
};

void process_api_fixture_begin(struct process_api_fixture *s, void **state); /* of a loop_fixture */
void process_api_fixture_close_service(struct process_api_fixture *s);       /* may repeat */
void process_api_fixture_end(struct process_api_fixture *s);

/* A call of this method, "Start" and the like; its body follows. */
struct fake_exchange *process_api_fixture_serve(struct process_api_fixture *s, const char *method,
                                                const char *fields);

/* The whole request of a unary call. */
struct fake_exchange *process_api_fixture_call(struct process_api_fixture *s, const char *method,
                                               const char *message);

/* One message of a stream. */
void process_api_fixture_push(struct fake_exchange *f, const char *message);

/* A Start with this message, which has been answered with the pid. */
struct fake_exchange *process_api_fixture_start(struct process_api_fixture *s, const char *message,
                                                unsigned *out_pid);

/* Waits for the end of the answer, looks at it, and frees f. */
void process_api_fixture_expect(struct process_api_fixture *s, struct fake_exchange *f, int status,
                                const char *text);
