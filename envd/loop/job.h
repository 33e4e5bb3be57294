/*
 * A blocking function on the thread pool.
 *
 * The job owns all it reads and has no pointer into a loop object; work runs on a pool thread,
 * done on the loop thread, exactly once, also after job_cancel. Embed struct job in what owns the
 * input and the result.
 */
#pragma once

#include <stdbool.h>
#include <uv.h>

struct loop;

struct job {
	uv_work_t req;
	bool canceled; /* set on the loop thread; done may look */
	void (*work)(struct job *job);
	void (*done)(struct job *job);
};

void job_start(struct loop *loop, struct job *job, void (*work)(struct job *job),
               void (*done)(struct job *job));

/* A job that still waits for a thread does not run its work; done runs in any case. */
void job_cancel(struct job *job);
