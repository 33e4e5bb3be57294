/*
 * A directory "tree" in one of its own, to be watched, and up to SEEN_N watchers, each with what it said.
 *
 *     cmocka_unit_test_setup_teardown(test_x, scene_setup, scene_teardown)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "fs/watch.h"
#include "tests/support/loop_fixture.h"

#define SEEN_N   6u
#define SEEN_MAX (64u * 1024u * 1024u) /* bytes of text */

/* A watcher and what it said, as lines "CREATE sub/name". */
struct seen {
	struct scene *scene;
	struct watcher *w;
	struct buf text;
	size_t n; /* lines */
	bool is_armed, has_failed, is_settled;
	bool is_slow; /* takes nothing by itself */
	struct err e;
	struct watcher_waiter waiter;
};

struct scene {
	void *loop_state;
	struct loop *loop;
	struct watches *watches;
	char *dir;  /* without links */
	char *tree; /* dir/tree */
	struct seen seen[SEEN_N];
};

int scene_setup(void **state);
int scene_teardown(void **state);

/* "dir/name", good until the fourth one after. */
const char *scene_at(const struct scene *f, const char *name);
void scene_dir(const struct scene *f, const char *name);
void scene_file(const struct scene *f, const char *name);
void scene_files(const struct scene *f, const char *dir, unsigned n); /* "0", "1", ... */
void scene_move(const struct scene *f, const char *from, const char *to);

void seen_begin(struct scene *f, struct seen *s, struct watcher_options options);
void seen_end(struct seen *s);

/* Of the tree; it is armed. */
void seen_watch(struct scene *f, struct seen *s, bool is_recursive);

/* All that has happened so far. */
const char *seen_settle(struct seen *s);
void seen_forget(struct seen *s);
/* Asserts that it is this, and forgets it. */
void seen_check(struct seen *s, const char *lines);
