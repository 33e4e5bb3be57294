/*
 * A visit: a job that watches a directory which has come, and what is below it, in steps; after each
 * the loop puts what was found into the tree.
 *
 *     item at the head ──▶ open, first step ──▶ apply ──▶ next step ──▶ ... ──▶ over
 *            ▲                                    │
 *            └─ it was renamed since the path of it was computed
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fs/watch_internal.h"
#include "fs/watch_walk.h"

#define FIRST_SLOTS 16u

struct watch_visit {
	struct job job;
	struct watches *watches; /* held */
	struct watcher *watcher; /* NULL: nobody is interested any more */
	struct watch_visit_item *item;
	/* The job's. */
	struct watch_walk walk;
	char *path;
	bool is_root, allows_network;
	int known_wd; /* if it is the one that is known, there is nothing more to do; -1: none is */
	bool is_open;
	char *real;   /* of the root */
	int rc;       /* of the last step */
	struct err e; /* of the root, with rc -1 */
	/* The loop's. */
	struct watch_dir **slots; /* by number: the directory; NULL: none, or gone */
	size_t n_slots, slots_cap, n_live;
	uint64_t n_moves; /* the tree's when the step began */
	uint64_t n_records;
	uint64_t step;
	bool is_first; /* the first step is not applied yet */
	bool is_over;
	bool is_in_flight;
};

/* ---------------------------------------------------------------- the job */

static int visit_open(struct watch_visit *v)
{
	if (!v->is_root)
		return watch_walk_open(&v->walk, v->path);
	return watch_walk_open_root(&v->walk, v->path, v->allows_network, &v->real, &v->e);
}

static void visit_work(struct job *job)
{
	struct watch_visit *v = CONTAINER_OF(job, struct watch_visit, job);

	if (!v->is_open) {
		v->rc = visit_open(v);
		v->is_open = v->rc >= 0;
		if (!v->is_open)
			return;
	}
	if (v->walk.top_wd == v->known_wd)
		watch_walk_deinit(&v->walk);
	else
		v->rc = watch_walk_step(&v->walk);
}

static void visit_free(struct watch_visit *v)
{
	struct watches *ws = v->watches;

	watch_walk_deinit(&v->walk);
	free(v->path);
	free(v->real);
	err_clear(&v->e);
	free(v->slots);
	free(v);
	owner_drop(&ws->owner);
}

static void visit_close_work(struct job *job)
{
	watch_walk_deinit(&CONTAINER_OF(job, struct watch_visit, job)->walk);
}

static void visit_close_done(struct job *job)
{
	visit_free(CONTAINER_OF(job, struct watch_visit, job));
}

/* Directories that are still open are closed on the pool. */
static void visit_dispose(struct watch_visit *v)
{
	if (watch_walk_is_over(&v->walk))
		visit_free(v);
	else
		job_start(v->watches->loop, &v->job, visit_close_work, visit_close_done);
}

/* ---------------------------------------------------------------- directories by number */

static void visit_set_slot(struct watch_visit *v, size_t number, struct watch_dir *dir)
{
	if (number >= v->slots_cap) {
		v->slots_cap = MAX(2 * v->slots_cap, FIRST_SLOTS);
		v->slots = xrealloc(v->slots, v->slots_cap * sizeof(struct watch_dir *));
	}
	ASSERT(number <= v->n_slots);
	v->n_slots = MAX(v->n_slots, number + 1);
	if (dir && dir->slot > 0) /* reached twice */
		watch_visit_on_drop(v, dir);
	v->slots[number] = dir;
	if (!dir)
		return;
	dir->slot = number + 1;
	v->n_live++;
}

void watch_visit_on_drop(struct watch_visit *v, struct watch_dir *dir)
{
	v->slots[dir->slot - 1] = NULL;
	dir->slot = 0;
	v->n_live--;
}

static void visit_leave_slots(struct watch_visit *v)
{
	for (size_t i = 0; i < v->n_slots; i++) {
		if (v->slots[i])
			watch_visit_on_drop(v, v->slots[i]);
	}
}

/* ---------------------------------------------------------------- what was found */

/* Watches that were added for nothing. */
static void visit_give_up_found(struct watch_visit *v)
{
	struct watch_marks *marks = &v->watches->marks;

	if (v->walk.top_wd >= 0 && v->is_first)
		watch_marks_add_unused(marks, v->walk.top_wd);
	for (size_t i = 0; i < v->walk.n_found; i++) {
		if (v->walk.found[i].kind == WATCH_FOUND_DIR)
			watch_marks_add_unused(marks, v->walk.found[i].wd);
	}
	v->walk.n_found = 0;
}

/* Its records from before the directory was in the tree have not been applied. */
static struct watch_dir *visit_place(struct watch_visit *v, struct watch_dir *parent,
                                     const char *name, int wd)
{
	struct watch_tree *tree = &v->watcher->tree;
	bool was_known = watch_tree_find(tree, watch_marks_find(tree->marks, wd));
	struct watch_dir *dir = watch_tree_place(tree, parent, name, wd, v->n_moves);

	if (dir && !was_known)
		dir->found = v->step;
	if (!dir)
		watch_marks_add_unused(tree->marks, wd);
	return dir;
}

/* In place of the visit. */
static void visit_tell(struct watch_visit *v, const struct watch_dir *parent, const char *name)
{
	struct watcher *w = v->watcher;
	struct list *at = w->at;

	w->at = &v->item->item.link;
	watcher_tell(w, WATCH_CREATE, parent, name);
	w->at = at;
}

static void visit_apply_one(struct watch_visit *v, const struct watch_found *f)
{
	struct watch_dir *parent = v->slots[f->parent], *dir = NULL;

	if (f->kind == WATCH_FOUND_LOST) {
		if (v->slots[f->number])
			watch_dir_lose(v->slots[f->number]);
		return;
	}
	if (parent && v->walk.tells_all)
		visit_tell(v, parent, f->name);
	if (f->kind == WATCH_FOUND_ENTRY)
		return;
	if (parent)
		dir = visit_place(v, parent, f->name, f->wd);
	else
		watch_marks_add_unused(&v->watches->marks, f->wd);
	visit_set_slot(v, f->number, dir);
}

static void visit_apply_found(struct watch_visit *v)
{
	for (size_t i = 0; i < v->walk.n_found; i++)
		visit_apply_one(v, &v->walk.found[i]);
	v->walk.n_found = 0;
}

/* Items stay in the order of their records. */
static void visit_before_record(struct watcher *w, uint64_t seq)
{
	while (w->at != &w->items && CONTAINER_OF(w->at, struct watch_item, link)->seq <= seq)
		w->at = w->at->next;
}

static void visit_replay(struct watch_visit *v)
{
	struct watcher *w = v->watcher;

	if (!watches_replay(v->watches, w, v->n_records, v->step, visit_before_record))
		watcher_overflow(w);
}

/* ---------------------------------------------------------------- the top */

/* The next one is of the same item, unless a later item is of the same directory. */
static void visit_again(struct watch_visit *v, struct watch_dir *dir)
{
	v->is_over = true;
	if (!dir || dir->visit)
		return;
	v->item->dir = dir;
	dir->visit = v->item;
}

/* There is nothing to watch. */
static void visit_apply_failure(struct watch_visit *v, struct watch_dir *dir)
{
	struct watcher *w = v->watcher;

	v->is_over = true;
	if (v->is_root && (w->state.now == WATCHER_ARMING || v->e.kind == ERR_INTERNAL))
		watcher_refuse(w, &v->e);
	else if (watch_walk_is_shortage(v->rc))
		watcher_fail(w, v->rc);
	else
		watch_dir_miss(dir);
}

/* One that is known, here or elsewhere, has been walked already. */
static void visit_apply_top(struct watch_visit *v, struct watch_dir *dir)
{
	struct watch_tree *tree = &v->watcher->tree;
	struct watch_mark *mark = watch_marks_find(tree->marks, v->walk.top_wd);
	bool is_known = watch_tree_find(tree, mark);
	struct watch_dir *placed = visit_place(v, dir->parent, dir->name, v->walk.top_wd);

	if (v->is_root && v->real) {
		free(v->watcher->real);
		v->watcher->real = TAKE_PTR(v->real);
	}
	v->is_over = !placed || (is_known && !v->is_root);
	if (!v->is_over)
		visit_set_slot(v, 0, placed);
}

/* Its path was true when the job looked, if it is still where it was. */
static void visit_apply_first(struct watch_visit *v)
{
	struct watch_dir *dir = v->slots[0];

	if (!dir || !watch_dir_has_path(dir))
		v->is_over = true; /* its arrival elsewhere will have an item of its own */
	else if (!watch_dir_stood_still(dir, v->n_moves))
		visit_again(v, dir);
	else if (!v->is_open)
		visit_apply_failure(v, dir);
	else
		visit_apply_top(v, dir);
	if (v->is_over)
		visit_give_up_found(v);
	v->is_first = false;
}

/* What is to be looked at because of it comes next, before who waits for it. */
static void visit_apply(struct watch_visit *v)
{
	struct watcher *w = v->watcher;

	w->at = v->item->item.link.next;
	if (v->is_first)
		visit_apply_first(v);
	if (!v->is_over) {
		visit_apply_found(v);
		visit_replay(v);
	}
	w->at = &w->items;
	if (v->is_over)
		return;
	if (v->rc < 0)
		watcher_fail(w, v->rc);
	v->is_over = v->n_live == 0 || watch_walk_is_over(&v->walk);
}

static void visit_done(struct job *job)
{
	struct watch_visit *v = CONTAINER_OF(job, struct watch_visit, job);
	struct watches *ws = v->watches;
	struct watcher *w = v->watcher;

	v->is_in_flight = false;
	inotify_read_queued(&ws->inotify);
	if (w && !watcher_error(w))
		visit_apply(v);
	visit_give_up_found(v);
	watches_end_step(ws);
	watches_tidy(ws);
	if (w)
		watcher_wake(w);
	if (w && v->is_over) {
		watcher_end_visit(w, v->item);
		watch_visit_end(v);
	} else if (!w) {
		visit_dispose(v);
	}
}

/* ---------------------------------------------------------------- for the watcher */

static char *visit_path(const struct watcher *w, const struct watch_dir *dir)
{
	char memory[2 * PATH_MAX];
	struct buf path;

	if (!dir->parent)
		return xstrdup(w->asked);
	buf_init_fixed(&path, memory, sizeof memory);
	buf_appendf(&path, "%s/", w->real);
	watch_dir_path(dir, "", &path);
	return xstrndup(memory, path.len); /* cut, it is too long for a system call too */
}

static struct watch_visit *visit_new(struct watcher *w, struct watch_visit_item *item)
{
	struct watch_visit *v = xcalloc(1, sizeof *v);
	struct watch_dir *dir = TAKE_PTR(item->dir);

	dir->visit = NULL;
	v->watches = w->watches;
	owner_hold(&v->watches->owner);
	v->watcher = w;
	v->item = item;
	v->is_root = !dir->parent;
	v->known_wd = dir->mark ? dir->mark->wd : -1;
	v->is_first = true;
	v->allows_network = w->allows_network;
	v->path = visit_path(w, dir);
	watch_walk_init(&v->walk, w->watches->inotify.fd, w->tree.is_recursive,
	                w->state.now != WATCHER_ARMING);
	visit_set_slot(v, 0, dir);
	return v;
}

static void visit_run(struct watch_visit *v)
{
	v->n_moves = v->watcher->tree.n_moves;
	v->n_records = v->watches->n_records;
	v->step = ++v->watches->n_steps;
	v->is_in_flight = true;
	job_start(v->watches->loop, &v->job, visit_work, visit_done);
}

static bool is_ready(const struct watcher *w, const struct watch_visit_item *item)
{
	return w->items.next == &item->item.link && item->dir && watch_dir_has_path(item->dir);
}

void watch_visit_start(struct watcher *w, struct watch_visit_item *item)
{
	watches_begin_step(w->watches);
	if (!is_ready(w, item)) { /* by what was just read */
		watches_end_step(w->watches);
		watcher_wake(w);
		return;
	}
	w->visit = visit_new(w, item);
	visit_run(w->visit);
}

void watch_visit_step(struct watch_visit *visit)
{
	watches_begin_step(visit->watches);
	visit_run(visit);
}

bool watch_visit_is_in_flight(const struct watch_visit *visit)
{
	return visit->is_in_flight;
}

struct list *watch_visit_link(struct watch_visit *visit)
{
	return &visit->item->item.link;
}

void watch_visit_end(struct watch_visit *visit)
{
	if (!visit)
		return;
	visit->watcher = NULL;
	visit_leave_slots(visit);
	if (visit->is_in_flight)
		job_cancel(&visit->job);
	else
		visit_dispose(visit);
}
