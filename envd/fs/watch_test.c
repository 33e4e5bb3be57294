#include "fs/watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"
#include "loop/job.h"
#include "tests/support/busy_pool.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

#define SEEN_MAX (64u * 1024u * 1024u)

#define SEEN_N 2u

struct fixture;

/* A watcher and what it said, as lines "CREATE sub/name". */
struct seen {
	struct fixture *f;
	struct watcher *w;
	struct buf text;
	size_t n;
	bool is_armed, has_failed, is_settled;
	bool is_slow; /* takes nothing */
	struct err e;
	struct watcher_waiter waiter;
};

struct fixture {
	void *loop_state;
	struct loop *loop;
	struct watches *watches;
	char *dir;  /* without links */
	char *tree; /* dir/tree, which is watched */
	struct seen seen[SEEN_N];
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	char *made = temp_dir_new();

	f->dir = realpath(made, NULL);
	free(made);
	f->tree = temp_dir_path(f->dir, "tree");
	assert_int_equal(mkdir(f->tree, 0755), 0);
	assert_int_equal(loop_fixture_setup(&f->loop_state), 0);
	f->loop = loop_fixture_loop(&f->loop_state);
	f->watches = watches_new(f->loop, &user_db_system);
	*state = f;
	return 0;
}

static void end(struct seen *s)
{
	watcher_free(TAKE_PTR(s->w));
	err_clear(&s->e);
	buf_deinit(&s->text);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < SEEN_N; i++)
		end(&f->seen[i]);
	watches_close(f->watches);
	assert_int_equal(loop_fixture_teardown(&f->loop_state), 0);
	temp_dir_free(f->dir);
	free(f->tree);
	free(f);
	return 0;
}

/* ---------------------------------------------------------------- what is done to files */

/* "dir/name", valid until the fourth call after. */
static const char *at(const struct fixture *f, const char *name)
{
	static char paths[4][4096];
	static unsigned n;
	char *path = paths[n++ % ARRAY_SIZE(paths)];

	(void)snprintf(path, sizeof paths[0], "%s/%s", f->dir, name);
	return path;
}

static void make_dir(const struct fixture *f, const char *name)
{
	assert_int_equal(mkdir(at(f, name), 0755), 0);
}

static void make_file(const struct fixture *f, const char *name)
{
	int fd = open(at(f, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	close(fd);
}

static void move(const struct fixture *f, const char *from, const char *to)
{
	assert_int_equal(rename(at(f, from), at(f, to)), 0);
}

/* ---------------------------------------------------------------- what is seen */

static const char *const change_names[] = {
	[WATCH_CREATE] = "CREATE", [WATCH_RENAME] = "RENAME", [WATCH_CHMOD] = "CHMOD",
	[WATCH_WRITE] = "WRITE",   [WATCH_REMOVE] = "REMOVE",
};

static void seen_on_armed(struct watcher *w)
{
	struct seen *s = watcher_data(w);

	assert_false(s->is_armed);
	s->is_armed = true;
}

static void seen_on_failed(struct watcher *w, const struct err *e)
{
	struct seen *s = watcher_data(w);

	assert_false(s->has_failed);
	s->has_failed = true;
	(void)!err_set(&s->e, e->kind, "%s", err_text(e));
}

static void seen_take(struct seen *s)
{
	struct watch_event *event;

	while ((event = watcher_take(s->w))) {
		buf_appendf(&s->text, "%s %s", change_names[event->change], event->name);
		if (event->entry)
			buf_appendf(&s->text, " = %s %s", event->entry->path,
			            event->entry->permissions);
		buf_append_text(&s->text, "\n");
		s->n++;
		watch_event_free(event);
	}
}

static void seen_on_ready(struct watcher *w)
{
	struct seen *s = watcher_data(w);

	assert_true(s->is_armed);
	if (!s->is_slow)
		seen_take(s);
}

static const struct watcher_ops seen_ops = { seen_on_armed, seen_on_failed, seen_on_ready };

static void seen_on_settled(struct watcher_waiter *waiter)
{
	CONTAINER_OF(waiter, struct seen, waiter)->is_settled = true;
}

static void begin(struct fixture *f, struct seen *s, struct watcher_options options)
{
	struct err e = { 0 };

	*s = (struct seen){ .f = f, .waiter.on_settled = seen_on_settled };
	buf_init(&s->text, SEEN_MAX);
	s->w = watcher_new(f->watches, &options, &seen_ops, s, &e);
	assert_non_null(s->w);
}

static void watch(struct fixture *f, struct seen *s, bool is_recursive)
{
	begin(f, s, (struct watcher_options){ .path = f->tree, .is_recursive = is_recursive });
	loop_fixture_run_until(f->loop, &s->is_armed);
}

/* All that has happened so far. */
static const char *settle(struct seen *s)
{
	s->is_settled = false;
	watcher_settle(s->w, &s->waiter);
	loop_fixture_run_until(s->f->loop, &s->is_settled);
	seen_take(s);
	buf_append_byte(&s->text, '\0');
	buf_truncate(&s->text, s->text.len - 1);
	return (const char *)s->text.data;
}

static void assert_seen(struct seen *s, const char *lines)
{
	assert_string_equal(settle(s), lines);
	buf_reset(&s->text, SEEN_MAX);
	s->n = 0;
}

/* ---------------------------------------------------------------- one directory */

static void test_watch_of_a_directory_tells_what_happens_in_it(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];

	watch(f, s, false);
	free(temp_dir_file(f->tree, "a", "text", 0600));
	assert_seen(s, "CREATE a\nWRITE a\nCHMOD a\n");
	move(f, "tree/a", "tree/b");
	assert_seen(s, "RENAME a\nCREATE b\n");
	assert_int_equal(remove(at(f, "tree/b")), 0);
	make_dir(f, "tree/d");
	make_dir(f, "tree/d/e");
	assert_seen(s, "REMOVE b\nCREATE d\n");
}

static void test_watch_of_a_tree_tells_what_is_below(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];

	make_dir(f, "tree/d");
	make_dir(f, "tree/d/e");
	watch(f, s, true);
	make_file(f, "tree/d/e/x");
	assert_seen(s, "CREATE d/e/x\n");
	assert_int_equal(remove(at(f, "tree/d/e/x")), 0);
	assert_int_equal(remove(at(f, "tree/d/e")), 0);
	assert_seen(s, "REMOVE d/e/x\nREMOVE d/e\n");
}

static void test_watch_of_a_tree_follows_new_directories(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];

	watch(f, s, true);
	make_dir(f, "tree/a");
	assert_seen(s, "CREATE a\n");
	make_dir(f, "tree/a/b");
	assert_seen(s, "CREATE a/b\n");
	make_file(f, "tree/a/b/c");
	assert_seen(s, "CREATE a/b/c\n");
}

static void test_watch_tells_of_the_directory_itself_by_a_dot(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];

	watch(f, s, true);
	assert_int_equal(chmod(f->tree, 0700), 0);
	assert_seen(s, "CHMOD .\n");
	move(f, "tree", "other");
	assert_seen(s, "RENAME .\n");
	make_file(f, "other/x");
	make_dir(f, "tree");
	make_file(f, "tree/x");
	assert_seen(s, "");
	assert_null(watcher_error(s->w));
}

static void test_watch_of_a_directory_that_is_removed_becomes_silent(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];

	make_dir(f, "tree/d");
	watch(f, s, true);
	assert_int_equal(rmdir(at(f, "tree/d")), 0);
	assert_int_equal(rmdir(f->tree), 0);
	assert_seen(s, "REMOVE d\nREMOVE .\n");
	make_dir(f, "tree");
	assert_seen(s, "");
	assert_null(watcher_error(s->w));
}

static void test_watch_tells_of_a_directory_twice_when_its_mode_changes(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];

	make_dir(f, "tree/d");
	watch(f, s, true);
	assert_int_equal(chmod(at(f, "tree/d"), 0700), 0);
	assert_seen(s, "CHMOD d\nCHMOD d\n");
}

static void test_watch_does_not_tell_who_only_reads(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];
	int fd;

	make_dir(f, "tree/d");
	make_file(f, "tree/a");
	watch(f, s, true);
	fd = open(at(f, "tree/a"), O_RDWR | O_CLOEXEC);
	assert_int_equal(read(fd, &fd, sizeof fd), 0);
	close(fd);
	fd = open(at(f, "tree/d"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(fd);
	assert_seen(s, "");
}

/* ---------------------------------------------------------------- directories that come and go */

static void make_outside(struct fixture *f)
{
	make_dir(f, "out");
	make_dir(f, "out/b");
	make_dir(f, "out/b/d");
	make_file(f, "out/b/c");
	make_file(f, "out/b/d/e");
	make_file(f, "out/b.c");
	make_file(f, "out/a");
}

static void test_watch_tells_all_of_a_tree_that_comes_in_the_order_of_names(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];

	make_outside(f);
	watch(f, s, true);
	move(f, "out", "tree/t");
	assert_seen(s, "CREATE t\nCREATE t/a\nCREATE t/b\nCREATE t/b/c\nCREATE t/b/d\n"
	               "CREATE t/b/d/e\nCREATE t/b.c\n");
	make_file(f, "tree/t/b/d/f");
	assert_seen(s, "CREATE t/b/d/f\n");
}

static void test_watch_of_one_directory_tells_nothing_of_what_is_in_those_that_come(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];

	make_outside(f);
	watch(f, s, false);
	move(f, "out", "tree/t");
	make_file(f, "tree/t/x");
	assert_seen(s, "CREATE t\n");
}

static void test_watch_names_what_is_in_a_renamed_directory_anew(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];

	make_dir(f, "tree/foo");
	make_dir(f, "tree/foo/sub");
	make_dir(f, "tree/foo2");
	watch(f, s, true);
	move(f, "tree/foo", "tree/bar");
	assert_seen(s, "RENAME foo\nCREATE bar\n");
	make_file(f, "tree/bar/sub/x");
	make_file(f, "tree/foo2/y");
	assert_seen(s, "CREATE bar/sub/x\nCREATE foo2/y\n");
	move(f, "tree/bar", "tree/foo2/bar");
	make_file(f, "tree/foo2/bar/sub/z");
	assert_seen(s, "RENAME bar\nCREATE foo2/bar\nCREATE foo2/bar/sub/z\n");
}

static void test_watch_knows_directories_that_changed_places(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];

	make_dir(f, "tree/a");
	make_dir(f, "tree/a/in_a");
	make_dir(f, "tree/b");
	watch(f, s, true);
	assert_int_equal(
		renameat2(AT_FDCWD, at(f, "tree/a"), AT_FDCWD, at(f, "tree/b"), RENAME_EXCHANGE),
		0);
	(void)settle(s);
	buf_reset(&s->text, SEEN_MAX);
	make_file(f, "tree/a/x");
	make_file(f, "tree/b/in_a/y");
	assert_seen(s, "CREATE a/x\nCREATE b/in_a/y\n");
}

static void test_watch_replaces_an_empty_directory(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];

	make_dir(f, "tree/a");
	make_dir(f, "tree/b");
	watch(f, s, true);
	move(f, "tree/a", "tree/b");
	assert_seen(s, "RENAME a\nCREATE b\n");
	make_file(f, "tree/b/x");
	assert_seen(s, "CREATE b/x\n");
}

static void test_watch_forgets_a_directory_that_is_moved_out(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];

	make_dir(f, "tree/d");
	make_dir(f, "tree/d/e");
	watch(f, s, true);
	move(f, "tree/d", "d");
	make_file(f, "d/x");
	make_file(f, "d/e/y");
	assert_seen(s, "RENAME d\n");
}

static void test_watch_survives_directories_that_vanish_at_once(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];

	watch(f, s, true);
	for (unsigned i = 0; i < 200; i++) {
		make_dir(f, "tree/d");
		assert_int_equal(rmdir(at(f, "tree/d")), 0);
	}
	(void)settle(s);
	buf_reset(&s->text, SEEN_MAX);
	make_dir(f, "tree/d");
	make_file(f, "tree/d/x");
	/* Who is told of x is the kernel, or who looks into d, or both. */
	assert_non_null(strstr(settle(s), "CREATE d\nCREATE d/x\n"));
}

static void make_nested(const struct fixture *f, char *path, size_t size, unsigned n)
{
	size_t len = (size_t)snprintf(path, size, "tree");

	while (n-- > 0) {
		len += (size_t)snprintf(path + len, size - len, "/d");
		make_dir(f, path);
	}
	(void)snprintf(path + len, size - len, "/x");
}

/* Deeper than a walk keeps open. */
static void test_watch_of_a_deep_tree_tells_what_is_at_its_bottom(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];
	char path[2048], line[4096];

	make_nested(f, path, sizeof path, 300);
	watch(f, s, true);
	make_file(f, path);
	(void)snprintf(line, sizeof line, "CREATE %s\n", path + strlen("tree/"));
	assert_seen(s, line);
}

static void test_watch_finds_directories_made_one_in_the_other(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];
	char path[2048], line[4096];

	watch(f, s, true);
	make_nested(f, path, sizeof path, 100);
	make_file(f, path);
	(void)settle(s);
	for (char *end = path; end; end = strchr(end + 1, '/')) {
		(void)snprintf(line, sizeof line, "CREATE %.*s\n",
		               (int)(end - path) - (int)strlen("tree/"), path + strlen("tree/"));
		assert_true(end < path + strlen("tree/") || strstr((char *)s->text.data, line));
	}
}

/* ---------------------------------------------------------------- several watchers */

static void test_watch_by_two_tells_both_and_one_when_the_other_leaves(void **state)
{
	struct fixture *f = *state;
	struct seen *s = f->seen;

	make_dir(f, "tree/d");
	watch(f, &s[0], true);
	watch(f, &s[1], true);
	make_file(f, "tree/d/x");
	assert_seen(&s[0], "CREATE d/x\n");
	assert_seen(&s[1], "CREATE d/x\n");
	watcher_free(TAKE_PTR(s[0].w));
	make_file(f, "tree/d/y");
	assert_seen(&s[1], "CREATE d/y\n");
}

static void test_watch_that_begins_while_another_leaves_misses_nothing(void **state)
{
	struct fixture *f = *state;
	struct seen *s = f->seen;
	char name[64], line[64];

	for (unsigned i = 0; i < 300; i++) {
		(void)snprintf(name, sizeof name, "tree/%u", i);
		make_dir(f, name);
	}
	watch(f, &s[0], true);
	begin(f, &s[1], (struct watcher_options){ .path = f->tree, .is_recursive = true });
	watcher_free(TAKE_PTR(s[0].w));
	loop_fixture_run_until(f->loop, &s[1].is_armed);
	for (unsigned i = 0; i < 300; i++) {
		(void)snprintf(name, sizeof name, "tree/%u/x", i);
		make_file(f, name);
	}
	(void)settle(&s[1]);
	assert_int_equal(s[1].n, 300);
	for (unsigned i = 0; i < 300; i++) {
		(void)snprintf(line, sizeof line, "CREATE %u/x\n", i);
		assert_non_null(strstr((char *)s[1].text.data, line));
	}
}

static void test_watch_hands_a_directory_over_to_another_tree(void **state)
{
	struct fixture *f = *state;
	struct seen *s = f->seen;

	make_dir(f, "other");
	make_dir(f, "tree/d");
	make_file(f, "tree/d/x");
	watch(f, &s[0], true);
	begin(f, &s[1], (struct watcher_options){ .path = at(f, "other"), .is_recursive = true });
	loop_fixture_run_until(f->loop, &s[1].is_armed);
	move(f, "tree/d", "other/d");
	assert_seen(&s[0], "RENAME d\n");
	assert_seen(&s[1], "CREATE d\nCREATE d/x\n");
	make_file(f, "other/d/y");
	assert_seen(&s[0], "");
	assert_seen(&s[1], "CREATE d/y\n");
}

static void test_watch_of_a_part_of_a_watched_tree_has_names_of_its_own(void **state)
{
	struct fixture *f = *state;
	struct seen *s = f->seen;

	make_dir(f, "tree/d");
	watch(f, &s[0], true);
	begin(f, &s[1], (struct watcher_options){ .path = at(f, "tree/d") });
	loop_fixture_run_until(f->loop, &s[1].is_armed);
	make_file(f, "tree/d/x");
	move(f, "tree/d", "tree/e");
	assert_seen(&s[0], "CREATE d/x\nRENAME d\nCREATE e\n");
	assert_seen(&s[1], "CREATE x\nRENAME .\n");
}

/* ---------------------------------------------------------------- links, entries */

static void test_watch_follows_a_link_to_its_directory(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];
	char lines[8192];

	make_dir(f, "tree/d");
	assert_int_equal(symlink("tree", at(f, "link")), 0);
	begin(f, s,
	      (struct watcher_options){
		      .path = at(f, "link"), .is_recursive = true, .wants_entries = true });
	loop_fixture_run_until(f->loop, &s->is_armed);
	make_file(f, "tree/d/x");
	(void)snprintf(lines, sizeof lines, "CREATE d/x = %s/link/d/x -rw-r--r--\n", f->dir);
	assert_seen(s, lines);
}

static void test_watch_does_not_go_through_links_in_the_tree(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];

	make_dir(f, "other");
	assert_int_equal(symlink("../other", at(f, "tree/link")), 0);
	watch(f, s, true);
	make_file(f, "other/x");
	assert_int_equal(symlink("../other", at(f, "tree/new")), 0);
	make_file(f, "other/y");
	assert_seen(s, "CREATE new\n");
}

static void test_watch_looks_up_entries_of_what_is_there(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];
	char lines[8192];

	begin(f, s, (struct watcher_options){ .path = f->tree, .wants_entries = true });
	loop_fixture_run_until(f->loop, &s->is_armed);
	free(temp_dir_file(f->tree, "a", "text", 0600));
	assert_int_equal(chmod(f->tree, 0700), 0);
	move(f, "tree/a", "tree/b");
	make_file(f, "tree/a");
	/* The entry is of when somebody looks: the first a has become b, and there is another. */
	(void)snprintf(lines, sizeof lines,
	               "CREATE a = %1$s/tree/a -rw-r--r--\nWRITE a = %1$s/tree/a -rw-r--r--\n"
	               "CHMOD a = %1$s/tree/a -rw-r--r--\nCHMOD . = %1$s/tree drwx------\n"
	               "RENAME a\nCREATE b = %1$s/tree/b -rw-------\n"
	               "CREATE a = %1$s/tree/a -rw-r--r--\n",
	               f->dir);
	assert_seen(s, lines);
	make_file(f, "tree/c");
	assert_int_equal(remove(at(f, "tree/c")), 0);
	assert_seen(s, "CREATE c\nREMOVE c\n");
}

/* More than a batch, and between them what needs none. */
static void test_watch_keeps_the_order_of_events_with_entries(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];
	struct buf expected;
	char name[64];

	buf_init(&expected, SEEN_MAX);
	begin(f, s, (struct watcher_options){ .path = f->tree, .wants_entries = true });
	loop_fixture_run_until(f->loop, &s->is_armed);
	for (unsigned i = 0; i < 500; i++) {
		(void)snprintf(name, sizeof name, "tree/%u", i);
		make_file(f, name);
		buf_appendf(&expected, "CREATE %u = %s/%s -rw-r--r--\n", i, f->dir, name);
		if (i % 3 == 0) {
			make_file(f, "tree/tmp");
			assert_int_equal(remove(at(f, "tree/tmp")), 0);
			buf_append_text(&expected, "CREATE tmp\nREMOVE tmp\n");
		}
	}
	buf_append_byte(&expected, '\0');
	assert_seen(s, (char *)expected.data);
	buf_deinit(&expected);
}

/* ---------------------------------------------------------------- refusals */

/* The path stands at the end of before, and perhaps again between it and after. */
static void check_refused(struct fixture *f, const char *path, enum err_kind kind,
                          const char *before, const char *again, const char *after)
{
	struct seen *s = &f->seen[0];
	char expected[8192];

	begin(f, s, (struct watcher_options){ .path = path, .is_recursive = true });
	loop_fixture_run_until(f->loop, &s->has_failed);
	(void)snprintf(expected, sizeof expected, "%s%s%s%s%s", before, path, again,
	               *again ? path : "", after);
	assert_int_equal(s->e.kind, kind);
	assert_string_equal(err_text(&s->e), expected);
	assert_false(s->is_armed);
	end(s);
}

static void test_watch_of_what_is_no_directory_is_refused(void **state)
{
	struct fixture *f = *state;

	make_file(f, "file");
	assert_int_equal(symlink("nowhere", at(f, "dangling")), 0);
	check_refused(f, at(f, "missing"), ERR_NOT_FOUND, "path ", " not found: stat ",
	              ": no such file or directory");
	check_refused(f, at(f, "dangling"), ERR_NOT_FOUND, "path ", " not found: stat ",
	              ": no such file or directory");
	check_refused(f, at(f, "file/x"), ERR_INTERNAL, "error statting path ", ": stat ",
	              ": not a directory");
	check_refused(f, at(f, "file"), ERR_INVALID, "path ", "", " not a directory");
}

static void test_watch_without_a_descriptor_is_refused(void **state)
{
	struct fixture *f = *state;
	struct watcher_options options = { .path = f->tree };
	struct rlimit old, none;
	struct err e = { 0 };

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = (struct rlimit){ 3, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_null(watcher_new(f->watches, &options, &seen_ops, NULL, &e));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(e.kind, ERR_INTERNAL);
	assert_string_equal(err_text(&e), "error creating watcher: too many open files");
	err_clear(&e);
	watch(f, &f->seen[0], false);
}

static void test_watch_of_too_many_is_refused(void **state)
{
	struct fixture *f = *state;
	struct watcher_options options = { .path = f->tree };
	struct watcher *all[WATCHERS_MAX];
	struct err e = { 0 };

	for (size_t i = 0; i < WATCHERS_MAX; i++) {
		all[i] = watcher_new(f->watches, &options, &seen_ops, NULL, &e);
		assert_non_null(all[i]);
	}
	assert_null(watcher_new(f->watches, &options, &seen_ops, NULL, &e));
	assert_int_equal(e.kind, ERR_LIMIT);
	err_clear(&e);
	for (size_t i = 0; i < WATCHERS_MAX; i++)
		watcher_free(all[i]);
}

/* ---------------------------------------------------------------- much at once */

#define N_BURST 10000u

static void test_watch_of_a_burst_of_files_misses_none(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];
	char name[64];

	make_dir(f, "tree/d");
	watch(f, s, true);
	for (unsigned i = 0; i < N_BURST; i++) {
		(void)snprintf(name, sizeof name, "tree/d/%u", i);
		make_file(f, name);
	}
	(void)settle(s);
	assert_int_equal(s->n, N_BURST);
	for (unsigned i = 0; i < N_BURST; i += 97) {
		(void)snprintf(name, sizeof name, "CREATE d/%u\n", i);
		assert_non_null(strstr((char *)s->text.data, name));
	}
}

/* n records, none of which the kernel merges with the one before; read in between. */
static void make_records(struct fixture *f, unsigned n, bool reads)
{
	make_file(f, "tree/a");
	make_file(f, "tree/b");
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(chmod(at(f, i % 2 ? "tree/a" : "tree/b"), 0600), 0);
		if (reads && i % 4096 == 0)
			loop_fixture_turn(f->loop, 3);
	}
}

static void check_overflow(struct seen *s)
{
	loop_fixture_run_until(s->f->loop, &s->has_failed);
	assert_int_equal(s->e.kind, ERR_INTERNAL);
	assert_string_equal(err_text(&s->e), "watcher error: fsnotify: queue or buffer overflow");
	assert_non_null(watcher_error(s->w));
	buf_reset(&s->text, SEEN_MAX);
	assert_seen(s, "");
}

static void test_watch_that_nobody_empties_overflows_alone(void **state)
{
	struct fixture *f = *state;
	struct seen *s = f->seen;

	watch(f, &s[0], false);
	watch(f, &s[1], false);
	s[0].is_slow = true;
	make_records(f, WATCHER_EVENTS_MAX + 1, true);
	check_overflow(&s[0]);
	(void)settle(&s[1]);
	assert_null(watcher_error(s[1].w));
	assert_int_equal(s[1].n, WATCHER_EVENTS_MAX + 1 + 2);
}

static unsigned queue_max(void)
{
	FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
	unsigned n = 0;

	if (!file || fscanf(file, "%u", &n) != 1)
		n = 0;
	if (file)
		(void)fclose(file);
	return n;
}

static void test_watch_ends_when_the_kernel_has_lost_records(void **state)
{
	struct fixture *f = *state;
	struct seen *s = f->seen;
	unsigned n = queue_max();

	if (n == 0 || n > 1000000)
		skip();
	watch(f, &s[0], true);
	watch(f, &s[1], false);
	make_records(f, n + 1, false);
	check_overflow(&s[0]);
	check_overflow(&s[1]);
	end(&s[0]);
	watch(f, &s[0], true);
	make_file(f, "tree/x");
	assert_seen(&s[0], "CREATE x\n");
}

#define N_LARGE (WATCHER_EVENTS_LOW + WATCHER_EVENTS_LOW / 2)

static void make_many(const struct fixture *f, const char *dir, unsigned n)
{
	char name[256];

	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(name, sizeof name, "%s/%u", dir, i);
		make_file(f, name);
	}
}

/* The walk waits for whoever takes events, and whoever waits for events is not kept waiting by it. */
static void test_watch_of_a_large_tree_that_comes_tells_it_as_fast_as_it_is_taken(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];
	size_t n_before = 0;

	make_dir(f, "out");
	make_many(f, "out", N_LARGE);
	watch(f, s, true);
	s->is_slow = true;
	move(f, "out", "tree/t");
	s->is_settled = false;
	watcher_settle(s->w, &s->waiter);
	loop_fixture_run_until(f->loop, &s->is_settled);
	assert_in_range(watcher_n_ready(s->w), WATCHER_EVENTS_LOW - 1, 2 * WATCHER_EVENTS_LOW);
	do {
		n_before = s->n;
		(void)settle(s);
		buf_reset(&s->text, SEEN_MAX);
	} while (s->n > n_before);
	assert_int_equal(s->n, N_LARGE + 1);
}

/* What came after the tree stands behind it, and cannot be taken before it has been gone through. */
static void test_watch_of_a_large_tree_that_comes_does_not_wait_for_what_came_later(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];
	struct busy_pool pool;

	make_dir(f, "out");
	make_many(f, "out", N_LARGE);
	watch(f, s, true);
	busy_pool_begin(&pool, f->loop);
	move(f, "out", "tree/t");
	loop_fixture_turn(f->loop, 4);
	make_many(f, "tree", N_LARGE);
	loop_fixture_turn(f->loop, 4);
	busy_pool_end(&pool);
	(void)settle(s);
	assert_int_equal(s->n, 2 * N_LARGE + 1);
}

/* ---------------------------------------------------------------- stuck jobs */

static void test_watch_goes_on_while_jobs_of_others_are_stuck(void **state)
{
	struct fixture *f = *state;
	struct seen *s = f->seen;
	struct busy_pool pool;

	watch(f, &s[0], true);
	busy_pool_begin(&pool, f->loop);
	begin(f, &s[1], (struct watcher_options){ .path = f->tree });
	make_file(f, "tree/x");
	assert_seen(&s[0], "CREATE x\n");
	assert_false(s[1].is_armed);
	busy_pool_end(&pool);
	loop_fixture_run_until(f->loop, &s[1].is_armed);
}

static void test_watch_may_end_while_its_jobs_are_stuck(void **state)
{
	struct fixture *f = *state;
	struct seen *s = f->seen;
	struct busy_pool pool;

	begin(f, &s[0], (struct watcher_options){ .path = f->tree, .wants_entries = true });
	loop_fixture_run_until(f->loop, &s[0].is_armed);
	busy_pool_begin(&pool, f->loop);
	make_file(f, "tree/x");
	begin(f, &s[1], (struct watcher_options){ .path = f->tree, .is_recursive = true });
	loop_fixture_turn(f->loop, 4);
	watcher_free(TAKE_PTR(s[0].w));
	watcher_free(TAKE_PTR(s[1].w));
	busy_pool_end(&pool);
}

/* What was done in the directory after the walk has begun is kept only so long. */
static void test_watch_whose_walk_is_overtaken_by_much_is_refused(void **state)
{
	struct fixture *f = *state;
	struct seen *s = f->seen;
	struct busy_pool pool;

	watch(f, &s[0], false);
	busy_pool_begin(&pool, f->loop);
	begin(f, &s[1], (struct watcher_options){ .path = f->tree });
	loop_fixture_turn(f->loop, 4);
	make_records(f, WATCHES_LOG_MAX / 32 + 1, true);
	busy_pool_end(&pool);
	loop_fixture_run_until(f->loop, &s[1].has_failed);
	assert_non_null(strstr(err_text(&s[1].e), "watcher: " WATCH_OVERFLOW_TEXT));
	assert_null(watcher_error(s[0].w));
}

static void test_watch_that_was_waited_for_and_given_up_tells_nobody(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];

	watch(f, s, false);
	watcher_settle(s->w, &s->waiter);
	watcher_unsettle(&s->waiter);
	watcher_unsettle(&s->waiter);
	make_file(f, "tree/x");
	assert_seen(s, "CREATE x\n");
}

/* ---------------------------------------------------------------- storms */

#define STORM_THREADS 2u
#define STORM_OPS     1000u
#define STORM_NAMES   3u

struct storm {
	const struct fixture *f;
	pthread_t thread;
	unsigned seed;
	atomic_bool is_over;
};

/* One of 3 + 9 + 27 places in the tree; sometimes one outside. */
static void storm_place(struct storm *storm, char *out, size_t size)
{
	unsigned depth = 1 + (unsigned)rand_r(&storm->seed) % 3;
	size_t len;

	if (rand_r(&storm->seed) % 16 == 0) {
		(void)snprintf(out, size, "%s/out%d", storm->f->dir,
		               rand_r(&storm->seed) % (int)STORM_NAMES);
		return;
	}
	len = (size_t)snprintf(out, size, "%s", storm->f->tree);
	while (depth-- > 0)
		len += (size_t)snprintf(out + len, size - len, "/%c",
		                        'a' + rand_r(&storm->seed) % (int)STORM_NAMES);
}

static void storm_blow(struct storm *storm)
{
	char from[4096], to[4096];

	storm_place(storm, from, sizeof from);
	storm_place(storm, to, sizeof to);
	switch (rand_r(&storm->seed) % 8) {
	case 0:
	case 1:
	case 2:
		(void)mkdir(from, 0755);
		break;
	case 3:
		(void)rmdir(from);
		break;
	case 4:
		(void)renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE);
		break;
	default:
		(void)rename(from, to);
		break;
	}
}

static void *storm_run(void *arg)
{
	struct storm *storm = arg;

	for (unsigned i = 0; i < STORM_OPS; i++)
		storm_blow(storm);
	storm->is_over = true;
	return NULL;
}

static bool any_storm(void *arg)
{
	struct storm *storms = arg;
	bool is_over = true;

	for (unsigned i = 0; i < STORM_THREADS; i++)
		is_over = is_over && storms[i].is_over;
	return !is_over;
}

/* Makes a file in each directory; appends what is to be seen then, and returns how many these are. */
static unsigned probe_all(const struct fixture *f, const char *below, struct buf *lines)
{
	CLEANUP(freep) char *dir = temp_dir_path(f->tree, below);
	DIR *d = opendir(dir);
	char path[4096];
	struct dirent *entry;
	unsigned n = 1;

	free(temp_dir_file(dir, "probe", "", 0644));
	buf_appendf(lines, "CREATE %sprobe\n", below);
	while ((entry = readdir(d))) {
		(void)snprintf(path, sizeof path, "%s%s/", below, entry->d_name);
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			n += probe_all(f, path, lines);
	}
	closedir(d);
	return n;
}

static void check_probes(struct fixture *f, struct seen *s)
{
	char line[4096];
	struct buf lines;
	struct span rest, piece;
	const char *seen;
	unsigned n;

	buf_init(&lines, SEEN_MAX);
	n = probe_all(f, "", &lines);
	seen = settle(s);
	assert_int_equal(s->n, 2 * n); /* the mode is told, too */
	rest = (struct span){ (char *)lines.data, lines.len };
	while (span_next(&rest, "\n", &piece)) {
		(void)snprintf(line, sizeof line, "%.*s\n", (int)piece.len, piece.at);
		if (!strstr(seen, line))
			fail_msg("not seen: %s", line);
	}
	buf_deinit(&lines);
}

static void test_watch_after_a_storm_knows_each_directory_by_its_path(void **state)
{
	struct fixture *f = *state;
	struct seen *s = &f->seen[0];
	struct storm storms[STORM_THREADS];

	watch(f, s, true);
	for (unsigned i = 0; i < STORM_THREADS; i++) {
		storms[i] = (struct storm){ .f = f, .seed = 1 + i };
		assert_int_equal(pthread_create(&storms[i].thread, NULL, storm_run, &storms[i]), 0);
	}
	loop_fixture_run_while(f->loop, any_storm, storms);
	for (unsigned i = 0; i < STORM_THREADS; i++)
		pthread_join(storms[i].thread, NULL);
	(void)settle(s);
	buf_reset(&s->text, SEEN_MAX);
	s->n = 0;
	check_probes(f, s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
		T(test_watch_of_a_directory_tells_what_happens_in_it),
		T(test_watch_of_a_tree_tells_what_is_below),
		T(test_watch_of_a_tree_follows_new_directories),
		T(test_watch_tells_of_the_directory_itself_by_a_dot),
		T(test_watch_of_a_directory_that_is_removed_becomes_silent),
		T(test_watch_tells_of_a_directory_twice_when_its_mode_changes),
		T(test_watch_does_not_tell_who_only_reads),
		T(test_watch_tells_all_of_a_tree_that_comes_in_the_order_of_names),
		T(test_watch_of_one_directory_tells_nothing_of_what_is_in_those_that_come),
		T(test_watch_names_what_is_in_a_renamed_directory_anew),
		T(test_watch_knows_directories_that_changed_places),
		T(test_watch_replaces_an_empty_directory),
		T(test_watch_forgets_a_directory_that_is_moved_out),
		T(test_watch_survives_directories_that_vanish_at_once),
		T(test_watch_of_a_deep_tree_tells_what_is_at_its_bottom),
		T(test_watch_finds_directories_made_one_in_the_other),
		T(test_watch_by_two_tells_both_and_one_when_the_other_leaves),
		T(test_watch_that_begins_while_another_leaves_misses_nothing),
		T(test_watch_hands_a_directory_over_to_another_tree),
		T(test_watch_of_a_part_of_a_watched_tree_has_names_of_its_own),
		T(test_watch_follows_a_link_to_its_directory),
		T(test_watch_does_not_go_through_links_in_the_tree),
		T(test_watch_looks_up_entries_of_what_is_there),
		T(test_watch_keeps_the_order_of_events_with_entries),
		T(test_watch_of_what_is_no_directory_is_refused),
		T(test_watch_without_a_descriptor_is_refused),
		T(test_watch_of_too_many_is_refused),
		T(test_watch_of_a_burst_of_files_misses_none),
		T(test_watch_that_nobody_empties_overflows_alone),
		T(test_watch_ends_when_the_kernel_has_lost_records),
		T(test_watch_of_a_large_tree_that_comes_tells_it_as_fast_as_it_is_taken),
		T(test_watch_of_a_large_tree_that_comes_does_not_wait_for_what_came_later),
		T(test_watch_goes_on_while_jobs_of_others_are_stuck),
		T(test_watch_may_end_while_its_jobs_are_stuck),
		T(test_watch_whose_walk_is_overtaken_by_much_is_refused),
		T(test_watch_that_was_waited_for_and_given_up_tells_nobody),
		T(test_watch_after_a_storm_knows_each_directory_by_its_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
