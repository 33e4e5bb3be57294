/*
 * A limit of bytes for what many hold together, where the first bytes of each are free: who holds little
 * is served in any case. Any thread.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>

#include "base/macros.h"

struct quota {
	size_t max;  /* of all together */
	size_t free; /* of each */
	size_t step; /* charged at a time, so that who grows bit by bit does not ask for each */
	atomic_size_t used;
};

/*
 * For as many bytes as somebody is about to hold; what it has charged before counts.
 *
 * charged  that somebody's, zeroed at first, to be given back by quota_lower
 * returns  0, or -ENOBUFS and nothing more is charged
 */
int quota_raise(struct quota *q, size_t *charged, size_t bytes) MUST_CHECK;

/* Down to what so many bytes cost; 0: all of it. */
void quota_lower(struct quota *q, size_t *charged, size_t bytes);
