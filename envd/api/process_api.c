#include "api/process_api.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/process_events.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/job.h"
#include "process/process.pb-c.h"

/* uv.h brings stdio.h, whose macros of these names would hide the members of messages. */
#undef stdin

/* Bytes of one answer's tables; the strings stay where they are. 16,384 processes need 5 MiB. */
#define LIST_MEMORY_MAX (64u * 1024u * 1024u)

/* ---------------------------------------------------------------- the stream of one process */

/* A call that watches a process: subscribed from before its first byte, until either goes. */
struct stream {
	struct call *call;
	struct process *process;
	struct process_starter starter;
	struct subscriber sub;
	bool is_started;
};

static bool stream_on_chunk(struct subscriber *sub, enum output_stream stream, const uint8_t *data,
                            size_t len)
{
	struct stream *s = CONTAINER_OF(sub, struct stream, sub);

	return process_events_send_data(s->call, stream, data, len);
}

static void stream_on_end(struct subscriber *sub, struct err *why)
{
	struct stream *s = CONTAINER_OF(sub, struct stream, sub);

	if (why)
		call_fail(&s->call, why);
	else
		process_events_finish(&s->call, &s->process->exit);
	free(s);
}

static const struct subscriber_ops stream_subscriber_ops = { stream_on_chunk, stream_on_end };

static void stream_on_started(struct process_starter *starter)
{
	struct stream *s = CONTAINER_OF(starter, struct stream, starter);

	s->is_started = true;
	call_start_keepalive(s->call, call_keepalive_ms(s->call));
	(void)process_events_send_start(s->call, s->process->pid);
}

static void stream_on_refused(struct process_starter *starter, struct err *e)
{
	struct stream *s = CONTAINER_OF(starter, struct stream, starter);

	output_unsubscribe(&s->sub);
	call_fail(&s->call, e);
	free(s);
}

static void stream_on_proceed(struct call *call)
{
	struct stream *s = call_data(call);

	subscriber_proceed(&s->sub); /* may free s */
}

/* A client with data on its way needs no sign of life. */
static void stream_on_keepalive(struct call *call)
{
	struct stream *s = call_data(call);

	if (s->sub.is_ready)
		s->sub.is_ready = process_events_send_keepalive(call);
}

static int set_canceled(struct err *e, enum err_kind why)
{
	return err_set(e, why,
	               why == ERR_DEADLINE ? "context deadline exceeded" : "context canceled");
}

static void stream_on_cancel(struct call *call, enum err_kind why)
{
	struct stream *s = call_data(call);
	struct err e = { 0 };

	(void)set_canceled(&e, why);
	if (!s->is_started)
		process_forget_starter(s->process);
	output_unsubscribe(&s->sub);
	call_fail(&s->call, &e);
	free(s);
}

static const struct call_ops stream_call_ops = {
	.on_proceed = stream_on_proceed,
	.on_cancel = stream_on_cancel,
	.on_keepalive = stream_on_keepalive,
};

/* ---------------------------------------------------------------- Start */

/* A launch between the request and the fork: the pool looks up the user and the directory. */
struct launch {
	struct job job;
	struct list link; /* in the service, when the pool is done with it */
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

	service->launch_bytes -= launch->n_bytes;
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

/* Forks and leaves the call with the new process's stream. */
static int launch_start(struct launch *launch, struct err *e)
{
	struct stream *s = xcalloc(1, sizeof *s);

	s->starter = (struct process_starter){ stream_on_started, stream_on_refused };
	s->sub.ops = &stream_subscriber_ops;
	s->process = process_start(&launch->service->registry, &launch->spec, &s->starter, e);
	if (!s->process) {
		free(s);
		return -1;
	}
	/* A new process has room and has not ended. */
	ASSERT(output_subscribe(&s->process->output, &s->sub, e) == 0);
	s->call = TAKE_PTR(launch->call);
	call_set_ops(s->call, &stream_call_ops, s);
	return 0;
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

/* A call that is over before the fork starts nothing (newer.md P.1). May free the service. */
static void launch_settle(struct launch *launch)
{
	struct err *e = &launch->e;

	launch_log(launch);
	if (call_is_canceled(launch->call))
		launch->rc = set_canceled(e, ERR_CANCELED);
	if (launch->rc == 0)
		launch->rc = launch_start(launch, e);
	if (launch->rc < 0)
		call_fail(&launch->call, e);
	launch_free(launch);
}

/* The pool reports all it has finished at once. */
static void launch_done(struct job *job)
{
	struct launch *launch = CONTAINER_OF(job, struct launch, job);
	struct process_service *service = launch->service;

	list_append(&service->resolved, &launch->link);
	loop_defer(service->registry.loop, &service->settle);
}

static void service_on_settle(struct task *task)
{
	struct process_service *service = CONTAINER_OF(task, struct process_service, settle);
	bool is_last = false;

	for (unsigned i = 0; i < LAUNCHES_PER_TURN && !is_last; i++) {
		struct list *first = list_take_first(&service->resolved);

		is_last = list_is_empty(&service->resolved);
		launch_settle(CONTAINER_OF(first, struct launch, link));
	}
	if (!is_last) /* then those that wait hold the service */
		loop_defer(service->registry.loop, &service->settle);
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

/* Connect-Timeout-Ms is the process's lifetime too; a grpc-timeout is not (wire.md 6). */
static uint64_t lifetime_end_ms(const struct call *call)
{
	int64_t timeout = call_timeout_ms(call);

	if (!call_is_connect(call) || timeout <= 0)
		return 0;
	return loop_now_ms(call_loop(call)) + (uint64_t)timeout;
}

static bool wants_null_stdin(const Process__StartRequest *rq)
{
	return rq->_stdin_case == PROCESS__START_REQUEST___STDIN_STDIN && !rq->stdin;
}

static void config_freep(struct process_config **config)
{
	process_config_free(*config);
}

static struct spec *spec_of_request(struct call *call, const Process__StartRequest *rq,
                                    struct err *e)
{
	const struct process_service *service = call_service(call);
	const struct session *session = call_session(call);
	CLEANUP(config_freep) struct process_config *config = NULL;
	struct spec_options options = {
		.users = service->users,
		.user = session ? session->user_name : NULL,
		.default_user = service->defaults->user,
		.workdir = service->defaults->workdir,
		.globals = service->environ,
		.stdin_kind = wants_null_stdin(rq) ? SPEC_STDIN_NULL : SPEC_STDIN_PIPE,
		.nofile = service->nofile,
		.lifetime_end_ms = lifetime_end_ms(call),
	};

	struct spec *spec = NULL;

	if (rq->_pty_case == PROCESS__START_REQUEST___PTY_PTY) {
		(void)err_set(e, ERR_UNIMPLEMENTED, "terminals are not supported by this version");
		return NULL;
	}
	config = config_of_request(rq, e);
	if (!config || spec_new(&config, &options, &spec, e) < 0)
		return NULL;
	return spec;
}

/* What it has, and as much again for the environment, argument tables and scratch of resolving. */
static int launch_charge(struct process_service *service, const struct spec *spec,
                         size_t *out_bytes, struct err *e)
{
	size_t bytes = 3 * spec->config->n_bytes + 2 * spec->memory.used;

	if (service->launch_bytes + bytes > LAUNCH_BYTES_MAX)
		return process_config_refuse(spec->config, ERR_LIMIT, "too many starts at once", e);
	service->launch_bytes += bytes;
	*out_bytes = bytes;
	return 0;
}

static void start_handle(struct call *call, const ProtobufCMessage *message)
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

/* ---------------------------------------------------------------- List */

static Process__ProcessConfig *list_config(struct arena *memory, const struct process_config *src)
{
	Process__ProcessConfig *config = arena_alloc(memory, sizeof *config);
	Process__ProcessConfig__EnvsEntry *entries;

	if (!config)
		return NULL;
	process__process_config__init(config);
	/* Generated members are not const; the encoder only reads them. */
	memcpy(&config->cmd, &src->cmd, sizeof config->cmd);
	memcpy(&config->args, &src->args, sizeof config->args);
	config->n_args = src->n_args;
	if (src->cwd) {
		config->_cwd_case = PROCESS__PROCESS_CONFIG___CWD_CWD;
		memcpy(&config->cwd, &src->cwd, sizeof config->cwd);
	}
	if (src->n_envs == 0)
		return config;
	entries = arena_alloc(memory, src->n_envs * sizeof *entries);
	config->envs = arena_alloc(memory, src->n_envs * sizeof *config->envs);
	if (!entries || !config->envs)
		return NULL;
	for (; config->n_envs < src->n_envs; config->n_envs++) {
		Process__ProcessConfig__EnvsEntry *entry = &entries[config->n_envs];
		const struct environ_pair *pair = &src->envs[config->n_envs];

		process__process_config__envs_entry__init(entry);
		memcpy(&entry->key, &pair->name, sizeof entry->key);
		memcpy(&entry->value, &pair->value, sizeof entry->value);
		config->envs[config->n_envs] = entry;
	}
	return config;
}

static Process__ProcessInfo *list_info(struct arena *memory, const struct process *p)
{
	Process__ProcessInfo *info = arena_alloc(memory, sizeof *info);

	if (!info)
		return NULL;
	process__process_info__init(info);
	info->pid = (uint32_t)p->pid;
	info->config = list_config(memory, p->config);
	if (p->config->tag) {
		info->_tag_case = PROCESS__PROCESS_INFO___TAG_TAG;
		memcpy(&info->tag, &p->config->tag, sizeof info->tag);
	}
	return info->config ? info : NULL;
}

static int list_build(const struct registry *registry, struct arena *memory,
                      Process__ListResponse *out, struct err *e)
{
	const struct process *p;

	out->processes = arena_alloc(memory, (registry->n_processes + 1) * sizeof *out->processes);
	if (!out->processes)
		return err_set(e, ERR_LIMIT, "too many processes for one list");
	LIST_FOR_EACH(&registry->processes, p, const struct process, link) {
		if (!process_is_live(p))
			continue;
		out->processes[out->n_processes] = list_info(memory, p);
		if (!out->processes[out->n_processes++])
			return err_set(e, ERR_LIMIT, "too many processes for one list");
	}
	return 0;
}

static void list_handle(struct call *call, const ProtobufCMessage *message)
{
	const struct process_service *service = call_service(call);
	Process__ListResponse response = PROCESS__LIST_RESPONSE__INIT;
	CLEANUP(arena_deinit) struct arena memory;
	struct err e = { 0 };

	UNUSED(message);
	arena_init(&memory, LIST_MEMORY_MAX, NULL, 0);
	if (list_build(&service->registry, &memory, &response, &e) < 0)
		call_fail(&call, &e);
	else
		call_finish(&call, &response.base);
}

/* ---------------------------------------------------------------- SendSignal */

static int selector_of(const Process__ProcessSelector *selector, struct selector *out,
                       struct err *e)
{
	switch (selector ? selector->selector_case : PROCESS__PROCESS_SELECTOR__SELECTOR__NOT_SET) {
	case PROCESS__PROCESS_SELECTOR__SELECTOR_PID:
		*out = (struct selector){ .pid = (pid_t)selector->pid };
		return 0;
	case PROCESS__PROCESS_SELECTOR__SELECTOR_TAG:
		*out = (struct selector){ .tag = selector->tag };
		return 0;
	default:
		return err_set(e, ERR_UNIMPLEMENTED, "invalid input type *process.ProcessSelector");
	}
}

/* What SendSignal sends, and to whom when the client does not say: a killed shell must not leave
 * its children behind, a terminated one may want to end them itself (process.md 10). */
static int signal_of(const Process__SendSignalRequest *rq, int *out_signum,
                     enum process_scope *out_scope, struct err *e)
{
	switch ((int)rq->signal) {
	case PROCESS__SIGNAL__SIGNAL_SIGKILL:
		*out_signum = SIGKILL;
		*out_scope = PROCESS_GROUP;
		return 0;
	case PROCESS__SIGNAL__SIGNAL_SIGTERM:
		*out_signum = SIGTERM;
		*out_scope = rq->descendants ? PROCESS_GROUP : PROCESS_LEADER;
		return 0;
	case PROCESS__SIGNAL__SIGNAL_UNSPECIFIED:
		return err_set(e, ERR_UNIMPLEMENTED, "invalid signal: SIGNAL_UNSPECIFIED");
	default:
		return err_set(e, ERR_UNIMPLEMENTED, "invalid signal: %d", (int)rq->signal);
	}
}

static int signal_send(struct process_service *service, const Process__SendSignalRequest *rq,
                       struct err *e)
{
	struct selector selector = { 0 };
	enum process_scope scope = PROCESS_LEADER;
	struct process *p;
	int signum = 0;

	if (selector_of(rq->process, &selector, e) < 0)
		return -1;
	p = registry_find(&service->registry, selector, e);
	if (!p || signal_of(rq, &signum, &scope, e) < 0)
		return -1;
	return process_signal(p, signum, scope, e);
}

static void signal_handle(struct call *call, const ProtobufCMessage *message)
{
	Process__SendSignalResponse response = PROCESS__SEND_SIGNAL_RESPONSE__INIT;
	struct err e = { 0 };

	if (signal_send(call_service(call), (const Process__SendSignalRequest *)message, &e) < 0)
		call_fail(&call, &e);
	else
		call_finish(&call, &response.base);
}

/* ---------------------------------------------------------------- the service */

const struct rpc_method process_methods[] = {
	{ .path = "/process.Process/List",
	  .kind = RPC_UNARY,
	  .request = &process__list_request__descriptor,
	  .response = &process__list_response__descriptor,
	  .handle = list_handle },
	{ .path = "/process.Process/Start",
	  .kind = RPC_SERVER_STREAM,
	  .request = &process__start_request__descriptor,
	  .response = &process__start_response__descriptor,
	  .handle = start_handle },
	{ .path = "/process.Process/SendSignal",
	  .kind = RPC_UNARY,
	  .request = &process__send_signal_request__descriptor,
	  .response = &process__send_signal_response__descriptor,
	  .handle = signal_handle },
};
const size_t process_n_methods = ARRAY_SIZE(process_methods);

static void service_on_closed(struct owner *owner)
{
	free(CONTAINER_OF(owner, struct process_service, owner));
}

struct process_service *process_service_new(struct loop *loop, struct environ_store *env,
                                            const struct defaults *defaults)
{
	struct process_service *service = xcalloc(1, sizeof *service);
	int rc = registry_init(&service->registry, loop, getpid() == 1);

	ASSERT(rc == 0);
	owner_init(&service->owner, service_on_closed);
	owner_hold(&service->owner); /* the registry */
	service->environ = env;
	service->defaults = defaults;
	service->users = &user_db_system;
	list_init(&service->resolved);
	service->settle.run = service_on_settle;
	rc = getrlimit(RLIMIT_NOFILE, &service->nofile);
	ASSERT(rc == 0);
	return service;
}

static void service_on_registry_closed(struct registry *registry)
{
	owner_drop(&CONTAINER_OF(registry, struct process_service, registry)->owner);
}

void process_service_close(struct process_service *service)
{
	owner_close(&service->owner); /* holds its registry, so this is not the end yet */
	registry_close(&service->registry, service_on_registry_closed);
}
