#include "fs/copy_links.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* A node of the tree, and what malloc takes for both. */
#define NODE_BYTES 64u

struct copy_link {
	uint64_t dev, ino;
	char path[];
};

static int compare(const void *a, const void *b)
{
	const struct copy_link *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return (x->ino > y->ino) - (x->ino < y->ino);
}

const char *copy_links_find(const struct copy_links *links, uint64_t dev, uint64_t ino)
{
	const struct copy_link key = { .dev = dev, .ino = ino };
	struct copy_link *const *found = tfind(&key, &links->root, compare);

	return found ? (*found)->path : NULL;
}

void copy_links_note(struct copy_links *links, uint64_t dev, uint64_t ino, const char *path)
{
	const size_t size = strlen(path) + 1, bytes = sizeof(struct copy_link) + size + NODE_BYTES;
	struct copy_link *link;

	if (links->n_bytes + bytes > COPY_LINKS_BYTES_MAX)
		return;
	link = try_malloc(sizeof *link + size);
	if (!link)
		return;
	link->dev = dev;
	link->ino = ino;
	memcpy(link->path, path, size);
	if (!tsearch(link, &links->root, compare)) {
		free(link);
		return;
	}
	links->n_bytes += bytes;
}

void copy_links_deinit(struct copy_links *links)
{
	tdestroy(links->root, free);
	*links = (struct copy_links){ 0 };
}
