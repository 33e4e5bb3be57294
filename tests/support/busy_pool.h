/*
 * A thread pool that is busy: jobs that are started now get no thread before its end.
 */
#pragma once

#include <semaphore.h>

#include "loop/job.h"
#include "loop/loop.h"

struct busy_pool {
	struct busy_job {
		struct job job;
		struct busy_pool *pool;
	} * jobs;
	unsigned n; /* one for each thread, also where the pool has grown before */
	unsigned n_running;
	sem_t gate;
	struct loop *loop;
};

void busy_pool_begin(struct busy_pool *p, struct loop *loop);
void busy_pool_end(struct busy_pool *p); /* turns the loop until its own jobs have ended */
