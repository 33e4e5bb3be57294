#include "api/filesystem_watch.h"

#include <stdlib.h>
#include <string.h>

#include "api/filesystem_api.h"
#include "api/filesystem_job.h"
#include "base/mem.h"

struct watch_request {
	struct job job;
	struct filesystem_service *service;
	struct call *call;
	size_t n_bytes; /* charged to the service */
	watch_begin *begin;
	struct watcher_options options; /* without the path */
	/* The work's. */
	struct requester who;
	char *path;     /* as the client named it */
	char *resolved; /* its result */
	int rc;
	struct err e;
};

static void request_work(struct job *job)
{
	struct watch_request *r = CONTAINER_OF(job, struct watch_request, job);

	r->rc = requester_find(&r->who, &r->e);
	if (r->rc == 0)
		r->rc = requester_path(&r->who, r->path, &r->resolved, &r->e);
}

static void request_free(struct watch_request *r)
{
	struct filesystem_service *service = r->service;

	service->n_job_bytes -= r->n_bytes;
	requester_deinit(&r->who);
	free(r->path);
	free(r->resolved);
	err_clear(&r->e);
	free(r);
	owner_drop(&service->owner);
}

static void request_done(struct job *job)
{
	struct watch_request *r = CONTAINER_OF(job, struct watch_request, job);

	if (call_is_canceled(r->call)) {
		call_cancel(&r->call);
	} else if (r->rc < 0) {
		call_fail(&r->call, &r->e);
	} else {
		r->options.path = r->resolved;
		r->begin(TAKE_PTR(r->call), &r->options);
	}
	request_free(r);
}

static void request_on_cancel(struct call *call, enum err_kind why)
{
	struct watch_request *r = call_data(call);

	UNUSED(why);
	job_cancel(&r->job);
}

static const struct call_ops request_call_ops = { .on_cancel = request_on_cancel };

/* The path as sent, resolved, and as the work forms it. */
static size_t cost(const struct watcher_options *wanted, const struct requester *who)
{
	return sizeof(struct watch_request) +
	       3 * (strlen(wanted->path) + (who->workdir ? strlen(who->workdir) : 0));
}

void watch_prepare(struct call *call, const struct watcher_options *wanted, watch_begin *begin)
{
	struct filesystem_service *service = call_service(call);
	struct requester who = { 0 };
	struct watch_request *r;
	struct err e = { 0 };

	if (file_job_requester(call, &who, &e) < 0 ||
	    file_job_charge(service, cost(wanted, &who), &e) < 0) {
		requester_deinit(&who);
		call_fail(&call, &e);
		return;
	}
	r = xcalloc(1, sizeof *r);
	r->service = service;
	owner_hold(&service->owner);
	r->n_bytes = cost(wanted, &who);
	r->begin = begin;
	r->options = *wanted;
	r->who = who;
	r->path = xstrdup(wanted->path);
	call_drop_message(call);
	call_set_ops(call, &request_call_ops, r);
	r->call = TAKE_PTR(call);
	job_start(service->loop, &r->job, request_work, request_done);
}

void watch_refuse(struct call **call, const struct err *why)
{
	struct err e = { 0 };

	(void)err_set(&e, why->kind, "%s", err_text(why));
	call_fail(call, &e);
}
