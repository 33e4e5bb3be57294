/*
 * Launches on their way: between the request and the fork.
 *
 *     request ──▶ pool: user, directory ──▶ in line ──▶ fork ──▶ process_watch.h
 *                                      refused, or nobody listens any more: nothing is started
 */
#pragma once

#include <stddef.h>

#include "base/list.h"
#include "loop/loop.h"

/* Bytes of all launches that wait for the pool or are looked at there: requests and what they are
 * resolved to. The largest possible one takes some 24 MiB. */
#define LAUNCH_BYTES_MAX (64u * 1024u * 1024u)

/* Forks of one turn of the loop, each of which takes up to a millisecond of it. */
#define LAUNCHES_PER_TURN 8u

/* Of one service, whose member `launches` it is. */
struct launches {
	size_t n_bytes;
	struct list resolved; /* those that are ready to fork */
	struct task settle;   /* forks some of them */
};

void launches_init(struct launches *launches);
