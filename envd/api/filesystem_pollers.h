/*
 * The watchers of clients that ask from time to time: CreateWatcher, GetWatcherEvents, RemoveWatcher.
 *
 * A poller lives from CreateWatcher until RemoveWatcher or the end of the service, whatever becomes of the
 * connection or the user that made it; there are WATCHERS_MAX, with those of streams. It has what its
 * watcher keeps (fs/watch.h): beyond that each GetWatcherEvents says so, until it is removed.
 * Source: filesystem.md 4.5.
 */
#pragma once

#include "rpc/call.h"

/* Events that are encoded at once: for so few, a job would take longer than its work. */
#define POLL_EVENTS_INLINE 16u

struct filesystem_service;

/* For the end of the service: none is left. */
void pollers_free(struct filesystem_service *service);
