#include "fs/watch_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>

#include "base/mem.h"
#include "tests/support/test.h"

#define TEXT_MAX 65536u
#define N_TREES  2u
#define WD_ROOT  1 /* of both trees */

/* What the trees have told: "CREATE a/b", "look a", "lost a", "drop a", "full". */
struct fixture {
	struct watch_marks marks;
	struct watch_tree trees[N_TREES];
	struct watch_tree *tree; /* the first */
	struct buf told;
};

static struct fixture *current;

static void tell(const char *what, const struct watch_dir *dir, const char *name)
{
	buf_appendf(&current->told, "%s%s", current->told.len > 0 ? ", " : "", what);
	if (dir)
		watch_dir_path(dir, name, &current->told);
}

static void on_change(struct watch_tree *tree, enum watch_change change,
                      const struct watch_dir *dir, const char *name)
{
	static const char *const names[] = { "CREATE ", "RENAME ", "CHMOD ", "WRITE ", "REMOVE " };

	if (tree == current->tree)
		tell(names[change], dir, name);
}

static void on_arrival(struct watch_tree *tree, struct watch_dir *dir)
{
	if (tree == current->tree)
		tell("look ", dir, "");
}

static void on_lost(struct watch_tree *tree, struct watch_dir *dir)
{
	if (tree == current->tree)
		tell("lost ", dir, "");
}

static void on_drop(struct watch_tree *tree, struct watch_dir *dir)
{
	if (tree == current->tree && dir->parent)
		tell("drop ", dir, "");
}

static void on_full(struct watch_tree *tree)
{
	UNUSED(tree);
	tell("full", NULL, "");
}

static const struct watch_tree_ops ops = { on_change, on_arrival, on_lost, on_drop, on_full };

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);

	current = f;
	f->tree = &f->trees[0];
	buf_init(&f->told, TEXT_MAX);
	watch_marks_init(&f->marks);
	for (unsigned i = 0; i < N_TREES; i++) {
		watch_tree_init(&f->trees[i], &f->marks, true, &ops);
		assert_non_null(watch_tree_place(&f->trees[i], NULL, "", WD_ROOT, 0));
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < N_TREES; i++)
		watch_tree_deinit(&f->trees[i]);
	watch_marks_deinit(&f->marks);
	buf_deinit(&f->told);
	free(f);
	return 0;
}

static void assert_told(struct fixture *f, const char *expected)
{
	buf_append_byte(&f->told, '\0');
	assert_string_equal((char *)f->told.data, expected);
	buf_reset(&f->told, TEXT_MAX);
}

/* A record of the kernel about a watch, to all trees, as its owner does it. */
static void record(struct fixture *f, int wd, uint32_t mask, uint32_t cookie, const char *name)
{
	struct inotify_record r = { wd, mask, cookie, name };
	struct watch_mark *mark = watch_marks_find(&f->marks, wd);
	struct watch_dir *dir;

	assert_non_null(mark);
	LIST_FOR_EACH(&mark->dirs, dir, struct watch_dir, in_mark)
		watch_dir_apply(dir, &r);
	if (mask & IN_IGNORED)
		watch_mark_free(&f->marks, mark);
}

static struct watch_dir *dir_of(const struct fixture *f, int wd)
{
	return watch_tree_find(f->tree, watch_marks_find(&f->marks, wd));
}

/* Somebody looks at it now and finds that. */
static struct watch_dir *find(struct fixture *f, struct watch_dir *parent, const char *name, int wd)
{
	return watch_tree_place(f->tree, parent, name, wd, f->tree->n_moves);
}

/* The first tree gets a/b and c, watched by 2, 3 and 4. */
static void make_tree(struct fixture *f)
{
	find(f, find(f, f->tree->root, "a", 2), "b", 3);
	find(f, f->tree->root, "c", 4);
	buf_reset(&f->told, TEXT_MAX);
}

static void test_tree_names_entries_by_the_way_from_the_root(void **state)
{
	struct fixture *f = *state;

	make_tree(f);
	record(f, 3, IN_MODIFY, 0, "x");
	record(f, 3, IN_ATTRIB, 0, "");
	record(f, WD_ROOT, IN_CREATE, 0, "y");
	record(f, WD_ROOT, IN_ATTRIB, 0, "");
	assert_told(f, "WRITE a/b/x, CHMOD a/b, CREATE y, CHMOD .");
}

static void test_tree_tells_several_changes_of_one_record_in_order(void **state)
{
	struct fixture *f = *state;

	record(f, WD_ROOT, IN_DELETE | IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM | IN_CREATE, 0, "x");
	assert_told(f, "CREATE x, RENAME x, CHMOD x, WRITE x, REMOVE x");
}

static void test_tree_asks_to_look_at_a_new_directory(void **state)
{
	struct fixture *f = *state;
	struct watch_dir *dir;

	record(f, WD_ROOT, IN_CREATE | IN_ISDIR, 0, "d");
	assert_told(f, "CREATE d, look d");
	dir = watch_dir_child(f->tree->root, "d");
	assert_int_equal(dir->state, WATCH_DIR_EXPECTED);
	assert_ptr_equal(find(f, f->tree->root, "d", 5), dir);
	assert_int_equal(dir->state, WATCH_DIR_WATCHED);
	record(f, 5, IN_CREATE, 0, "x");
	assert_told(f, "CREATE d/x");
}

static void test_tree_of_one_directory_asks_nothing(void **state)
{
	struct fixture *f = *state;

	f->tree->is_recursive = false;
	record(f, WD_ROOT, IN_CREATE | IN_ISDIR, 0, "d");
	assert_told(f, "CREATE d");
	assert_null(watch_dir_child(f->tree->root, "d"));
}

static void test_tree_renames_all_that_is_in_a_directory(void **state)
{
	struct fixture *f = *state;

	make_tree(f);
	record(f, WD_ROOT, IN_MOVED_FROM | IN_ISDIR, 9, "a");
	record(f, 3, IN_MODIFY, 0, "x"); /* between the two: by its old name */
	record(f, 4, IN_MOVED_TO | IN_ISDIR, 9, "z");
	record(f, 2, IN_MOVE_SELF | IN_ISDIR, 0, "");
	record(f, 3, IN_MODIFY, 0, "x");
	assert_told(f, "RENAME a, look a, WRITE a/b/x, CREATE c/z, look c/z, WRITE c/z/b/x");
	assert_int_equal(dir_of(f, 2)->state, WATCH_DIR_SUSPECT);
}

static double cpu_seconds(void)
{
	struct timespec t;

	assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t), 0);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The loop does it, a queue full of it at a time: a thousand take less than to make the tree did. */
static void test_tree_rename_does_not_take_longer_the_more_is_below(void **state)
{
	struct fixture *f = *state;
	struct watch_dir *top = find(f, f->tree->root, "a", 2);
	double begin = cpu_seconds(), made;
	char name[16];

	for (int i = 0; i < 20000; i++) {
		(void)snprintf(name, sizeof name, "%d", i);
		assert_non_null(find(f, top, name, 3 + i));
	}
	made = cpu_seconds();
	for (uint32_t i = 0; i < 1000; i++) {
		const bool is_back = i % 2 == 1;

		record(f, WD_ROOT, IN_MOVED_FROM | IN_ISDIR, i + 1, is_back ? "b" : "a");
		record(f, WD_ROOT, IN_MOVED_TO | IN_ISDIR, i + 1, is_back ? "a" : "b");
		record(f, 2, IN_MOVE_SELF | IN_ISDIR, 0, "");
		buf_reset(&f->told, TEXT_MAX);
	}
	assert_true(cpu_seconds() - made < made - begin);
	assert_ptr_equal(watch_dir_child(f->tree->root, "a"), top);
}

static void test_tree_drops_what_has_moved_out(void **state)
{
	struct fixture *f = *state;

	make_tree(f);
	record(f, WD_ROOT, IN_MOVED_FROM | IN_ISDIR, 9, "a");
	assert_false(watch_dir_has_path(dir_of(f, 3)));
	record(f, 2, IN_MOVE_SELF | IN_ISDIR, 0, "");
	assert_told(f, "RENAME a, look a, drop a/b, drop a");
	assert_null(dir_of(f, 2));
	assert_null(dir_of(f, 3));
	assert_int_equal(f->marks.n_unused, 2);
}

static void test_tree_takes_what_it_did_not_know_for_new(void **state)
{
	struct fixture *f = *state;

	record(f, WD_ROOT, IN_MOVED_TO | IN_ISDIR, 9, "d");
	assert_told(f, "CREATE d, look d");
}

static void test_tree_drops_what_left_before_it_was_found(void **state)
{
	struct fixture *f = *state;

	record(f, WD_ROOT, IN_CREATE | IN_ISDIR, 0, "d");
	record(f, WD_ROOT, IN_MOVED_FROM | IN_ISDIR, 9, "d");
	record(f, WD_ROOT, IN_MOVED_TO | IN_ISDIR, 9, "e");
	assert_told(f, "CREATE d, look d, RENAME d, drop d, look d, CREATE e, look e");
}

static void test_tree_guess_that_is_wrong_is_forgotten(void **state)
{
	struct fixture *f = *state;
	struct watch_dir *guess;

	make_tree(f);
	record(f, WD_ROOT, IN_MOVED_FROM | IN_ISDIR, 9, "c");
	guess = watch_dir_child(f->tree->root, "c");
	assert_int_equal(guess->state, WATCH_DIR_GUESSED);
	watch_dir_miss(guess);
	assert_null(watch_dir_child(f->tree->root, "c"));
}

static void test_tree_keeps_the_place_of_what_was_not_found(void **state)
{
	struct fixture *f = *state;

	record(f, WD_ROOT, IN_CREATE | IN_ISDIR, 0, "d");
	watch_dir_miss(watch_dir_child(f->tree->root, "d"));
	assert_non_null(watch_dir_child(f->tree->root, "d"));
	record(f, WD_ROOT, IN_DELETE | IN_ISDIR, 0, "d");
	assert_null(watch_dir_child(f->tree->root, "d"));
}

/* It may have been looked for by a path that was not true any more. */
static void test_tree_asks_again_for_what_was_not_found_when_it_moved(void **state)
{
	struct fixture *f = *state;

	make_tree(f);
	record(f, 2, IN_CREATE | IN_ISDIR, 0, "new");
	watch_dir_miss(watch_dir_child(dir_of(f, 2), "new"));
	buf_reset(&f->told, TEXT_MAX);
	record(f, WD_ROOT, IN_MOVED_FROM | IN_ISDIR, 9, "a");
	record(f, WD_ROOT, IN_MOVED_TO | IN_ISDIR, 9, "z");
	assert_told(f, "RENAME a, look a, CREATE z, look z/new, look z");
}

static void test_tree_two_directories_change_places(void **state)
{
	struct fixture *f = *state;
	struct watch_dir *root = f->tree->root;

	make_tree(f);
	record(f, WD_ROOT, IN_MOVED_FROM | IN_ISDIR, 9, "a");
	record(f, WD_ROOT, IN_MOVED_TO | IN_ISDIR, 9, "c");
	record(f, 2, IN_MOVE_SELF | IN_ISDIR, 0, "");
	record(f, WD_ROOT, IN_MOVED_FROM | IN_ISDIR, 10, "c");
	record(f, WD_ROOT, IN_MOVED_TO | IN_ISDIR, 10, "a");
	/* What was asked to look at is found as it is. */
	assert_non_null(find(f, root, "c", 2));
	assert_non_null(find(f, root, "a", 5));
	assert_string_equal(dir_of(f, 2)->name, "c");
	assert_ptr_equal(dir_of(f, 3)->parent, dir_of(f, 2));
	assert_ptr_equal(watch_dir_child(root, "a"), dir_of(f, 5));
}

static void test_tree_removed_directory_is_told_once(void **state)
{
	struct fixture *f = *state;

	make_tree(f);
	record(f, 4, IN_DELETE_SELF, 0, "");
	record(f, 4, IN_IGNORED, 0, "");
	record(f, WD_ROOT, IN_DELETE | IN_ISDIR, 0, "c");
	assert_told(f, "drop c, REMOVE c");
	assert_null(watch_marks_find(&f->marks, 4));
}

static void test_tree_root_that_goes_takes_all_with_it(void **state)
{
	static const struct {
		uint32_t mask;
		const char *told;
	} ways[] = {
		{ IN_DELETE_SELF, "REMOVE ., drop a/b, drop a, drop c" },
		{ IN_MOVE_SELF, "RENAME ., drop a/b, drop a, drop c" },
		{ IN_UNMOUNT, "drop a/b, drop a, drop c" },
	};
	struct fixture *f;

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		f = *state;
		make_tree(f);
		record(f, WD_ROOT, ways[i].mask, 0, "");
		assert_told(f, ways[i].told);
		assert_null(f->tree->root);
		assert_int_equal(f->marks.n_dirs, 0);
		teardown(state);
		setup(state);
	}
}

static void test_tree_removed_under_what_replaces_it_leaves_that(void **state)
{
	struct fixture *f = *state;

	make_tree(f);
	record(f, WD_ROOT, IN_MOVED_TO | IN_ISDIR, 9, "c");
	assert_int_equal(dir_of(f, 4)->state, WATCH_DIR_SUSPECT);
	record(f, 4, IN_DELETE_SELF, 0, "");
	record(f, 4, IN_IGNORED, 0, "");
	assert_told(f, "CREATE c, look c");
	assert_int_equal(watch_dir_child(f->tree->root, "c")->state, WATCH_DIR_EXPECTED);
}

static void test_tree_directory_that_is_found_elsewhere_moves(void **state)
{
	struct fixture *f = *state;

	make_tree(f);
	record(f, WD_ROOT, IN_CREATE | IN_ISDIR, 0, "a");
	assert_ptr_equal(find(f, dir_of(f, 4), "x", 2), dir_of(f, 2));
	record(f, 3, IN_CREATE, 0, "y");
	assert_told(f, "CREATE a, look a, look a, CREATE c/x/b/y");
}

static void test_tree_asks_once_for_a_directory_with_two_paths(void **state)
{
	struct fixture *f = *state;

	make_tree(f);
	find(f, f->tree->root, "mount", 2);
	record(f, 2, IN_CREATE, 0, "y");
	record(f, WD_ROOT, IN_MOVED_FROM | IN_ISDIR, 9, "a");
	record(f, WD_ROOT, IN_MOVED_TO | IN_ISDIR, 9, "x");
	find(f, f->tree->root, "x", 2);
	assert_told(f, "CREATE mount/y, RENAME a, CREATE x, look x");
}

static void test_tree_another_directory_in_a_place_replaces_all_below(void **state)
{
	struct fixture *f = *state;

	make_tree(f);
	assert_non_null(find(f, f->tree->root, "a", 7));
	assert_told(f, "drop a/b");
	assert_null(dir_of(f, 2));
}

static void test_tree_does_not_put_a_directory_into_itself(void **state)
{
	struct fixture *f = *state;

	make_tree(f);
	assert_null(find(f, dir_of(f, 3), "mount", 2));
	assert_null(find(f, dir_of(f, 3), "mount", WD_ROOT));
	record(f, WD_ROOT, IN_MOVED_FROM | IN_ISDIR, 9, "a");
	record(f, 3, IN_MOVED_TO | IN_ISDIR, 9, "x");
	assert_told(f, "RENAME a, look a, CREATE a/b/x, look a/b/x");
}

static void test_tree_findings_from_before_an_arrival_do_not_count(void **state)
{
	struct fixture *f = *state;
	uint64_t n_moves;

	make_tree(f);
	n_moves = f->tree->n_moves;
	record(f, WD_ROOT, IN_MOVED_TO | IN_ISDIR, 9, "c");
	assert_false(watch_dir_stood_still(dir_of(f, 4), n_moves));
	assert_null(watch_tree_place(f->tree, f->tree->root, "c", 7, n_moves));
	assert_int_equal(dir_of(f, 4)->state, WATCH_DIR_SUSPECT);
}

static void test_tree_lost_watch_is_asked_for(void **state)
{
	struct fixture *f = *state;

	make_tree(f);
	record(f, 2, IN_IGNORED, 0, "");
	assert_told(f, "lost a");
	assert_ptr_equal(find(f, f->tree->root, "a", 8), dir_of(f, 3)->parent);
}

static void test_marks_serve_several_trees_until_the_last_lets_go(void **state)
{
	struct fixture *f = *state;
	struct watch_mark *mark = watch_marks_find(&f->marks, WD_ROOT);

	watch_tree_deinit(&f->trees[0]);
	watch_tree_deinit(&f->trees[0]);
	assert_int_equal(f->marks.n_unused, 0);
	watch_tree_deinit(&f->trees[1]);
	assert_int_equal(f->marks.n_unused, 1);
	assert_ptr_equal(LIST_FIRST(&f->marks.unused, struct watch_mark, unused), mark);
}

static void test_marks_that_are_found_again_are_used_again(void **state)
{
	struct fixture *f = *state;

	watch_marks_add_unused(&f->marks, 7);
	watch_marks_add_unused(&f->marks, 7);
	watch_marks_add_unused(&f->marks, WD_ROOT); /* it is in use */
	assert_int_equal(f->marks.n_unused, 1);
	assert_non_null(find(f, f->tree->root, "d", 7));
	assert_int_equal(f->marks.n_unused, 0);
}

static void test_tree_has_a_limit_that_all_trees_share(void **state)
{
	struct fixture *f = *state;
	const size_t n_dirs = f->marks.n_dirs;

	f->marks.n_dirs = WATCH_DIRS_MAX - 1; /* as if there were many */
	assert_non_null(find(f, f->trees[1].root, "last", 2));
	record(f, WD_ROOT, IN_CREATE | IN_ISDIR, 0, "d");
	assert_told(f, "CREATE d, full, full"); /* both trees say so */
	f->marks.n_dirs = n_dirs + 1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
		T(test_tree_names_entries_by_the_way_from_the_root),
		T(test_tree_tells_several_changes_of_one_record_in_order),
		T(test_tree_asks_to_look_at_a_new_directory),
		T(test_tree_of_one_directory_asks_nothing),
		T(test_tree_renames_all_that_is_in_a_directory),
		T(test_tree_rename_does_not_take_longer_the_more_is_below),
		T(test_tree_drops_what_has_moved_out),
		T(test_tree_takes_what_it_did_not_know_for_new),
		T(test_tree_drops_what_left_before_it_was_found),
		T(test_tree_guess_that_is_wrong_is_forgotten),
		T(test_tree_keeps_the_place_of_what_was_not_found),
		T(test_tree_asks_again_for_what_was_not_found_when_it_moved),
		T(test_tree_two_directories_change_places),
		T(test_tree_removed_directory_is_told_once),
		T(test_tree_root_that_goes_takes_all_with_it),
		T(test_tree_removed_under_what_replaces_it_leaves_that),
		T(test_tree_directory_that_is_found_elsewhere_moves),
		T(test_tree_asks_once_for_a_directory_with_two_paths),
		T(test_tree_another_directory_in_a_place_replaces_all_below),
		T(test_tree_does_not_put_a_directory_into_itself),
		T(test_tree_findings_from_before_an_arrival_do_not_count),
		T(test_tree_lost_watch_is_asked_for),
		T(test_marks_serve_several_trees_until_the_last_lets_go),
		T(test_marks_that_are_found_again_are_used_again),
		T(test_tree_has_a_limit_that_all_trees_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
