/*
 * What the parts of watching share; for watches.c, watcher.c, watch_visit.c and watch_lookup.c only.
 */
#pragma once

#include "base/state.h"
#include "fs/inotify.h"
#include "fs/watch.h"
#include "loop/job.h"
#include "loop/owner.h"

/* ---------------------------------------------------------------- watches.c */

struct watches {
	struct loop *loop;
	struct owner owner; /* jobs, which add watches to the descriptor, and its poll handle */
	const struct user_db *users;
	struct inotify inotify;
	bool is_open; /* the descriptor: from the first watcher on */
	struct watch_marks marks;
	struct task removals; /* of marks that nobody needs */
	struct list watchers;
	size_t n_watchers;
	size_t n_bytes;     /* of all watchers but those that are about to fail */
	uint64_t n_records; /* read so far */
	uint64_t current;   /* number of the one that is being applied */
	uint64_t n_steps;   /* of all visits */
	/* The log: what was read while visits were in flight. */
	unsigned n_visiting;
	struct list log; /* struct watch_log, oldest first */
	size_t log_bytes;
	uint64_t log_lost; /* number of the newest record that fell out of it */
};

/* The descriptor, for the first watcher; 0, or -1 with ERR_INTERNAL "error creating watcher: ...". */
int watches_open(struct watches *ws, struct err *e) MUST_CHECK;

/* A visit begins and ends a step: between, the log is kept. Begins with reading what is queued. */
void watches_begin_step(struct watches *ws);
void watches_end_step(struct watches *ws);

/*
 * Applies the records of the log after number from whose directory w found in that step.
 *
 * before   called with the number of each such record
 * returns  false: some of the log has been lost
 */
bool watches_replay(struct watches *ws, struct watcher *w, uint64_t from, uint64_t step,
                    void (*before)(struct watcher *w, uint64_t seq)) MUST_CHECK;

/* They hold too much: who holds the most is to blame, and not who has just got one event more. */
void watches_end_largest(struct watches *ws);

/* After anything that gave up a directory. */
void watches_tidy(struct watches *ws);

/* ---------------------------------------------------------------- watcher.c */

/*
 *     ARMING ──armed──▶ LIVE ──error──▶ FAILING ──on_failed──▶ FAILED
 *        └────────────error──────────────▶ ▲
 *
 * A watcher whose root is gone is LIVE, and silent. A FAILING one has given up all it had.
 */
enum watcher_state { WATCHER_ARMING, WATCHER_LIVE, WATCHER_FAILING, WATCHER_FAILED };

struct watcher {
	struct watches *watches;
	struct list link;
	struct state state;
	struct watch_tree tree;
	char *path;  /* as clients know it: clean */
	char *asked; /* as it was asked for */
	char *real;  /* without links; NULL until it is known */
	bool wants_entries;
	bool allows_network;
	const struct watcher_ops *ops;
	void *data;
	struct task advance;
	struct list items;           /* struct watch_item, in order */
	struct list *at;             /* new items come before this one */
	struct list ready;           /* struct watch_event */
	struct list settled;         /* struct watcher_waiter whose on_settled is due */
	struct watcher_waiter armed; /* our own, behind the first visit */
	size_t n_events;             /* items and ready ones; visits count too */
	size_t n_ready;
	size_t n_waiters; /* among the items */
	size_t n_bytes;
	struct err error;            /* it is about to fail, or has */
	struct watch_visit *visit;   /* from its first step to the last */
	struct watch_lookup *lookup; /* while its job is in flight */
	bool is_hungry;              /* on_ready when there is something */
};

struct watch_visit_item {
	struct watch_item item;
	struct watch_dir *dir; /* NULL: it is gone, or being visited */
};

/* Make it fail, in a later turn; the first reason counts. */
void watcher_refuse(struct watcher *w, struct err *e); /* e is moved away */
void watcher_fail(struct watcher *w, int error);       /* a negative errno */
void watcher_overflow(struct watcher *w);

/* An event of an entry of dir, or with name "" of dir, at the place of new items. */
void watcher_tell(struct watcher *w, enum watch_change change, const struct watch_dir *dir,
                  const char *name);

/* Bytes of its events; they are given back with those. */
void watcher_charge(struct watcher *w, size_t bytes);

/* The visit is over. The item, which is the first one, is done with unless it has a directory again. */
void watcher_end_visit(struct watcher *w, struct watch_visit_item *item);

/* Has something to do. */
void watcher_wake(struct watcher *w);

/* ---------------------------------------------------------------- watch_visit.c */

/* Of the item's directory, which is the item's no more: w->visit, with its first step in flight. */
void watch_visit_start(struct watcher *w, struct watch_visit_item *item);
void watch_visit_step(struct watch_visit *visit); /* the next one */
/* The watcher wants no more of it. It may be in flight. */
void watch_visit_end(struct watch_visit *visit);

bool watch_visit_is_in_flight(const struct watch_visit *visit);
struct list *watch_visit_link(struct watch_visit *visit); /* its item in the line */
void watch_visit_on_drop(struct watch_visit *visit, struct watch_dir *dir);

/* ---------------------------------------------------------------- watch_lookup.c */

/* Looks up the entries of the first events, as many as a batch has. */
void watch_lookup_start(struct watcher *w);
size_t watch_lookup_n_events(const struct watch_lookup *lookup);
/* The watcher wants no more of it. */
void watch_lookup_end(struct watch_lookup *lookup);

void watch_entries_unref(struct watch_entries *batch);
