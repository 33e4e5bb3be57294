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

/*
 * Makes the pool's threads now. libuv would make them for the first job, and aborts when the kernel
 * has none left: then no longer for want of threads that processes of ours have used up.
 */
void job_open_pool(struct loop *loop);

/* A job that still waits for a thread does not run its work; done runs in any case. */
void job_cancel(struct job *job);
