#include "fs/watch_fixture.h"

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

/* ---------------------------------------------------------------- one directory */

static void test_watch_of_a_directory_tells_what_happens_in_it(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];

	seen_watch(f, s, false);
	free(temp_dir_file(f->tree, "a", "text", 0600));
	seen_check(s, "CREATE a\nWRITE a\nCHMOD a\n");
	scene_move(f, "tree/a", "tree/b");
	seen_check(s, "RENAME a\nCREATE b\n");
	assert_int_equal(remove(scene_at(f, "tree/b")), 0);
	scene_dir(f, "tree/d");
	scene_dir(f, "tree/d/e");
	seen_check(s, "REMOVE b\nCREATE d\n");
}

static void test_watch_of_a_tree_tells_what_is_below(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];

	scene_dir(f, "tree/d");
	scene_dir(f, "tree/d/e");
	seen_watch(f, s, true);
	scene_file(f, "tree/d/e/x");
	seen_check(s, "CREATE d/e/x\n");
	assert_int_equal(remove(scene_at(f, "tree/d/e/x")), 0);
	assert_int_equal(remove(scene_at(f, "tree/d/e")), 0);
	seen_check(s, "REMOVE d/e/x\nREMOVE d/e\n");
}

static void test_watch_of_a_tree_follows_new_directories(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];

	seen_watch(f, s, true);
	scene_dir(f, "tree/a");
	seen_check(s, "CREATE a\n");
	scene_dir(f, "tree/a/b");
	seen_check(s, "CREATE a/b\n");
	scene_file(f, "tree/a/b/c");
	seen_check(s, "CREATE a/b/c\n");
}

static void test_watch_tells_of_the_directory_itself_by_a_dot(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];

	seen_watch(f, s, true);
	assert_int_equal(chmod(f->tree, 0700), 0);
	seen_check(s, "CHMOD .\n");
	scene_move(f, "tree", "other");
	seen_check(s, "RENAME .\n");
	scene_file(f, "other/x");
	scene_dir(f, "tree");
	scene_file(f, "tree/x");
	seen_check(s, "");
	assert_null(watcher_error(s->w));
}

static void test_watch_of_a_directory_that_is_removed_becomes_silent(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];

	scene_dir(f, "tree/d");
	seen_watch(f, s, true);
	assert_int_equal(rmdir(scene_at(f, "tree/d")), 0);
	assert_int_equal(rmdir(f->tree), 0);
	seen_check(s, "REMOVE d\nREMOVE .\n");
	scene_dir(f, "tree");
	seen_check(s, "");
	assert_null(watcher_error(s->w));
}

static void test_watch_tells_of_a_directory_twice_when_its_mode_changes(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];

	scene_dir(f, "tree/d");
	seen_watch(f, s, true);
	assert_int_equal(chmod(scene_at(f, "tree/d"), 0700), 0);
	seen_check(s, "CHMOD d\nCHMOD d\n");
}

static void test_watch_does_not_tell_who_only_reads(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];
	int fd;

	scene_dir(f, "tree/d");
	scene_file(f, "tree/a");
	seen_watch(f, s, true);
	fd = open(scene_at(f, "tree/a"), O_RDWR | O_CLOEXEC);
	assert_int_equal(read(fd, &fd, sizeof fd), 0);
	close(fd);
	fd = open(scene_at(f, "tree/d"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(fd);
	seen_check(s, "");
}

/* ---------------------------------------------------------------- directories that come and go */

static void make_outside(struct scene *f)
{
	scene_dir(f, "out");
	scene_dir(f, "out/b");
	scene_dir(f, "out/b/d");
	scene_file(f, "out/b/c");
	scene_file(f, "out/b/d/e");
	scene_file(f, "out/b.c");
	scene_file(f, "out/a");
}

static void test_watch_tells_all_of_a_tree_that_comes_in_the_order_of_names(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];

	make_outside(f);
	seen_watch(f, s, true);
	scene_move(f, "out", "tree/t");
	seen_check(s, "CREATE t\nCREATE t/a\nCREATE t/b\nCREATE t/b/c\nCREATE t/b/d\n"
	              "CREATE t/b/d/e\nCREATE t/b.c\n");
	scene_file(f, "tree/t/b/d/f");
	seen_check(s, "CREATE t/b/d/f\n");
}

static void test_watch_of_one_directory_tells_nothing_of_what_is_in_those_that_come(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];

	make_outside(f);
	seen_watch(f, s, false);
	scene_move(f, "out", "tree/t");
	scene_file(f, "tree/t/x");
	seen_check(s, "CREATE t\n");
}

static void test_watch_names_what_is_in_a_renamed_directory_anew(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];

	scene_dir(f, "tree/foo");
	scene_dir(f, "tree/foo/sub");
	scene_dir(f, "tree/foo2");
	seen_watch(f, s, true);
	scene_move(f, "tree/foo", "tree/bar");
	seen_check(s, "RENAME foo\nCREATE bar\n");
	scene_file(f, "tree/bar/sub/x");
	scene_file(f, "tree/foo2/y");
	seen_check(s, "CREATE bar/sub/x\nCREATE foo2/y\n");
	scene_move(f, "tree/bar", "tree/foo2/bar");
	scene_file(f, "tree/foo2/bar/sub/z");
	seen_check(s, "RENAME bar\nCREATE foo2/bar\nCREATE foo2/bar/sub/z\n");
}

static void test_watch_knows_directories_that_changed_places(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];

	scene_dir(f, "tree/a");
	scene_dir(f, "tree/a/in_a");
	scene_dir(f, "tree/b");
	seen_watch(f, s, true);
	assert_int_equal(renameat2(AT_FDCWD, scene_at(f, "tree/a"), AT_FDCWD, scene_at(f, "tree/b"),
	                           RENAME_EXCHANGE),
	                 0);
	(void)seen_settle(s);
	buf_reset(&s->text, SEEN_MAX);
	scene_file(f, "tree/a/x");
	scene_file(f, "tree/b/in_a/y");
	seen_check(s, "CREATE a/x\nCREATE b/in_a/y\n");
}

static void test_watch_replaces_an_empty_directory(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];

	scene_dir(f, "tree/a");
	scene_dir(f, "tree/b");
	seen_watch(f, s, true);
	scene_move(f, "tree/a", "tree/b");
	seen_check(s, "RENAME a\nCREATE b\n");
	scene_file(f, "tree/b/x");
	seen_check(s, "CREATE b/x\n");
}

static void test_watch_forgets_a_directory_that_is_moved_out(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];

	scene_dir(f, "tree/d");
	scene_dir(f, "tree/d/e");
	seen_watch(f, s, true);
	scene_move(f, "tree/d", "d");
	scene_file(f, "d/x");
	scene_file(f, "d/e/y");
	seen_check(s, "RENAME d\n");
}

static void test_watch_survives_directories_that_vanish_at_once(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];

	seen_watch(f, s, true);
	for (unsigned i = 0; i < 200; i++) {
		scene_dir(f, "tree/d");
		assert_int_equal(rmdir(scene_at(f, "tree/d")), 0);
	}
	(void)seen_settle(s);
	buf_reset(&s->text, SEEN_MAX);
	scene_dir(f, "tree/d");
	scene_file(f, "tree/d/x");
	/* Who is told of x is the kernel, or who looks into d, or both. */
	assert_non_null(strstr(seen_settle(s), "CREATE d\nCREATE d/x\n"));
}

static void make_nested(const struct scene *f, char *path, size_t size, unsigned n)
{
	size_t len = (size_t)snprintf(path, size, "tree");

	while (n-- > 0) {
		len += (size_t)snprintf(path + len, size - len, "/d");
		scene_dir(f, path);
	}
	(void)snprintf(path + len, size - len, "/x");
}

/* Deeper than a walk keeps open. */
static void test_watch_of_a_deep_tree_tells_what_is_at_its_bottom(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];
	char path[2048], line[4096];

	make_nested(f, path, sizeof path, 300);
	seen_watch(f, s, true);
	scene_file(f, path);
	(void)snprintf(line, sizeof line, "CREATE %s\n", path + strlen("tree/"));
	seen_check(s, line);
}

static void test_watch_finds_directories_made_one_in_the_other(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];
	char path[2048], line[4096];

	seen_watch(f, s, true);
	make_nested(f, path, sizeof path, 100);
	scene_file(f, path);
	(void)seen_settle(s);
	for (char *end = path; end; end = strchr(end + 1, '/')) {
		(void)snprintf(line, sizeof line, "CREATE %.*s\n",
		               (int)(end - path) - (int)strlen("tree/"), path + strlen("tree/"));
		assert_true(end < path + strlen("tree/") || strstr((char *)s->text.data, line));
	}
}

/* ---------------------------------------------------------------- several watchers */

static void test_watch_by_two_tells_both_and_one_when_the_other_leaves(void **state)
{
	struct scene *f = *state;
	struct seen *s = f->seen;

	scene_dir(f, "tree/d");
	seen_watch(f, &s[0], true);
	seen_watch(f, &s[1], true);
	scene_file(f, "tree/d/x");
	seen_check(&s[0], "CREATE d/x\n");
	seen_check(&s[1], "CREATE d/x\n");
	watcher_free(TAKE_PTR(s[0].w));
	scene_file(f, "tree/d/y");
	seen_check(&s[1], "CREATE d/y\n");
}

static void test_watch_hands_a_directory_over_to_another_tree(void **state)
{
	struct scene *f = *state;
	struct seen *s = f->seen;

	scene_dir(f, "other");
	scene_dir(f, "tree/d");
	scene_file(f, "tree/d/x");
	seen_watch(f, &s[0], true);
	seen_begin(f, &s[1],
	           (struct watcher_options){ .path = scene_at(f, "other"), .is_recursive = true });
	loop_fixture_run_until(f->loop, &s[1].is_armed);
	scene_move(f, "tree/d", "other/d");
	seen_check(&s[0], "RENAME d\n");
	seen_check(&s[1], "CREATE d\nCREATE d/x\n");
	scene_file(f, "other/d/y");
	seen_check(&s[0], "");
	seen_check(&s[1], "CREATE d/y\n");
}

static void test_watch_of_a_part_of_a_watched_tree_has_names_of_its_own(void **state)
{
	struct scene *f = *state;
	struct seen *s = f->seen;

	scene_dir(f, "tree/d");
	seen_watch(f, &s[0], true);
	seen_begin(f, &s[1], (struct watcher_options){ .path = scene_at(f, "tree/d") });
	loop_fixture_run_until(f->loop, &s[1].is_armed);
	scene_file(f, "tree/d/x");
	scene_move(f, "tree/d", "tree/e");
	seen_check(&s[0], "CREATE d/x\nRENAME d\nCREATE e\n");
	seen_check(&s[1], "CREATE x\nRENAME .\n");
}

/* ---------------------------------------------------------------- links, entries */

static void test_watch_follows_a_link_to_its_directory(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];
	char lines[8192];

	scene_dir(f, "tree/d");
	assert_int_equal(symlink("tree", scene_at(f, "link")), 0);
	seen_begin(f, s,
	           (struct watcher_options){ .path = scene_at(f, "link"),
	                                     .is_recursive = true,
	                                     .wants_entries = true });
	loop_fixture_run_until(f->loop, &s->is_armed);
	scene_file(f, "tree/d/x");
	(void)snprintf(lines, sizeof lines, "CREATE d/x = %s/link/d/x -rw-r--r--\n", f->dir);
	seen_check(s, lines);
}

static void test_watch_does_not_go_through_links_in_the_tree(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];

	scene_dir(f, "other");
	assert_int_equal(symlink("../other", scene_at(f, "tree/link")), 0);
	seen_watch(f, s, true);
	scene_file(f, "other/x");
	assert_int_equal(symlink("../other", scene_at(f, "tree/new")), 0);
	scene_file(f, "other/y");
	seen_check(s, "CREATE new\n");
}

static void test_watch_looks_up_entries_of_what_is_there(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];
	char lines[8192];

	seen_begin(f, s, (struct watcher_options){ .path = f->tree, .wants_entries = true });
	loop_fixture_run_until(f->loop, &s->is_armed);
	free(temp_dir_file(f->tree, "a", "text", 0600));
	assert_int_equal(chmod(f->tree, 0700), 0);
	scene_move(f, "tree/a", "tree/b");
	scene_file(f, "tree/a");
	/* The entry is of when somebody looks: the first a has become b, and there is another. */
	(void)snprintf(lines, sizeof lines,
	               "CREATE a = %1$s/tree/a -rw-r--r--\nWRITE a = %1$s/tree/a -rw-r--r--\n"
	               "CHMOD a = %1$s/tree/a -rw-r--r--\nCHMOD . = %1$s/tree drwx------\n"
	               "RENAME a\nCREATE b = %1$s/tree/b -rw-------\n"
	               "CREATE a = %1$s/tree/a -rw-r--r--\n",
	               f->dir);
	seen_check(s, lines);
	scene_file(f, "tree/c");
	assert_int_equal(remove(scene_at(f, "tree/c")), 0);
	seen_check(s, "CREATE c\nREMOVE c\n");
}

/* More than a batch, and between them what needs none. */
static void test_watch_keeps_the_order_of_events_with_entries(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];
	struct buf expected;
	char name[64];

	buf_init(&expected, SEEN_MAX);
	seen_begin(f, s, (struct watcher_options){ .path = f->tree, .wants_entries = true });
	loop_fixture_run_until(f->loop, &s->is_armed);
	for (unsigned i = 0; i < 500; i++) {
		(void)snprintf(name, sizeof name, "tree/%u", i);
		scene_file(f, name);
		buf_appendf(&expected, "CREATE %u = %s/%s -rw-r--r--\n", i, f->dir, name);
		if (i % 3 == 0) {
			scene_file(f, "tree/tmp");
			assert_int_equal(remove(scene_at(f, "tree/tmp")), 0);
			buf_append_text(&expected, "CREATE tmp\nREMOVE tmp\n");
		}
	}
	buf_append_byte(&expected, '\0');
	seen_check(s, (char *)expected.data);
	buf_deinit(&expected);
}

/* ---------------------------------------------------------------- storms */

#define STORM_THREADS 2u
#define STORM_OPS     1000u
#define STORM_NAMES   3u

struct storm {
	const struct scene *f;
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
static unsigned probe_all(const struct scene *f, const char *below, struct buf *lines)
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

static void check_probes(struct scene *f, struct seen *s)
{
	char line[4096];
	struct buf lines;
	struct span rest, piece;
	const char *seen;
	unsigned n;

	buf_init(&lines, SEEN_MAX);
	n = probe_all(f, "", &lines);
	seen = seen_settle(s);
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
	struct scene *f = *state;
	struct seen *s = &f->seen[0];
	struct storm storms[STORM_THREADS];

	seen_watch(f, s, true);
	for (unsigned i = 0; i < STORM_THREADS; i++) {
		storms[i] = (struct storm){ .f = f, .seed = 1 + i };
		assert_int_equal(pthread_create(&storms[i].thread, NULL, storm_run, &storms[i]), 0);
	}
	loop_fixture_run_while(f->loop, any_storm, storms);
	for (unsigned i = 0; i < STORM_THREADS; i++)
		pthread_join(storms[i].thread, NULL);
	(void)seen_settle(s);
	seen_forget(s);
	check_probes(f, s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)
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
		T(test_watch_hands_a_directory_over_to_another_tree),
		T(test_watch_of_a_part_of_a_watched_tree_has_names_of_its_own),
		T(test_watch_follows_a_link_to_its_directory),
		T(test_watch_does_not_go_through_links_in_the_tree),
		T(test_watch_looks_up_entries_of_what_is_there),
		T(test_watch_keeps_the_order_of_events_with_entries),
		T(test_watch_after_a_storm_knows_each_directory_by_its_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
