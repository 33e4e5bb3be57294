#include "fs/inotify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

#define MASK (IN_CREATE | IN_DELETE_SELF | IN_MOVED_FROM | IN_MOVED_TO | IN_MOVE_SELF)

/* ---------------------------------------------------------------- records */

static size_t put_record(char *at, int wd, uint32_t mask, uint32_t cookie, const char *name,
                         uint32_t len)
{
	struct inotify_event head = { .wd = wd, .mask = mask, .cookie = cookie, .len = len };

	memcpy(at, &head, sizeof head);
	memset(at + sizeof head, 0, len);
	memcpy(at + sizeof head, name, MIN(strlen(name), len));
	return sizeof head + len;
}

static void test_inotify_next_takes_one_record_after_the_other(void **state)
{
	char bytes[256];
	size_t len = put_record(bytes, 7, IN_MOVED_TO | IN_ISDIR, 99, "name", 16);
	struct inotify_record r = { 0 };
	struct span rest;

	UNUSED(state);
	len += put_record(bytes + len, 8, IN_DELETE_SELF, 0, "", 0);
	rest = (struct span){ bytes, len };
	assert_true(inotify_next(&rest, &r));
	assert_int_equal(r.wd, 7);
	assert_int_equal(r.mask, IN_MOVED_TO | IN_ISDIR);
	assert_int_equal(r.cookie, 99);
	assert_string_equal(r.name, "name");
	assert_true(inotify_next(&rest, &r));
	assert_int_equal(r.wd, 8);
	assert_string_equal(r.name, "");
	assert_false(inotify_next(&rest, &r));
	assert_int_equal(rest.len, 0);
}

static void test_inotify_next_takes_no_part_of_a_record(void **state)
{
	char bytes[256];
	const size_t len = put_record(bytes, 7, IN_CREATE, 0, "name", 16);
	struct inotify_record r = { .wd = -2 };

	UNUSED(state);
	for (size_t i = 0; i < len; i++) {
		struct span rest = { bytes, i };

		assert_false(inotify_next(&rest, &r));
		assert_int_equal(rest.len, i);
		assert_int_equal(r.wd, -2);
	}
}

/* The kernel ends each name; without it a name would run into the next record. */
static void test_inotify_next_refuses_a_name_without_end(void **state)
{
	char bytes[256];
	struct span rest = { bytes, put_record(bytes, 7, IN_CREATE, 0, "0123456789abcdef", 16) };
	struct inotify_record r;

	UNUSED(state);
	assert_false(inotify_next(&rest, &r));
}

/* ---------------------------------------------------------------- the descriptor */

struct fixture {
	void *loop_state;
	struct loop *loop;
	char *dir;
	struct inotify in;
	struct owner owner;
	struct buf seen;  /* a line "wd mask name" of each record */
	unsigned n_reads; /* of on_bytes_slowly */
	bool has_seen, is_closed;
};

static void on_bytes(struct inotify *in, struct span bytes)
{
	struct fixture *f = CONTAINER_OF(in, struct fixture, in);
	struct inotify_record r;

	while (inotify_next(&bytes, &r))
		buf_appendf(&f->seen, "%d %x %s\n", r.wd, r.mask, r.name);
	assert_int_equal(bytes.len, 0);
	buf_append_byte(&f->seen, '\0');
	buf_truncate(&f->seen, f->seen.len - 1);
	f->has_seen = true;
}

static void on_closed(struct owner *owner)
{
	struct fixture *f = CONTAINER_OF(owner, struct fixture, owner);

	inotify_deinit(&f->in);
	f->is_closed = true;
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);

	f->dir = temp_dir_new();
	assert_int_equal(loop_fixture_setup(&f->loop_state), 0);
	f->loop = loop_fixture_loop(&f->loop_state);
	buf_init(&f->seen, 65536);
	owner_init(&f->owner, on_closed);
	assert_int_equal(inotify_open(&f->in, f->loop, &f->owner, on_bytes), 0);
	assert_int_equal(inotify_add_watch(f->in.fd, f->dir, MASK), 1);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	inotify_close(&f->in);
	owner_close(&f->owner);
	loop_fixture_run_until(f->loop, &f->is_closed);
	assert_int_equal(loop_fixture_teardown(&f->loop_state), 0);
	buf_deinit(&f->seen);
	temp_dir_free(f->dir);
	free(f);
	return 0;
}

static void make_file(struct fixture *f, const char *name)
{
	free(temp_dir_file(f->dir, name, "", 0600));
}

static void test_inotify_tells_what_happens_while_the_loop_turns(void **state)
{
	struct fixture *f = *state;

	make_file(f, "a");
	assert_false(f->has_seen);
	loop_fixture_run_until(f->loop, &f->has_seen);
	assert_string_equal((char *)f->seen.data, "1 100 a\n");
}

static void test_inotify_reads_what_is_queued_without_a_turn(void **state)
{
	struct fixture *f = *state;

	make_file(f, "a");
	make_file(f, "b");
	inotify_read_queued(&f->in);
	assert_string_equal((char *)f->seen.data, "1 100 a\n1 100 b\n");
	f->has_seen = false;
	inotify_read_queued(&f->in);
	assert_false(f->has_seen);
}

/* Who asks for what is queued may be using what the loop has read, as a handler of requests does. */
static void test_inotify_leaves_alone_what_the_loop_has_read(void **state)
{
	struct fixture *f = *state;

	memset(f->loop->read_buf, 'x', LOOP_READ_BUF);
	make_file(f, "a");
	inotify_read_queued(&f->in);
	assert_true(f->has_seen);
	for (size_t i = 0; i < LOOP_READ_BUF; i++)
		assert_int_equal(f->loop->read_buf[i], 'x');
}

/* Longer than one read takes. */
static void test_inotify_reads_all_of_a_long_queue(void **state)
{
	struct fixture *f = *state;
	const unsigned n = 3000;
	unsigned lines = 0;
	char name[64];

	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(name, sizeof name, "a_name_of_some_length_%u", i);
		make_file(f, name);
	}
	buf_deinit(&f->seen);
	buf_init(&f->seen, 1024 * 1024);
	inotify_read_queued(&f->in);
	for (size_t i = 0; i < f->seen.len; i++)
		lines += f->seen.data[i] == '\n';
	assert_int_equal(lines, n);
}

static void on_bytes_slowly(struct inotify *in, struct span bytes)
{
	struct fixture *f = CONTAINER_OF(in, struct fixture, in);
	const uint64_t until_ns = uv_hrtime() + INOTIFY_TURN_MS * UINT64_C(1000000);

	UNUSED(bytes);
	f->n_reads++;
	while (uv_hrtime() < until_ns)
		;
}

/* A record may be one for a thousand watchers. */
static void test_inotify_that_takes_its_time_gives_others_their_turn(void **state)
{
	struct fixture *f = *state;
	char name[64];

	for (unsigned i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof name, "a_name_of_some_length_%u", i);
		make_file(f, name);
	}
	f->in.on_bytes = on_bytes_slowly;
	for (unsigned n = 1; n <= 3; n++) {
		loop_fixture_turn(f->loop, 1);
		assert_int_equal(f->n_reads, n);
	}
}

static void
test_inotify_removed_watch_ends_with_ignored_and_its_number_is_not_used_again(void **state)
{
	struct fixture *f = *state;

	inotify_remove(&f->in, 1);
	inotify_remove(&f->in, 1);
	make_file(f, "a");
	inotify_read_queued(&f->in);
	assert_string_equal((char *)f->seen.data, "1 8000 \n");
	assert_int_equal(inotify_add_watch(f->in.fd, f->dir, MASK), 2);
}

/* watch_tree: a directory that has moved says so when both its names have been told. */
static void test_inotify_move_tells_both_names_and_then_the_directory(void **state)
{
	struct fixture *f = *state;
	CLEANUP(freep) char *from = temp_dir_path(f->dir, "a");
	CLEANUP(freep) char *to = temp_dir_path(f->dir, "b");

	assert_int_equal(mkdir(from, 0700), 0);
	assert_int_equal(inotify_add_watch(f->in.fd, from, MASK), 2);
	assert_int_equal(rename(from, to), 0);
	inotify_read_queued(&f->in);
	assert_string_equal((char *)f->seen.data,
	                    "1 40000100 a\n1 40000040 a\n1 40000080 b\n2 800 \n");
}

/* watch_visit: the same directory has the same watch, whoever adds it. */
static void test_inotify_adding_a_directory_twice_gives_one_watch(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(inotify_add_watch(f->in.fd, f->dir, MASK), 1);
}

/* watch_tree: a removed directory says so, and its watch goes, before the name is told. */
static void test_inotify_removed_directory_is_told_by_itself_first(void **state)
{
	struct fixture *f = *state;
	CLEANUP(freep) char *path = temp_dir_path(f->dir, "a");

	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(inotify_add_watch(f->in.fd, path, MASK), 2);
	assert_int_equal(inotify_add_watch(f->in.fd, f->dir, MASK | IN_DELETE), 1);
	assert_int_equal(rmdir(path), 0);
	inotify_read_queued(&f->in);
	assert_string_equal((char *)f->seen.data, "1 40000100 a\n2 400 \n2 8000 \n1 40000200 a\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
		cmocka_unit_test(test_inotify_next_takes_one_record_after_the_other),
		cmocka_unit_test(test_inotify_next_takes_no_part_of_a_record),
		cmocka_unit_test(test_inotify_next_refuses_a_name_without_end),
		T(test_inotify_tells_what_happens_while_the_loop_turns),
		T(test_inotify_reads_what_is_queued_without_a_turn),
		T(test_inotify_leaves_alone_what_the_loop_has_read),
		T(test_inotify_reads_all_of_a_long_queue),
		T(test_inotify_that_takes_its_time_gives_others_their_turn),
		T(test_inotify_removed_watch_ends_with_ignored_and_its_number_is_not_used_again),
		T(test_inotify_move_tells_both_names_and_then_the_directory),
		T(test_inotify_adding_a_directory_twice_gives_one_watch),
		T(test_inotify_removed_directory_is_told_by_itself_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
