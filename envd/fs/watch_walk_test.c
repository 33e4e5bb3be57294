#include "fs/watch_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "fs/inotify.h"
#include "fs/tree_fixture.h"
#include "tests/support/test.h"

#define TEXT_MAX (1024u * 1024u)

/* "parent/name" of an entry, "parent/name=number:wd" of a directory, "!number" of a lost one. */
static void append_found(struct buf *out, const struct watch_walk *walk)
{
	for (size_t i = 0; i < walk->n_found; i++) {
		const struct watch_found *f = &walk->found[i];

		if (f->kind == WATCH_FOUND_LOST)
			buf_appendf(out, "!%zu ", f->number);
		else if (f->kind == WATCH_FOUND_DIR)
			buf_appendf(out, "%zu/%s=%zu:%d ", f->parent, f->name, f->number, f->wd);
		else
			buf_appendf(out, "%zu/%s ", f->parent, f->name);
	}
}

struct walked {
	struct watch_walk walk;
	struct buf text;
	int fd, rc;
	unsigned n_steps;
};

static void begin(struct walked *w, bool is_recursive, bool tells_all)
{
	*w = (struct walked){ .fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC) };
	assert_true(w->fd >= 0);
	buf_init(&w->text, TEXT_MAX);
	watch_walk_init(&w->walk, w->fd, is_recursive, tells_all);
}

static void step(struct walked *w)
{
	w->n_steps++;
	w->rc = watch_walk_step(&w->walk);
	append_found(&w->text, &w->walk);
}

static const char *walk_all(struct walked *w, const char *path)
{
	assert_int_equal(watch_walk_open(&w->walk, path), 0);
	do
		step(w);
	while (w->rc == 0 && !watch_walk_is_over(&w->walk));
	buf_append_byte(&w->text, '\0');
	return (char *)w->text.data;
}

static void end(struct walked *w)
{
	watch_walk_deinit(&w->walk);
	buf_deinit(&w->text);
	close(w->fd);
}

static void make_tree(struct tree *t)
{
	tree_dir(t, "b");
	tree_dir(t, "b/d");
	tree_dir(t, "b/d/f");
	tree_file(t, "b/d/e", "");
	tree_file(t, "b/c", "");
	tree_file(t, "b.c", "");
	tree_dir(t, "a");
	tree_link(t, "l", "a");
}

static void test_walk_finds_all_in_the_order_of_names(void **state)
{
	struct tree *t = *state;
	struct walked w;

	make_tree(t);
	begin(&w, true, true);
	assert_string_equal(walk_all(&w, t->top), "0/a=1:2 0/b=2:3 2/c 2/d=3:4 3/e 3/f=4:5 "
	                                          "0/b.c 0/l ");
	assert_int_equal(w.walk.top_wd, 1);
	assert_int_equal(w.rc, 0);
	end(&w);
}

static void test_walk_finds_only_directories_if_that_is_asked(void **state)
{
	struct tree *t = *state;
	struct walked w;

	tree_dir(t, "a");
	tree_dir(t, "a/b");
	tree_file(t, "a/c", "");
	begin(&w, true, false);
	assert_string_equal(walk_all(&w, t->top), "0/a=1:2 1/b=2:3 ");
	end(&w);
}

static void test_walk_of_one_directory_finds_nothing(void **state)
{
	struct tree *t = *state;
	struct walked w;

	make_tree(t);
	begin(&w, false, true);
	assert_string_equal(walk_all(&w, t->top), "");
	assert_int_equal(w.walk.top_wd, 1);
	end(&w);
}

static void test_walk_watches_before_it_lists(void **state)
{
	struct tree *t = *state;
	struct walked w;
	char bytes[256];
	struct inotify_record r;
	struct span rest = { bytes, 0 };

	begin(&w, true, true);
	assert_int_equal(watch_walk_open(&w.walk, t->top), 0);
	tree_file(t, "x", "");
	step(&w);
	assert_int_equal(w.walk.n_found, 1);
	rest.len = (size_t)read(w.fd, bytes, sizeof bytes);
	assert_true(inotify_next(&rest, &r));
	assert_string_equal(r.name, "x");
	end(&w);
}

static void test_walk_goes_in_steps(void **state)
{
	struct tree *t = *state;
	struct walked w;
	char name[32];

	for (unsigned i = 0; i < WATCH_WALK_STEP + 10; i++) {
		(void)snprintf(name, sizeof name, "%u", i);
		tree_file(t, name, "");
	}
	begin(&w, true, true);
	assert_int_equal(watch_walk_open(&w.walk, t->top), 0);
	step(&w);
	assert_int_equal(w.walk.n_found, WATCH_WALK_STEP);
	assert_false(watch_walk_is_over(&w.walk));
	step(&w);
	assert_int_equal(w.walk.n_found, 10);
	assert_true(watch_walk_is_over(&w.walk));
	end(&w);
}

/* Descriptors of a walk are few, however deep the tree is. */
static void test_walk_goes_deeper_than_it_keeps_open(void **state)
{
	struct tree *t = *state;
	const unsigned n = 500;
	struct walked w;
	unsigned before;

	close(tree_nested(t->fd, "d", n));
	begin(&w, true, false);
	before = test_fd_count();
	assert_int_equal(watch_walk_open(&w.walk, t->top), 0);
	step(&w);
	assert_int_equal(w.walk.n_found, n);
	assert_true(watch_walk_is_over(&w.walk));
	assert_true(test_fd_count() <= before + DESCENT_OPEN_MAX + 1);
	end(&w);
}

/* The step ends in d/d/.../2, which is moved out then; of what is in the directories above, nobody knows
 * from there. */
static void test_walk_says_what_it_lost_when_it_was_moved(void **state)
{
	struct tree *t = *state;
	const unsigned depth = DESCENT_OPEN_MAX + 2;
	int fd = tree_nested(t->fd, "d", depth);
	char name[32];
	struct walked w;

	for (unsigned i = 0; i < WATCH_WALK_STEP; i++) {
		(void)snprintf(name, sizeof name, "%u", i);
		tree_file_at(fd, name, "");
	}
	close(fd);
	tree_dir(t, "d/other");
	tree_dir(t, "out");
	begin(&w, true, true);
	assert_int_equal(watch_walk_open(&w.walk, t->top), 0);
	step(&w);
	assert_false(watch_walk_is_over(&w.walk));
	assert_int_equal(renameat(t->fd, "d/d", t->fd, "out/d"), 0);
	assert_int_equal(renameat(t->fd, "d", t->fd, "moved"), 0);
	buf_reset(&w.text, TEXT_MAX);
	step(&w);
	buf_append_byte(&w.text, '\0');
	/* 1 is d, whose other was still to come; the top is kept open. */
	assert_non_null(strstr((char *)w.text.data, "!1 "));
	assert_non_null(strstr((char *)w.text.data, "0/out="));
	end(&w);
}

static void test_walk_of_what_is_gone_says_so(void **state)
{
	struct tree *t = *state;
	struct walked w;

	tree_file(t, "file", "");
	tree_link(t, "link", ".");
	begin(&w, true, true);
	assert_int_equal(watch_walk_open(&w.walk, tree_in(t, "missing")), -ENOENT);
	assert_int_equal(watch_walk_open(&w.walk, tree_in(t, "file")), -ENOTDIR);
	assert_int_equal(watch_walk_open(&w.walk, tree_in(t, "link")), -ENOTDIR);
	assert_true(watch_walk_is_over(&w.walk));
	end(&w);
}

static void test_walk_without_descriptors_is_a_shortage(void **state)
{
	struct tree *t = *state;
	struct rlimit old, few;
	struct walked w;

	make_tree(t);
	begin(&w, true, true);
	assert_int_equal(watch_walk_open(&w.walk, t->top), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = (struct rlimit){ 3, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	step(&w);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(w.rc, -EMFILE);
	assert_true(watch_walk_is_shortage(w.rc));
	end(&w);
}

static void test_walk_of_a_root_follows_links(void **state)
{
	struct tree *t = *state;
	struct err e = { 0 };
	struct walked w;
	char *real = NULL;

	tree_dir(t, "a");
	tree_link(t, "l", "a");
	begin(&w, true, false);
	assert_int_equal(watch_walk_open_root(&w.walk, tree_in(t, "l"), false, &real, &e), 0);
	assert_string_equal(real, tree_in(t, "a"));
	free(real);
	end(&w);
}

/* proc is none of the network's, and its directories have no size. */
static void test_walk_of_proc_is_possible(void **state)
{
	struct walked w;
	struct err e = { 0 };
	char *real = NULL;

	UNUSED(state);
	begin(&w, true, true);
	assert_int_equal(watch_walk_open_root(&w.walk, "/proc/sys/fs", false, &real, &e), 0);
	free(real);
	step(&w);
	assert_int_equal(w.rc, 0);
	assert_true(w.walk.n_found > 0);
	end(&w);
}

/* Those of all directories from the top to where the walk is, not of each. */
static void test_walk_among_more_names_than_the_limit_is_a_shortage(void **state)
{
	struct tree *t = *state;

	tree_dir(t, "a");
	tree_dir(t, "a/b");
	for (size_t room = 0; room < 4096; room += 64) {
		struct walked w;

		begin(&w, true, true);
		w.walk.n_bytes = WATCH_WALK_NAMES_MAX - room;
		(void)walk_all(&w, t->top);
		assert_true(w.walk.n_bytes <= WATCH_WALK_NAMES_MAX);
		if (w.rc == 0) {
			assert_true(room > 64);
			assert_int_equal(w.walk.n_bytes, WATCH_WALK_NAMES_MAX - room);
			end(&w);
			return;
		}
		assert_int_equal(w.rc, -ENOMEM);
		end(&w);
	}
	fail_msg("it never has room");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, tree_setup, tree_teardown)
		T(test_walk_finds_all_in_the_order_of_names),
		T(test_walk_finds_only_directories_if_that_is_asked),
		T(test_walk_of_one_directory_finds_nothing),
		T(test_walk_watches_before_it_lists),
		T(test_walk_goes_in_steps),
		T(test_walk_goes_deeper_than_it_keeps_open),
		T(test_walk_says_what_it_lost_when_it_was_moved),
		T(test_walk_of_what_is_gone_says_so),
		T(test_walk_without_descriptors_is_a_shortage),
		T(test_walk_among_more_names_than_the_limit_is_a_shortage),
		T(test_walk_of_a_root_follows_links),
		T(test_walk_of_proc_is_possible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
