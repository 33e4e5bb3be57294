#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fs/watch_internal.h"
#include "host/path.h"

static const struct state_rule watcher_rules[] = {
	[WATCHER_ARMING] = { "arming", BIT(WATCHER_LIVE) | BIT(WATCHER_FAILING) },
	[WATCHER_LIVE] = { "live", BIT(WATCHER_FAILING) },
	[WATCHER_FAILING] = { "failing", BIT(WATCHER_FAILED) },
	[WATCHER_FAILED] = { "failed", 0 },
};

/* ---------------------------------------------------------------- items */

static bool watcher_is_failing(const struct watcher *w)
{
	return w->error.kind != ERR_NONE;
}

void watcher_charge(struct watcher *w, size_t bytes)
{
	w->n_bytes += bytes;
	if (!watcher_is_failing(w))
		w->watches->n_bytes += bytes;
}

static void watcher_discharge(struct watcher *w, size_t bytes)
{
	w->n_bytes -= bytes;
	if (!watcher_is_failing(w))
		w->watches->n_bytes -= bytes;
}

static void watcher_check_limits(struct watcher *w)
{
	if (w->n_events > WATCHER_EVENTS_MAX || w->n_bytes > WATCHER_BYTES_MAX)
		watcher_overflow(w);
	if (w->watches->n_bytes > WATCHES_BYTES_MAX)
		watches_end_largest(w->watches);
}

static void watcher_add_item(struct watcher *w, struct watch_item *item)
{
	item->seq = w->watches->current;
	list_insert_before(w->at, &item->link);
	watcher_wake(w);
}

void watcher_tell(struct watcher *w, enum watch_change change, const struct watch_dir *dir,
                  const char *name)
{
	char memory[PATH_MAX];
	struct buf path;
	struct watch_event *event;

	if (watcher_is_failing(w))
		return;
	buf_init_fixed(&path, memory, sizeof memory);
	watch_dir_path(dir, name, &path);
	if (buf_error(&path)) /* no system call takes it */
		return;
	event = xmalloc(sizeof *event + path.len + 1);
	*event = (struct watch_event){
		.item.kind = WATCH_ITEM_EVENT,
		.change = change,
		.n_bytes = sizeof *event + path.len + 1,
		.is_looked_up =
			!w->wants_entries || change == WATCH_REMOVE || change == WATCH_RENAME,
	};
	memcpy(event->name, path.data, path.len);
	event->name[path.len] = '\0';
	watcher_add_item(w, &event->item);
	w->n_events++;
	watcher_charge(w, event->n_bytes);
	watcher_check_limits(w);
}

void watch_event_free(struct watch_event *event)
{
	if (!event)
		return;
	watch_entries_unref(event->batch);
	free(event);
}

static void watcher_drop_event(struct watcher *w, struct watch_event *event)
{
	list_remove(&event->item.link);
	w->n_events--;
	watcher_discharge(w, event->n_bytes);
}

static void watcher_discard_event(struct watcher *w, struct watch_event *event)
{
	watcher_drop_event(w, event);
	watch_event_free(event);
}

/* One that is no longer in the line. */
static void watcher_free_visit(struct watcher *w, struct watch_visit_item *item)
{
	if (item->dir)
		item->dir->visit = NULL;
	w->n_events--;
	free(item);
}

/* ---------------------------------------------------------------- what the tree tells */

static struct watcher *watcher_of(struct watch_tree *tree)
{
	return CONTAINER_OF(tree, struct watcher, tree);
}

static void watcher_on_change(struct watch_tree *tree, enum watch_change change,
                              const struct watch_dir *dir, const char *name)
{
	watcher_tell(watcher_of(tree), change, dir, name);
}

/* What it held is told where it arrived last. */
static void watcher_on_arrival(struct watch_tree *tree, struct watch_dir *dir)
{
	struct watcher *w = watcher_of(tree);
	struct watch_visit_item *item = dir->visit;

	if (watcher_is_failing(w))
		return;
	if (item) {
		if (w->at == &item->item.link)
			w->at = item->item.link.next;
		list_remove(&item->item.link);
	} else {
		item = xcalloc(1, sizeof *item);
		item->item.kind = WATCH_ITEM_VISIT;
		item->dir = dir;
		dir->visit = item;
		w->n_events++;
	}
	watcher_add_item(w, &item->item);
	watcher_check_limits(w);
}

/* Before anybody who waits, and behind what is being done. */
static struct list *watcher_soonest(struct watcher *w)
{
	struct list *at = w->items.next;

	if (w->visit)
		return watch_visit_link(w->visit)->next;
	for (size_t n = w->lookup ? watch_lookup_n_events(w->lookup) : 0; n > 0; n--)
		at = at->next;
	return at;
}

static void watcher_on_lost(struct watch_tree *tree, struct watch_dir *dir)
{
	struct watcher *w = watcher_of(tree);
	struct watch_visit_item *item = dir->visit;
	struct list *at = w->at;

	if (item && at == &item->item.link) /* it will be moved */
		at = at->next;
	w->at = watcher_soonest(w);
	watcher_on_arrival(tree, dir);
	w->at = at;
}

static void watcher_on_drop(struct watch_tree *tree, struct watch_dir *dir)
{
	struct watcher *w = watcher_of(tree);
	struct watch_visit_item *item = dir->visit;

	if (item)
		item->dir = NULL;
	if (dir->slot > 0)
		watch_visit_on_drop(w->visit, dir);
}

static void watcher_on_full(struct watch_tree *tree)
{
	watcher_fail(watcher_of(tree), -ENOSPC);
}

static const struct watch_tree_ops watcher_tree_ops = {
	watcher_on_change, watcher_on_arrival, watcher_on_lost, watcher_on_drop, watcher_on_full,
};

/* ---------------------------------------------------------------- the line of items */

static void watcher_make_ready(struct watcher *w, struct watch_event *event)
{
	list_remove(&event->item.link);
	list_append(&w->ready, &event->item.link);
	w->n_ready++;
}

static void watcher_make_settled(struct watcher *w, struct watch_item *item)
{
	w->n_waiters--;
	CONTAINER_OF(item, struct watcher_waiter, item)->is_settled = true;
	list_remove(&item->link);
	list_append(&w->settled, &item->link);
}

static void watcher_release_waiters(struct watcher *w)
{
	struct watch_item *item;

	if (w->n_waiters == 0)
		return;
	LIST_FOR_EACH(&w->items, item, struct watch_item, link) {
		if (item->kind == WATCH_ITEM_WAITER)
			watcher_make_settled(w, item);
	}
}

/* Unless it is to wait until ready events have been taken. */
static void watcher_go_on_visiting(struct watcher *w)
{
	if (w->n_ready < WATCHER_EVENTS_LOW)
		watch_visit_step(w->visit);
	else
		watcher_release_waiters(w);
}

/* Returns whether it is done with: of a directory that is gone, or that nobody knows the path of. When
 * that arrives, it will be asked for again. */
static bool watcher_visit(struct watcher *w, struct watch_visit_item *item)
{
	if (w->visit) {
		watcher_go_on_visiting(w);
		return false;
	}
	if (item->dir && watch_dir_has_path(item->dir)) {
		watch_visit_start(w, item);
		return false;
	}
	list_remove(&item->item.link);
	watcher_free_visit(w, item);
	return true;
}

void watcher_end_visit(struct watcher *w, struct watch_visit_item *item)
{
	w->visit = NULL;
	if (item->dir) /* once more */
		return;
	list_remove(&item->item.link);
	watcher_free_visit(w, item);
}

/* Returns whether the item, the first one, is done with. */
static bool watcher_process(struct watcher *w, struct watch_item *item)
{
	switch (item->kind) {
	case WATCH_ITEM_EVENT:
		if (CONTAINER_OF(item, struct watch_event, item)->is_looked_up) {
			watcher_make_ready(w, CONTAINER_OF(item, struct watch_event, item));
			return true;
		}
		watch_lookup_start(w);
		return false;
	case WATCH_ITEM_VISIT:
		return watcher_visit(w, CONTAINER_OF(item, struct watch_visit_item, item));
	case WATCH_ITEM_WAITER:
		if (item == &w->armed.item)
			state_move(&w->state, WATCHER_LIVE);
		watcher_make_settled(w, item);
		return true;
	}
	return false;
}

static void watcher_discard(struct watcher *w, struct list *items)
{
	struct watch_item *item;

	LIST_FOR_EACH(items, item, struct watch_item, link) {
		list_remove(&item->link);
		if (item->kind == WATCH_ITEM_VISIT)
			watcher_free_visit(w, CONTAINER_OF(item, struct watch_visit_item, item));
		else
			watcher_discard_event(w, CONTAINER_OF(item, struct watch_event, item));
	}
}

/* All but who waits from outside, who is to hear of it. */
static void watcher_drop_all(struct watcher *w)
{
	watcher_unsettle(&w->armed);
	watch_visit_end(TAKE_PTR(w->visit));
	watch_lookup_end(TAKE_PTR(w->lookup));
	watch_tree_deinit(&w->tree);
	watcher_release_waiters(w);
	watcher_discard(w, &w->items);
	watcher_discard(w, &w->ready);
	w->n_ready = 0;
	watches_tidy(w->watches);
}

static bool watcher_is_working(const struct watcher *w)
{
	return w->lookup || (w->visit && watch_visit_is_in_flight(w->visit));
}

static void watcher_advance(struct watcher *w)
{
	struct watch_item *item;

	if (w->state.now >= WATCHER_FAILING)
		return;
	if (watcher_is_failing(w)) {
		watcher_drop_all(w);
		state_move(&w->state, WATCHER_FAILING);
		return;
	}
	LIST_FOR_EACH(&w->items, item, struct watch_item, link) {
		if (watcher_is_working(w) || !watcher_process(w, item))
			return;
	}
}

/* One callback, which may free the watcher: a last statement. */
static void watcher_call_out(struct watcher *w)
{
	struct list *settled;

	if (w->state.now == WATCHER_FAILING) {
		state_move(&w->state, WATCHER_FAILED);
		watcher_wake(w);
		w->ops->on_failed(w, &w->error);
		return;
	}
	settled = list_take_first(&w->settled);
	if (settled) {
		struct watcher_waiter *waiter =
			CONTAINER_OF(settled, struct watcher_waiter, item.link);

		waiter->watcher = NULL;
		watcher_wake(w);
		waiter->on_settled(waiter);
		return;
	}
	if (w->is_hungry && w->n_ready > 0 && w->ops->on_ready) {
		w->is_hungry = false;
		w->ops->on_ready(w);
	}
}

static void watcher_on_armed(struct watcher_waiter *waiter)
{
	struct watcher *w = CONTAINER_OF(waiter, struct watcher, armed);

	w->ops->on_armed(w);
}

static void watcher_on_advance(struct task *task)
{
	struct watcher *w = CONTAINER_OF(task, struct watcher, advance);

	watcher_advance(w);
	watcher_call_out(w);
}

void watcher_wake(struct watcher *w)
{
	loop_defer(w->watches->loop, &w->advance);
}

/* ---------------------------------------------------------------- failures */

/* The first reason counts; it takes effect when nothing of the tree is on the stack. */
void watcher_refuse(struct watcher *w, struct err *e)
{
	if (watcher_is_failing(w)) {
		err_clear(e);
		return;
	}
	w->watches->n_bytes -= w->n_bytes;
	err_move(&w->error, e);
	watcher_wake(w);
}

static void watcher_fail_with(struct watcher *w, const char *text)
{
	struct err e = { 0 };

	if (w->state.now == WATCHER_ARMING)
		(void)err_set(&e, ERR_INTERNAL, "error adding path %s to watcher: %s", w->asked,
		              text);
	else
		(void)err_set(&e, ERR_INTERNAL, "watcher error: %s", text);
	watcher_refuse(w, &e);
}

void watcher_fail(struct watcher *w, int error)
{
	watcher_fail_with(w, errno_text(-error));
}

void watcher_overflow(struct watcher *w)
{
	watcher_fail_with(w, WATCH_OVERFLOW_TEXT);
}

/* ---------------------------------------------------------------- what users call */

/* Behind all that is in the line. */
static void watcher_wait(struct watcher *w, struct watcher_waiter *waiter)
{
	ASSERT(!waiter->watcher);
	waiter->watcher = w;
	waiter->is_settled = false;
	waiter->item.kind = WATCH_ITEM_WAITER;
	w->n_waiters++;
	watcher_add_item(w, &waiter->item);
	waiter->item.seq++; /* behind all of that record */
}

struct watcher *watcher_new(struct watches *watches, const struct watcher_options *options,
                            const struct watcher_ops *ops, void *data, struct err *e)
{
	static uint64_t n_made;
	struct watcher *w;

	if (watches->n_watchers >= WATCHERS_MAX) {
		(void)err_set(e, ERR_LIMIT, "error creating watcher: too many watchers");
		return NULL;
	}
	if (watches_open(watches, e) < 0)
		return NULL;
	w = xcalloc(1, sizeof *w);
	w->watches = watches;
	state_init(&w->state, watcher_rules, ARRAY_SIZE(watcher_rules), WATCHER_ARMING, "watcher",
	           ++n_made);
	w->asked = xstrdup(options->path);
	w->path = path_clean(options->path);
	w->wants_entries = options->wants_entries;
	w->allows_network = options->allows_network;
	w->ops = ops;
	w->data = data;
	w->advance.run = watcher_on_advance;
	w->is_hungry = true;
	list_init(&w->items);
	list_init(&w->ready);
	list_init(&w->settled);
	w->at = &w->items;
	list_append(&watches->watchers, &w->link);
	watches->n_watchers++;
	watch_tree_init(&w->tree, &watches->marks, options->is_recursive, &watcher_tree_ops);
	if (w->tree.root)
		watcher_on_arrival(&w->tree, w->tree.root);
	w->armed.on_settled = watcher_on_armed;
	watcher_wait(w, &w->armed);
	return w;
}

void watcher_free(struct watcher *w)
{
	if (!w)
		return;
	watcher_drop_all(w);
	ASSERT(list_is_empty(&w->settled));
	ASSERT(w->n_events == 0 && w->n_bytes == 0);
	loop_undefer(&w->advance);
	list_remove(&w->link);
	w->watches->n_watchers--;
	free(w->asked);
	free(w->path);
	free(w->real);
	err_clear(&w->error);
	free(w);
}

void *watcher_data(const struct watcher *w)
{
	return w->data;
}

const struct err *watcher_error(const struct watcher *w)
{
	return watcher_is_failing(w) ? &w->error : NULL;
}

size_t watcher_n_ready(const struct watcher *w)
{
	return w->n_ready;
}

struct watch_event *watcher_take(struct watcher *w)
{
	struct watch_event *event = LIST_FIRST(&w->ready, struct watch_event, item.link);

	if (!event) {
		w->is_hungry = true;
		return NULL;
	}
	watcher_drop_event(w, event);
	w->n_ready--;
	if (w->n_ready == WATCHER_EVENTS_LOW - 1) /* a visit may have waited for that */
		watcher_wake(w);
	return event;
}

void watcher_settle(struct watcher *w, struct watcher_waiter *waiter)
{
	inotify_read_queued(&w->watches->inotify);
	watcher_wait(w, waiter);
	if (w->state.now >= WATCHER_FAILING)
		watcher_make_settled(w, &waiter->item);
}

void watcher_unsettle(struct watcher_waiter *waiter)
{
	struct watcher *w = TAKE_PTR(waiter->watcher);

	if (!w)
		return;
	w->n_waiters -= !waiter->is_settled;
	list_remove(&waiter->item.link);
}
