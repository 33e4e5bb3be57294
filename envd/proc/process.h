/*
 * One process: started, watched, signalled, ended.
 *
 *                 exec           reaped           end rule        output at its end, no reader left
 *     STARTING ─────────> RUNNING ─────> DRAINING ────────> ENDED ─────────────────> CLOSED
 *         └── refused ──> REFUSED ── reaped ───────────────────────────────────────────┘
 *
 * End rule (extensions.md 2): the end comes when the leader has been reaped and the output is at its
 * end, or has been silent for PROCESS_SILENT_MS, or PROCESS_DRAIN_MS have passed; a signal sent
 * through us or the lifetime's end makes it come right after the leader. In every case what was in
 * the pipes when the leader was reaped is delivered first, however slow the reader. A descendant
 * that still holds a pipe keeps it: it is read and dropped until it really closes. A terminal hangs up
 * with the end, as any does when its shell has gone.
 *
 * A process lives in its registry from the fork on and is freed by itself after CLOSED; whoever
 * holds a pointer has either found it in this turn or is subscribed to its output. Loop thread only.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/list.h"
#include "base/state.h"
#include "loop/fdio.h"
#include "loop/owner.h"
#include "loop/timer.h"
#include "proc/config.h"
#include "proc/output.h"
#include "proc/spawn.h"
#include "proc/write_queue.h"

#define PROCESS_READ_MAX     32768u /* bytes of a read and so of a chunk (process.md 4) */
#define PROCESS_READ_TTY_MAX 16384u

#define PROCESS_SILENT_MS 500u  /* ms */
#define PROCESS_DRAIN_MS  5000u /* ms */

struct registry;

enum process_state {
	PROCESS_STARTING,
	PROCESS_RUNNING,
	PROCESS_DRAINING,
	PROCESS_ENDED,
	PROCESS_REFUSED,
	PROCESS_CLOSED,
};

struct process_exit {
	int code;   /* exit status; -1 when a signal ended it */
	int signal; /* 0: it exited */
	bool is_core_dumped;
	bool is_timed_out; /* the lifetime was over before it ended */
};

enum process_scope { PROCESS_LEADER, PROCESS_GROUP };

/* Standard output and error, or a terminal, which is all in one. */
#define PROCESS_STREAMS_MAX 2u

struct process_stream {
	struct fdio io;
	enum output_stream kind;
	size_t owed; /* most that it may hold of what was written before the leader was reaped */
};

/*
 * Who waits for the start. Exactly one callback, never inside process_start; the process outlives
 * its starter, which may leave before (process_forget_starter). on_refused comes with the reason,
 * which may be moved away; a subscription to the output must be given up in it.
 */
struct process_starter {
	void (*on_started)(struct process_starter *starter);
	void (*on_refused)(struct process_starter *starter, struct err *e);
};

struct process {
	struct owner owner;
	struct list link; /* in the registry, newest first */
	uint64_t serial;  /* of the registry: a pid may come again, this does not */
	struct registry *registry;
	struct process_config *config; /* NULL until the start is decided */
	size_t config_bytes;
	struct spec *spec; /* until the start is decided, for the text of a refusal */
	struct process_starter *starter;
	struct state state;
	pid_t pid;
	int pidfd;
	uv_poll_t pid_poll;
	bool has_pid_poll;
	bool has_lost_pid; /* to a later process: nobody means this one by it any more */
	unsigned facts;    /* what has happened, in any order: PROCESS_FACT_ in process.c */
	struct process_exit exit;
	struct spawn_failure failure;
	size_t n_failure; /* bytes of it that have arrived */
	struct fdio error_io;
	struct fdio stdin_io;
	struct write_queue writes;
	struct process_stream streams[PROCESS_STREAMS_MAX];
	unsigned n_streams;               /* that have not ended */
	uint64_t n_bytes[OUTPUT_PTY + 1]; /* read in all, by enum output_stream, for the log */
	struct timer silent;
	struct timer drain;
	struct timer lifetime;
	struct task settle; /* the last subscriber has left after the end */
	struct output output;
};

/*
 * Forks. The process joins the registry; its output has no subscriber yet: subscribe in this turn,
 * before it can have said anything.
 *
 * spec      taken on success
 * starter   borrowed until its callback; may be NULL
 * returns   NULL with e: the codes of newer.md P.1, ERR_LIMIT at REGISTRY_PROCESSES_MAX,
 *           ERR_DEADLINE when the lifetime is over already
 */
struct process *process_start(struct registry *registry, struct spec **spec,
                              struct process_starter *starter, struct err *e) MUST_CHECK;

void process_forget_starter(struct process *p);

/* Whether clients can see it: it has started, and its end has not been told. */
bool process_is_live(const struct process *p);

/* Whether its pid still means this process to the kernel. */
bool process_has_pid(const struct process *p);

/*
 * Sends through the pidfd to the leader, or to its group. Afterwards the end does not wait for
 * descendants.
 *
 * returns  0, or -1 with e: ERR_NOT_FOUND when it has ended, ERR_INTERNAL
 */
int process_signal(struct process *p, int signum, enum process_scope scope,
                   struct err *e) MUST_CHECK;

/*
 * Writes data to standard input or to the terminal. What the kernel takes at once, which is the
 * usual case, is written inside the call.
 *
 * w        on_done set; the caller keeps it and data alive until on_done or process_cancel_write
 * returns  1 all is written, no callback follows; 0 on_done follows; -1 with e (process.md 8):
 *            ERR_INTERNAL  the other kind of process, input not enabled, closed or ended, EPIPE
 *            ERR_LIMIT     PROCESS_WRITES_MAX or PROCESS_WRITE_BYTES_MAX reached
 */
int process_write(struct process *p, enum process_channel channel, struct process_write *w,
                  const uint8_t *data, size_t len, struct err *e) MUST_CHECK;

/*
 * Closes standard input behind the writes that wait: those are still written, later ones refused.
 * May repeat.
 *
 * returns  0, or -1 with e: ERR_UNKNOWN for a terminal, which has no end of input
 */
int process_close_stdin(struct process *p, struct err *e) MUST_CHECK;

/*
 * Sets the size of the terminal; the kernel tells its foreground group (SIGWINCH).
 *
 * cols, rows  characters; the low 16 bits count, as in the reference
 * returns     0, or -1 with e: ERR_INTERNAL without a terminal, or the ioctl's reason
 */
int process_resize(struct process *p, uint32_t cols, uint32_t rows, struct err *e) MUST_CHECK;

/* Takes the exit status if there is one. The registry calls it too, as PID 1. */
void process_reap(struct process *p);

/* The daemon ends: subscribers are told ERR_UNAVAILABLE, the child lives on without us. */
void process_abandon(struct process *p);
