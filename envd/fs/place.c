#include "fs/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "host/path.h"

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
	const struct span last = path_last(path);
	const size_t start = (size_t)(last.at - path);

	p->has_slash = last.at[last.len] == '/';
	p->dir = xstrndup(path, MAX(start, 2u) - 1);
	p->name = xstrndup(last.at, last.len);
	if (is_nameless(p))
		return -EBUSY;
	p->fd = open(p->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return p->fd < 0 ? -errno : 0;
}
