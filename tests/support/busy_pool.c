#include "tests/support/busy_pool.h"

#include <stdlib.h>

#include "base/macros.h"
#include "base/mem.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

static void wait_at_gate(struct job *job)
{
	sem_wait(&CONTAINER_OF(job, struct busy_job, job)->pool->gate);
}

static void on_through(struct job *job)
{
	CONTAINER_OF(job, struct busy_job, job)->pool->n_running--;
}

void busy_pool_begin(struct busy_pool *p, struct loop *loop)
{
	job_set_limits(loop, (struct job_limits){ JOB_THREADS, JOB_IDLE_MS });
	*p = (struct busy_pool){ .loop = loop, .n = job_count_threads(loop) };
	p->n_running = p->n;
	p->jobs = xcalloc(p->n, sizeof *p->jobs);
	assert_int_equal(sem_init(&p->gate, 0, 0), 0);
	for (unsigned i = 0; i < p->n; i++) {
		p->jobs[i].pool = p;
		job_start(loop, &p->jobs[i].job, wait_at_gate, on_through);
	}
}

static bool is_running(void *arg)
{
	const struct busy_pool *p = arg;

	return p->n_running > 0;
}

void busy_pool_end(struct busy_pool *p)
{
	for (unsigned i = 0; i < p->n; i++)
		sem_post(&p->gate);
	loop_fixture_run_while(p->loop, is_running, p);
	sem_destroy(&p->gate);
	free(p->jobs);
}
