/*
 * Output of one process, handed to any number of subscribers.
 *
 * A chunk is one read. A subscriber that is ready gets it at once, from the read buffer; for the
 * others it is copied into a window, in which each has its own cursor, so a slow reader never
 * reorders or repeats bytes for a fast one. The usual case, one reader that keeps up, copies
 * nothing and owns nothing. Rules (output_test.c):
 *   - no subscriber:   bytes are dropped, the process is never blocked
 *   - nobody is ready: reading from the process pauses at once; the pipe is buffer enough
 *   - one is slow:     reading pauses when it is OUTPUT_HIGH behind, until it is below OUTPUT_LOW
 *   - one is stuck and holds up others: it is ended with ERR_LIMIT. It is stuck when it has a
 *     backlog and has taken nothing for OUTPUT_STALL_MS; or for longer, up to OUTPUT_STALL_MAX_MS,
 *     if a reader of OUTPUT_RATE_MIN would still be busy with what it took before. Its time is its
 *     own: others neither shorten nor renew it, and however slow it was while nobody waited for
 *     it, it has OUTPUT_STALL_MS from when somebody does. A lone one is never ended: nobody else
 *     suffers, and the transport has a limit.
 * Every subscriber sees each chunk from its subscription on, once, in order, and then its end.
 * Loop thread only. Source: process.md 4.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "loop/timer.h"

#define OUTPUT_HIGH (256u * 1024u) /* bytes behind, chunk headers included; eight full reads */
#define OUTPUT_LOW  (128u * 1024u)

/*
 * What a live but slow reader needs, because sockets take in steps: a receiver that was full opens
 * its window when a sixteenth of its buffer is free, at least for a segment (64 KiB on loopback),
 * and the buffer grows while it is read fast. Longest time between two steps at 64 KiB/s, measured
 * with HTTP_UNSENT_MAX: 2.2 s on a fresh connection, which has taken 190 KiB until then; 17 s after
 * 100 MiB at full speed, with steps of 1.1 MiB.
 */
#define OUTPUT_STALL_MS     2000u         /* ms */
#define OUTPUT_STALL_MAX_MS 20000u        /* ms */
#define OUTPUT_RATE_MIN     (64u * 1024u) /* bytes/s */

#define OUTPUT_SUBSCRIBERS_MAX 256u /* of one process: each read costs a turn for every one */

enum output_stream { OUTPUT_STDOUT, OUTPUT_STDERR, OUTPUT_PTY };

struct output;
struct output_chunk;
struct subscriber;

/* Neither callback may subscribe or unsubscribe anybody. */
struct subscriber_ops {
	/*
	 * data is valid during the call. False: taken, but no more before subscriber_proceed.
	 */
	bool (*on_chunk)(struct subscriber *sub, enum output_stream stream, const uint8_t *data,
	                 size_t len);
	/*
	 * The last callback; the subscription is over already. why is NULL when the process has
	 * ended and all its bytes were taken, else the reason, which the receiver may move away.
	 */
	void (*on_end)(struct subscriber *sub, struct err *why);
};

struct subscriber {
	const struct subscriber_ops *ops;
	struct list link;
	struct output *output;     /* NULL: not subscribed */
	struct output_chunk *next; /* first chunk it still needs; NULL: none */
	bool is_ready;
	uint64_t taken_ms; /* when it took the last chunk, or subscribed */
	uint64_t lasts_ms; /* until when a reader of OUTPUT_RATE_MIN is busy with what it took */
};

struct output {
	struct timers *timers;
	/* Pause and resume of the process's pipes; may repeat. */
	void (*set_reading)(struct output *o, bool reading);
	/* The last subscriber has left after the end. */
	void (*on_idle)(struct output *o);
	struct list subscribers;
	size_t n_subscribers;
	struct list window; /* struct output_chunk, oldest first */
	size_t window_bytes;
	struct timer stall;
	uint64_t waiting_ms; /* since when somebody is ready and held up by others; 0: nobody is */
	bool is_paused;
	bool is_ended;
};

void output_init(struct output *o, struct timers *timers,
                 void (*set_reading)(struct output *, bool), void (*on_idle)(struct output *));
/* Drops what is left; asserts that nobody is subscribed. */
void output_deinit(struct output *o);

/*
 * Adds a subscriber that sees bytes appended from now on.
 *
 * sub      borrowed, ops set; the caller keeps it alive until on_end or output_unsubscribe
 * returns  0, or -1 with e->kind:
 *            ERR_NOT_FOUND  the process has ended
 *            ERR_LIMIT      OUTPUT_SUBSCRIBERS_MAX reached
 */
int output_subscribe(struct output *o, struct subscriber *sub, struct err *e) MUST_CHECK;
void output_unsubscribe(struct subscriber *sub); /* nothing if it is not subscribed */

/* The subscriber wants more. Nothing if it is not subscribed. */
void subscriber_proceed(struct subscriber *sub);

/* After output_end it is dropped. */
void output_append(struct output *o, enum output_stream stream, const uint8_t *data, size_t len);

/* The end is behind what was appended so far: each subscriber ends when it has taken all of its own. */
void output_end(struct output *o);

/* Ends all subscribers now, with copies of why. */
void output_abort(struct output *o, const struct err *why);
