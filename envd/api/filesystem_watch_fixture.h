/*
 * For tests of the calls that watch: the service, a directory, and calls whose peer the test plays.
 */
#pragma once

#include "api/filesystem_api.h"
#include "rpc/fake_exchange.h"

#define WATCH_UNARY  "content-type: application/json\n"
#define WATCH_STREAM "content-type: application/connect+json\n"

struct watch_fixture {
	struct loop *loop;
	struct defaults defaults;
	struct filesystem_service *service; /* NULL: closed */
	char *dir;
};

void watch_fixture_begin(struct watch_fixture *f, void **state); /* of a loop_fixture */
void watch_fixture_close_service(struct watch_fixture *f);       /* may repeat */
void watch_fixture_end(struct watch_fixture *f);

/* The path of an entry of the directory; until the eighth next. */
const char *watch_fixture_path(const struct watch_fixture *f, const char *name);
void watch_fixture_make(const struct watch_fixture *f, const char *name); /* an empty file */
/* Changes modes so often, each time for another record, and lets the loop read. */
void watch_fixture_change(struct watch_fixture *f, unsigned n);

/* A call of this method, "WatchDir" and the like, whole. message: a format for the directory, or for
 * nothing. */
struct fake_exchange *watch_fixture_call(struct watch_fixture *f, const char *method,
                                         const char *fields, const char *message);

/* Waits until the body has this text. */
void watch_fixture_await(struct watch_fixture *f, struct fake_exchange *x, const char *text);

/* Waits for the end of the answer, looks at it, and frees x. */
void watch_fixture_expect(struct watch_fixture *f, struct fake_exchange *x, int status,
                          const char *text);

/* A WatchDir whose start event has come. */
struct fake_exchange *watch_fixture_watch(struct watch_fixture *f, const char *message);

/* Watches that the kernel has for this process. */
unsigned watch_fixture_count_watches(void);
/* Waits until there are so many. */
void watch_fixture_await_watches(struct watch_fixture *f, unsigned n);
