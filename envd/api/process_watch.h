/*
 * A call that watches a process: a subscriber of its output and nothing more. When the call goes, the
 * process stays. The call gets the start event, then data and keepalives until the end (process.md 5),
 * with which it is given back. Loop thread only.
 */
#pragma once

#include "base/err.h"
#include "proc/registry.h"
#include "proc/spec.h"
#include "rpc/call.h"

/*
 * Starts a process and watches it from before its first byte.
 *
 * spec     taken on success
 * call     taken on success
 * returns  0, or -1 with e: as process_start
 */
int process_watch_start(struct registry *registry, struct spec **spec, struct call **call,
                        struct err *e) MUST_CHECK;

/*
 * Watches a live process: the start event goes out at once, data follow from now on.
 *
 * call     taken on success
 * returns  0, or -1 with e: as output_subscribe
 */
int process_watch_live(struct process *p, struct call **call, struct err *e) MUST_CHECK;
