/*
 * The files of a tree that have several names: where each was copied to, so that its next name becomes
 * a name of the same copy.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Bytes; files beyond them are copied once for each name. */
#define COPY_LINKS_BYTES_MAX (32u * 1024u * 1024u)

struct copy_links {
	void *root; /* of tsearch(3) */
	size_t n_bytes;
};

void copy_links_deinit(struct copy_links *links);

/* The path that it was noted with; NULL if it was not. */
const char *copy_links_find(const struct copy_links *links, uint64_t dev, uint64_t ino);

/* Without memory it is not. */
void copy_links_note(struct copy_links *links, uint64_t dev, uint64_t ino, const char *path);
