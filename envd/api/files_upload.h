/*
 * POST /files. What is read of bodies waits in a window of memory for each upload until a job has
 * written it; so many uploads have one at a time, and others wait for theirs. Loop thread only.
 */
#pragma once

#include "base/list.h"

struct api;
struct exchange;

/* Uploads that read at once: 64 MiB of windows, and what decoding needs. */
#define FILES_UPLOADS_MAX 256u

/* How long one waits until another has ended: then it is refused, before the client gives up. */
#define FILES_UPLOAD_WAIT_MS 30000u

/* A daemon's; begins zeroed. */
struct files_uploads {
	unsigned n_reading;
	struct list waiting; /* oldest first */
};

void files_post(struct api *api, struct exchange **x);
