#include "proc/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Strings and pointers are charged alike; the sum saturates above the limit. */
static void charge(size_t *sum, const char *s)
{
	if (s && *sum <= PROCESS_CONFIG_MAX)
		*sum += strlen(s) + 1 + sizeof(char *);
}

static size_t config_size(const struct process_config *src)
{
	size_t sum = 0;

	charge(&sum, src->cmd);
	charge(&sum, src->cwd);
	charge(&sum, src->tag);
	for (size_t i = 0; i < src->n_args && sum <= PROCESS_CONFIG_MAX; i++)
		charge(&sum, src->args[i]);
	for (size_t i = 0; i < src->n_envs && sum <= PROCESS_CONFIG_MAX; i++) {
		charge(&sum, src->envs[i].name);
		charge(&sum, src->envs[i].value);
	}
	return sum;
}

static const char *place(char **at, const char *s)
{
	char *start = *at;
	size_t size;

	if (!s)
		return NULL;
	size = strlen(s) + 1;
	memcpy(start, s, size);
	*at += size;
	return start;
}

/* Header, pair table, argument table, strings, in one block: the tables' elements are charged with
 * their strings, so size covers them. */
static struct process_config *config_copy(const struct process_config *src, size_t size)
{
	struct process_config *config = try_malloc(sizeof *config + size);
	struct environ_pair *envs;
	const char **args;
	char *at;

	if (!config)
		return NULL;
	envs = (struct environ_pair *)(void *)(config + 1);
	args = (const char **)(void *)(envs + src->n_envs);
	at = (char *)(void *)(args + src->n_args);
	for (size_t i = 0; i < src->n_envs; i++) {
		envs[i].name = place(&at, src->envs[i].name);
		envs[i].value = place(&at, src->envs[i].value);
	}
	for (size_t i = 0; i < src->n_args; i++)
		args[i] = place(&at, src->args[i]);
	*config = (struct process_config){
		.cmd = place(&at, src->cmd),
		.args = args,
		.n_args = src->n_args,
		.envs = envs,
		.n_envs = src->n_envs,
		.cwd = place(&at, src->cwd),
		.tag = place(&at, src->tag),
		.n_bytes = sizeof *config + size,
		.n_refs = 1,
	};
	return config;
}

struct process_config *process_config_new(const struct process_config *src, struct err *e)
{
	size_t size = config_size(src);
	struct process_config *config;

	if (size > PROCESS_CONFIG_MAX) {
		(void)process_config_refuse(src, ERR_INVALID,
		                            "fork/exec /bin/sh: argument list too long", e);
		return NULL;
	}
	config = config_copy(src, size);
	if (!config)
		(void)err_set(e, ERR_LIMIT, "no memory for the command");
	return config;
}

struct process_config *process_config_ref(struct process_config *config)
{
	config->n_refs++;
	return config;
}

void process_config_unref(struct process_config *config)
{
	if (!config)
		return;
	ASSERT(config->n_refs > 0);
	if (--config->n_refs == 0)
		free(config);
}

static void append_cut(struct buf *b, const char *s)
{
	buf_append(b, s, MIN(strlen(s), b->max - b->len));
}

void process_config_append_command(const struct process_config *config, struct buf *b)
{
	append_cut(b, config->cmd);
	for (size_t i = 0; i < config->n_args && b->len < b->max; i++) {
		append_cut(b, " ");
		append_cut(b, config->args[i]);
	}
}

int process_config_refuse(const struct process_config *config, enum err_kind kind,
                          const char *cause, struct err *e)
{
	CLEANUP(buf_deinit) struct buf command = { 0 };

	buf_init(&command, ERR_TEXT_MAX / 2); /* the cause must fit behind it */
	process_config_append_command(config, &command);
	return err_set(e, kind, "error starting process '%.*s': %s", (int)command.len,
	               command.len > 0 ? (const char *)command.data : "", cause);
}
