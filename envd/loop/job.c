#include "loop/job.h"

#include <stdlib.h>

#include "base/macros.h"
#include "base/mem.h"
#include "loop/loop.h"

static void job_on_work(uv_work_t *req)
{
	struct job *job = CONTAINER_OF(req, struct job, req);

	job->work(job);
}

/* Also comes for a job that was cancelled before a thread took it (status UV_ECANCELED). */
static void job_on_done(uv_work_t *req, int status)
{
	struct job *job = CONTAINER_OF(req, struct job, req);

	UNUSED(status);
	job->done(job); /* may free job: last statement */
}

void job_start(struct loop *loop, struct job *job, void (*work)(struct job *job),
               void (*done)(struct job *job))
{
	int rc;

	job->canceled = false;
	job->work = work;
	job->done = done;
	rc = uv_queue_work(&loop->uv, &job->req, job_on_work, job_on_done);
	ASSERT(rc == 0); /* its only error is a missing function */
}

static void job_do_nothing(struct job *job)
{
	UNUSED(job);
}

static void job_free(struct job *job)
{
	free(job);
}

void job_open_pool(struct loop *loop)
{
	job_start(loop, xcalloc(1, sizeof(struct job)), job_do_nothing, job_free);
}

void job_cancel(struct job *job)
{
	job->canceled = true;
	/* UV_EBUSY: it runs or has run. done comes in any case. */
	(void)uv_cancel((uv_req_t *)&job->req);
}
