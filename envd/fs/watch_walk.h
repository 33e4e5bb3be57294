/*
 * The part of watching that blocks: adds watches to a directory and, if asked, to all below it, and
 * says what it found there. Pool jobs only, one at a time for a walk; between them the walk is its
 * owner's to read.
 *
 * Each directory is watched first and listed then: what is made in it after that is a record, what was
 * there before is found, and what falls in between is both. The walk goes from one open directory to
 * the next (descent.h), so a rename above it leads it nowhere else, and links are not followed. It goes
 * in steps: it takes the memory of a step, and of the names in the directories from its top to where
 * it is, whatever the size of the tree.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/inotify.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/macros.h"
#include "fs/descent.h"

/* filesystem.md 4.2 */
#define WATCH_MASK                                                                                 \
	(IN_CREATE | IN_MODIFY | IN_DELETE | IN_DELETE_SELF | IN_MOVED_TO | IN_MOVED_FROM |        \
	 IN_MOVE_SELF | IN_ATTRIB)

#define WATCH_WALK_STEP 1024u /* findings of a step: some milliseconds */
/* Levels. Below half of PATH_MAX, no path leads to a directory any more. */
#define WATCH_WALK_DEPTH_MAX 2048u
/* Bytes of the names in the directories from its top to where it is, and of their order: half a million
 * of them. */
#define WATCH_WALK_NAMES_MAX (32u * 1024u * 1024u)

struct watch_found {
	enum {
		WATCH_FOUND_ENTRY, /* no directory, or one that cannot be watched */
		WATCH_FOUND_DIR,
		WATCH_FOUND_LOST, /* a directory of before was moved, and not gone through to its end */
	} kind;
	size_t parent;    /* number of the directory it is in; not of a lost one */
	size_t number;    /* of a directory, counted from 1 */
	int wd;           /* of a WATCH_FOUND_DIR */
	const char *name; /* not of a lost one; until the next step */
};

struct watch_walk {
	/* Set at the beginning. */
	int inotify_fd;    /* borrowed */
	bool is_recursive; /* otherwise the top is all */
	bool tells_all;    /* also what is no directory; in the order of names */
	/* What it found. */
	int top_wd;                /* of number 0; -1: it has not been opened */
	struct watch_found *found; /* by the last step; each directory before what is in it */
	size_t n_found;
	/* Its own. */
	struct arena names;
	struct descent descent;
	struct buf levels; /* struct watch_walk_level, as many as the descent has */
	size_t n_bytes;    /* of the levels' names */
	size_t n_dirs;     /* numbers given so far */
};

void watch_walk_init(struct watch_walk *walk, int inotify_fd, bool is_recursive, bool tells_all);
void watch_walk_deinit(struct watch_walk *walk); /* may repeat */

/*
 * Begins at what a client asked to watch: follows links, and is particular about what it is.
 *
 * out_real  allocated: the path without links
 * returns   0, or -1 with the codes and texts of filesystem.md 4.1
 */
int watch_walk_open_root(struct watch_walk *walk, const char *path, bool allows_network,
                         char **out_real, struct err *e) MUST_CHECK;

/* Begins at a directory that should be there; 0 or a negative errno. */
int watch_walk_open(struct watch_walk *walk, const char *path) MUST_CHECK;

/*
 * Goes on, until there are WATCH_WALK_STEP findings or the walk is over. What is gone, or may not be
 * looked at, is left out.
 *
 * returns  0, or a negative errno when watches, descriptors or memory are used up; what was found
 *          before that is found
 */
int watch_walk_step(struct watch_walk *walk) MUST_CHECK;

bool watch_walk_is_over(const struct watch_walk *walk);

/* Whether it says that something of the machine is used up, and not that a file is not there. */
bool watch_walk_is_shortage(int error);
