/*
 * POST /files/compose: files become one (files_http.md 5). Loop thread only.
 */
#pragma once

#include "base/list.h"

struct api;
struct exchange;

/*
 * Compositions that run at once, each of which has a thread of the pool until all is copied: half of
 * those there can be. The others wait for their turn.
 */
#define FILES_COMPOSES_MAX 64u

/* How long one waits for its turn: then it is refused, before the client gives up. */
#define FILES_COMPOSE_WAIT_MS 30000u

/* How long one goes on whose client has ended its side of the connection. Most have gone; who asks for
 * little and only says that there is no more to come has its answer by then. */
#define FILES_COMPOSE_HANGUP_MS 1000u

/* A daemon's; begins zeroed. */
struct files_composes {
	unsigned n_working;
	struct list waiting; /* oldest first */
};

void files_compose_post(struct api *api, struct exchange **x);
