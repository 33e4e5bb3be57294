/*
 * Watchers: what happens in a directory, or in a whole tree, as a series of events.
 *
 *     kernel ──▶ one inotify descriptor ──▶ trees (watch_tree.h) ──▶ items of a watcher ──▶ ready
 *                (inotify.h)                applied as it is read    one after the other
 *
 * The loop thread reads the descriptor, applies each record to the trees it concerns, and gives what it
 * means its name there and then. What touches the file system is done by pool jobs, of which a watcher
 * has one at a time; what they are to do stands in its line of items, so that the order stays what the
 * kernel told:
 *
 *     event   has its name; if entries are wanted, a job looks up those of a batch (watch_lookup.c)
 *     visit   of a directory that has come: a job watches it and all below and tells what is there
 *             already, which comes out in this place (watch_visit.c)
 *     waiter  somebody wants to know when all before it is ready
 *
 * So a stuck file system delays its own watchers only, and an event is there at once after the system
 * call that caused it: watcher_settle reads what the kernel has queued by then.
 *
 * What a job finds may be older or newer than the records that were read. Before a result counts,
 * everything is read that the kernel has queued; a result is void if what led to it was renamed since
 * the job began; and records of watches that nobody knew yet are kept while jobs look (the log), and
 * applied when their directory is known.
 *
 * At a limit a watcher ends with the error that the reference has for a lost queue: what it missed is
 * not known, its client has to look for itself. Loop thread only. Source: filesystem.md 4.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/macros.h"
#include "fs/entry.h"
#include "fs/watch_tree.h"
#include "host/user.h"
#include "loop/loop.h"

#define WATCHERS_MAX 1024u

/* Items that one watcher may be behind: spec of the polling ones, and some 10 MiB without entries. */
#define WATCHER_EVENTS_MAX 65536u
#define WATCHER_BYTES_MAX  (16u * 1024u * 1024u)
#define WATCHES_BYTES_MAX  (64u * 1024u * 1024u) /* of all; then the one with the most ends */
/* A visit goes on while fewer are ready: a tree of any size comes as fast as its events are taken. */
#define WATCHER_EVENTS_LOW 8192u

/* Bytes of records that are kept for jobs in flight: some 25,000, more than a kernel's queue. */
#define WATCHES_LOG_MAX (1024u * 1024u)

/* Watches that are removed before others get their turn. Each queues a record, of 16,384 that the
 * kernel's queue holds. */
#define WATCHES_REMOVALS_PER_TURN 256u
/* Watches that nobody needs, but that are kept while jobs look, which may find them. */
#define WATCHES_UNUSED_MAX 4096u

#define WATCH_OVERFLOW_TEXT "fsnotify: queue or buffer overflow"

struct watches;
struct watcher;

/* All watchers of the daemon. users: borrowed, for the owners of entries. */
struct watches *watches_new(struct loop *loop, const struct user_db *users);
/* No watcher is left. Frees itself when the last job has ended. */
void watches_close(struct watches *ws);

struct watch_item {
	struct list link;
	enum { WATCH_ITEM_EVENT, WATCH_ITEM_VISIT, WATCH_ITEM_WAITER } kind;
	uint64_t seq; /* how many records had been read with the one it comes from */
};

struct watch_event {
	struct watch_item item;
	enum watch_change change;
	const struct entry *entry;   /* NULL: none was wanted, or it was gone */
	struct watch_entries *batch; /* what entry lives in */
	size_t n_bytes;              /* charged */
	bool is_looked_up;
	char name[]; /* in the watched directory; "." is that itself */
};

/* None of them runs inside a call of a function below. Each may free the watcher. */
struct watcher_ops {
	/* What is done in the directory from now on is reported. Once, the first. */
	void (*on_armed)(struct watcher *w);
	/* The last one. It could not be armed: codes and texts of filesystem.md 4.1; or "watcher error:
	 * ..." with ERR_INTERNAL. Events that were not taken are lost. */
	void (*on_failed)(struct watcher *w, const struct err *e);
	/* Events are ready; once after watcher_take had none. NULL: nobody is interested. */
	void (*on_ready)(struct watcher *w);
};

struct watcher_options {
	const char *path; /* absolute; copied */
	bool is_recursive;
	bool wants_entries;
	bool allows_network;
};

/*
 * returns  NULL with e: ERR_LIMIT at WATCHERS_MAX; ERR_INTERNAL "error creating watcher: ..." when the
 *          kernel has no descriptor for it. Otherwise on_armed or on_failed follows.
 */
struct watcher *watcher_new(struct watches *watches, const struct watcher_options *options,
                            const struct watcher_ops *ops, void *data, struct err *e) MUST_CHECK;
/* At any time, without a waiter. No callback follows; free(NULL) is nothing. */
void watcher_free(struct watcher *w);
void *watcher_data(const struct watcher *w);

/* Why it has failed; NULL: it has not. */
const struct err *watcher_error(const struct watcher *w);

/* The next event that is ready, to be freed; NULL: none is. */
struct watch_event *watcher_take(struct watcher *w);
size_t watcher_n_ready(const struct watcher *w);
void watch_event_free(struct watch_event *event);

/* Who waits for what has happened until now. on_settled may free the watcher. */
struct watcher_waiter {
	struct watch_item item;
	struct watcher *watcher; /* NULL: does not wait */
	bool is_settled;         /* on_settled is due */
	void (*on_settled)(struct watcher_waiter *waiter);
};

/*
 * on_settled follows, once, when all that happened before the call is ready or lost (watcher_error);
 * or when that is more than a tree tells before its events are taken (WATCHER_EVENTS_LOW).
 */
void watcher_settle(struct watcher *w, struct watcher_waiter *waiter);
void watcher_unsettle(struct watcher_waiter *waiter); /* no on_settled follows; may repeat */
