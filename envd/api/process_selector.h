/*
 * The process that a request means: its ProcessSelector as the registry wants it.
 */
#pragma once

#include "base/err.h"
#include "proc/registry.h"
#include "process/process.pb-c.h"

/*
 * The tag is borrowed from the message.
 *
 * selector  NULL: the request has none
 * returns   0, or -1 with e: ERR_UNIMPLEMENTED when neither pid nor tag is set (process.md 2)
 */
int process_selector_parse(const Process__ProcessSelector *selector, struct selector *out_selector,
                           struct err *e) MUST_CHECK;

/* Parses and finds: the live process; NULL with e, ERR_NOT_FOUND included. */
struct process *process_selector_find(struct registry *registry,
                                      const Process__ProcessSelector *selector,
                                      struct err *e) MUST_CHECK;
