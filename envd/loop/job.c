/*
 * One lock guards the queue, the finished jobs and the threads. The loop thread holds it for a few
 * instructions at a time; nobody holds it while a job works.
 */
#include "loop/job.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <uv.h>

#include "base/err.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "loop/timer.h"

struct job_pool {
	/* The loop thread's. */
	struct loop *loop;
	uv_async_t finished_any;
	struct timer patience;
	uint64_t n_taken_seen; /* n_taken when patience was started */
	size_t n_in_flight;    /* started and not yet done */
	unsigned n_joining;    /* threads that the latest tick of patience added */

	pthread_mutex_t lock;
	pthread_cond_t work_or_close;
	/* Under the lock. */
	struct job_limits limits;
	struct list waiting; /* struct job, oldest first */
	size_t n_waiting;
	struct list finished; /* struct job, whose done is due */
	struct list gone;     /* struct worker, to be joined */
	struct list workers;
	unsigned n_threads, n_idle;
	uint64_t n_taken;
	bool is_closing;
};

struct worker {
	struct list link; /* in workers or gone */
	struct job_pool *pool;
	pthread_t thread;
};

/* ---------------------------------------------------------------- a thread */

static void time_until(struct timespec *out_until, unsigned ms)
{
	clock_gettime(CLOCK_MONOTONIC, out_until);
	out_until->tv_sec += ms / 1000;
	out_until->tv_nsec += (long)(ms % 1000) * 1000000;
	if (out_until->tv_nsec >= 1000000000) {
		out_until->tv_sec++;
		out_until->tv_nsec -= 1000000000;
	}
}

/* Waits for work. False: there is none for this thread any more. Called with the lock held. */
static bool worker_wait(struct job_pool *pool)
{
	struct timespec until;
	int rc = 0;

	time_until(&until, pool->limits.idle_ms);
	pool->n_idle++;
	while (list_is_empty(&pool->waiting) && !pool->is_closing && rc == 0) {
		if (pool->n_threads > JOB_THREADS)
			rc = pthread_cond_timedwait(&pool->work_or_close, &pool->lock, &until);
		else
			rc = pthread_cond_wait(&pool->work_or_close, &pool->lock);
	}
	pool->n_idle--;
	if (!list_is_empty(&pool->waiting))
		return true;
	return !pool->is_closing && pool->n_threads <= JOB_THREADS;
}

static void worker_take_one(struct job_pool *pool)
{
	struct list *first = list_take_first(&pool->waiting);
	struct job *job = CONTAINER_OF(first, struct job, link);

	pool->n_taken++;
	pool->n_waiting--;
	job->is_waiting = false;
	pthread_mutex_unlock(&pool->lock);
	job->work(job);
	pthread_mutex_lock(&pool->lock);
	list_append(&pool->finished, &job->link);
	uv_async_send(&pool->finished_any);
}

static void *worker_run(void *arg)
{
	struct worker *worker = arg;
	struct job_pool *pool = worker->pool;

	pthread_mutex_lock(&pool->lock);
	while (worker_wait(pool)) {
		if (!list_is_empty(&pool->waiting))
			worker_take_one(pool);
	}
	pool->n_threads--;
	if (!pool->is_closing) {
		list_remove(&worker->link);
		list_append(&pool->gone, &worker->link);
		uv_async_send(&pool->finished_any);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

static int worker_start(struct worker *worker)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int error;

	pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, JOB_STACK_SIZE);
	/* Signals are for the loop thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&worker->thread, &attr, worker_run, worker);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return error;
}

/* One more thread; false if that is not possible: without it, work waits longer. Called with the lock
 * held. */
static bool pool_grow(struct job_pool *pool)
{
	struct worker *worker = xcalloc(1, sizeof *worker);
	int error;

	worker->pool = pool;
	error = worker_start(worker);
	if (error != 0) {
		free(worker);
		log_event_limited(LOG_WARNING, "loop", "cannot make another thread",
		                  log_int("threads", pool->n_threads),
		                  log_str("error", errno_text(error)));
		ASSERT(pool->n_threads > 0);
		return false;
	}
	list_append(&pool->workers, &worker->link);
	pool->n_threads++;
	return true;
}

/* Returns how many it could add. Called with the lock held. */
static unsigned pool_grow_by(struct job_pool *pool, unsigned n_wanted)
{
	unsigned n = 0;

	while (n < n_wanted && pool->n_threads < pool->limits.threads_max && pool_grow(pool))
		n++;
	return n;
}

/* ---------------------------------------------------------------- the loop */

static void pool_join_all(struct list *workers)
{
	struct list *link;

	while ((link = list_take_first(workers))) {
		struct worker *worker = CONTAINER_OF(link, struct worker, link);

		pthread_join(worker->thread, NULL);
		free(worker);
	}
}

/* Jobs in flight keep the loop alive. */
static void pool_count(struct job_pool *pool, int change)
{
	pool->n_in_flight += (size_t)change;
	if (pool->n_in_flight == 0) {
		timer_stop(&pool->loop->timers, &pool->patience);
		uv_unref((uv_handle_t *)&pool->finished_any);
	} else {
		uv_ref((uv_handle_t *)&pool->finished_any);
	}
}

/* May be asked to by any number of jobs at once; what they added is taken as one list. */
static void pool_on_finished(uv_async_t *handle)
{
	struct job_pool *pool = CONTAINER_OF(handle, struct job_pool, finished_any);
	struct list finished, gone, *link;

	pthread_mutex_lock(&pool->lock);
	list_take_all(&pool->finished, &finished);
	list_take_all(&pool->gone, &gone);
	pthread_mutex_unlock(&pool->lock);
	pool_join_all(&gone);
	while ((link = list_take_first(&finished))) {
		struct job *job = CONTAINER_OF(link, struct job, link);

		pool_count(pool, -1);
		job->done(job); /* may free job */
	}
}

/* Jobs wait although every thread has had its time: they are stuck, or there is much to compute. */
static void pool_on_patience(struct timer *timer)
{
	struct job_pool *pool = CONTAINER_OF(timer, struct job_pool, patience);
	bool is_waiting, is_stuck;

	pthread_mutex_lock(&pool->lock);
	is_waiting = !list_is_empty(&pool->waiting);
	is_stuck = is_waiting && pool->n_taken == pool->n_taken_seen;
	/* Twice as many as last time: behind many stuck jobs nobody waits much longer than behind a few. */
	pool->n_joining = is_stuck ? pool_grow_by(pool, MAX(2 * pool->n_joining, 1u)) : 0;
	pool->n_taken_seen = pool->n_taken;
	pthread_mutex_unlock(&pool->lock);
	if (is_waiting)
		timer_start(&pool->loop->timers, &pool->patience, JOB_PATIENCE_MS);
}

static struct job_pool *pool_new(struct loop *loop)
{
	struct job_pool *pool = xcalloc(1, sizeof *pool);
	pthread_condattr_t attr;
	int rc;

	pool->loop = loop;
	pool->limits = (struct job_limits){ JOB_THREADS_MAX, JOB_IDLE_MS };
	pool->patience.on_due = pool_on_patience;
	list_init(&pool->waiting);
	list_init(&pool->finished);
	list_init(&pool->gone);
	list_init(&pool->workers);
	pthread_mutex_init(&pool->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&pool->work_or_close, &attr);
	pthread_condattr_destroy(&attr);
	rc = uv_async_init(&loop->uv, &pool->finished_any, pool_on_finished);
	ASSERT(rc == 0); /* the loop's own wake-up descriptor is the only one it needs */
	uv_unref((uv_handle_t *)&pool->finished_any);
	return pool;
}

void job_open_pool(struct loop *loop)
{
	struct job_pool *pool;

	if (loop->jobs)
		return;
	pool = loop->jobs = pool_new(loop);
	pthread_mutex_lock(&pool->lock);
	(void)pool_grow_by(pool, JOB_THREADS);
	pthread_mutex_unlock(&pool->lock);
}

/* An idle thread has been woken for each job that waits, as far as there are any. Called with the lock
 * held. */
static bool pool_is_short(const struct job_pool *pool)
{
	return pool->n_waiting > pool->n_idle;
}

void job_start(struct loop *loop, struct job *job, void (*work)(struct job *job),
               void (*done)(struct job *job))
{
	struct job_pool *pool;

	job_open_pool(loop);
	pool = loop->jobs;
	*job = (struct job){ .pool = pool, .is_waiting = true, .work = work, .done = done };
	pool_count(pool, 1);
	pthread_mutex_lock(&pool->lock);
	list_append(&pool->waiting, &job->link);
	pool->n_waiting++;
	if (pool_is_short(pool) && !timer_is_running(&pool->patience)) {
		pool->n_taken_seen = pool->n_taken;
		pool->n_joining = 0;
		timer_start(&loop->timers, &pool->patience, JOB_PATIENCE_MS);
	}
	pthread_cond_signal(&pool->work_or_close);
	pthread_mutex_unlock(&pool->lock);
}

void job_cancel(struct job *job)
{
	struct job_pool *pool = job->pool;

	job->canceled = true;
	pthread_mutex_lock(&pool->lock);
	if (job->is_waiting) {
		job->is_waiting = false;
		pool->n_waiting--;
		list_remove(&job->link);
		list_append(&pool->finished, &job->link);
		uv_async_send(&pool->finished_any);
	}
	pthread_mutex_unlock(&pool->lock);
}

bool job_others_wait(const struct job *job)
{
	bool others_wait;

	pthread_mutex_lock(&job->pool->lock);
	others_wait = pool_is_short(job->pool);
	pthread_mutex_unlock(&job->pool->lock);
	return others_wait;
}

size_t job_count(const struct loop *loop)
{
	return loop->jobs ? loop->jobs->n_in_flight : 0;
}

unsigned job_count_threads(const struct loop *loop)
{
	struct job_pool *pool = loop->jobs;
	unsigned n;

	pthread_mutex_lock(&pool->lock);
	n = pool->n_threads;
	pthread_mutex_unlock(&pool->lock);
	return n;
}

void job_set_limits(struct loop *loop, struct job_limits limits)
{
	job_open_pool(loop);
	pthread_mutex_lock(&loop->jobs->lock);
	loop->jobs->limits = limits;
	pthread_mutex_unlock(&loop->jobs->lock);
}

static void pool_on_closed(uv_handle_t *handle)
{
	struct job_pool *pool = CONTAINER_OF(handle, struct job_pool, finished_any);

	pthread_cond_destroy(&pool->work_or_close);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

void job_close_pool(struct loop *loop)
{
	struct job_pool *pool = TAKE_PTR(loop->jobs);

	if (!pool)
		return;
	ASSERT(pool->n_in_flight == 0);
	pthread_mutex_lock(&pool->lock);
	pool->is_closing = true; /* the lists are ours from here on */
	pthread_cond_broadcast(&pool->work_or_close);
	pthread_mutex_unlock(&pool->lock);
	pool_join_all(&pool->gone);
	pool_join_all(&pool->workers);
	uv_close((uv_handle_t *)&pool->finished_any, pool_on_closed);
}
