/*
 * A blocking function on a thread of the pool.
 *
 * The job owns all it reads and has no pointer into a loop object; work runs on a pool thread,
 * done on the loop thread, exactly once, also after job_cancel. Embed struct job in what owns the
 * input and the result.
 *
 * JOB_THREADS threads do the usual work. A call that hangs in a dead file system keeps its thread, so
 * when jobs wait and no thread has taken one for JOB_PATIENCE_MS, another thread joins them, up to
 * JOB_THREADS_MAX; those that found nothing to do for JOB_IDLE_MS leave again. So where every thread is
 * stuck in a dead file system, others wait JOB_PATIENCE_MS; where all but one are, they share that one
 * as long as it gets on. Where no thread can be made, one is tried each JOB_PATIENCE_MS.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"

/* What jobs compute is bound by two or four cores; what they wait for is mostly in memory. */
#define JOB_THREADS 4u
/* Stuck calls that others survive. Each costs a thread: some 12 KiB of memory. */
#define JOB_THREADS_MAX 128u
#define JOB_PATIENCE_MS 20u
#define JOB_IDLE_MS     10000u
#define JOB_STACK_SIZE  (1024u * 1024u) /* bytes of address space; only what is touched is memory */

struct loop;
struct job_pool;

struct job {
	struct list link;
	struct job_pool *pool;
	bool is_waiting; /* for a thread; under the pool's lock */
	bool canceled;   /* set on the loop thread; done may look */
	void (*work)(struct job *job);
	void (*done)(struct job *job);
};

/* Loop thread only, like all of these; done never runs inside it. */
void job_start(struct loop *loop, struct job *job, void (*work)(struct job *job),
               void (*done)(struct job *job));

/*
 * Makes the usual threads now, and not for the first job: then no longer for want of threads that
 * processes of ours have used up. A daemon that cannot make a single one ends with a message.
 */
void job_open_pool(struct loop *loop);

/* A job that still waits for a thread does not run its work; done runs in any case. */
void job_cancel(struct job *job);

/*
 * Whether more jobs wait than there are idle threads: work that could go on for long gives its thread up
 * then, and is started again by its done. The job is one that works. Pool thread.
 */
bool job_others_wait(const struct job *job);

/* For tests: jobs that were started and whose done has not run; threads. */
size_t job_count(const struct loop *loop);
unsigned job_count_threads(const struct loop *loop);

/* For tests, instead of JOB_THREADS_MAX and JOB_IDLE_MS. */
struct job_limits {
	unsigned threads_max;
	unsigned idle_ms;
};
void job_set_limits(struct loop *loop, struct job_limits limits);

/* For loop_deinit: no job is left; joins the threads. */
void job_close_pool(struct loop *loop);
