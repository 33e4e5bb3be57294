#include "fs/watch_tree.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>

#include "base/mem.h"

/* ---------------------------------------------------------------- marks */

static int compare_wds(const void *a, const void *b)
{
	const struct watch_mark *left = a, *right = b;

	return (left->wd > right->wd) - (left->wd < right->wd);
}

void watch_marks_init(struct watch_marks *marks)
{
	*marks = (struct watch_marks){ 0 };
	list_init(&marks->unused);
}

void watch_marks_deinit(struct watch_marks *marks)
{
	struct watch_mark *mark;

	ASSERT(marks->n_dirs == 0);
	while ((mark = LIST_FIRST(&marks->unused, struct watch_mark, unused)))
		watch_mark_free(marks, mark);
	ASSERT(!marks->by_wd);
}

struct watch_mark *watch_marks_find(const struct watch_marks *marks, int wd)
{
	struct watch_mark key = { .wd = wd };
	void *const *found = tfind(&key, &marks->by_wd, compare_wds);

	return found ? *found : NULL;
}

static struct watch_mark *marks_get(struct watch_marks *marks, int wd)
{
	struct watch_mark *mark = watch_marks_find(marks, wd);

	if (mark)
		return mark;
	mark = xcalloc(1, sizeof *mark);
	mark->wd = wd;
	list_init(&mark->dirs);
	ASSERT(tsearch(mark, &marks->by_wd, compare_wds)); /* or out of memory */
	return mark;
}

void watch_marks_add_unused(struct watch_marks *marks, int wd)
{
	struct watch_mark *mark = marks_get(marks, wd);

	if (!list_is_empty(&mark->dirs) || list_is_linked(&mark->unused))
		return;
	list_append(&marks->unused, &mark->unused);
	marks->n_unused++;
}

static void mark_take(struct watch_marks *marks, struct watch_mark *mark)
{
	if (list_is_linked(&mark->unused))
		marks->n_unused--;
	list_remove(&mark->unused);
}

void watch_mark_free(struct watch_marks *marks, struct watch_mark *mark)
{
	ASSERT(list_is_empty(&mark->dirs));
	mark_take(marks, mark);
	tdelete(mark, &marks->by_wd, compare_wds);
	free(mark);
}

static bool is_unseen(const struct watch_dir *dir)
{
	return dir->state != WATCH_DIR_WATCHED && dir->state != WATCH_DIR_LEAVING;
}

static void dir_set_state(struct watch_dir *dir, enum watch_dir_state state)
{
	dir->state = state;
	if (!is_unseen(dir))
		list_remove(&dir->unseen);
	else if (!list_is_linked(&dir->unseen))
		list_append(&dir->tree->unseen, &dir->unseen);
}

static void dir_unmark(struct watch_dir *dir)
{
	struct watch_mark *mark = TAKE_PTR(dir->mark);

	if (!mark)
		return;
	list_remove(&dir->in_mark);
	watch_marks_add_unused(dir->tree->marks, mark->wd);
}

struct watch_dir *watch_tree_find(const struct watch_tree *tree, const struct watch_mark *mark)
{
	struct watch_dir *dir;

	if (!mark)
		return NULL;
	LIST_FOR_EACH(&mark->dirs, dir, struct watch_dir, in_mark) {
		if (dir->tree == tree)
			return dir;
	}
	return NULL;
}

/* ---------------------------------------------------------------- places */

static int compare_names(const void *a, const void *b)
{
	const struct watch_dir *left = a, *right = b;

	return strcmp(left->name, right->name);
}

struct watch_dir *watch_dir_child(const struct watch_dir *dir, const char *name)
{
	struct watch_dir key = { .name = (char *)name };
	void *const *found = tfind(&key, &dir->by_name, compare_names);

	return found ? *found : NULL;
}

static bool is_within(const struct watch_dir *dir, const struct watch_dir *top)
{
	while (dir && dir != top)
		dir = dir->parent;
	return dir;
}

/* The place must be free. */
static void dir_attach(struct watch_dir *dir, struct watch_dir *parent, const char *name)
{
	char *copy = xstrdup(name);

	free(dir->name);
	dir->name = copy;
	dir->parent = parent;
	dir->moved = ++dir->tree->n_moves;
	list_append(&parent->children, &dir->sibling);
	ASSERT(tsearch(dir, &parent->by_name, compare_names)); /* or out of memory */
}

/* Its place is free for another; it is still below its parent. */
static void dir_vacate(struct watch_dir *dir)
{
	if (dir->parent && dir->state != WATCH_DIR_LEAVING)
		tdelete(dir, &dir->parent->by_name, compare_names);
	list_remove(&dir->leaving);
}

static void dir_detach(struct watch_dir *dir)
{
	dir_vacate(dir);
	list_remove(&dir->sibling);
}

/* NULL: there are too many. */
static struct watch_dir *dir_new(struct watch_tree *tree)
{
	struct watch_dir *dir;

	if (tree->marks->n_dirs >= WATCH_DIRS_MAX) {
		tree->ops->on_full(tree);
		return NULL;
	}
	tree->marks->n_dirs++;
	dir = xcalloc(1, sizeof *dir);
	dir->tree = tree;
	dir_set_state(dir, WATCH_DIR_EXPECTED);
	list_init(&dir->children);
	return dir;
}

static struct watch_dir *dir_add(struct watch_dir *parent, const char *name)
{
	struct watch_dir *dir = dir_new(parent->tree);

	if (dir)
		dir_attach(dir, parent, name);
	return dir;
}

/* One without children. */
static void dir_free(struct watch_dir *dir)
{
	struct watch_tree *tree = dir->tree;

	tree->ops->on_drop(tree, dir);
	dir_detach(dir);
	dir_unmark(dir);
	tree->marks->n_dirs--;
	list_remove(&dir->unseen);
	if (tree->root == dir)
		tree->root = NULL;
	free(dir->name);
	free(dir);
}

void watch_dir_drop(struct watch_dir *dir)
{
	struct watch_dir *at = dir;

	for (;;) {
		struct watch_dir *child = LIST_FIRST(&at->children, struct watch_dir, sibling);
		struct watch_dir *parent = at->parent;

		if (child) {
			at = child;
			continue;
		}
		dir_free(at);
		if (at == dir)
			return;
		at = parent;
	}
}

void watch_tree_init(struct watch_tree *tree, struct watch_marks *marks, bool is_recursive,
                     const struct watch_tree_ops *ops)
{
	*tree = (struct watch_tree){ .ops = ops, .marks = marks, .is_recursive = is_recursive };
	list_init(&tree->leaving);
	list_init(&tree->unseen);
	tree->root = dir_new(tree);
	if (tree->root)
		tree->root->name = xstrdup("");
}

void watch_tree_deinit(struct watch_tree *tree)
{
	if (tree->root)
		watch_dir_drop(tree->root);
}

/* What is to be looked at below it may have been looked for where it was before. Most directories are
 * not to be looked at: a rename must not take as long as there are directories below. */
static void dir_ask_again(const struct watch_dir *top)
{
	struct watch_dir *dir;

	LIST_FOR_EACH(&top->tree->unseen, dir, struct watch_dir, unseen) {
		if (dir != top && is_within(dir, top))
			dir->tree->ops->on_arrival(dir->tree, dir);
	}
}

/* One that is watched gets a place, whoever had it. That one may hold dir, which must not go with it. */
static void dir_move(struct watch_dir *dir, struct watch_dir *parent, const char *name)
{
	struct watch_dir *there = watch_dir_child(parent, name);

	if (there)
		dir_detach(there);
	dir_detach(dir);
	dir_attach(dir, parent, name);
	dir_set_state(dir, WATCH_DIR_SUSPECT);
	if (there) {
		there->parent = NULL;
		watch_dir_drop(there);
	}
	dir_ask_again(dir);
}

/* The directory that it stood for is gone, and all that is known of what was below. */
static void dir_clear(struct watch_dir *dir)
{
	while (!list_is_empty(&dir->children))
		watch_dir_drop(LIST_FIRST(&dir->children, struct watch_dir, sibling));
	dir_unmark(dir);
	dir_set_state(dir, WATCH_DIR_EXPECTED);
}

static void dir_mark(struct watch_dir *dir, int wd)
{
	if (dir->mark) /* another */
		dir_clear(dir);
	dir->mark = marks_get(dir->tree->marks, wd);
	mark_take(dir->tree->marks, dir->mark);
	list_append(&dir->mark->dirs, &dir->in_mark);
	dir_set_state(dir, WATCH_DIR_WATCHED);
}

bool watch_dir_stood_still(const struct watch_dir *dir, uint64_t n_moves)
{
	for (; dir; dir = dir->parent) {
		if (dir->moved > n_moves)
			return false;
	}
	return true;
}

bool watch_dir_has_path(const struct watch_dir *dir)
{
	while (dir && dir->state != WATCH_DIR_LEAVING)
		dir = dir->parent;
	return !dir;
}

/* ---------------------------------------------------------------- paths */

static size_t path_len(const struct watch_dir *dir)
{
	size_t len = 0;

	for (; dir->parent; dir = dir->parent)
		len += strlen(dir->name) + 1;
	return len;
}

void watch_dir_path(const struct watch_dir *dir, const char *name, struct buf *out)
{
	size_t len = path_len(dir);
	char *at = (char *)buf_extend(out, len);

	if (!at)
		return;
	for (at += len; dir->parent; dir = dir->parent) {
		*--at = '/';
		at -= strlen(dir->name);
		memcpy(at, dir->name, strlen(dir->name));
	}
	if (*name)
		buf_append_text(out, name);
	else if (len > 0)
		buf_truncate(out, out->len - 1);
	else
		buf_append_text(out, ".");
}

/* ---------------------------------------------------------------- records */

static const struct {
	uint32_t mask;
	enum watch_change change;
} changes[] = {
	{ IN_CREATE | IN_MOVED_TO, WATCH_CREATE },
	{ IN_MOVED_FROM | IN_MOVE_SELF, WATCH_RENAME },
	{ IN_ATTRIB, WATCH_CHMOD },
	{ IN_MODIFY, WATCH_WRITE },
	{ IN_DELETE | IN_DELETE_SELF, WATCH_REMOVE },
};

static void tell(const struct watch_dir *dir, const char *name, uint32_t mask)
{
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		if (mask & changes[i].mask)
			dir->tree->ops->on_change(dir->tree, changes[i].change, dir, name);
	}
}

/* One without a watch cannot say that it has moved: what was to come there does not. */
static void dir_leave(struct watch_dir *dir, uint32_t cookie)
{
	if (!dir->mark) {
		watch_dir_drop(dir);
		return;
	}
	dir_vacate(dir);
	dir_set_state(dir, WATCH_DIR_LEAVING);
	dir->cookie = cookie;
	list_append(&dir->tree->leaving, &dir->leaving);
}

static struct watch_dir *find_leaving(struct watch_tree *tree, uint32_t cookie)
{
	struct watch_dir *dir;

	LIST_FOR_EACH(&tree->leaving, dir, struct watch_dir, leaving) {
		if (dir->cookie == cookie)
			return dir;
	}
	return NULL;
}

/* cookie 0: it is new. */
static void dir_arrive(struct watch_dir *parent, const char *name, uint32_t cookie)
{
	struct watch_tree *tree = parent->tree;
	struct watch_dir *moved = cookie ? find_leaving(tree, cookie) : NULL;
	struct watch_dir *dir;

	if (moved && !is_within(parent, moved)) {
		dir_move(moved, parent, name);
		tree->ops->on_arrival(tree, moved);
		return;
	}
	dir = watch_dir_child(parent, name);
	if (!dir)
		dir = dir_add(parent, name);
	if (!dir)
		return;
	dir->moved = ++tree->n_moves;
	dir_set_state(dir, dir->mark ? WATCH_DIR_SUSPECT : WATCH_DIR_EXPECTED);
	tree->ops->on_arrival(tree, dir);
}

/* Something left the place, but there may be something. */
static void dir_guess(struct watch_dir *parent, const char *name)
{
	struct watch_dir *guess = dir_add(parent, name);

	if (!guess)
		return;
	dir_set_state(guess, WATCH_DIR_GUESSED);
	guess->tree->ops->on_arrival(guess->tree, guess);
}

/* What had come where it stood is still to be looked at. But one that was seen there has a second path
 * (a mount): who looks there finds it again, and again where it is then. */
static struct watch_dir *place_known(struct watch_dir *dir, struct watch_dir *parent,
                                     const char *name)
{
	CLEANUP(freep) char *old_name = xstrdup(dir->name);
	struct watch_dir *old_parent = dir->parent;
	bool is_due = dir->state == WATCH_DIR_SUSPECT &&
	              !is_within(old_parent, watch_dir_child(parent, name));

	dir_move(dir, parent, name);
	dir_set_state(dir, WATCH_DIR_WATCHED);
	if (is_due)
		dir_guess(old_parent, old_name);
	return dir;
}

struct watch_dir *watch_tree_place(struct watch_tree *tree, struct watch_dir *parent,
                                   const char *name, int wd, uint64_t n_moves)
{
	struct watch_dir *known = watch_tree_find(tree, watch_marks_find(tree->marks, wd));
	struct watch_dir *there = parent ? watch_dir_child(parent, name) : tree->root;

	ASSERT(parent || there);
	if (there && there->moved > n_moves)
		return NULL;
	if (known && known == there) {
		dir_set_state(known, WATCH_DIR_WATCHED);
		return known;
	}
	if (known && is_within(parent, known))
		return NULL;
	if (known && parent)
		return place_known(known, parent, name);
	if (known)
		watch_dir_drop(known);
	if (!there)
		there = dir_add(parent, name);
	if (there)
		dir_mark(there, wd);
	return there;
}

void watch_dir_miss(struct watch_dir *dir)
{
	if (dir->state == WATCH_DIR_GUESSED)
		watch_dir_drop(dir);
}

/*
 * What exchanges its place with another (RENAME_EXCHANGE) is moved to a place that is taken, and the
 * other then from there: who stands there by now.
 */
static void apply_departure(struct watch_dir *dir, const struct inotify_record *r)
{
	struct watch_dir *parent = dir->parent;

	dir_leave(dir, r->cookie);
	dir_guess(parent, r->name);
}

static void apply_to_entry(struct watch_dir *dir, const struct inotify_record *r)
{
	struct watch_dir *child;

	tell(dir, r->name, r->mask);
	if (!dir->tree->is_recursive || !(r->mask & IN_ISDIR))
		return;
	child = watch_dir_child(dir, r->name);
	if (r->mask & (IN_CREATE | IN_MOVED_TO))
		dir_arrive(dir, r->name, r->mask & IN_MOVED_TO ? r->cookie : 0);
	else if (child && r->mask & IN_MOVED_FROM)
		apply_departure(child, r);
	else if (child && r->mask & IN_DELETE)
		watch_dir_drop(child);
}

static void apply_to_root(struct watch_dir *root, const struct inotify_record *r)
{
	tell(root, "", r->mask);
	if (r->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT))
		watch_dir_drop(root);
}

/* Its parent's watch tells the rest. One that went from under what arrived in its place leaves that. */
static void apply_to_dir(struct watch_dir *dir, const struct inotify_record *r)
{
	bool is_gone = r->mask & (IN_DELETE_SELF | IN_UNMOUNT);
	bool has_left = r->mask & IN_MOVE_SELF && dir->state == WATCH_DIR_LEAVING;

	tell(dir, "", r->mask & IN_ATTRIB);
	if (is_gone && dir->state == WATCH_DIR_SUSPECT)
		dir_clear(dir);
	else if (is_gone || has_left)
		watch_dir_drop(dir);
}

void watch_dir_lose(struct watch_dir *dir)
{
	struct watch_tree *tree = dir->tree;

	if (dir->state == WATCH_DIR_LEAVING) {
		watch_dir_drop(dir);
		return;
	}
	dir_unmark(dir);
	dir_set_state(dir, WATCH_DIR_EXPECTED);
	tree->ops->on_lost(tree, dir);
}

void watch_dir_apply(struct watch_dir *dir, const struct inotify_record *record)
{
	if (record->mask & IN_IGNORED)
		watch_dir_lose(dir);
	else if (*record->name)
		apply_to_entry(dir, record);
	else if (!dir->parent)
		apply_to_root(dir, record);
	else
		apply_to_dir(dir, record);
}
