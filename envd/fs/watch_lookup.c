/*
 * Entries of events: a job looks up those of a batch, in their order, when the events before have been.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "fs/watch_internal.h"
#include "host/owners.h"
#include "host/path.h"

#define BATCH_MAX 128u /* events: some milliseconds, a page of names */

/* Bytes for an entry: usually, and if it has all metadata and the longest paths. */
#define ENTRY_USUAL 512u
#define ENTRY_MAX   16384u

/* What a batch of events refers to; room for what is usual behind the entries. */
struct watch_entries {
	size_t n_refs;
	struct arena memory;
	size_t n_bytes; /* of an entry, on average */
	struct entry entries[];
};

struct watch_lookup {
	struct job job;
	struct watches *watches; /* held */
	struct watcher *watcher; /* NULL: nobody is interested any more */
	struct owners owners;
	struct watch_entries *batch;
	size_t n_events; /* from the first on, with those that need no entry */
	size_t n;        /* entries */
	char *paths[BATCH_MAX];
	bool is_found[BATCH_MAX];
};

static struct watch_entries *entries_new(size_t n)
{
	size_t head = sizeof(struct watch_entries) + n * sizeof(struct entry);
	struct watch_entries *batch = xcalloc(1, head + n * ENTRY_USUAL);

	batch->n_refs = 1;
	batch->n_bytes = sizeof(struct entry) + ENTRY_USUAL;
	arena_init(&batch->memory, n * ENTRY_MAX, (char *)batch + head, n * ENTRY_USUAL);
	return batch;
}

void watch_entries_unref(struct watch_entries *batch)
{
	if (!batch || --batch->n_refs > 0)
		return;
	arena_deinit(&batch->memory);
	free(batch);
}

static void lookup_work(struct job *job)
{
	struct watch_lookup *l = CONTAINER_OF(job, struct watch_lookup, job);
	struct watch_entries *batch = l->batch;

	ASSERT(l->n > 0);
	for (size_t i = 0; i < l->n; i++)
		l->is_found[i] = entry_read(l->paths[i], &l->owners, &batch->memory,
		                            &batch->entries[i]) == 0;
	if (batch->memory.used > l->n * ENTRY_USUAL)
		batch->n_bytes = sizeof(struct entry) + batch->memory.used / l->n;
}

static void lookup_free(struct watch_lookup *l)
{
	struct watches *ws = l->watches;

	for (size_t i = 0; i < l->n; i++)
		free(l->paths[i]);
	owners_deinit(&l->owners);
	watch_entries_unref(l->batch);
	free(l);
	owner_drop(&ws->owner);
}

static void lookup_give(struct watch_lookup *l, struct watch_event *event, size_t i)
{
	event->is_looked_up = true;
	if (!l->is_found[i])
		return;
	event->entry = &l->batch->entries[i];
	event->batch = l->batch;
	l->batch->n_refs++;
	watcher_charge(l->watcher, l->batch->n_bytes);
	event->n_bytes += l->batch->n_bytes;
}

/* Items come and go only behind a batch. */
static void lookup_apply(struct watch_lookup *l)
{
	struct list *at = l->watcher->items.next;
	size_t n = 0;

	for (size_t i = 0; i < l->n_events; i++, at = at->next) {
		struct watch_event *event = CONTAINER_OF(at, struct watch_event, item.link);

		if (!event->is_looked_up)
			lookup_give(l, event, n++);
	}
	ASSERT(n == l->n);
}

static void lookup_done(struct job *job)
{
	struct watch_lookup *l = CONTAINER_OF(job, struct watch_lookup, job);
	struct watcher *w = l->watcher;

	if (w) {
		lookup_apply(l);
		w->lookup = NULL;
		watcher_wake(w);
	}
	lookup_free(l);
}

/* The watched directory itself is ".". */
static char *lookup_path(const struct watcher *w, const struct watch_event *event)
{
	return path_join(w->path, event->name);
}

void watch_lookup_start(struct watcher *w)
{
	struct watch_lookup *l = xcalloc(1, sizeof *l);
	struct watch_item *item;

	LIST_FOR_EACH(&w->items, item, struct watch_item, link) {
		const struct watch_event *event = CONTAINER_OF(item, struct watch_event, item);

		if (item->kind != WATCH_ITEM_EVENT || l->n_events == BATCH_MAX)
			break;
		l->n_events++;
		if (!event->is_looked_up)
			l->paths[l->n++] = lookup_path(w, event);
	}
	l->watches = w->watches;
	owner_hold(&l->watches->owner);
	l->watcher = w;
	l->owners.db = w->watches->users;
	l->batch = entries_new(l->n);
	w->lookup = l;
	job_start(w->watches->loop, &l->job, lookup_work, lookup_done);
}

size_t watch_lookup_n_events(const struct watch_lookup *lookup)
{
	return lookup->n_events;
}

void watch_lookup_end(struct watch_lookup *lookup)
{
	if (!lookup)
		return;
	lookup->watcher = NULL;
	job_cancel(&lookup->job);
}
