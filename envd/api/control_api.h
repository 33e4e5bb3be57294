/*
 * Health, metrics and environment of the daemon (control.md 1, 2). The first two answer at once,
 * whatever else is stuck: no lock, no pool thread, no root file system.
 */
#pragma once

#include "api/api.h"

void health_get(struct api *api, struct exchange **x);
void metrics_get(struct api *api, struct exchange **x);
void envs_get(struct api *api, struct exchange **x);
