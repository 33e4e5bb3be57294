/*
 * The Filesystem service: between its messages and the domain in fs/.
 *
 * Here are the method table and what its handlers share; the handlers are in filesystem_*.c
 * (filesystem_handlers.h). Everything that touches a file is a job (filesystem_job.h).
 * Source: proto/filesystem/filesystem.proto, filesystem.md.
 */
#pragma once

#include <stddef.h>

#include "api/session.h"
#include "base/list.h"
#include "fs/watch.h"
#include "host/user.h"
#include "loop/loop.h"
#include "loop/owner.h"
#include "rpc/call.h"

struct filesystem_service {
	struct loop *loop;
	struct owner owner;              /* jobs that a pool thread looks at */
	const struct defaults *defaults; /* borrowed */
	const struct user_db *users;     /* borrowed */
	size_t n_job_bytes;              /* charged by jobs (FILE_JOB_BYTES_MAX) */
	struct watches *watches;
	struct list pollers; /* filesystem_pollers.h */
};

/* Rows for routes.c; the service of each call is a struct filesystem_service. */
extern const struct rpc_method filesystem_methods[];
extern const size_t filesystem_n_methods;

struct filesystem_service *filesystem_service_new(struct loop *loop,
                                                  const struct defaults *defaults);

/* When nobody waits for a call any more; frees itself when the last job has ended. */
void filesystem_service_close(struct filesystem_service *service);
