/*
 * The callers' side: what every request may need, and the way of a request through it.
 *
 *     OPTIONS *  ->  CORS  ->  access token  ->  Basic user  ->  routes.c   (wire.md 2)
 *
 * One struct api a daemon; loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api/files_compose.h"
#include "api/files_load.h"
#include "api/files_upload.h"
#include "api/session.h"
#include "base/secret.h"
#include "host/metrics.h"
#include "http/exchange.h"
#include "loop/loop.h"

struct environ_store;
struct filesystem_service;
struct process_service;

struct api {
	struct loop *loop;
	struct defaults defaults;
	struct environ_store *environ;         /* borrowed */
	struct process_service *process;       /* borrowed */
	struct filesystem_service *filesystem; /* borrowed */
	struct files_load downloads;
	struct files_uploads uploads;
	struct files_composes composes;
	struct secret token; /* the access token, unset until /init brings one */
	/* Set by a live upgrade until the first /init: only what a row marks early is served. */
	bool is_closed;
	int64_t last_timestamp_ns;     /* of the newest /init that was applied; INT64_MIN: none */
	struct metrics_cpu_sample cpu; /* of the last GET /metrics */
};

void api_init(struct api *api, struct loop *loop, struct environ_store *env,
              struct process_service *process, struct filesystem_service *filesystem);
void api_deinit(struct api *api);

/* The server's on_request; ctx is the struct api. */
void api_on_request(void *ctx, struct exchange *x);
