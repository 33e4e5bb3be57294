#include "fs/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void place_deinit(struct place *p)
{
	free(TAKE_PTR(p->dir));
	free(TAKE_PTR(p->name));
	close_fdp(&p->fd);
}

static bool is_nameless(const struct place *p)
{
	return p->name[0] == '\0' || strcmp(p->name, ".") == 0 || strcmp(p->name, "..") == 0;
}

int place_open(struct place *p, const char *path)
{
	size_t end = strlen(path), start;

	while (end > 0 && path[end - 1] == '/')
		end--;
	for (start = end; start > 0 && path[start - 1] != '/'; start--)
		;
	p->has_slash = path[end] == '/';
	p->dir = xstrndup(path, MAX(start, 2u) - 1);
	p->name = xstrndup(path + start, end - start);
	if (is_nameless(p))
		return -EBUSY;
	p->fd = open(p->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return p->fd < 0 ? -errno : 0;
}
