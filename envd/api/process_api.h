/*
 * The Process service: between its messages and the domain in proc/.
 *
 * Here are the method table and what its handlers share; the handlers are in process_*.c
 * (process_handlers.h). Each decodes, calls one function of the domain, and answers; texts and codes
 * of refusals come from there. Source: proto/process/process.proto, process.md.
 */
#pragma once

#include <stddef.h>
#include <sys/resource.h>

#include "api/process_start.h"
#include "api/session.h"
#include "host/cgroup.h"
#include "host/environ.h"
#include "host/user.h"
#include "loop/loop.h"
#include "loop/owner.h"
#include "proc/registry.h"
#include "rpc/call.h"

struct process_service {
	struct registry registry;
	struct launches launches;
	size_t list_bytes;               /* that lists hold, LIST_BYTES_MAX (process_list.h) */
	struct owner owner;              /* the registry, and what a pool thread works on */
	struct environ_store *environ;   /* borrowed */
	struct cgroups *cgroups;         /* borrowed */
	const struct defaults *defaults; /* borrowed */
	const struct user_db *users;     /* borrowed */
	struct rlimit nofile; /* what children get: ours at the time of process_service_new */
};

/* Rows for routes.c; the service of each call is a struct process_service. */
extern const struct rpc_method process_methods[];
extern const size_t process_n_methods;

/* Made before the daemon raises its own descriptor limit. As PID 1 it reaps orphans. */
struct process_service *process_service_new(struct loop *loop, struct environ_store *env,
                                            const struct defaults *defaults,
                                            struct cgroups *cgroups);

/* Lets go of all processes, which live on, and frees itself when the last handle has closed. */
void process_service_close(struct process_service *service);
