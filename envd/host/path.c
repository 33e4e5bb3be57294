#include "host/path.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "host/user.h"

/* Appends the parts of s to the absolute path in out, whose length it takes and returns: "." and
 * empty parts vanish, ".." takes one part away. */
static size_t path_append(char *out, size_t len, const char *s)
{
	struct span rest = span_of(s);

	while (rest.len > 0) {
		const char *slash = memchr(rest.at, '/', rest.len);
		size_t part = slash ? (size_t)(slash - rest.at) : rest.len;

		if (part == 2 && memcmp(rest.at, "..", 2) == 0) {
			while (len > 0 && out[--len] != '/')
				;
		} else if (part > 0 && !(part == 1 && rest.at[0] == '.')) {
			out[len++] = '/';
			memcpy(out + len, rest.at, part);
			len += part;
		}
		part += slash ? 1 : 0;
		rest.at += part;
		rest.len -= part;
	}
	return len;
}

char *path_join(const char *base, const char *s)
{
	char *out = xmalloc(strlen(base) + strlen(s) + 3);
	size_t len = path_append(out, 0, base);

	len = path_append(out, len, s);
	if (len == 0)
		out[len++] = '/';
	out[len] = '\0';
	return out;
}

char *path_clean(const char *absolute)
{
	return path_join(absolute, "");
}

struct span path_last(const char *absolute)
{
	size_t end = strlen(absolute), start;

	while (end > 0 && absolute[end - 1] == '/')
		end--;
	for (start = end; start > 0 && absolute[start - 1] != '/'; start--)
		;
	return (struct span){ absolute + start, end - start };
}

/* ".." at the end names what it leads to, as Go's filepath.Dir has it: the text before it is cut. */
char *path_parent(const char *absolute)
{
	CLEANUP(freep)
	char *before = xstrndup(absolute, (size_t)(path_last(absolute).at - absolute));

	return path_clean(before);
}

bool path_names_directory(const char *absolute)
{
	const char *last = strrchr(absolute, '/');

	return last && (last[1] == '\0' || strcmp(last, "/.") == 0 || strcmp(last, "/..") == 0);
}

int path_resolve(const struct user *user, const char *workdir, const char *path, char **out_path,
                 struct err *e)
{
	if (path[0] == '\0' && workdir)
		path = workdir;
	if (path[0] == '~') {
		if (path[1] != '\0' && path[1] != '/' && path[1] != '\\')
			return err_set(e, ERR_INVALID,
			               "failed to expand path '%s' for user '%s': cannot expand "
			               "user-specific home dir",
			               path, user->name);
		*out_path = path_join(user->home, path + 1);
		return 0;
	}
	*out_path = path[0] == '/' ? xstrdup(path) : path_join(user->home, path);
	return 0;
}
