#include "fs/watch_fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "fs/descent.h"
#include "fs/fuse_fixture.h"
#include "fs/tree_fixture.h"
#include "tests/support/busy_pool.h"
#include "tests/support/inotify_queue.h"
#include "tests/support/test.h"

static const struct watcher_ops no_ops; /* of a watcher that the loop never turns for */

/* ---------------------------------------------------------------- a kernel of its own */

static bool write_to(const char *path, const char *text)
{
	CLEANUP(close_fdp) int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static bool has_own_limits; /* otherwise they would be those of the machine */

/* As who it is, but with all rights over limits and mounts of its own. */
static void own_kernel(void)
{
	char users[64], groups[64];

	(void)snprintf(users, sizeof users, "%u %u 1", getuid(), getuid());
	(void)snprintf(groups, sizeof groups, "%u %u 1", getgid(), getgid());
	has_own_limits = unshare(CLONE_NEWUSER) == 0 && write_to("/proc/self/setgroups", "deny") &&
	                 write_to("/proc/self/uid_map", users) &&
	                 write_to("/proc/self/gid_map", groups);
	(void)tree_own_mounts();
}

/* Watches that the process may have. */
static bool limit_watches(const char *n)
{
	if (has_own_limits && write_to("/proc/sys/user/max_inotify_watches", n))
		return true;
	print_message("cannot limit watches: skipped\n");
	return false;
}

/* ---------------------------------------------------------------- refusals */

/* The path stands at the end of before, and perhaps again between it and after. */
static void check_refused(struct scene *f, const char *path, enum err_kind kind, const char *before,
                          const char *again, const char *after)
{
	struct seen *s = &f->seen[0];
	char expected[8192];

	seen_begin(f, s, (struct watcher_options){ .path = path, .is_recursive = true });
	loop_fixture_run_until(f->loop, &s->has_failed);
	(void)snprintf(expected, sizeof expected, "%s%s%s%s%s", before, path, again,
	               *again ? path : "", after);
	assert_int_equal(s->e.kind, kind);
	assert_string_equal(err_text(&s->e), expected);
	assert_false(s->is_armed);
	seen_end(s);
}

static void test_watch_of_what_is_no_directory_is_refused(void **state)
{
	struct scene *f = *state;

	scene_file(f, "file");
	assert_int_equal(symlink("nowhere", scene_at(f, "dangling")), 0);
	check_refused(f, scene_at(f, "missing"), ERR_NOT_FOUND, "path ", " not found: stat ",
	              ": no such file or directory");
	check_refused(f, scene_at(f, "dangling"), ERR_NOT_FOUND, "path ", " not found: stat ",
	              ": no such file or directory");
	check_refused(f, scene_at(f, "file/x"), ERR_INTERNAL, "error statting path ", ": stat ",
	              ": not a directory");
	check_refused(f, scene_at(f, "file"), ERR_INVALID, "path ", "", " not a directory");
}

static void test_watch_without_a_descriptor_is_refused(void **state)
{
	struct scene *f = *state;
	struct watcher_options options = { .path = f->tree };
	struct rlimit old, none;
	struct err e = { 0 };

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = (struct rlimit){ 3, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_null(watcher_new(f->watches, &options, &no_ops, NULL, &e));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(e.kind, ERR_INTERNAL);
	assert_string_equal(err_text(&e), "error creating watcher: too many open files");
	err_clear(&e);
	seen_watch(f, &f->seen[0], false);
}

static void test_watch_of_more_directories_than_the_kernel_watches_is_refused(void **state)
{
	struct scene *f = *state;

	if (!limit_watches("2"))
		return;
	scene_dir(f, "tree/a");
	scene_dir(f, "tree/b");
	check_refused(f, f->tree, ERR_INTERNAL, "error adding path ", "",
	              " to watcher: no space left on device");
	scene_dir(f, "other"); /* and what was watched by then has been given back */
	seen_begin(f, &f->seen[0],
	           (struct watcher_options){ .path = scene_at(f, "other"), .is_recursive = true });
	loop_fixture_run_until(f->loop, &f->seen[0].is_armed);
	assert_true(limit_watches("100000"));
}

static void test_watch_ends_when_the_kernel_does_not_watch_a_new_directory(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];

	if (!limit_watches("1"))
		return;
	seen_watch(f, s, true);
	scene_dir(f, "tree/d");
	loop_fixture_run_until(f->loop, &s->has_failed);
	assert_true(limit_watches("100000"));
	assert_int_equal(s->e.kind, ERR_INTERNAL);
	assert_string_equal(err_text(&s->e), "watcher error: no space left on device");
}

static void test_watch_of_a_network_mount_is_refused_unless_that_is_allowed(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];
	struct fuse_fixture fuse;

	if (!fuse_fixture_begin(&fuse, f->tree))
		return;
	check_refused(f, f->tree, ERR_INVALID, "cannot watch path on network filesystem: ", "", "");
	seen_begin(f, s,
	           (struct watcher_options){
			   .path = f->tree, .is_recursive = true, .allows_network = true });
	loop_fixture_run_until(f->loop, &s->is_armed);
	seen_end(s);
	fuse_fixture_end(&fuse);
}

/* Only where a watch begins. */
static void test_watch_goes_on_into_a_network_mount(void **state)
{
	struct scene *f = *state;
	struct fuse_fixture fuse;

	scene_dir(f, "tree/d");
	if (!fuse_fixture_begin(&fuse, scene_at(f, "tree/d")))
		return;
	seen_watch(f, &f->seen[0], true);
	fuse_fixture_end(&fuse);
	scene_file(f, "tree/x");
	seen_check(&f->seen[0], "CREATE x\n");
}

static void test_watch_of_too_many_is_refused(void **state)
{
	struct scene *f = *state;
	struct watcher_options options = { .path = f->tree };
	struct watcher *all[WATCHERS_MAX];
	struct err e = { 0 };

	for (size_t i = 0; i < WATCHERS_MAX; i++) {
		all[i] = watcher_new(f->watches, &options, &no_ops, NULL, &e);
		assert_non_null(all[i]);
	}
	assert_null(watcher_new(f->watches, &options, &no_ops, NULL, &e));
	assert_int_equal(e.kind, ERR_LIMIT);
	err_clear(&e);
	for (size_t i = 0; i < WATCHERS_MAX; i++)
		watcher_free(all[i]);
}

/* ---------------------------------------------------------------- mounts */

static bool mount_at(const char *path)
{
	if (mount("none", path, "tmpfs", 0, "size=64k") == 0)
		return true;
	print_message("cannot mount a file system: skipped\n");
	return false;
}

static void test_watch_of_what_is_unmounted_becomes_silent(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];

	if (!mount_at(f->tree))
		return;
	seen_watch(f, s, true);
	assert_int_equal(umount(f->tree), 0);
	scene_file(f, "tree/x");
	seen_check(s, "");
	assert_null(watcher_error(s->w));
}

static void test_watch_survives_that_a_part_of_its_tree_is_unmounted(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];

	scene_dir(f, "tree/m");
	if (!mount_at(scene_at(f, "tree/m")))
		return;
	seen_watch(f, s, true);
	scene_dir(f, "tree/m/d");
	seen_check(s, "CREATE m/d\n");
	assert_int_equal(umount(scene_at(f, "tree/m")), 0);
	scene_file(f, "tree/x");
	seen_check(s, "CREATE x\n");
}

static void test_watch_of_a_directory_with_two_paths_calls_it_by_one(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];

	scene_dir(f, "tree/a");
	scene_dir(f, "tree/a/b");
	scene_dir(f, "tree/mount");
	if (mount(scene_at(f, "tree/a"), scene_at(f, "tree/mount"), NULL, MS_BIND, NULL) < 0) {
		print_message("cannot mount a directory again: skipped\n");
		return;
	}
	seen_watch(f, s, true);
	scene_file(f, "tree/a/b/x");
	assert_true(strcmp(seen_settle(s), "CREATE a/b/x\n") == 0 ||
	            strcmp(seen_settle(s), "CREATE mount/b/x\n") == 0);
	seen_forget(s);
	scene_move(f, "tree/a", "tree/z");
	seen_check(s, "RENAME a\nCREATE z\n");
	scene_file(f, "tree/z/b/y");
	seen_check(s, "CREATE z/b/y\n");
	assert_int_equal(umount(scene_at(f, "tree/mount")), 0);
}

/* ---------------------------------------------------------------- much at once */

#define N_BURST 10000u

/* In memory, where files are made quickly; on the disk where that cannot be mounted. */
static int setup_in_memory(void **state)
{
	struct scene *f;

	scene_setup(state);
	f = *state;
	if (mount("none", f->dir, "tmpfs", 0, NULL) == 0)
		scene_dir(f, "tree");
	return 0;
}

static int teardown_in_memory(void **state)
{
	struct scene *f = *state;

	(void)umount2(f->dir, MNT_DETACH);
	return scene_teardown(state);
}

/* That each of the files "0", "1", ... in directories of the tree was told, once or more often. */
static void check_burst(struct seen *s)
{
	bool is_seen[N_BURST] = { false };
	struct span rest, line;
	unsigned n = 0;

	(void)seen_settle(s);
	rest = (struct span){ (char *)s->text.data, s->text.len };
	while (span_next(&rest, "\n", &line)) {
		const char *slash = memrchr(line.at, '/', line.len);

		if (slash && sscanf(slash, "/%u", &n) == 1 && n < N_BURST)
			is_seen[n] = true;
	}
	for (n = 0; n < N_BURST; n++)
		assert_true(is_seen[n]);
}

static void test_watch_of_a_burst_of_files_misses_none(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];

	scene_dir(f, "tree/d");
	seen_watch(f, s, true);
	scene_files(f, "tree/d", N_BURST);
	check_burst(s);
	assert_int_equal(s->n, N_BURST);
}

/* Ten levels for each hundred files, while those before are being found. */
static void test_watch_of_a_burst_in_new_directories_misses_none(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];
	char path[4096];
	size_t len = 0;

	seen_watch(f, s, true);
	for (unsigned i = 0; i < N_BURST; i++) {
		if (i % 100 == 0)
			len = (size_t)snprintf(path, sizeof path, "tree");
		if (i % 10 == 0) {
			len += (size_t)snprintf(path + len, sizeof path - len, "/d%u", i);
			scene_dir(f, path);
			loop_fixture_turn(f->loop, i % 7);
		}
		(void)snprintf(path + len, sizeof path - len, "/%u", i);
		scene_file(f, path);
	}
	check_burst(s);
}

/* More than WATCHES_UNUSED_MAX: some are removed while the walk of the second finds them. */
static void test_watch_that_begins_while_another_leaves_misses_nothing(void **state)
{
	struct scene *f = *state;
	struct seen *s = f->seen;
	char name[64];

	for (unsigned i = 0; i < N_BURST; i++) {
		(void)snprintf(name, sizeof name, "tree/d%u", i);
		scene_dir(f, name);
	}
	seen_watch(f, &s[0], true);
	seen_begin(f, &s[1], (struct watcher_options){ .path = f->tree, .is_recursive = true });
	watcher_free(TAKE_PTR(s[0].w));
	loop_fixture_run_until(f->loop, &s[1].is_armed);
	for (unsigned i = 0; i < N_BURST; i++) {
		(void)snprintf(name, sizeof name, "tree/d%u/%u", i, i);
		scene_file(f, name);
	}
	check_burst(&s[1]);
	assert_int_equal(s[1].n, N_BURST);
}

/* n records, none of which the kernel merges with the one before; read in between. */
static void make_records(struct scene *f, unsigned n, bool reads)
{
	scene_file(f, "tree/a");
	scene_file(f, "tree/b");
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(chmod(scene_at(f, i % 2 ? "tree/a" : "tree/b"), 0600), 0);
		if (reads && i % 4096 == 0)
			inotify_queue_run(f->loop);
	}
}

static void check_overflow(struct seen *s)
{
	loop_fixture_run_until(s->scene->loop, &s->has_failed);
	assert_int_equal(s->e.kind, ERR_INTERNAL);
	assert_string_equal(err_text(&s->e), "watcher error: fsnotify: queue or buffer overflow");
	assert_non_null(watcher_error(s->w));
	buf_reset(&s->text, SEEN_MAX);
	seen_check(s, "");
}

static void test_watch_that_nobody_empties_overflows_alone(void **state)
{
	struct scene *f = *state;
	struct seen *s = f->seen;

	seen_watch(f, &s[0], false);
	seen_watch(f, &s[1], false);
	s[0].is_slow = true;
	make_records(f, WATCHER_EVENTS_MAX + 1, true);
	check_overflow(&s[0]);
	(void)seen_settle(&s[1]);
	assert_null(watcher_error(s[1].w));
	assert_int_equal(s[1].n, WATCHER_EVENTS_MAX + 1 + 2);
}

static void make_records_in_turns(struct scene *f, size_t n)
{
	char name[256] = "tree/";

	memset(name + 5, 'x', 200);
	for (size_t i = 0; i < n; i++) {
		name[5] = "ab"[i % 2];
		scene_file(f, name);
		assert_int_equal(chmod(scene_at(f, name), i < 2 ? 0600 : 0644), 0);
		if (i % 512 == 0)
			inotify_queue_run(f->loop);
	}
	inotify_queue_run(f->loop);
}

/* Five watchers, which nobody empties, take up all there is for all; a sixth has done nothing. */
static void test_watch_that_holds_the_most_ends_when_all_hold_too_much(void **state)
{
	struct scene *f = *state;
	struct seen *s = f->seen;
	const size_t n_slow = SEEN_N - 1;
	const size_t event = sizeof(struct watch_event) + 200 + 1;
	unsigned n_failed = 0;

	scene_dir(f, "other");
	for (size_t i = 0; i < n_slow; i++) {
		seen_watch(f, &s[i], false);
		s[i].is_slow = true;
	}
	seen_begin(f, &s[n_slow], (struct watcher_options){ .path = scene_at(f, "other") });
	loop_fixture_run_until(f->loop, &s[n_slow].is_armed);
	make_records_in_turns(f, WATCHES_BYTES_MAX / n_slow / event - 2);
	for (size_t i = 0; i < n_slow; i++)
		assert_null(watcher_error(s[i].w));
	scene_file(f, "tree/1");
	scene_file(f, "other/1");
	scene_file(f, "tree/2");
	scene_file(f, "other/2");
	scene_file(f, "tree/3");
	scene_file(f, "other/3");
	seen_check(&s[n_slow], "CREATE 1\nCREATE 2\nCREATE 3\n");
	for (size_t i = 0; i < n_slow; i++)
		n_failed += watcher_error(s[i].w) != NULL;
	assert_int_equal(n_failed, 1);
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
	struct scene *f = *state;
	struct seen *s = f->seen;
	unsigned n = queue_max();

	if (n == 0 || n > 1000000)
		skip();
	seen_watch(f, &s[0], true);
	seen_watch(f, &s[1], false);
	make_records(f, n + 1, false);
	check_overflow(&s[0]);
	check_overflow(&s[1]);
	seen_end(&s[0]);
	seen_watch(f, &s[0], true);
	scene_file(f, "tree/x");
	seen_check(&s[0], "CREATE x\n");
}

#define N_LARGE (WATCHER_EVENTS_LOW + WATCHER_EVENTS_LOW / 2)

/* The walk waits for whoever takes events, and whoever waits for events is not kept waiting by it. */
static void test_watch_of_a_large_tree_that_comes_tells_it_as_fast_as_it_is_taken(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];
	size_t n_before = 0;

	scene_dir(f, "out");
	scene_files(f, "out", N_LARGE);
	seen_watch(f, s, true);
	s->is_slow = true;
	scene_move(f, "out", "tree/t");
	s->is_settled = false;
	watcher_settle(s->w, &s->waiter);
	loop_fixture_run_until(f->loop, &s->is_settled);
	assert_in_range(watcher_n_ready(s->w), WATCHER_EVENTS_LOW - 1, 2 * WATCHER_EVENTS_LOW);
	do {
		n_before = s->n;
		(void)seen_settle(s);
		buf_reset(&s->text, SEEN_MAX);
	} while (s->n > n_before);
	assert_int_equal(s->n, N_LARGE + 1);
}

/* The walk waits far down in t; its way back up is renamed away, with what it was still to find there. */
static void test_watch_of_a_large_tree_that_is_renamed_meanwhile_finds_all_of_it(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];
	char bottom[256];
	size_t len = (size_t)snprintf(bottom, sizeof bottom, "out");

	scene_dir(f, bottom);
	for (unsigned i = 0; i < DESCENT_OPEN_MAX + 2; i++) {
		len += (size_t)snprintf(bottom + len, sizeof bottom - len, "/d");
		scene_dir(f, bottom);
	}
	scene_files(f, bottom, N_LARGE);
	scene_dir(f, "out/d/z");
	seen_watch(f, s, true);
	s->is_slow = true;
	scene_move(f, "out", "tree/t");
	(void)seen_settle(s);
	assert_null(strstr((char *)s->text.data, "/z"));
	scene_move(f, "tree/t/d/d", "tree/t/e");
	scene_move(f, "tree/t/d", "tree/t/f");
	s->is_slow = false;
	(void)seen_settle(s); /* up to where the walk waits again */
	assert_non_null(strstr(seen_settle(s), "CREATE t/f/z\n"));
	seen_forget(s);
	scene_file(f, "tree/t/f/z/x");
	seen_check(s, "CREATE t/f/z/x\n");
}

/* What came after the tree stands behind it, and cannot be taken before it has been gone through. */
static void test_watch_of_a_large_tree_that_comes_does_not_wait_for_what_came_later(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];
	struct busy_pool pool;

	scene_dir(f, "out");
	scene_files(f, "out", N_LARGE);
	seen_watch(f, s, true);
	busy_pool_begin(&pool, f->loop);
	scene_move(f, "out", "tree/t");
	inotify_queue_run(f->loop);
	scene_files(f, "tree", N_LARGE);
	inotify_queue_run(f->loop);
	busy_pool_end(&pool);
	(void)seen_settle(s);
	assert_int_equal(s->n, 2 * N_LARGE + 1);
}

/* ---------------------------------------------------------------- stuck jobs */

static void test_watch_goes_on_while_jobs_of_others_are_stuck(void **state)
{
	struct scene *f = *state;
	struct seen *s = f->seen;
	struct busy_pool pool;

	seen_watch(f, &s[0], true);
	busy_pool_begin(&pool, f->loop);
	seen_begin(f, &s[1], (struct watcher_options){ .path = f->tree });
	scene_file(f, "tree/x");
	seen_check(&s[0], "CREATE x\n");
	assert_false(s[1].is_armed);
	busy_pool_end(&pool);
	loop_fixture_run_until(f->loop, &s[1].is_armed);
}

static void test_watch_goes_on_while_a_file_system_of_others_is_stuck(void **state)
{
	struct scene *f = *state;
	struct seen *s = f->seen;
	struct fuse_fixture fuse;

	scene_dir(f, "mount");
	if (!fuse_fixture_begin(&fuse, scene_at(f, "mount")))
		return;
	fuse_fixture_freeze(&fuse);
	for (unsigned i = 1; i < SEEN_N; i++)
		seen_begin(f, &s[i],
		           (struct watcher_options){ .path = fuse.path, .allows_network = true });
	seen_watch(f, &s[0], true);
	scene_dir(f, "tree/d");
	seen_check(&s[0], "CREATE d\n");
	assert_false(s[1].is_armed);
	fuse_fixture_thaw(&fuse);
	for (unsigned i = 1; i < SEEN_N; i++) {
		loop_fixture_run_until(f->loop, &s[i].is_armed);
		seen_end(&s[i]);
	}
	fuse_fixture_end(&fuse);
}

static void test_watch_may_end_while_its_jobs_are_stuck(void **state)
{
	struct scene *f = *state;
	struct seen *s = f->seen;
	struct busy_pool pool;

	seen_begin(f, &s[0], (struct watcher_options){ .path = f->tree, .wants_entries = true });
	loop_fixture_run_until(f->loop, &s[0].is_armed);
	busy_pool_begin(&pool, f->loop);
	scene_file(f, "tree/x");
	seen_begin(f, &s[1], (struct watcher_options){ .path = f->tree, .is_recursive = true });
	loop_fixture_turn(f->loop, 4);
	watcher_free(TAKE_PTR(s[0].w));
	watcher_free(TAKE_PTR(s[1].w));
	busy_pool_end(&pool);
}

/* What was done in the directory after the walk has begun is kept only so long. */
static void test_watch_whose_walk_is_overtaken_by_much_is_refused(void **state)
{
	struct scene *f = *state;
	struct seen *s = f->seen;
	struct busy_pool pool;

	seen_watch(f, &s[0], false);
	busy_pool_begin(&pool, f->loop);
	seen_begin(f, &s[1], (struct watcher_options){ .path = f->tree });
	loop_fixture_turn(f->loop, 4);
	make_records(f, WATCHES_LOG_MAX / 32 + 1, true);
	busy_pool_end(&pool);
	loop_fixture_run_until(f->loop, &s[1].has_failed);
	assert_non_null(strstr(err_text(&s[1].e), "watcher: " WATCH_OVERFLOW_TEXT));
	assert_null(watcher_error(s[0].w));
}

static void test_watch_that_was_waited_for_and_given_up_tells_nobody(void **state)
{
	struct scene *f = *state;
	struct seen *s = &f->seen[0];

	seen_watch(f, s, false);
	watcher_settle(s->w, &s->waiter);
	watcher_unsettle(&s->waiter);
	watcher_unsettle(&s->waiter);
	scene_file(f, "tree/x");
	seen_check(s, "CREATE x\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test)         cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)
#define IN_MEMORY(test) cmocka_unit_test_setup_teardown(test, setup_in_memory, teardown_in_memory)
		T(test_watch_of_what_is_no_directory_is_refused),
		T(test_watch_without_a_descriptor_is_refused),
		T(test_watch_of_more_directories_than_the_kernel_watches_is_refused),
		T(test_watch_ends_when_the_kernel_does_not_watch_a_new_directory),
		T(test_watch_of_a_network_mount_is_refused_unless_that_is_allowed),
		T(test_watch_goes_on_into_a_network_mount),
		T(test_watch_of_too_many_is_refused),
		T(test_watch_of_what_is_unmounted_becomes_silent),
		T(test_watch_survives_that_a_part_of_its_tree_is_unmounted),
		T(test_watch_of_a_directory_with_two_paths_calls_it_by_one),
		IN_MEMORY(test_watch_of_a_burst_of_files_misses_none),
		IN_MEMORY(test_watch_of_a_burst_in_new_directories_misses_none),
		IN_MEMORY(test_watch_that_begins_while_another_leaves_misses_nothing),
		T(test_watch_that_holds_the_most_ends_when_all_hold_too_much),
		T(test_watch_that_nobody_empties_overflows_alone),
		T(test_watch_ends_when_the_kernel_has_lost_records),
		IN_MEMORY(test_watch_of_a_large_tree_that_comes_tells_it_as_fast_as_it_is_taken),
		IN_MEMORY(test_watch_of_a_large_tree_that_is_renamed_meanwhile_finds_all_of_it),
		IN_MEMORY(test_watch_of_a_large_tree_that_comes_does_not_wait_for_what_came_later),
		T(test_watch_goes_on_while_jobs_of_others_are_stuck),
		T(test_watch_goes_on_while_a_file_system_of_others_is_stuck),
		T(test_watch_may_end_while_its_jobs_are_stuck),
		T(test_watch_whose_walk_is_overtaken_by_much_is_refused),
		T(test_watch_that_was_waited_for_and_given_up_tells_nobody),
	};

	own_kernel();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
