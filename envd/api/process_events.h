/*
 * The events of a process stream as messages (process.md 5). Each is built and sent in one go; data
 * is not copied.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proc/process.h"
#include "rpc/call.h"

/* All three as call_send: false asks to wait. */
bool process_events_send_start(struct call *call, pid_t pid);
bool process_events_send_data(struct call *call, enum output_stream stream, const uint8_t *data,
                              size_t len);
bool process_events_send_keepalive(struct call *call);

/* Takes the right to answer: the end event, then the end of the stream. */
void process_events_finish(struct call **call, const struct process_exit *exit);

/* What an EndEvent says of a signal: Go's names. "signal N" is the rest. */
#define PROCESS_STATUS_MAX 64u
void process_events_status(const struct process_exit *exit, char out_status[PROCESS_STATUS_MAX]);
