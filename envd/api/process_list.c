#include "api/process_list.h"

#include <stdlib.h>
#include <string.h>

#include "api/process_api.h"
#include "api/process_handlers.h"
#include "base/arena.h"
#include "base/mem.h"
#include "loop/job.h"
#include "process/process.pb-c.h"
#include "rpc/answer.h"

struct listed {
	pid_t pid;
	struct process_config *config; /* a reference */
};

struct listing {
	struct job job;
	struct process_service *service;
	struct call *call;
	size_t n_bytes; /* charged to the service */
	struct listed *processes;
	size_t n;
	struct answer *answer;
	int rc;
	struct err e;
};

/* ---------------------------------------------------------------- on the pool */

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

static Process__ProcessInfo *list_info(struct arena *memory, const struct listed *p)
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

static int list_encode(const struct listing *l, struct err *e)
{
	CLEANUP(arena_deinit) struct arena memory;

	arena_init(&memory, LIST_MESSAGE_MAX, NULL, 0);
	for (size_t i = 0; i < l->n; i++) {
		const Process__ProcessInfo *info;

		arena_reset(&memory);
		info = list_info(&memory, &l->processes[i]);
		if (!info)
			return err_set(e, ERR_LIMIT, "no memory for the list");
		if (answer_add(l->answer, &info->base, e) < 0)
			return -1;
	}
	return answer_seal(l->answer, e);
}

static void listing_work(struct job *job)
{
	struct listing *l = CONTAINER_OF(job, struct listing, job);

	l->rc = list_encode(l, &l->e);
}

/* ---------------------------------------------------------------- on the loop */

static void listing_free(struct listing *l)
{
	struct process_service *service = l->service;

	service->list_bytes -= l->n_bytes;
	for (size_t i = 0; i < l->n; i++)
		process_config_unref(l->processes[i].config);
	free(l->processes);
	answer_free(l->answer);
	err_clear(&l->e);
	free(l);
	owner_drop(&service->owner);
}

static void listing_done(struct job *job)
{
	struct listing *l = CONTAINER_OF(job, struct listing, job);

	if (call_is_canceled(l->call))
		call_cancel(&l->call);
	else if (l->rc < 0)
		call_fail(&l->call, &l->e);
	else
		call_finish_encoded(&l->call, &l->answer);
	listing_free(l);
}

static void listing_on_cancel(struct call *call, enum err_kind why)
{
	struct listing *l = call_data(call);

	UNUSED(why);
	job_cancel(&l->job);
}

static const struct call_ops listing_call_ops = { .on_cancel = listing_on_cancel };

static size_t list_size(const struct registry *registry)
{
	return sizeof(struct listing) + registry->n_processes * sizeof(struct listed) +
	       registry->config_bytes;
}

static void listing_gather(struct listing *l, const struct registry *registry)
{
	const struct process *p;

	l->processes = xcalloc(registry->n_processes, sizeof *l->processes);
	LIST_FOR_EACH(&registry->processes, p, const struct process, link) {
		if (process_is_live(p))
			l->processes[l->n++] =
				(struct listed){ p->pid, process_config_ref(p->config) };
	}
}

void process_handle_list(struct call *call, const ProtobufCMessage *message)
{
	struct process_service *service = call_service(call);
	size_t n_bytes = list_size(&service->registry);
	struct listing *l;
	struct err e = { 0 };

	UNUSED(message); /* has no members */
	if (service->list_bytes + n_bytes > LIST_BYTES_MAX) {
		(void)err_set(&e, ERR_LIMIT, "too many lists at once");
		call_fail(&call, &e);
		return;
	}
	service->list_bytes += n_bytes;
	owner_hold(&service->owner);
	l = xcalloc(1, sizeof *l);
	l->service = service;
	l->n_bytes = n_bytes;
	listing_gather(l, &service->registry);
	l->answer = call_new_answer(call);
	call_set_ops(call, &listing_call_ops, l);
	l->call = TAKE_PTR(call);
	job_start(call_loop(l->call), &l->job, listing_work, listing_done);
}
