/*
 * A call that wants a watcher (fs/watch.h), until it is known whose and of what: on the pool its user is
 * looked up and its path is resolved. For WatchDir and CreateWatcher.
 *
 *     request ──▶ pool: user, path ──▶ begin: watcher_new
 *                              refused, or nobody listens any more: nothing is watched
 */
#pragma once

#include "fs/watch.h"
#include "rpc/call.h"

/* options: borrowed for the call. */
typedef void watch_begin(struct call *call, const struct watcher_options *options);

/*
 * Takes the right to answer, which begin gets with the options, whose path is then the resolved one; or
 * refuses. wanted is copied; its path may be the request message's, which is dropped.
 */
void watch_prepare(struct call *call, const struct watcher_options *wanted, watch_begin *begin);

/* Gives the right to answer back, with what a watcher says about itself. */
void watch_refuse(struct call **call, const struct err *why);
