#include "loop/job.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/macros.h"
#include "base/mem.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

#define N_MANY    200u
#define N_STUCK   100u
#define POOL_SIZE JOB_THREADS
#define N_TICKS   12u

/* As in a guest whose limit of threads is reached. */
static bool has_no_threads;
static unsigned n_threads_refused;

/* In front of the C library's, which the pool would call, and whose names of parameters are reserved. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	typedef int create_function(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	create_function *create;

	n_threads_refused += has_no_threads;
	if (has_no_threads)
		return EAGAIN;
	*(void **)&create = dlsym(RTLD_NEXT, "pthread_create");
	return create(thread, attr, run, arg);
}

struct sum {
	struct job job;
	unsigned input, result;
	pthread_t worker;
	unsigned *n_done;
	sem_t *gate; /* work waits for it, if set */
};

static void sum_work(struct job *job)
{
	struct sum *s = CONTAINER_OF(job, struct sum, job);

	if (s->gate)
		sem_wait(s->gate);
	s->worker = pthread_self();
	for (unsigned i = 1; i <= s->input; i++)
		s->result += i;
}

static void sum_done(struct job *job)
{
	struct sum *s = CONTAINER_OF(job, struct sum, job);

	(*s->n_done)++;
}

static void test_job_works_on_another_thread_and_ends_on_the_loop(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	unsigned n_done = 0;
	struct sum s = { .input = 4, .n_done = &n_done };

	job_start(loop, &s.job, sum_work, sum_done);
	assert_int_equal(n_done, 0);
	loop_run(loop);
	assert_int_equal(n_done, 1);
	assert_int_equal(s.result, 10);
	assert_false(pthread_equal(s.worker, pthread_self()));
	assert_false(s.job.canceled);
}

static void sum_done_frees(struct job *job)
{
	struct sum *s = CONTAINER_OF(job, struct sum, job);

	(*s->n_done)++;
	free(s);
}

static void test_job_many_end_once_each_and_may_free_themselves(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	unsigned n_done = 0;

	for (unsigned i = 0; i < N_MANY; i++) {
		struct sum *s = xcalloc(1, sizeof *s);

		s->input = i;
		s->n_done = &n_done;
		job_start(loop, &s->job, sum_work, sum_done_frees);
	}
	loop_run(loop);
	assert_int_equal(n_done, N_MANY);
}

static void test_job_canceled_while_waiting_ends_without_work(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct sum busy[POOL_SIZE] = { 0 };
	unsigned n_done = 0;
	struct sum waiting = { .input = 4, .n_done = &n_done };
	sem_t gate;

	sem_init(&gate, 0, 0);
	job_set_limits(loop, (struct job_limits){ POOL_SIZE, JOB_IDLE_MS });
	for (unsigned i = 0; i < POOL_SIZE; i++) {
		busy[i] = (struct sum){ .n_done = &n_done, .gate = &gate };
		job_start(loop, &busy[i].job, sum_work, sum_done);
	}
	job_start(loop, &waiting.job, sum_work, sum_done);
	job_cancel(&waiting.job);
	job_cancel(&waiting.job);
	assert_int_equal(n_done, 0);
	for (unsigned i = 0; i < POOL_SIZE; i++)
		sem_post(&gate);
	loop_run(loop);
	assert_int_equal(n_done, POOL_SIZE + 1);
	assert_true(waiting.job.canceled);
	assert_int_equal(waiting.result, 0);
	sem_destroy(&gate);
}

/* ms that no test machine needs for a job that is free to end. */
#define LONG_ENOUGH_MS 10000u

struct started {
	struct job job;
	sem_t running, gate;
	bool worked, done;
};

static void started_work(struct job *job)
{
	struct started *s = CONTAINER_OF(job, struct started, job);

	sem_post(&s->running);
	sem_wait(&s->gate);
	s->worked = true;
}

static void started_done(struct job *job)
{
	CONTAINER_OF(job, struct started, job)->done = true;
}

static void test_job_canceled_while_working_is_still_joined(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct started s = { 0 };

	sem_init(&s.running, 0, 0);
	sem_init(&s.gate, 0, 0);
	job_start(loop, &s.job, started_work, started_done);
	sem_wait(&s.running);
	job_cancel(&s.job);
	assert_false(s.done);
	sem_post(&s.gate);
	loop_run(loop);
	assert_true(s.done);
	assert_true(s.worked);
	assert_true(s.job.canceled);
	sem_destroy(&s.running);
	sem_destroy(&s.gate);
}

static void test_job_that_is_stuck_does_not_hold_the_end_longer_than_asked(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct started s = { 0 };

	sem_init(&s.running, 0, 0);
	sem_init(&s.gate, 0, 0);
	job_start(loop, &s.job, started_work, started_done);
	sem_wait(&s.running);
	assert_false(loop_run_out(loop, 1));
	assert_false(s.done);
	sem_post(&s.gate);
	assert_true(loop_run_out(loop, LONG_ENOUGH_MS));
	assert_true(s.done);
	sem_destroy(&s.running);
	sem_destroy(&s.gate);
}

static void test_job_in_flight_holds_the_end_of_the_loop(void **state)
{
	struct loop loop;
	unsigned n_done = 0;
	struct sum s = { .input = 4, .n_done = &n_done };

	UNUSED(state);
	assert_int_equal(loop_init(&loop), 0);
	job_start(&loop, &s.job, sum_work, sum_done);
	loop_deinit(&loop);
	assert_int_equal(n_done, 1);
}

static void done_quick(struct job *job)
{
	CONTAINER_OF(job, struct started, job)->done = true;
}

static void work_quick(struct job *job)
{
	CONTAINER_OF(job, struct started, job)->worked = true;
}

static bool any_in_flight(void *arg)
{
	return *(unsigned *)arg < N_STUCK;
}

static void test_job_runs_beside_many_that_are_stuck(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct sum stuck[N_STUCK] = { 0 };
	struct started quick = { 0 };
	unsigned n_done = 0;
	sem_t gate;

	sem_init(&gate, 0, 0);
	for (unsigned i = 0; i < N_STUCK; i++) {
		stuck[i] = (struct sum){ .n_done = &n_done, .gate = &gate };
		job_start(loop, &stuck[i].job, sum_work, sum_done);
	}
	job_start(loop, &quick.job, work_quick, done_quick);
	loop_fixture_run_until(loop, &quick.done);
	assert_true(quick.worked);
	assert_int_equal(n_done, 0);
	for (unsigned i = 0; i < N_STUCK; i++)
		sem_post(&gate);
	loop_fixture_run_while(loop, any_in_flight, &n_done);
	assert_int_equal(n_done, N_STUCK);
	sem_destroy(&gate);
}

static void work_until_others_wait(struct job *job)
{
	struct started *s = CONTAINER_OF(job, struct started, job);

	s->worked = !job_others_wait(job); /* so far nobody does */
	sem_post(&s->running);
	while (!job_others_wait(job))
		(void)sched_yield();
}

static void test_job_knows_whether_others_wait_for_a_thread(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct started working[POOL_SIZE] = { 0 }, other = { 0 };

	job_set_limits(loop, (struct job_limits){ POOL_SIZE, JOB_IDLE_MS });
	for (unsigned i = 0; i < POOL_SIZE; i++) {
		sem_init(&working[i].running, 0, 0);
		sem_init(&working[i].gate, 0, 0);
		job_start(loop, &working[i].job, i == 0 ? work_until_others_wait : started_work,
		          started_done);
		sem_wait(&working[i].running); /* it has its thread */
	}
	job_start(loop, &other.job, work_quick, done_quick);
	loop_fixture_run_until(loop, &other.done);
	assert_true(other.worked);
	for (unsigned i = 0; i < POOL_SIZE; i++)
		sem_post(&working[i].gate);
	loop_run(loop);
	for (unsigned i = 0; i < POOL_SIZE; i++) {
		assert_true(working[i].worked);
		assert_true(working[i].done);
		sem_destroy(&working[i].running);
		sem_destroy(&working[i].gate);
	}
}

static bool has_extra_threads(void *arg)
{
	return job_count_threads(arg) > POOL_SIZE;
}

static void test_job_threads_that_are_not_needed_leave(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct sum stuck[2 * POOL_SIZE] = { 0 };
	unsigned n_done = 0;
	sem_t gate;

	sem_init(&gate, 0, 0);
	job_set_limits(loop, (struct job_limits){ JOB_THREADS_MAX, 1 });
	for (unsigned i = 0; i < ARRAY_SIZE(stuck); i++) {
		stuck[i] = (struct sum){ .n_done = &n_done, .gate = &gate };
		job_start(loop, &stuck[i].job, sum_work, sum_done);
	}
	while (job_count_threads(loop) < ARRAY_SIZE(stuck))
		loop_fixture_turn(loop, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(stuck); i++)
		sem_post(&gate);
	loop_run(loop);
	assert_int_equal(n_done, ARRAY_SIZE(stuck));
	loop_fixture_run_while(loop, has_extra_threads, loop);
	assert_int_equal(job_count_threads(loop), POOL_SIZE);
	sem_destroy(&gate);
}

static void test_job_pool_that_cannot_grow_asks_for_one_thread_at_a_time(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct started stuck[POOL_SIZE] = { 0 };
	struct started quick = { 0 };
	uint64_t now_ms = loop_now_ms(loop);

	for (unsigned i = 0; i < POOL_SIZE; i++) {
		sem_init(&stuck[i].running, 0, 0);
		sem_init(&stuck[i].gate, 0, 0);
		job_start(loop, &stuck[i].job, started_work, started_done);
	}
	for (unsigned i = 0; i < POOL_SIZE; i++)
		sem_wait(&stuck[i].running);
	job_start(loop, &quick.job, work_quick, done_quick);
	has_no_threads = true;
	for (unsigned i = 0; i < N_TICKS; i++)
		timers_advance(&loop->timers, now_ms += JOB_PATIENCE_MS);
	has_no_threads = false;
	assert_in_range(n_threads_refused, N_TICKS / 2, N_TICKS);
	loop_fixture_run_until(loop, &quick.done);
	assert_true(quick.worked);
	for (unsigned i = 0; i < POOL_SIZE; i++) {
		sem_post(&stuck[i].gate);
		loop_fixture_run_until(loop, &stuck[i].done);
		sem_destroy(&stuck[i].running);
		sem_destroy(&stuck[i].gate);
	}
}

static void test_job_open_pool_makes_the_threads(void **state)
{
	struct loop *loop = loop_fixture_loop(state);

	job_open_pool(loop);
	assert_int_equal(job_count_threads(loop), POOL_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define ON_LOOP(test)                                                                              \
	cmocka_unit_test_setup_teardown(test, loop_fixture_setup, loop_fixture_teardown)
		ON_LOOP(test_job_open_pool_makes_the_threads),
		ON_LOOP(test_job_works_on_another_thread_and_ends_on_the_loop),
		ON_LOOP(test_job_many_end_once_each_and_may_free_themselves),
		ON_LOOP(test_job_canceled_while_waiting_ends_without_work),
		ON_LOOP(test_job_canceled_while_working_is_still_joined),
		ON_LOOP(test_job_that_is_stuck_does_not_hold_the_end_longer_than_asked),
		ON_LOOP(test_job_runs_beside_many_that_are_stuck),
		ON_LOOP(test_job_knows_whether_others_wait_for_a_thread),
		ON_LOOP(test_job_threads_that_are_not_needed_leave),
		ON_LOOP(test_job_pool_that_cannot_grow_asks_for_one_thread_at_a_time),
		ON_LOOP(test_job_in_flight_holds_the_end_of_the_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
