#include "proc/spec.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "host/path.h"
#include "host/requester.h"

static int spec_no_memory(struct err *e)
{
	return err_set(e, ERR_LIMIT, "no memory for the command");
}

static char *spec_strdup(struct spec *spec, const char *s)
{
	return arena_strndup(&spec->memory, s, strlen(s));
}

static int spec_copy_globals(struct spec *spec, const struct environ_store *env, struct err *e)
{
	spec->globals = arena_calloc(&spec->memory, (env->n + 1) * sizeof *spec->globals);
	if (!spec->globals)
		return spec_no_memory(e);
	for (size_t i = 0; i < env->n; i++) {
		struct environ_pair *pair = &spec->globals[spec->n_globals++];

		pair->name = spec_strdup(spec, env->vars[i].name);
		pair->value = spec_strdup(spec, env->vars[i].value);
		if (!pair->name || !pair->value)
			return spec_no_memory(e);
	}
	return 0;
}

static void spec_freep(struct spec **spec)
{
	spec_free(*spec);
}

int spec_new(struct process_config **config, const struct spec_options *options,
             struct spec **out_spec, struct err *e)
{
	const char *name = options->user ? options->user : options->default_user;
	CLEANUP(spec_freep) struct spec *spec = NULL;

	if (!options->user && name[0] == '\0')
		return err_set(e, ERR_UNAUTHENTICATED, "no user specified");
	spec = xcalloc(1, sizeof *spec);
	arena_init(&spec->memory, SPEC_MEMORY_MAX, spec->first, sizeof spec->first);
	spec->stdin_kind = options->stdin_kind;
	spec->has_terminal = options->terminal != NULL;
	if (options->terminal)
		spec->terminal = *options->terminal;
	spec->tty_gid = (gid_t)-1;
	spec->nofile = options->nofile;
	spec->lifetime_end_ms = options->lifetime_end_ms;
	spec->users = options->users;
	spec->user_is_default = !options->user;
	spec->user_name = spec_strdup(spec, name);
	if (options->workdir)
		spec->workdir = spec_strdup(spec, options->workdir);
	if (!spec->user_name || (options->workdir && !spec->workdir))
		return spec_no_memory(e);
	if (spec_copy_globals(spec, options->globals, e) < 0)
		return -1;
	spec->config = TAKE_PTR(*config);
	*out_spec = TAKE_PTR(spec);
	return 0;
}

/* Who may write to the user's terminal beside the user: programs of group tty, such as write(1). */
static void spec_resolve_tty_group(struct spec *spec)
{
	gid_t gid;

	if (spec->has_terminal && user_find_group(spec->users, "tty", &gid) == 0)
		spec->tty_gid = gid;
}

/* Looked at as root; whether the user may go there shows in the child's chdir. */
static int spec_resolve_cwd(struct spec *spec, struct err *e)
{
	const char *cwd = spec->config->cwd ? spec->config->cwd : "";
	struct stat st;

	if (path_resolve(&spec->user, spec->workdir, cwd, &spec->cwd, e) < 0)
		return -1;
	if (stat(spec->cwd, &st) < 0 && errno == ENOENT)
		return err_set(e, ERR_INVALID, "cwd '%s' does not exist", spec->cwd);
	return 0;
}

struct assignment {
	const char *name;
	const char *value;
	size_t order;
	bool is_overridden;
};

struct assignments {
	struct assignment *list;
	size_t n;
};

static void assign(struct assignments *a, const char *name, const char *value)
{
	if (name[0] != '\0')
		a->list[a->n] = (struct assignment){ name, value, a->n, false };
	a->n += name[0] != '\0';
}

static int assignment_compare(const void *a, const void *b)
{
	const struct assignment *x = *(struct assignment *const *)a,
				*y = *(struct assignment *const *)b;
	int order = strcmp(x->name, y->name);

	return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

/* The last assignment of a name wins. sorted is scratch for n pointers. */
static void assignments_override(struct assignments *a, struct assignment **sorted)
{
	for (size_t i = 0; i < a->n; i++)
		sorted[i] = &a->list[i];
	qsort(sorted, a->n, sizeof *sorted, assignment_compare);
	for (size_t i = 0; i + 1 < a->n; i++)
		sorted[i]->is_overridden = strcmp(sorted[i]->name, sorted[i + 1]->name) == 0;
}

static char *spec_env_entry(struct spec *spec, const char *name, const char *value)
{
	size_t name_len = strlen(name), size = strlen(value) + 1;
	char *entry = arena_alloc(&spec->memory, name_len + 1 + size);

	if (!entry)
		return NULL;
	memcpy(entry, name, name_len);
	entry[name_len] = '=';
	memcpy(entry + name_len + 1, value, size);
	return entry;
}

static int spec_emit_env(struct spec *spec, const struct assignments *a, struct err *e)
{
	spec->sets_pwd = true;
	spec->envp = arena_calloc(&spec->memory, (a->n + 2) * sizeof *spec->envp);
	if (!spec->envp)
		return spec_no_memory(e);
	for (size_t i = 0; i < a->n; i++) {
		const struct assignment *it = &a->list[i];

		if (it->is_overridden)
			continue;
		spec->envp[spec->n_envp] = spec_env_entry(spec, it->name, it->value);
		if (!spec->envp[spec->n_envp++])
			return spec_no_memory(e);
		if (strcmp(it->name, "PWD") == 0)
			spec->sets_pwd = false;
		if (strcmp(it->name, "PATH") == 0)
			spec->path = it->value;
	}
	return 0;
}

static int spec_resolve_env(struct spec *spec, const char *path, struct err *e)
{
	const struct process_config *config = spec->config;
	size_t max = 4 + spec->n_globals + config->n_envs;
	CLEANUP(freep) struct assignment *list = try_calloc(max, sizeof *list);
	CLEANUP(freep) struct assignment **sorted = try_calloc(max, sizeof *sorted);
	struct assignments a = { list, 0 };

	if (!list || !sorted)
		return spec_no_memory(e);
	assign(&a, "PATH", path);
	assign(&a, "HOME", spec->user.home);
	assign(&a, "USER", spec->user.name);
	assign(&a, "LOGNAME", spec->user.name);
	for (size_t i = 0; i < spec->n_globals; i++)
		assign(&a, spec->globals[i].name, spec->globals[i].value);
	for (size_t i = 0; i < config->n_envs; i++)
		assign(&a, config->envs[i].name, config->envs[i].value);
	assignments_override(&a, sorted);
	return spec_emit_env(spec, &a, e);
}

/* argv, the shell's argv, and where to look for the command. */
static int spec_resolve_argv(struct spec *spec, struct err *e)
{
	const struct process_config *config = spec->config;
	size_t n = config->n_args;

	spec->argv = arena_calloc(&spec->memory, (n + 2) * sizeof *spec->argv);
	spec->sh_argv = arena_calloc(&spec->memory, (n + 3) * sizeof *spec->sh_argv);
	if (!spec->argv || !spec->sh_argv)
		return spec_no_memory(e);
	/* exec's prototype lacks the const that it honours. */
	memcpy(&spec->argv[0], &config->cmd, sizeof config->cmd);
	if (n > 0) {
		memcpy(&spec->argv[1], config->args, n * sizeof *config->args);
		memcpy(&spec->sh_argv[2], config->args, n * sizeof *config->args);
	}
	spec->sh_argv[0] = spec_strdup(spec, "/bin/sh");
	/* A name that no directory can hold fails as it is, without a search. */
	if (strchr(config->cmd, '/') || config->cmd[0] == '\0' || strlen(config->cmd) > NAME_MAX)
		spec->path = NULL;
	return spec->sh_argv[0] ? 0 : spec_no_memory(e);
}

int spec_resolve(struct spec *spec, struct err *e)
{
	const char *path = getenv("PATH"); /* nobody changes our own environment */

	if (requester_find_user(spec->users, spec->user_name, spec->user_is_default, &spec->user,
	                        e) < 0 ||
	    spec_resolve_cwd(spec, e) < 0)
		return -1;
	spec_resolve_tty_group(spec);
	if (spec_resolve_env(spec, path ? path : "", e) < 0)
		return -1;
	return spec_resolve_argv(spec, e);
}

void spec_free(struct spec *spec)
{
	if (!spec)
		return;
	process_config_unref(spec->config);
	user_deinit(&spec->user);
	free(spec->cwd);
	arena_deinit(&spec->memory);
	free(spec);
}

int spec_refuse(const struct spec *spec, enum err_kind kind, const char *cause, struct err *e)
{
	const char *cwd = spec->cwd ? spec->cwd : spec->config->cwd;
	CLEANUP(buf_deinit) struct buf command = { 0 };

	if (!spec->has_terminal)
		return process_config_refuse(spec->config, kind, cause, e);
	buf_init(&command, ERR_TEXT_MAX / 2); /* the cause must fit behind it */
	process_config_append_command(spec->config, &command);
	return err_set(e, kind,
	               "error starting pty with command '%.*s' in dir '%s' with '%u' cols and "
	               "'%u' rows: %s",
	               (int)command.len, command.len > 0 ? (const char *)command.data : "",
	               cwd ? cwd : "", spec->terminal.cols, spec->terminal.rows, cause);
}
