/*
 * The Process service: between its messages and the domain in proc/.
 *
 * Each handler decodes, calls one function of the domain, and answers; texts and codes of refusals
 * come from there. A Start call is a subscriber of its process and nothing more: when it goes, the
 * process stays. Source: proto/process/process.proto, process.md.
 */
#pragma once

#include <stddef.h>
#include <sys/resource.h>

#include "api/session.h"
#include "host/environ.h"
#include "host/user.h"
#include "loop/loop.h"
#include "loop/owner.h"
#include "proc/registry.h"
#include "rpc/call.h"

/* Bytes of all launches that wait for the pool or are looked at there: requests and what they are
 * resolved to. The largest possible one takes some 24 MiB. */
#define LAUNCH_BYTES_MAX (64u * 1024u * 1024u)

/* Forks of one turn of the loop, each of which takes up to a millisecond of it. */
#define LAUNCHES_PER_TURN 8u

struct process_service {
	struct registry registry;
	size_t launch_bytes;
	struct list resolved;          /* launches that are ready to fork */
	struct task settle;            /* forks some of them */
	struct owner owner;            /* the registry, and launches that a pool thread looks at */
	struct environ_store *environ; /* borrowed */
	const struct defaults *defaults; /* borrowed */
	const struct user_db *users;     /* borrowed */
	struct rlimit nofile; /* what children get: ours at the time of process_service_new */
};

/* Rows for routes.c; the service of each call is a struct process_service. */
extern const struct rpc_method process_methods[];
extern const size_t process_n_methods;

/* Made before the daemon raises its own descriptor limit. As PID 1 it reaps orphans. */
struct process_service *process_service_new(struct loop *loop, struct environ_store *env,
                                            const struct defaults *defaults);

/* Lets go of all processes, which live on, and frees itself when the last handle has closed. */
void process_service_close(struct process_service *service);
