/*
 * A thread pool that is busy: jobs that are started now get no thread before its end.
 */
#pragma once

#include <semaphore.h>

#include "loop/job.h"
#include "loop/loop.h"

#define BUSY_POOL_THREADS JOB_THREADS

struct busy_pool {
	struct busy_job {
		struct job job;
		struct busy_pool *pool;
	} jobs[BUSY_POOL_THREADS];
	sem_t gate;
	struct loop *loop;
	unsigned n_running;
};

void busy_pool_begin(struct busy_pool *p, struct loop *loop);
void busy_pool_end(struct busy_pool *p); /* turns the loop until its own jobs have ended */
