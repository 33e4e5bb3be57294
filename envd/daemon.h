/*
 * The composition root: creates the modules in order, runs the loop, drains, tears down in
 * reverse.
 *
 *     starting ──> running ──> draining ──> closing ──> done
 *
 * SIGTERM or SIGINT drains: no new connection, idle ones end, busy ones after their last response.
 * A second signal, or DAEMON_DRAIN_MS, closes what is left. Processes live on.
 */
#pragma once

#include "config.h"

/* ms; below the 10 s that container runtimes and our unit give before they kill. */
#define DAEMON_DRAIN_MS 5000u

/* ms for a job on the pool to end after that. One that is stuck on a dead file system never does,
 * and must not keep us from ending. */
#define DAEMON_END_MS 2000u

/* Exit status: 0 after a drain, 1 when it cannot listen (the reason is on stderr). */
int daemon_run(const struct config *config);
