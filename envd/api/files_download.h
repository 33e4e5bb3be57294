/*
 * GET /files (files_http.md 1 and 2).
 */
#pragma once

#include "api/api.h"

void files_get(struct api *api, struct exchange **x);
