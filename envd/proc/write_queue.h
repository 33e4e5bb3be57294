/*
 * What waits to be written to one process, to its standard input or to its terminal: message by
 * message, each whole before the next, as fast as the process reads.
 *
 *     OPEN ──── close, nothing waits ────> CLOSED
 *       ├─ close ─> CLOSING ─ all written ───┘
 *       └──────────────┴───── end ───> ENDED
 *
 * A message that the kernel takes at once never waits and costs nothing; the bytes of one that waits
 * stay its owner's. Loop thread only. Source: process.md 8.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/list.h"
#include "base/state.h"
#include "loop/fdio.h"

/* Of one process, waiting: more clients than that cannot mean the same terminal. */
#define PROCESS_WRITES_MAX 256u

/*
 * Bytes that wait for all processes together, above which no more may wait: two of the largest
 * messages, and the one that goes above it. Who has nothing waiting may still write what a pipe
 * takes whole (PIPE_BUF), so that a process that does not read leaves others their keystrokes.
 */
#define PROCESS_WRITE_BYTES_MAX (128u * 1024u * 1024u)

/* Bytes written to one process in one turn: four pipes full, some 0.1 ms of the loop. A reader on
 * another processor can keep a pipe from ever being full. */
#define PROCESS_WRITE_TURN_MAX (256u * 1024u)

enum process_channel { PROCESS_STDIN, PROCESS_TTY };

enum write_queue_state { WRITES_OPEN, WRITES_CLOSING, WRITES_CLOSED, WRITES_ENDED };

struct write_queue;

/* One message. Zeroed but for on_done it waits nowhere. */
struct process_write {
	/*
	 * Exactly once, and never inside process_write, if that said so. e is NULL when all was
	 * written; else it is the reason and may be moved away. The write is forgotten before.
	 */
	void (*on_done)(struct process_write *w, struct err *e);
	struct list link;
	struct write_queue *queue; /* NULL: written or failed, perhaps not told yet */
	const uint8_t *data;
	size_t len; /* bytes that are still to be written */
};

struct write_queue {
	struct state state;
	enum process_channel channel;
	pid_t pid;           /* for texts */
	struct fdio *io;     /* borrowed; that of standard input is closed by the queue */
	size_t *total_bytes; /* borrowed: what waits for all processes */
	struct list waiting; /* struct process_write, oldest first */
	size_t n_waiting;
};

/* io may be opened later, but before the first write. NULL: standard input is not enabled. */
void write_queue_init(struct write_queue *q, enum process_channel channel, struct fdio *io,
                      pid_t pid, size_t *total_bytes);

/* As process_write. */
int write_queue_push(struct write_queue *q, enum process_channel channel, struct process_write *w,
                     const uint8_t *data, size_t len, struct err *e) MUST_CHECK;

/* As process_close_stdin. */
int write_queue_close(struct write_queue *q, struct err *e) MUST_CHECK;

/* For on_writable of io. */
void write_queue_proceed(struct write_queue *q);

/* The process has gone: what waits fails with copies of why; NULL: as the kernel would say it. May
 * repeat. */
void write_queue_end(struct write_queue *q, const struct err *why);

/* For whoever has selected a process that has ended since: fails as a write to it would. Returns -1. */
int write_queue_refuse_ended(enum process_channel channel, pid_t pid, struct err *e);

/* Whether on_done is still to come. */
static inline bool process_write_is_waiting(const struct process_write *w)
{
	return list_is_linked(&w->link);
}

/* The rest is not written; what was written stays. Nothing if it does not wait. */
void process_cancel_write(struct process_write *w);
