#include "fs/watch_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>

#include "base/mem.h"

/* What one read returned. */
struct watch_log {
	struct list link;
	uint64_t first; /* number of its first record */
	uint64_t last;
	size_t len;
	char bytes[];
};

/* ---------------------------------------------------------------- the log */

static void log_drop_first(struct watches *ws)
{
	struct watch_log *log = CONTAINER_OF(list_take_first(&ws->log), struct watch_log, link);

	ws->log_bytes -= log->len;
	ws->log_lost = log->last;
	free(log);
}

/* Returns it for its last record's number, when that is known. */
static struct watch_log *log_append(struct watches *ws, struct span bytes)
{
	struct watch_log *log = xmalloc(sizeof *log + bytes.len);

	*log = (struct watch_log){ .first = ws->n_records + 1, .len = bytes.len };
	memcpy(log->bytes, bytes.at, bytes.len);
	list_append(&ws->log, &log->link);
	ws->log_bytes += bytes.len;
	return log;
}

static void log_clear(struct watches *ws)
{
	while (!list_is_empty(&ws->log))
		log_drop_first(ws);
}

static void replay_record(struct watches *ws, struct watcher *w, const struct inotify_record *r,
                          uint64_t step)
{
	struct watch_mark *mark = watch_marks_find(&ws->marks, r->wd);
	struct watch_dir *dir = watch_tree_find(&w->tree, mark);

	if (dir && dir->found == step)
		watch_dir_apply(dir, r);
}

bool watches_replay(struct watches *ws, struct watcher *w, uint64_t from, uint64_t step,
                    void (*before)(struct watcher *w, uint64_t seq))
{
	struct watch_log *log;

	LIST_FOR_EACH(&ws->log, log, struct watch_log, link) {
		struct span bytes = { log->bytes, log->len };
		struct inotify_record r;

		if (log->last <= from)
			continue;
		for (uint64_t seq = log->first; inotify_next(&bytes, &r); seq++) {
			if (seq <= from)
				continue;
			ws->current = seq;
			before(w, seq);
			replay_record(ws, w, &r, step);
		}
	}
	ws->current = ws->n_records;
	return from >= ws->log_lost;
}

void watches_begin_step(struct watches *ws)
{
	inotify_read_queued(&ws->inotify);
	ws->n_visiting++;
}

void watches_end_step(struct watches *ws)
{
	ASSERT(ws->n_visiting > 0);
	if (--ws->n_visiting == 0)
		log_clear(ws);
}

/* ---------------------------------------------------------------- who is to blame */

void watches_end_largest(struct watches *ws)
{
	struct watcher *largest = NULL, *w;

	LIST_FOR_EACH(&ws->watchers, w, struct watcher, link) {
		if (!watcher_error(w) && (!largest || w->n_bytes > largest->n_bytes))
			largest = w;
	}
	watcher_overflow(largest);
}

/* ---------------------------------------------------------------- records */

static void watches_on_overflow(struct watches *ws)
{
	struct watcher *w;

	LIST_FOR_EACH(&ws->watchers, w, struct watcher, link) {
		if (w->tree.root)
			watcher_overflow(w);
	}
}

/* Each of the mark's directories is in a tree of its own, so applying to one leaves the others. */
static void watches_apply(struct watches *ws, const struct inotify_record *r)
{
	struct watch_mark *mark;
	struct watch_dir *dir;

	if (r->mask & IN_Q_OVERFLOW)
		watches_on_overflow(ws);
	mark = watch_marks_find(&ws->marks, r->wd);
	if (!mark)
		return;
	LIST_FOR_EACH(&mark->dirs, dir, struct watch_dir, in_mark)
		watch_dir_apply(dir, r);
	if (r->mask & IN_IGNORED)
		watch_mark_free(&ws->marks, mark);
}

static void watches_on_bytes(struct inotify *in, struct span bytes)
{
	struct watches *ws = CONTAINER_OF(in, struct watches, inotify);
	struct watch_log *log = ws->n_visiting > 0 ? log_append(ws, bytes) : NULL;
	struct inotify_record r;

	while (inotify_next(&bytes, &r)) {
		ws->current = ++ws->n_records;
		watches_apply(ws, &r);
	}
	if (log)
		log->last = ws->n_records;
	while (ws->log_bytes > WATCHES_LOG_MAX)
		log_drop_first(ws);
	watches_tidy(ws);
}

/* ---------------------------------------------------------------- marks that nobody needs */

/* What one watcher gives up another may be about to find. */
static bool watches_can_remove(const struct watches *ws)
{
	return ws->marks.n_unused > (ws->n_visiting > 0 ? WATCHES_UNUSED_MAX : 0);
}

static void watches_on_removals(struct task *task)
{
	struct watches *ws = CONTAINER_OF(task, struct watches, removals);

	for (unsigned i = 0; i < WATCHES_REMOVALS_PER_TURN && watches_can_remove(ws); i++) {
		struct watch_mark *mark = LIST_FIRST(&ws->marks.unused, struct watch_mark, unused);

		inotify_remove(&ws->inotify, mark->wd);
		watch_mark_free(&ws->marks, mark);
	}
	watches_tidy(ws);
}

void watches_tidy(struct watches *ws)
{
	if (watches_can_remove(ws))
		loop_defer(ws->loop, &ws->removals);
}

/* ---------------------------------------------------------------- its own life */

static void watches_on_closed(struct owner *owner)
{
	struct watches *ws = CONTAINER_OF(owner, struct watches, owner);

	loop_undefer(&ws->removals);
	log_clear(ws);
	watch_marks_deinit(&ws->marks);
	if (ws->is_open)
		inotify_deinit(&ws->inotify);
	free(ws);
}

struct watches *watches_new(struct loop *loop, const struct user_db *users)
{
	struct watches *ws = xcalloc(1, sizeof *ws);

	ws->loop = loop;
	ws->users = users;
	owner_init(&ws->owner, watches_on_closed);
	watch_marks_init(&ws->marks);
	list_init(&ws->watchers);
	list_init(&ws->log);
	ws->removals.run = watches_on_removals;
	return ws;
}

void watches_close(struct watches *ws)
{
	ASSERT(list_is_empty(&ws->watchers));
	if (ws->is_open)
		inotify_close(&ws->inotify);
	owner_close(&ws->owner);
}

int watches_open(struct watches *ws, struct err *e)
{
	int rc;

	if (ws->is_open)
		return 0;
	rc = inotify_open(&ws->inotify, ws->loop, &ws->owner, watches_on_bytes);
	if (rc < 0)
		return err_set(e, ERR_INTERNAL, "error creating watcher: %s", errno_text(-rc));
	ws->is_open = true;
	return 0;
}
