/*
 * What the kernel tells of watched directories: any bytes as records, and the trees that they are
 * applied to, whose rules hold after each. In between somebody looks at what has come: the next
 * record's cookie says what is found there.
 */
#include <stdint.h>
#include <sys/inotify.h>

#include "base/buf.h"
#include "base/macros.h"
#include "fs/inotify.h"
#include "fs/watch_tree.h"

#define N_WDS     16u /* few, so that records meet directories */
#define N_TREES   2u
#define PATH_ROOM 65536u

struct looked_at {
	struct watch_tree tree;
	struct watch_dir *due; /* the newest arrival */
};

static void on_change(struct watch_tree *tree, enum watch_change change,
                      const struct watch_dir *dir, const char *name)
{
	static char memory[PATH_ROOM];
	struct buf path;

	ASSERT(tree == dir->tree);
	ASSERT(change <= WATCH_REMOVE);
	buf_init_fixed(&path, memory, sizeof memory);
	watch_dir_path(dir, name, &path);
	ASSERT(buf_error(&path) || path.len > 0);
}

static void on_arrival(struct watch_tree *tree, struct watch_dir *dir)
{
	CONTAINER_OF(tree, struct looked_at, tree)->due = dir;
}

static void on_drop(struct watch_tree *tree, struct watch_dir *dir)
{
	struct looked_at *l = CONTAINER_OF(tree, struct looked_at, tree);

	if (l->due == dir)
		l->due = NULL;
}

static void on_full(struct watch_tree *tree)
{
	UNUSED(tree);
}

static const struct watch_tree_ops ops = { on_change, on_arrival, on_arrival, on_drop, on_full };

/* Returns how many directories are from this one down. */
static size_t check_dir(const struct watch_dir *dir)
{
	const struct watch_dir *child;
	size_t n = 1;

	ASSERT((dir->mark != NULL) ==
	       (dir->state != WATCH_DIR_EXPECTED && dir->state != WATCH_DIR_GUESSED));
	ASSERT(list_is_linked(&dir->leaving) == (dir->state == WATCH_DIR_LEAVING));
	ASSERT(!dir->mark || watch_tree_find(dir->tree, dir->mark) == dir);
	LIST_FOR_EACH(&dir->children, child, struct watch_dir, sibling) {
		ASSERT(child->parent == dir && child->tree == dir->tree);
		ASSERT((watch_dir_child(dir, child->name) == child) ==
		       (child->state != WATCH_DIR_LEAVING));
		n += check_dir(child);
	}
	return n;
}

static void check(const struct watch_marks *marks, const struct looked_at *trees)
{
	size_t n = 0;

	for (unsigned i = 0; i < N_TREES; i++)
		n += trees[i].tree.root ? check_dir(trees[i].tree.root) : 0;
	ASSERT(n == marks->n_dirs);
}

static void apply(struct watch_marks *marks, const struct inotify_record *r)
{
	struct watch_mark *mark = watch_marks_find(marks, r->wd);
	struct watch_dir *dir;

	if (!mark)
		return;
	LIST_FOR_EACH(&mark->dirs, dir, struct watch_dir, in_mark)
		watch_dir_apply(dir, r);
	if (r->mask & IN_IGNORED)
		watch_mark_free(marks, mark);
}

static void look(struct looked_at *l, uint32_t what)
{
	struct watch_dir *dir = TAKE_PTR(l->due);

	if (!dir)
		return;
	if (what % 4 == 0)
		watch_dir_miss(dir);
	else if (what % 4 == 1)
		watch_dir_lose(dir);
	else
		(void)watch_tree_place(&l->tree, dir->parent, dir->name, (int)(what / 4 % N_WDS),
		                       l->tree.n_moves);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span bytes = { (const char *)data, size };
	struct looked_at trees[N_TREES] = { 0 };
	struct watch_marks marks;
	struct inotify_record r;

	watch_marks_init(&marks);
	for (unsigned i = 0; i < N_TREES; i++) {
		watch_tree_init(&trees[i].tree, &marks, true, &ops);
		ASSERT(watch_tree_place(&trees[i].tree, NULL, "", (int)i + 1, 0));
	}
	while (inotify_next(&bytes, &r)) {
		r.wd &= (int)(N_WDS - 1);
		apply(&marks, &r);
		check(&marks, trees);
		look(&trees[r.cookie / 2 % N_TREES], r.cookie / 4);
		check(&marks, trees);
	}
	for (unsigned i = 0; i < N_TREES; i++)
		watch_tree_deinit(&trees[i].tree);
	watch_marks_deinit(&marks);
	return 0;
}
