#include "fs/listing.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "fs/descent.h"
#include "fs/tree_fixture.h"
#include "tests/support/test.h"

#define SEEN_MAX (16u * 1024u * 1024u) /* bytes */

struct scene {
	struct tree *t;
	struct owners owners;
	struct buf seen; /* "path " of each entry, as far as it is below the listed path */
	size_t prefix;   /* bytes of that path */
	unsigned n;
	unsigned n_fds_max;
	atomic_bool is_abandoned;
	/* Called for each entry; -1 with e ends the walk. */
	int (*on_entry)(struct scene *s, const struct entry *entry, struct err *e);
};

static int on_entry(void *ctx, const struct entry *entry, struct err *e)
{
	struct scene *s = ctx;
	unsigned n_fds = test_fd_count();

	s->n++;
	s->n_fds_max = MAX(s->n_fds_max, n_fds);
	buf_append_text(&s->seen, entry->path + s->prefix);
	buf_append_byte(&s->seen, ' ');
	return s->on_entry ? s->on_entry(s, entry, e) : 0;
}

static void scene_init(struct scene *s, void **state)
{
	*s = (struct scene){ .t = *state, .owners.db = &user_db_system };
	buf_init(&s->seen, SEEN_MAX);
}

static void scene_deinit(struct scene *s)
{
	owners_deinit(&s->owners);
	buf_deinit(&s->seen);
}

static int list(struct scene *s, const char *name, uint32_t depth, struct err *e)
{
	const struct listing listing = {
		.path = tree_in(s->t, name),
		.depth = depth,
		.owners = &s->owners,
		.is_abandoned = &s->is_abandoned,
		.on_entry = on_entry,
		.ctx = s,
	};

	buf_reset(&s->seen, SEEN_MAX);
	s->n = 0;
	return listing_walk(&listing, e);
}

static const char *seen(struct scene *s)
{
	buf_append_byte(&s->seen, '\0');
	assert_int_equal(buf_error(&s->seen), 0);
	return (const char *)s->seen.data;
}

static void check_list(struct scene *s, const char *name, uint32_t depth, const char *expected)
{
	CLEANUP(err_clear) struct err e = { 0 };

	s->prefix = strlen(s->t->top) + 1;
	if (list(s, name, depth, &e) < 0)
		fail_msg("%s", err_text(&e));
	assert_string_equal(seen(s), expected);
}

static void check_refused(struct scene *s, const char *name, enum err_kind kind, const char *format)
{
	struct err e = { 0 };

	assert_int_equal(list(s, name, 1, &e), -1);
	tree_check_error(s->t, &e, kind, format);
	assert_int_equal(s->n, 0);
}

/* ---------------------------------------------------------------- what is listed */

static void make_example(struct tree *t)
{
	tree_dir(t, "d");
	tree_dir(t, "d/b");
	tree_dir(t, "d/b/c");
	tree_file(t, "d/b/c/deep", "");
	tree_file(t, "d/b.txt", "");
	tree_file(t, "d/a", "");
	tree_dir(t, "d/z");
	tree_file(t, "d/z/1", "");
}

static void test_listing_goes_as_deep_as_it_is_told_in_order(void **state)
{
	CLEANUP(scene_deinit) struct scene s;

	scene_init(&s, state);
	make_example(s.t);
	check_list(&s, "d", 0, "d/a d/b d/b.txt d/z ");
	check_list(&s, "d", 1, "d/a d/b d/b.txt d/z ");
	check_list(&s, "d", 2, "d/a d/b d/b/c d/b.txt d/z d/z/1 ");
	check_list(&s, "d", UINT32_MAX, "d/a d/b d/b/c d/b/c/deep d/b.txt d/z d/z/1 ");
}

static void test_listing_of_an_empty_directory_is_empty(void **state)
{
	CLEANUP(scene_deinit) struct scene s;

	scene_init(&s, state);
	tree_dir(s.t, "d");
	check_list(&s, "d", 5, "");
}

static void test_listing_calls_entries_by_the_path_that_was_asked_for(void **state)
{
	CLEANUP(scene_deinit) struct scene s;

	scene_init(&s, state);
	make_example(s.t);
	tree_link(s.t, "link", "d/b");
	check_list(&s, "link", 2, "link/c link/c/deep ");
	check_list(&s, ".//d/../link/", 2, "link/c link/c/deep ");
	check_list(&s, "link/..", 1, "a b b.txt z ");
}

static void test_listing_of_the_root_has_no_double_slashes(void **state)
{
	CLEANUP(scene_deinit) struct scene s;
	CLEANUP(err_clear) struct err e = { 0 };
	struct listing listing;

	scene_init(&s, state);
	listing = (struct listing){ .path = "/",
		                    .owners = &s.owners,
		                    .is_abandoned = &s.is_abandoned,
		                    .on_entry = on_entry,
		                    .ctx = &s };
	assert_int_equal(listing_walk(&listing, &e), 0);
	assert_non_null(strstr(seen(&s), "/proc "));
	assert_null(strstr((const char *)s.seen.data, "//"));
}

static void test_listing_shows_links_and_does_not_follow_them(void **state)
{
	CLEANUP(scene_deinit) struct scene s;

	scene_init(&s, state);
	tree_dir(s.t, "d");
	tree_link(s.t, "d/up", "..");
	tree_link(s.t, "d/none", "missing");
	check_list(&s, "d", 9, "d/none d/up ");
}

static int check_link(struct scene *s, const struct entry *entry, struct err *e)
{
	UNUSED(e);
	if (!entry->is_symlink)
		return 0;
	assert_string_equal(entry->symlink_target, tree_in(s->t, "d/target"));
	assert_int_equal(entry->type, ENTRY_FILE);
	return 0;
}

static void test_listing_says_where_links_lead(void **state)
{
	CLEANUP(scene_deinit) struct scene s;

	scene_init(&s, state);
	s.on_entry = check_link;
	tree_dir(s.t, "d");
	tree_dir(s.t, "d/sub");
	tree_file(s.t, "d/target", "x");
	tree_link(s.t, "d/sub/link", "../target");
	check_list(&s, "d", 2, "d/sub d/sub/link d/target ");
}

/* ---------------------------------------------------------------- what is refused */

static void test_listing_refuses_what_is_no_directory(void **state)
{
	CLEANUP(scene_deinit) struct scene s;

	scene_init(&s, state);
	tree_file(s.t, "file", "");
	tree_link(s.t, "link", "file");
	tree_link(s.t, "dangling", "missing");
	tree_link(s.t, "cycle", "cycle");
	check_refused(&s, "none", ERR_NOT_FOUND,
	              "path not found: lstat %s/none: no such file or directory");
	check_refused(&s, "dangling", ERR_NOT_FOUND,
	              "path not found: lstat %s/missing: no such file or directory");
	check_refused(&s, "file", ERR_INVALID, "path is not a directory: %s/file");
	check_refused(&s, "link", ERR_INVALID, "path is not a directory: %s/file");
	check_refused(&s, "cycle", ERR_PRECONDITION,
	              "cyclic symlink or chain >255 links at \"%s/cycle\"");
	check_refused(&s, "file/x", ERR_INTERNAL, "error resolving symlink: not a directory");
}

static void test_listing_of_a_name_that_is_too_long(void **state)
{
	CLEANUP(scene_deinit) struct scene s;
	char name[257], text[512];

	scene_init(&s, state);
	memset(name, 'x', 256);
	name[256] = '\0';
	(void)snprintf(text, sizeof text,
	               "error resolving symlink: lstat %%s/%s: file name too long", name);
	check_refused(&s, name, ERR_INTERNAL, text);
}

static void test_listing_refuses_a_directory_that_cannot_be_read(void **state)
{
	CLEANUP(scene_deinit) struct scene s;

	if (geteuid() != 0)
		skip();
	scene_init(&s, state);
	tree_dir(s.t, "d");
	assert_int_equal(chmod(s.t->top, 0755), 0);
	assert_int_equal(chmod(tree_in(s.t, "d"), 0), 0);
	assert_int_equal(seteuid(65534), 0);
	check_refused(&s, "d", ERR_INTERNAL,
	              "error reading directory %s/d: open %s/d: permission denied");
	assert_int_equal(seteuid(0), 0);
}

static void test_listing_leaves_out_what_is_in_a_closed_directory(void **state)
{
	CLEANUP(scene_deinit) struct scene s;

	if (geteuid() != 0)
		skip();
	scene_init(&s, state);
	make_example(s.t);
	assert_int_equal(chmod(s.t->top, 0755), 0);
	assert_int_equal(chmod(tree_in(s.t, "d/b"), 0), 0);
	assert_int_equal(seteuid(65534), 0);
	check_list(&s, "d", 9, "d/a d/b d/b.txt d/z d/z/1 ");
	assert_int_equal(seteuid(0), 0);
}

static int end_it(struct scene *s, const struct entry *entry, struct err *e)
{
	UNUSED(entry);
	return s->n < 2 ? 0 : err_set(e, ERR_LIMIT, "enough");
}

static void test_listing_ends_when_it_is_told(void **state)
{
	CLEANUP(scene_deinit) struct scene s;
	struct err e = { 0 };

	scene_init(&s, state);
	s.on_entry = end_it;
	make_example(s.t);
	assert_int_equal(list(&s, "d", 9, &e), -1);
	assert_int_equal(s.n, 2);
	tree_check_error(s.t, &e, ERR_LIMIT, "enough");
}

static int abandon(struct scene *s, const struct entry *entry, struct err *e)
{
	UNUSED(entry);
	UNUSED(e);
	atomic_store(&s->is_abandoned, s->n == 2);
	return 0;
}

static void test_listing_ends_when_nobody_waits_for_it(void **state)
{
	CLEANUP(scene_deinit) struct scene s;
	struct err e = { 0 };

	scene_init(&s, state);
	s.on_entry = abandon;
	make_example(s.t);
	assert_int_equal(list(&s, "d", 9, &e), -1);
	assert_int_equal(s.n, 2);
	tree_check_error(s.t, &e, ERR_CANCELED, "context canceled");
}

/* ---------------------------------------------------------------- what changes meanwhile */

static bool is_named(const struct entry *entry, const char *name)
{
	return strcmp(entry->name, name) == 0;
}

static int remove_next(struct scene *s, const struct entry *entry, struct err *e)
{
	UNUSED(e);
	if (is_named(entry, "a"))
		assert_int_equal(unlinkat(s->t->fd, "d/b.txt", 0), 0);
	if (is_named(entry, "z"))
		assert_int_equal(renameat(s->t->fd, "d/z", s->t->fd, "away"), 0);
	return 0;
}

static void test_listing_leaves_out_what_vanishes_before_it_is_looked_at(void **state)
{
	CLEANUP(scene_deinit) struct scene s;

	scene_init(&s, state);
	s.on_entry = remove_next;
	make_example(s.t);
	check_list(&s, "d", 9, "d/a d/b d/b/c d/b/c/deep d/z ");
}

static int replace_by_link(struct scene *s, const struct entry *entry, struct err *e)
{
	UNUSED(e);
	if (!is_named(entry, "b"))
		return 0;
	assert_int_equal(renameat(s->t->fd, "d/b", s->t->fd, "away"), 0);
	tree_link(s->t, "d/b", "../away");
	return 0;
}

static void test_listing_does_not_enter_a_link_that_took_the_place_of_a_directory(void **state)
{
	CLEANUP(scene_deinit) struct scene s;

	scene_init(&s, state);
	s.on_entry = replace_by_link;
	make_example(s.t);
	check_list(&s, "d", 9, "d/a d/b d/b.txt d/z d/z/1 ");
}

/* ---------------------------------------------------------------- depth */

static int check_deep(struct scene *s, const struct entry *entry, struct err *e)
{
	UNUSED(s);
	UNUSED(e);
	if (is_named(entry, "link")) {
		assert_true(entry->is_symlink);
		assert_int_equal(entry->type, ENTRY_FILE);
		assert_int_equal(entry->mode, 0644);
	}
	if (is_named(entry, "file") && entry->metadata.n > 0)
		assert_string_equal(entry->metadata.pairs[0].value, "v");
	return 0;
}

static void test_listing_of_a_deep_tree_needs_few_descriptors(void **state)
{
	CLEANUP(scene_deinit) struct scene s;
	CLEANUP(err_clear) struct err e = { 0 };
	char name[51] = { 0 };
	unsigned n_fds;
	int fd, file;

	scene_init(&s, state);
	s.on_entry = check_deep;
	memset(name, 'n', 50);
	fd = tree_nested(s.t->fd, name, 300);
	tree_file_at(fd, "file", "x");
	file = openat(fd, "file", O_RDONLY | O_CLOEXEC);
	(void)fsetxattr(file, "user.e2b.k", "v", 1, 0); /* not every file system has them */
	assert_int_equal(symlinkat("file", fd, "link"), 0);
	close(file);
	close(fd);
	n_fds = test_fd_count();
	if (list(&s, ".", 1000, &e) < 0)
		fail_msg("%s", err_text(&e));
	assert_int_equal(s.n, 302);
	/* The walk's, and the counting's own. */
	assert_true(s.n_fds_max <= n_fds + DESCENT_OPEN_MAX + 2);
}

/* Moved away from under the walk, further up than it keeps open. */
static int move_top_away(struct scene *s, const struct entry *entry, struct err *e)
{
	UNUSED(e);
	if (is_named(entry, "bottom")) {
		assert_int_equal(renameat(s->t->fd, "d/n/n", s->t->fd, "away"), 0);
		assert_int_equal(renameat(s->t->fd, "d/n", s->t->fd, "d/m"), 0);
	}
	return 0;
}

static void test_listing_goes_on_where_a_directory_was_moved_away(void **state)
{
	CLEANUP(scene_deinit) struct scene s;
	CLEANUP(err_clear) struct err e = { 0 };
	int fd, bottom;

	scene_init(&s, state);
	s.on_entry = move_top_away;
	tree_dir(s.t, "d");
	tree_dir(s.t, "d/n");
	tree_dir(s.t, "d/n/o"); /* after n, in a directory that is not found again */
	fd = openat(s.t->fd, "d/n", O_RDONLY | O_CLOEXEC);
	bottom = tree_nested(fd, "n", 2 * DESCENT_OPEN_MAX);
	tree_file_at(bottom, "bottom", "");
	close(bottom);
	close(fd);
	tree_file(s.t, "d/z", "");
	s.prefix = strlen(s.t->top) + 1;
	if (list(&s, "d", 1000, &e) < 0)
		fail_msg("%s", err_text(&e));
	assert_non_null(strstr(seen(&s), "/bottom "));
	assert_non_null(strstr((const char *)s.seen.data, " d/z "));
	assert_null(strstr((const char *)s.seen.data, " d/n/o "));
}

static void test_listing_every_allocation_failure_is_refused_cleanly(void **state)
{
	CLEANUP(scene_deinit) struct scene s;

	scene_init(&s, state);
	make_example(s.t);
	assert_int_equal(buf_reserve(&s.seen, 4096), 0);
	for (unsigned nth = 1;; nth++) {
		CLEANUP(err_clear) struct err e = { 0 };
		int rc;

		(void)mem_fail_nth(nth);
		rc = list(&s, "d", 9, &e);
		if (!mem_fail_nth(0)) {
			assert_int_equal(rc, 0);
			return;
		}
		if (rc < 0)
			assert_int_equal(e.kind, ERR_INTERNAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, tree_setup, tree_teardown)
		T(test_listing_goes_as_deep_as_it_is_told_in_order),
		T(test_listing_of_an_empty_directory_is_empty),
		T(test_listing_calls_entries_by_the_path_that_was_asked_for),
		T(test_listing_of_the_root_has_no_double_slashes),
		T(test_listing_shows_links_and_does_not_follow_them),
		T(test_listing_says_where_links_lead),
		T(test_listing_refuses_what_is_no_directory),
		T(test_listing_of_a_name_that_is_too_long),
		T(test_listing_refuses_a_directory_that_cannot_be_read),
		T(test_listing_leaves_out_what_is_in_a_closed_directory),
		T(test_listing_ends_when_it_is_told),
		T(test_listing_ends_when_nobody_waits_for_it),
		T(test_listing_leaves_out_what_vanishes_before_it_is_looked_at),
		T(test_listing_does_not_enter_a_link_that_took_the_place_of_a_directory),
		T(test_listing_of_a_deep_tree_needs_few_descriptors),
		T(test_listing_goes_on_where_a_directory_was_moved_away),
		T(test_listing_every_allocation_failure_is_refused_cleanly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
