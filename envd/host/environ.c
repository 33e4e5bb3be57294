#include "host/environ.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

static void var_deinit(struct environ_var *var)
{
	free(var->name);
	free(var->value);
}

static void vars_free(struct environ_var *vars, size_t n)
{
	for (size_t i = 0; i < n; i++)
		var_deinit(&vars[i]);
	free(vars);
}

void environ_init(struct environ_store *env)
{
	*env = (struct environ_store){ 0 };
}

void environ_deinit(struct environ_store *env)
{
	vars_free(env->vars, env->n);
	*env = (struct environ_store){ 0 };
}

/* Index of the name, or of the place where it belongs. */
static size_t vars_search(const struct environ_var *vars, size_t n, const char *name,
                          bool *out_found)
{
	size_t low = 0, high = n;

	*out_found = false;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(vars[mid].name, name);

		if (order == 0) {
			*out_found = true;
			return mid;
		}
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

void environ_set_internal(struct environ_store *env, const char *name, const char *value)
{
	char *copy = xstrdup(value);
	bool found;
	size_t at = vars_search(env->vars, env->n, name, &found);

	if (!found) {
		env->vars = xrealloc(env->vars, (env->n + 1) * sizeof *env->vars);
		memmove(&env->vars[at + 1], &env->vars[at], (env->n - at) * sizeof *env->vars);
		env->vars[at] = (struct environ_var){ .name = xstrdup(name) };
		env->n++;
	}
	free(env->vars[at].value);
	env->vars[at].value = copy;
	env->vars[at].internal = true;
}

/* A new set under construction: what is wanted, in the order of assignment. */
struct candidate {
	const char *name;
	const char *value;
	size_t order;
	bool internal;
};

static int candidate_compare(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

static bool is_internal(const struct environ_store *env, const char *name)
{
	bool found;
	size_t at = vars_search(env->vars, env->n, name, &found);

	return found && env->vars[at].internal;
}

/* Fills list with what the new set may hold; returns how many, *out_bytes their size. */
static size_t candidates_collect(const struct environ_store *env, const struct environ_pair *pairs,
                                 size_t n, struct candidate *list, size_t *out_bytes)
{
	size_t n_list = 0, bytes = 0;

	for (size_t i = 0; i < env->n; i++) {
		if (env->vars[i].internal)
			list[n_list++] = (struct candidate){ env->vars[i].name, env->vars[i].value,
				                             0, true };
	}
	for (size_t i = 0; i < n; i++) {
		if (pairs[i].name[0] != '\0' && !is_internal(env, pairs[i].name))
			list[n_list++] =
				(struct candidate){ pairs[i].name, pairs[i].value, i + 1, false };
	}
	for (size_t i = 0; i < n_list; i++)
		bytes += strlen(list[i].name) + strlen(list[i].value) + 2;
	*out_bytes = bytes;
	return n_list;
}

/* Copies the last assignment of each name of the sorted list. */
static size_t candidates_copy(const struct candidate *list, size_t n_list, struct environ_var *vars)
{
	size_t n = 0;

	for (size_t i = 0; i < n_list; i++) {
		if (i + 1 < n_list && strcmp(list[i].name, list[i + 1].name) == 0)
			continue;
		vars[n++] = (struct environ_var){ xstrdup(list[i].name), xstrdup(list[i].value),
			                          list[i].internal };
	}
	return n;
}

int environ_replace_user(struct environ_store *env, const struct environ_pair *pairs, size_t n,
                         struct err *e)
{
	CLEANUP(freep) struct candidate *list = NULL;
	struct environ_var *vars;
	size_t n_list, bytes;

	if (n > ENVIRON_BYTES_MAX / 2) /* each has a name and two terminators */
		return err_set(e, ERR_LIMIT, "too many environment variables");
	list = try_calloc(env->n + n + 1, sizeof *list);
	if (!list)
		return err_set(e, ERR_LIMIT, "no memory for environment variables");
	n_list = candidates_collect(env, pairs, n, list, &bytes);
	if (bytes > ENVIRON_BYTES_MAX)
		return err_set(e, ERR_LIMIT, "environment variables exceed %u bytes",
		               ENVIRON_BYTES_MAX);
	vars = try_calloc(n_list + 1, sizeof *vars);
	if (!vars)
		return err_set(e, ERR_LIMIT, "no memory for environment variables");

	qsort(list, n_list, sizeof *list, candidate_compare);
	n_list = candidates_copy(list, n_list, vars);
	vars_free(env->vars, env->n);
	*env = (struct environ_store){ vars, n_list };
	return 0;
}

const char *environ_get(const struct environ_store *env, const char *name)
{
	bool found;
	size_t at = vars_search(env->vars, env->n, name, &found);

	return found ? env->vars[at].value : NULL;
}

void environ_append_json(const struct environ_store *env, struct buf *b)
{
	buf_append_byte(b, '{');
	for (size_t i = 0; i < env->n; i++) {
		buf_append_text(b, i > 0 ? ",\"" : "\"");
		json_append_string(b, env->vars[i].name, strlen(env->vars[i].name), true);
		buf_append_text(b, "\":\"");
		json_append_string(b, env->vars[i].value, strlen(env->vars[i].value), true);
		buf_append_byte(b, '"');
	}
	buf_append_byte(b, '}');
}
