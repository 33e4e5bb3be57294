/*
 * A name in an open directory: what is done by it cannot be led elsewhere when a directory on the way is
 * moved meanwhile. Blocks: pool jobs only.
 */
#pragma once

#include <stdbool.h>

#include "base/macros.h"

struct place {
	char *dir, *name; /* as the path has them */
	int fd;           /* of the directory, O_PATH; -1 before place_open */
	bool has_slash;   /* behind the name: it is to be a directory */
};

/*
 * path     absolute
 * returns  0, or a negative errno; -EBUSY, as of rename(2): "/", "." and ".." have no name
 */
int place_open(struct place *p, const char *path) MUST_CHECK;
void place_deinit(struct place *p); /* also after a failure; may repeat */
