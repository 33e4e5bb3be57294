/*
 * The rules for paths that clients name (host/path.h): what is clean is clean for good, and each way to
 * the same path gives the same.
 *
 *     home NUL default working directory NUL path; what is missing is empty
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/mem.h"
#include "host/path.h"
#include "host/user.h"

#define INPUT_MAX 4096u /* bytes; longer ones say nothing new */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_clean(const char *path)
{
	CLEANUP(freep) char *again = path_clean(path);
	size_t len = strlen(path);

	ASSERT(path[0] == '/');
	ASSERT(strcmp(again, path) == 0);
	ASSERT(!strstr(path, "//") && !strstr(path, "/./") && !strstr(path, "/../"));
	ASSERT(len == 1 || path[len - 1] != '/');
	ASSERT(len < 3 || strcmp(path + len - 3, "/..") != 0);
	ASSERT(len < 2 || strcmp(path + len - 2, "/.") != 0);
}

/* The parent is the path without its last part. */
static void check_parent(const char *clean)
{
	CLEANUP(freep) char *parent = path_parent(clean);
	CLEANUP(freep) char *back = NULL;

	check_clean(parent);
	back = path_join(parent, strrchr(clean, '/') + 1);
	ASSERT(strcmp(back, clean) == 0);
}

static void check_join(const char *base, const char *s)
{
	const size_t size = strlen(base) + strlen(s) + sizeof "//";
	CLEANUP(freep) char *joined = path_join(base, s);
	CLEANUP(freep) char *text = xmalloc(size);
	CLEANUP(freep) char *clean = NULL;

	(void)snprintf(text, size, "/%s/%s", base, s);
	clean = path_clean(text);
	check_clean(joined);
	ASSERT(strcmp(joined, clean) == 0);
	check_parent(joined);
}

/* The next text of the input, copied, so that a byte beyond its end is found. */
static char *take_text(const char **at, const char *end)
{
	size_t len = strnlen(*at, (size_t)(end - *at));
	char *text = xstrndup(*at, len);

	*at += MIN(len + 1, (size_t)(end - *at));
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *at = (const char *)data, *end = at + MIN(len, INPUT_MAX);
	CLEANUP(freep) char *home = take_text(&at, end);
	CLEANUP(freep) char *workdir = take_text(&at, end);
	CLEANUP(freep) char *path = take_text(&at, end);
	CLEANUP(freep) char *resolved = NULL;
	CLEANUP(err_clear) struct err e = { 0 };
	char name[] = "user";
	const struct user user = { .name = name, .home = home };

	check_join(home, path);
	if (path_resolve(&user, workdir[0] ? workdir : NULL, path, &resolved, &e) < 0) {
		ASSERT(!resolved && e.kind == ERR_INVALID);
		return 0;
	}
	ASSERT(resolved[0] == '/');
	if (path[0] == '/')
		ASSERT(strcmp(resolved, path) == 0);
	else if (path[0] != '\0')
		check_clean(resolved);
	return 0;
}
