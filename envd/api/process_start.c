#include "api/process_start.h"

#include <stdlib.h>
#include <string.h>

#include "api/process_api.h"
#include "api/process_handlers.h"
#include "api/process_watch.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/job.h"
#include "process/process.pb-c.h"

/* uv.h brings stdio.h, whose macros of these names would hide the members of messages. */
#undef stdin

/* The tag of what the host runs during a pause: it stays in the daemon's own cgroup, because the
 * others are frozen then (pitfalls.md 41). */
#define TAG_SYSTEM "_system"

/* A launch between the request and the fork: the pool looks up the user and the directory. */
struct launch {
	struct job job;
	struct list link; /* in the service's launches, when the pool is done with it */
	struct process_service *service;
	struct call *call;
	struct spec *spec;
	size_t n_bytes; /* charged to the service */
	struct err e;
	int rc;
};

static void launch_free(struct launch *launch)
{
	struct process_service *service = launch->service;

	service->launches.n_bytes -= launch->n_bytes;
	spec_free(launch->spec);
	err_clear(&launch->e);
	free(launch);
	owner_drop(&service->owner);
}

static void launch_work(struct job *job)
{
	struct launch *launch = CONTAINER_OF(job, struct launch, job);

	launch->rc = spec_resolve(launch->spec, &launch->e);
}

/* The pool does not log. */
static void launch_log(const struct launch *launch)
{
	int error = launch->spec->user.groups_error;

	if (error != 0)
		log_event_limited(LOG_WARNING, "process",
		                  "cannot read groups, ignoring all but the primary",
		                  log_str("error", errno_text(error)));
}

/* Where it runs (process.md 3.4), or that it does not while that is frozen. */
static int launch_place(const struct launch *launch, struct err *e)
{
	struct spec *spec = launch->spec;
	enum cgroup_kind kind = spec->has_terminal ? CGROUP_PTYS : CGROUP_USER;
	CLEANUP(err_clear) struct err why = { 0 };

	if (spec->config->tag && strcmp(spec->config->tag, TAG_SYSTEM) == 0)
		return 0;
	if (cgroups_admit(launch->service->cgroups, kind, &spec->cgroup, &why) == 0)
		return 0;
	return spec_refuse(spec, why.kind, err_text(&why), e);
}

/* A call that is over before the fork starts nothing (newer.md P.1). May free the service. */
static void launch_settle(struct launch *launch)
{
	struct err *e = &launch->e;

	launch_log(launch);
	if (call_is_canceled(launch->call))
		launch->rc = err_set(e, ERR_CANCELED, "context canceled");
	if (launch->rc == 0)
		launch->rc = launch_place(launch, e);
	if (launch->rc == 0)
		launch->rc = process_watch_start(&launch->service->registry, &launch->spec,
		                                 &launch->call, e);
	if (launch->rc < 0)
		call_fail(&launch->call, e);
	launch_free(launch);
}

/* The pool reports all it has finished at once. */
static void launch_done(struct job *job)
{
	struct launch *launch = CONTAINER_OF(job, struct launch, job);
	struct process_service *service = launch->service;

	list_append(&service->launches.resolved, &launch->link);
	loop_defer(service->registry.loop, &service->launches.settle);
}

static void launches_on_settle(struct task *task)
{
	struct process_service *service =
		CONTAINER_OF(task, struct process_service, launches.settle);
	bool is_last = false;

	for (unsigned i = 0; i < LAUNCHES_PER_TURN && !is_last; i++) {
		struct list *first = list_take_first(&service->launches.resolved);

		is_last = list_is_empty(&service->launches.resolved);
		launch_settle(CONTAINER_OF(first, struct launch, link));
	}
	if (!is_last) /* then those that wait hold the service */
		loop_defer(service->registry.loop, &service->launches.settle);
}

void launches_init(struct launches *launches)
{
	list_init(&launches->resolved);
	launches->settle.run = launches_on_settle;
}

static void launch_on_cancel(struct call *call, enum err_kind why)
{
	struct launch *launch = call_data(call);

	UNUSED(why);
	job_cancel(&launch->job);
}

static const struct call_ops launch_call_ops = { .on_cancel = launch_on_cancel };

static struct process_config *config_of_request(const Process__StartRequest *rq, struct err *e)
{
	const Process__ProcessConfig *config = rq->process;
	CLEANUP(freep) struct environ_pair *envs = NULL;
	struct process_config src = {
		.cmd = "", /* runs into "not found", as any missing command */
		.tag = rq->_tag_case == PROCESS__START_REQUEST___TAG_TAG ? rq->tag : NULL,
	};

	if (!config)
		return process_config_new(&src, e);
	envs = try_calloc(config->n_envs + 1, sizeof *envs);
	if (!envs) {
		(void)err_set(e, ERR_LIMIT, "no memory for the environment");
		return NULL;
	}
	for (size_t i = 0; i < config->n_envs; i++)
		envs[i] = (struct environ_pair){ config->envs[i]->key, config->envs[i]->value };
	src.cmd = config->cmd;
	src.args = (const char *const *)config->args;
	src.n_args = config->n_args;
	src.envs = envs;
	src.n_envs = config->n_envs;
	if (config->_cwd_case == PROCESS__PROCESS_CONFIG___CWD_CWD)
		src.cwd = config->cwd;
	return process_config_new(&src, e);
}

/* Connect-Timeout-Ms is the process's lifetime too; a grpc-timeout is not (wire.md 6). The starter
 * hears of its own deadline before the process can end of it. */
static uint64_t lifetime_end_ms(const struct call *call)
{
	uint64_t deadline_ms = call_deadline_ms(call);

	return call_is_connect(call) && deadline_ms > 0 ? deadline_ms + 1 : 0;
}

/* NULL without one; a size that is not said is 0 x 0 (process.md 3.7). */
static const struct spec_terminal *terminal_of_request(const Process__StartRequest *rq,
                                                       struct spec_terminal *room)
{
	if (rq->_pty_case != PROCESS__START_REQUEST___PTY_PTY)
		return NULL;
	*room = (struct spec_terminal){ 0 };
	if (rq->pty->size)
		*room = (struct spec_terminal){ rq->pty->size->cols, rq->pty->size->rows };
	return room;
}

static bool wants_null_stdin(const Process__StartRequest *rq)
{
	return rq->_stdin_case == PROCESS__START_REQUEST___STDIN_STDIN && !rq->stdin;
}

static void config_unrefp(struct process_config **config)
{
	process_config_unref(*config);
}

static struct spec *spec_of_request(struct call *call, const Process__StartRequest *rq,
                                    struct err *e)
{
	const struct process_service *service = call_service(call);
	const struct session *session = call_session(call);
	CLEANUP(config_unrefp) struct process_config *config = config_of_request(rq, e);
	struct spec_terminal terminal;
	struct spec_options options = {
		.users = service->users,
		.user = session ? session->user_name : NULL,
		.default_user = service->defaults->user,
		.workdir = service->defaults->workdir,
		.globals = service->environ,
		.terminal = terminal_of_request(rq, &terminal),
		.stdin_kind = wants_null_stdin(rq) ? SPEC_STDIN_NULL : SPEC_STDIN_PIPE,
		.nofile = service->nofile,
		.lifetime_end_ms = lifetime_end_ms(call),
	};
	struct spec *spec = NULL;

	if (!config || spec_new(&config, &options, &spec, e) < 0)
		return NULL;
	return spec;
}

/* What it has, and as much again for the environment, argument tables and scratch of resolving. */
static int launch_charge(struct process_service *service, const struct spec *spec,
                         size_t *out_bytes, struct err *e)
{
	size_t bytes = sizeof(struct launch) + sizeof *spec + 3 * spec->config->n_bytes +
	               2 * spec->memory.used;

	if (service->launches.n_bytes + bytes > LAUNCH_BYTES_MAX)
		return spec_refuse(spec, ERR_LIMIT, "too many starts at once", e);
	service->launches.n_bytes += bytes;
	*out_bytes = bytes;
	return 0;
}

void process_handle_start(struct call *call, const ProtobufCMessage *message)
{
	const Process__StartRequest *rq = (const Process__StartRequest *)message;
	struct process_service *service = call_service(call);
	struct launch *launch;
	struct spec *spec;
	struct err e = { 0 };
	size_t n_bytes = 0;

	spec = spec_of_request(call, rq, &e);
	call_drop_message(call);
	if (!spec || launch_charge(service, spec, &n_bytes, &e) < 0) {
		spec_free(spec);
		call_fail(&call, &e);
		return;
	}
	launch = xcalloc(1, sizeof *launch);
	launch->service = service;
	owner_hold(&service->owner);
	launch->spec = spec;
	launch->n_bytes = n_bytes;
	call_set_ops(call, &launch_call_ops, launch);
	launch->call = TAKE_PTR(call);
	job_start(call_loop(launch->call), &launch->job, launch_work, launch_done);
}
