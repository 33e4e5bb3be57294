/*
 * List: the live processes, as they were asked for.
 */
#include "api/process_handlers.h"

#include <string.h>

#include "api/process_api.h"
#include "base/arena.h"
#include "process/process.pb-c.h"

/* Bytes of one answer's tables; the strings stay where they are. 16,384 processes need 5 MiB. */
#define LIST_MEMORY_MAX (64u * 1024u * 1024u)

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

void process_handle_list(struct call *call, const ProtobufCMessage *message)
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
