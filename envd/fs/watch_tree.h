/*
 * What is known of watched directories: the watches of the one descriptor, each of which is an inode
 * and may serve several watchers, and for each watcher a tree of its directories. Pure: records and
 * findings go in, changes and questions come out; nothing here looks at the disk.
 *
 *     watch_marks        watch_mark (wd 7)        watch_tree of a watcher
 *       by wd ──────────▶ dirs ──────────────────▶ watch_dir "a" ── parent ──▶ watch_dir root
 *                              └─────────────────▶ watch_dir, of another watcher's tree
 *
 * A path is computed from the tree, so a rename moves one directory and renames all below it. Records
 * are applied as they are read: a directory stands where it is by all that is known so far.
 *
 *        ┌──────────── watch is lost ───────────┐
 *     EXPECTED ──found──▶ WATCHED ──IN_MOVED_FROM──▶ LEAVING ──IN_MOVE_SELF──▶ dropped
 *                           │ ▲                       │   ▲
 *                  IN_CREATE│ │found       IN_MOVED_TO│   │IN_MOVED_FROM
 *                           ▼ │                       │   │
 *                         SUSPECT ◀───────────────────┘   │
 *                            └────────────────────────────┘
 *     (GUESSED, too, becomes WATCHED when it is found, and is dropped when it is not)
 *
 *     EXPECTED  its arrival was reported, or its watch went although it did not: somebody has to look
 *               (on_arrival), and says what is there (watch_tree_place)
 *     GUESSED   something left this place: perhaps there is something all the same
 *     WATCHED   it has a watch and reports what happens in it
 *     SUSPECT   so does it, but something arrived in its place, it or another: to be looked at
 *     LEAVING   it was taken out of its place; the kernel tells within the same call where to, and
 *               then that it has moved. Until then it is called by its old name.
 *
 * Whoever looks sees the disk of now, which may be later than the last record that was read: a
 * directory may be found where a record still to come puts it. So each place that a directory comes to
 * or leaves is looked at afterwards, and what is found there counts unless a record about the place was
 * read since somebody went to look. When the disk rests, the tree is right: the last look at a place
 * comes after the last record about it. (fs/watch_test.c, after a storm.)
 *
 * A directory that can be reached by two paths of a tree (a bind mount) is known by the one where it
 * was seen last. Numbers of watches are not used again before 2^31 others (the kernel's
 * idr_alloc_cyclic), so a late record of a removed watch is of an unknown one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/macros.h"
#include "fs/inotify.h"

/* Directories of all trees; each takes some 300 bytes. The kernel has its own limit of watches, 65,536
 * in a guest, but watchers may share those. */
#define WATCH_DIRS_MAX (256u * 1024u)

/* In the order in which those of one record are told (filesystem.md 4.2). */
enum watch_change { WATCH_CREATE, WATCH_RENAME, WATCH_CHMOD, WATCH_WRITE, WATCH_REMOVE };

struct watch_tree;

/* One watch of the kernel. */
struct watch_mark {
	int wd;
	struct list dirs;   /* struct watch_dir, at most one of each tree */
	struct list unused; /* linked: nobody needs it */
};

struct watch_marks {
	void *by_wd;        /* tsearch(3) of struct watch_mark */
	struct list unused; /* struct watch_mark, for the owner to remove */
	size_t n_unused;
	size_t n_dirs; /* of all trees */
};

enum watch_dir_state {
	WATCH_DIR_EXPECTED,
	WATCH_DIR_GUESSED,
	WATCH_DIR_WATCHED,
	WATCH_DIR_SUSPECT,
	WATCH_DIR_LEAVING,
};

struct watch_dir {
	enum watch_dir_state state;
	struct watch_tree *tree;
	struct watch_dir *parent; /* NULL: the root */
	char *name;               /* in the parent; "" of the root */
	struct list children;     /* all of them */
	struct list sibling;
	void *by_name;           /* tsearch(3) of the children that are not LEAVING */
	struct watch_mark *mark; /* NULL when EXPECTED */
	struct list in_mark;
	struct list leaving; /* in the tree's list when LEAVING */
	struct list unseen;  /* in the tree's list when somebody has to look at it */
	uint32_t cookie;     /* LEAVING: which IN_MOVED_TO it waits for */
	uint64_t moved;      /* the tree's n_moves when something came to its place last */
	/* The user's, zeroed and NULL at first. */
	void *visit;    /* a look at it that is due */
	size_t slot;    /* its number in a walk, + 1 */
	uint64_t found; /* in which step of a walk its watch was found */
};

/* None of them may change the tree or drop it. */
struct watch_tree_ops {
	/* name: of an entry of dir; "": of dir itself. */
	void (*on_change)(struct watch_tree *tree, enum watch_change change,
	                  const struct watch_dir *dir, const char *name);
	/* dir is to be looked at where it is. Again for each arrival there, and when an unseen one
	 * came to another path with a directory above it. */
	void (*on_arrival)(struct watch_tree *tree, struct watch_dir *dir);
	/* The kernel has dropped the watch of dir, which did not go: it is EXPECTED again. */
	void (*on_lost)(struct watch_tree *tree, struct watch_dir *dir);
	void (*on_drop)(struct watch_tree *tree, struct watch_dir *dir); /* its memory goes */
	void (*on_full)(struct watch_tree *tree); /* WATCH_DIRS_MAX: a directory is missing */
};

struct watch_tree {
	const struct watch_tree_ops *ops;
	struct watch_marks *marks;
	struct watch_dir *root; /* NULL: it is gone, and so is all else */
	bool is_recursive;
	struct list leaving;
	uint64_t n_moves;   /* of directories */
	struct list unseen; /* directories that are EXPECTED, GUESSED or SUSPECT */
};

void watch_marks_init(struct watch_marks *marks);
void watch_marks_deinit(struct watch_marks *marks); /* asserts that no directory is left */

/* NULL: unknown. */
struct watch_mark *watch_marks_find(const struct watch_marks *marks, int wd);
/* One that was added and is nobody's (yet): the owner will remove it. */
void watch_marks_add_unused(struct watch_marks *marks, int wd);
void watch_mark_free(struct watch_marks *marks, struct watch_mark *mark); /* has no directory */

/* A root that is EXPECTED, or none and on_full. */
void watch_tree_init(struct watch_tree *tree, struct watch_marks *marks, bool is_recursive,
                     const struct watch_tree_ops *ops);
void watch_tree_deinit(struct watch_tree *tree); /* may repeat */

/* Of the tree, with that watch; NULL: none. */
struct watch_dir *watch_tree_find(const struct watch_tree *tree, const struct watch_mark *mark);
struct watch_dir *watch_dir_child(const struct watch_dir *dir, const char *name);

/*
 * A directory with that watch was found there: parent/name, or the root with parent NULL. One that has
 * the place and another watch is dropped; one that has the watch and another place comes here.
 *
 * n_moves  the tree's when somebody went to look
 * returns  the directory; NULL when something has come to the place since then, when it is one that
 *          holds its parent (a mount), or the tree is full
 */
struct watch_dir *watch_tree_place(struct watch_tree *tree, struct watch_dir *parent,
                                   const char *name, int wd, uint64_t n_moves);

/* It was looked at, and there is none. What took it away is told yet, if it has not been; and if it
 * was looked for where it is not, on_arrival asks again. */
void watch_dir_miss(struct watch_dir *dir);

/* Its watch is of no use any more: it is EXPECTED, and on_lost follows. */
void watch_dir_lose(struct watch_dir *dir);

/* Nothing is left of it and of all below. */
void watch_dir_drop(struct watch_dir *dir);

/* What the kernel says about dir, which may be dropped by it. */
void watch_dir_apply(struct watch_dir *dir, const struct inotify_record *record);

/* Appends its path in the tree, and name, if that is not "": "sub/dir/name"; "." for the root. */
void watch_dir_path(const struct watch_dir *dir, const char *name, struct buf *out);

/* Whether neither it nor one above it is LEAVING: otherwise nobody knows where it is. When it arrives,
 * on_arrival asks again. */
bool watch_dir_has_path(const struct watch_dir *dir);

/* Whether its path is what it was when the tree had counted that many moves. */
bool watch_dir_stood_still(const struct watch_dir *dir, uint64_t n_moves);
