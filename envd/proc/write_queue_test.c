/*
 * Messages on their way into a pipe or a terminal, whose other side this test reads, or does not.
 */
#include "proc/write_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

#define PID       7
#define PIPE_ROOM 65536u /* bytes, the kernel's default */
#define BIG       (3u * PIPE_ROOM)

#define BROKEN_PIPE                                                                                \
	"error writing to stdin: error writing to stdin of process '7': write |1: broken pipe"
#define FILE_CLOSED                                                                                \
	"error writing to stdin: error writing to stdin of process '7': write |1: file already "   \
	"closed"

struct side {
	struct loop *loop;
	struct owner owner;
	struct fdio io;
	struct write_queue queue;
	size_t total_bytes;
	int other_fd;
	bool has_closed;
};

struct message {
	struct side *side;
	struct process_write write;
	struct message *cancels; /* in its callback */
	struct message *goes_on; /* pushed in its callback */
	uint8_t *data;
	size_t len;
	unsigned n_done;
	bool is_done;
	struct err e;
};

static void side_on_closed(struct owner *owner)
{
	CONTAINER_OF(owner, struct side, owner)->has_closed = true;
}

static void side_on_writable(struct fdio *io)
{
	write_queue_proceed(&CONTAINER_OF(io, struct side, io)->queue);
}

static const struct fdio_ops side_ops = { .on_writable = side_on_writable };

static void side_open(struct side *s, void **state, enum process_channel channel, int fd, int other)
{
	*s = (struct side){ .loop = loop_fixture_loop(state), .other_fd = other };
	owner_init(&s->owner, side_on_closed);
	assert_int_equal(fdio_open(&s->io, s->loop, &s->owner, &fd, 1, &side_ops), 0);
	write_queue_init(&s->queue, channel, &s->io, PID, &s->total_bytes);
}

static void pipe_side_open(struct side *s, void **state)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	side_open(s, state, PROCESS_STDIN, fds[1], fds[0]);
}

static void terminal_side_open(struct side *s, void **state, bool is_raw)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK), slave;
	struct termios mode;

	assert_true(master >= 0);
	assert_int_equal(unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	assert_true(slave >= 0);
	assert_int_equal(tcgetattr(slave, &mode), 0);
	mode.c_lflag &= ~(tcflag_t)ECHO;
	if (is_raw)
		cfmakeraw(&mode);
	assert_int_equal(tcsetattr(slave, TCSANOW, &mode), 0);
	side_open(s, state, PROCESS_TTY, master, slave);
}

static void side_close(struct side *s)
{
	write_queue_end(&s->queue, NULL);
	assert_int_equal(s->total_bytes, 0);
	assert_int_equal(s->queue.n_waiting, 0);
	fdio_close(&s->io);
	owner_close(&s->owner);
	loop_fixture_run_until(s->loop, &s->has_closed);
	close_fdp(&s->other_fd);
}

static int message_push(struct message *m)
{
	return write_queue_push(&m->side->queue, m->side->queue.channel, &m->write, m->data, m->len,
	                        &m->e);
}

static void message_on_done(struct process_write *w, struct err *e)
{
	struct message *m = CONTAINER_OF(w, struct message, write);

	assert_false(process_write_is_waiting(w));
	m->n_done++;
	m->is_done = true;
	if (e)
		err_move(&m->e, e);
	if (m->cancels)
		process_cancel_write(&m->cancels->write);
	if (m->goes_on)
		assert_int_equal(message_push(m->goes_on), 1);
}

static void message_init(struct message *m, struct side *s, char mark, size_t len)
{
	*m = (struct message){ .side = s, .write.on_done = message_on_done, .len = len };
	m->data = xmalloc(len + 1);
	memset(m->data, mark, len);
}

static void message_deinit(struct message *m)
{
	process_cancel_write(&m->write);
	free(m->data);
	err_clear(&m->e);
}

/* Reads len bytes, each of which must be the mark. */
static void expect_read(struct side *s, char mark, size_t len)
{
	static char bytes[4 * PIPE_ROOM];
	size_t got = 0;

	while (got < len) {
		ssize_t n = read(s->other_fd, bytes, MIN(sizeof bytes, len - got));

		assert_true(n > 0 || (n < 0 && errno == EAGAIN));
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(bytes[i], mark);
		got += n > 0 ? (size_t)n : 0;
		loop_fixture_turn(s->loop, 1);
	}
}

static void expect_end_of_file(struct side *s)
{
	char byte;

	assert_int_equal(read(s->other_fd, &byte, 1), 0);
}

static void expect_failed(struct message *m, enum err_kind kind, const char *text)
{
	assert_int_equal(m->n_done, 1);
	assert_int_equal(m->e.kind, kind);
	assert_string_equal(err_text(&m->e), text);
}

static void expect_refused(struct message *m, enum err_kind kind, const char *text)
{
	err_clear(&m->e);
	assert_int_equal(message_push(m), -1);
	assert_int_equal(m->n_done, 0);
	assert_int_equal(m->e.kind, kind);
	assert_string_equal(err_text(&m->e), text);
}

static void test_writes_that_fit_are_written_inside_the_call(void **state)
{
	struct side s;
	struct message m;

	pipe_side_open(&s, state);
	message_init(&m, &s, 'a', PIPE_ROOM);
	assert_int_equal(message_push(&m), 1);
	assert_int_equal(s.queue.n_waiting, 0);
	expect_read(&s, 'a', PIPE_ROOM);
	loop_fixture_turn(s.loop, 3);
	assert_int_equal(m.n_done, 0);
	message_deinit(&m);
	side_close(&s);
}

static void test_writes_wait_for_a_full_pipe_and_arrive_whole_and_in_order(void **state)
{
	static const char marks[] = "abc";
	struct side s;
	struct message m[3];

	pipe_side_open(&s, state);
	for (size_t i = 0; i < ARRAY_SIZE(m); i++) {
		message_init(&m[i], &s, marks[i], BIG);
		assert_int_equal(message_push(&m[i]), 0);
	}
	assert_int_equal(s.total_bytes, 3 * BIG - PIPE_ROOM);
	for (size_t i = 0; i < ARRAY_SIZE(m); i++) {
		expect_read(&s, marks[i], BIG);
		while (!m[i].is_done)
			loop_fixture_turn(s.loop, 1);
		assert_int_equal(m[i].n_done, 1);
		assert_int_equal(m[i].e.kind, ERR_NONE);
	}
	assert_int_equal(s.total_bytes, 0);
	for (size_t i = 0; i < ARRAY_SIZE(m); i++)
		message_deinit(&m[i]);
	side_close(&s);
}

static void test_writes_of_one_turn_are_bounded(void **state)
{
	const size_t len = 3 * PROCESS_WRITE_TURN_MAX;
	struct side s;
	struct message m;

	pipe_side_open(&s, state);
	assert_true(fcntl(s.io.fd, F_SETPIPE_SZ, 4 * PROCESS_WRITE_TURN_MAX) > 0);
	message_init(&m, &s, 'a', len);
	assert_int_equal(message_push(&m), 0);
	assert_int_equal(m.write.len, len - PROCESS_WRITE_TURN_MAX);
	while (m.write.len == len - PROCESS_WRITE_TURN_MAX)
		loop_fixture_turn(s.loop, 1);
	assert_int_equal(m.write.len, len - 2 * PROCESS_WRITE_TURN_MAX);
	loop_fixture_run_until(s.loop, &m.is_done);
	expect_read(&s, 'a', len);
	message_deinit(&m);
	side_close(&s);
}

static void test_writes_cancelled_leave_what_was_written_and_those_behind_go_on(void **state)
{
	struct side s;
	struct message a, b, c;

	pipe_side_open(&s, state);
	message_init(&a, &s, 'a', BIG);
	message_init(&b, &s, 'b', BIG);
	message_init(&c, &s, 'c', BIG);
	assert_int_equal(message_push(&a), 0);
	assert_int_equal(message_push(&b), 0);
	assert_int_equal(message_push(&c), 0);
	process_cancel_write(&a.write);
	process_cancel_write(&a.write);
	process_cancel_write(&b.write);
	assert_int_equal(s.total_bytes, BIG);
	expect_read(&s, 'a', PIPE_ROOM);
	expect_read(&s, 'c', BIG);
	loop_fixture_run_until(s.loop, &c.is_done);
	assert_int_equal(a.n_done + b.n_done, 0);
	message_deinit(&a);
	message_deinit(&b);
	message_deinit(&c);
	side_close(&s);
}

static void test_writes_close_waits_for_those_before_it_and_refuses_later_ones(void **state)
{
	struct side s;
	struct message a, late;
	CLEANUP(err_clear) struct err e = { 0 };

	pipe_side_open(&s, state);
	message_init(&a, &s, 'a', BIG);
	message_init(&late, &s, 'l', 1);
	assert_int_equal(message_push(&a), 0);
	assert_int_equal(write_queue_close(&s.queue, &e), 0);
	assert_int_equal(write_queue_close(&s.queue, &e), 0);
	expect_refused(&late, ERR_INTERNAL, "error writing to stdin: stdin not enabled or closed");
	expect_read(&s, 'a', BIG);
	loop_fixture_run_until(s.loop, &a.is_done);
	assert_int_equal(a.e.kind, ERR_NONE);
	expect_end_of_file(&s);
	expect_refused(&late, ERR_INTERNAL, "error writing to stdin: stdin not enabled or closed");
	assert_int_equal(write_queue_close(&s.queue, &e), 0);
	message_deinit(&a);
	message_deinit(&late);
	side_close(&s);
}

static void test_writes_cancelled_before_a_close_let_it_happen(void **state)
{
	struct side s;
	struct message a;
	CLEANUP(err_clear) struct err e = { 0 };

	pipe_side_open(&s, state);
	message_init(&a, &s, 'a', BIG);
	assert_int_equal(message_push(&a), 0);
	assert_int_equal(write_queue_close(&s.queue, &e), 0);
	process_cancel_write(&a.write);
	expect_read(&s, 'a', PIPE_ROOM);
	expect_end_of_file(&s);
	message_deinit(&a);
	side_close(&s);
}

static void test_writes_all_fail_when_the_reader_leaves(void **state)
{
	struct side s;
	struct message a, b;
	CLEANUP(err_clear) struct err e = { 0 };

	pipe_side_open(&s, state);
	message_init(&a, &s, 'a', BIG);
	message_init(&b, &s, 'b', 1);
	assert_int_equal(message_push(&a), 0);
	assert_int_equal(message_push(&b), 0);
	assert_int_equal(write_queue_close(&s.queue, &e), 0);
	close_fdp(&s.other_fd);
	loop_fixture_run_until(s.loop, &b.is_done);
	expect_failed(&a, ERR_INTERNAL, BROKEN_PIPE);
	expect_failed(&b, ERR_INTERNAL, BROKEN_PIPE);
	assert_int_equal(s.queue.state.now, WRITES_CLOSED);
	message_deinit(&a);
	message_deinit(&b);
	side_close(&s);
}

static void test_writes_without_a_reader_are_refused(void **state)
{
	struct side s;
	struct message a;

	pipe_side_open(&s, state);
	message_init(&a, &s, 'a', 1);
	close_fdp(&s.other_fd);
	expect_refused(&a, ERR_INTERNAL, BROKEN_PIPE);
	expect_refused(&a, ERR_INTERNAL, BROKEN_PIPE);
	message_deinit(&a);
	side_close(&s);
}

static void test_writes_that_wait_when_the_process_ends_are_told(void **state)
{
	struct side s;
	struct message a, b, late;

	pipe_side_open(&s, state);
	message_init(&a, &s, 'a', BIG);
	message_init(&b, &s, 'b', BIG);
	message_init(&late, &s, 'l', 1);
	a.cancels = &b; /* in whose place it could have been freed */
	assert_int_equal(message_push(&a), 0);
	assert_int_equal(message_push(&b), 0);
	write_queue_end(&s.queue, NULL);
	expect_failed(&a, ERR_INTERNAL, BROKEN_PIPE);
	assert_int_equal(b.n_done, 0);
	write_queue_end(&s.queue, NULL);
	assert_int_equal(a.n_done, 1);
	expect_refused(&late, ERR_INTERNAL, FILE_CLOSED);
	expect_read(&s, 'a', PIPE_ROOM);
	expect_end_of_file(&s);
	message_deinit(&a);
	message_deinit(&b);
	message_deinit(&late);
	side_close(&s);
}

static void test_writes_that_wait_when_the_daemon_ends_are_told_why(void **state)
{
	CLEANUP(err_clear) struct err why = { 0 };
	struct side s;
	struct message a, b;

	pipe_side_open(&s, state);
	message_init(&a, &s, 'a', BIG);
	message_init(&b, &s, 'b', BIG);
	assert_int_equal(message_push(&a), 0);
	assert_int_equal(message_push(&b), 0);
	(void)err_set(&why, ERR_UNAVAILABLE, "over");
	write_queue_end(&s.queue, &why);
	expect_failed(&a, ERR_UNAVAILABLE, "over");
	expect_failed(&b, ERR_UNAVAILABLE, "over");
	message_deinit(&a);
	message_deinit(&b);
	side_close(&s);
}

static void test_writes_may_follow_each_other_in_their_callbacks(void **state)
{
	struct side s;
	struct message a, b, c;

	pipe_side_open(&s, state);
	message_init(&a, &s, 'a', PIPE_ROOM);
	message_init(&b, &s, 'b', 100);
	message_init(&c, &s, 'c', 100);
	b.goes_on = &c;
	assert_int_equal(message_push(&a), 1);
	assert_int_equal(message_push(&b), 0);
	expect_read(&s, 'a', PIPE_ROOM);
	loop_fixture_run_until(s.loop, &b.is_done);
	assert_int_equal(c.e.kind, ERR_NONE);
	expect_read(&s, 'b', 100);
	expect_read(&s, 'c', 100);
	message_deinit(&a);
	message_deinit(&b);
	message_deinit(&c);
	side_close(&s);
}

static void test_writes_that_are_empty_succeed_unless_input_is_closed(void **state)
{
	struct side s;
	struct message a, empty;
	CLEANUP(err_clear) struct err e = { 0 };

	pipe_side_open(&s, state);
	message_init(&a, &s, 'a', BIG);
	message_init(&empty, &s, 'e', 0);
	assert_int_equal(message_push(&a), 0);
	assert_int_equal(message_push(&empty), 1);
	process_cancel_write(&a.write);
	assert_int_equal(write_queue_close(&s.queue, &e), 0);
	expect_refused(&empty, ERR_INTERNAL, "error writing to stdin: stdin not enabled or closed");
	message_deinit(&a);
	message_deinit(&empty);
	side_close(&s);
}

static void test_writes_to_input_that_was_not_enabled_are_refused_also_after_the_end(void **state)
{
	CLEANUP(err_clear) struct err e = { 0 };
	struct side s = { .loop = loop_fixture_loop(state), .other_fd = -1 };
	struct message a;

	write_queue_init(&s.queue, PROCESS_STDIN, NULL, PID, &s.total_bytes);
	message_init(&a, &s, 'a', 1);
	expect_refused(&a, ERR_INTERNAL, "error writing to stdin: stdin not enabled or closed");
	assert_int_equal(write_queue_close(&s.queue, &e), 0);
	write_queue_end(&s.queue, NULL);
	expect_refused(&a, ERR_INTERNAL, "error writing to stdin: stdin not enabled or closed");
	message_deinit(&a);
}

static void test_writes_for_the_other_kind_of_process_are_refused(void **state)
{
	CLEANUP(err_clear) struct err e = { 0 };
	struct side pipe, terminal;
	struct message m;

	pipe_side_open(&pipe, state);
	terminal_side_open(&terminal, state, true);
	message_init(&m, &pipe, 'a', 0);
	assert_int_equal(write_queue_push(&pipe.queue, PROCESS_TTY, &m.write, m.data, 0, &e), -1);
	assert_int_equal(e.kind, ERR_INTERNAL);
	assert_string_equal(err_text(&e),
	                    "error writing to tty: tty not assigned to process — input should be "
	                    "written to the stdin, not the tty");
	assert_int_equal(write_queue_push(&terminal.queue, PROCESS_STDIN, &m.write, m.data, 0, &e),
	                 -1);
	assert_int_equal(e.kind, ERR_INTERNAL);
	assert_string_equal(err_text(&e),
	                    "error writing to stdin: tty assigned to process — input should be "
	                    "written to the pty, not the stdin");
	message_deinit(&m);
	side_close(&pipe);
	side_close(&terminal);
}

static void test_writes_of_one_process_are_limited_in_number(void **state)
{
	enum { N = PROCESS_WRITES_MAX };
	struct side s;
	struct message first, more[N];

	pipe_side_open(&s, state);
	message_init(&first, &s, 'a', PIPE_ROOM);
	assert_int_equal(message_push(&first), 1);
	for (size_t i = 0; i < N; i++) {
		message_init(&more[i], &s, 'b', 1);
		assert_int_equal(message_push(&more[i]), 0);
	}
	expect_refused(&first, ERR_LIMIT,
	               "error writing to stdin: 256 writes wait for process '7' already");
	expect_read(&s, 'a', PIPE_ROOM);
	expect_read(&s, 'b', N);
	loop_fixture_run_until(s.loop, &more[N - 1].is_done);
	assert_int_equal(message_push(&first), 1);
	message_deinit(&first);
	for (size_t i = 0; i < N; i++)
		message_deinit(&more[i]);
	side_close(&s);
}

static void test_writes_of_all_processes_are_limited_in_bytes_but_leave_keystrokes(void **state)
{
	static const char text[] = "error writing to stdin: too much input waits for processes "
				   "that do not read it";
	struct side s;
	struct message big, key;

	pipe_side_open(&s, state);
	message_init(&big, &s, 'b', PIPE_BUF + 1);
	message_init(&key, &s, 'k', PIPE_BUF);
	s.total_bytes = PROCESS_WRITE_BYTES_MAX;
	expect_refused(&big, ERR_LIMIT, text);
	for (unsigned i = 0; i < PIPE_ROOM / PIPE_BUF; i++)
		assert_int_equal(message_push(&key), 1);
	assert_int_equal(message_push(&key), 0);
	expect_refused(&big, ERR_LIMIT, text);
	process_cancel_write(&key.write);
	s.total_bytes -= 1;
	assert_int_equal(message_push(&big), 0);
	s.total_bytes -= PROCESS_WRITE_BYTES_MAX - 1;
	message_deinit(&big);
	message_deinit(&key);
	side_close(&s);
}

static void test_writes_to_a_terminal_wait_for_its_reader(void **state)
{
	struct side s;
	struct message m;

	terminal_side_open(&s, state, true);
	message_init(&m, &s, 'a', 1024 * 1024);
	assert_int_equal(message_push(&m), 0);
	expect_read(&s, 'a', 1024 * 1024);
	loop_fixture_run_until(s.loop, &m.is_done);
	assert_int_equal(m.e.kind, ERR_NONE);
	message_deinit(&m);
	side_close(&s);
}

/* The kernel drops what does not fit into a line. */
static void test_writes_of_a_line_that_a_terminal_cannot_hold_end_all_the_same(void **state)
{
	struct side s;
	struct message m;

	terminal_side_open(&s, state, false);
	message_init(&m, &s, 'a', 1024 * 1024);
	(void)message_push(&m);
	loop_fixture_run_until(s.loop, &m.is_done);
	assert_int_equal(m.e.kind, ERR_NONE);
	message_deinit(&m);
	side_close(&s);
}

static void test_writes_to_a_terminal_fail_when_its_user_leaves(void **state)
{
	struct side s;
	struct message m;
	CLEANUP(err_clear) struct err e = { 0 };

	terminal_side_open(&s, state, true);
	message_init(&m, &s, 'a', 1024 * 1024);
	assert_int_equal(message_push(&m), 0);
	assert_int_equal(write_queue_close(&s.queue, &e), -1);
	assert_int_equal(e.kind, ERR_UNKNOWN);
	assert_string_equal(err_text(&e),
	                    "error closing stdin: cannot close stdin for PTY process — send Ctrl+D "
	                    "(0x04) instead");
	close_fdp(&s.other_fd);
	loop_fixture_run_until(s.loop, &m.is_done);
	expect_failed(&m, ERR_INTERNAL,
	              "error writing to tty: error writing to tty of process '7': "
	              "write /dev/ptmx: input/output error");
	message_deinit(&m);
	side_close(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, loop_fixture_setup, loop_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_writes_that_fit_are_written_inside_the_call),
		TEST(test_writes_wait_for_a_full_pipe_and_arrive_whole_and_in_order),
		TEST(test_writes_of_one_turn_are_bounded),
		TEST(test_writes_cancelled_leave_what_was_written_and_those_behind_go_on),
		TEST(test_writes_close_waits_for_those_before_it_and_refuses_later_ones),
		TEST(test_writes_cancelled_before_a_close_let_it_happen),
		TEST(test_writes_all_fail_when_the_reader_leaves),
		TEST(test_writes_without_a_reader_are_refused),
		TEST(test_writes_that_wait_when_the_process_ends_are_told),
		TEST(test_writes_that_wait_when_the_daemon_ends_are_told_why),
		TEST(test_writes_may_follow_each_other_in_their_callbacks),
		TEST(test_writes_that_are_empty_succeed_unless_input_is_closed),
		TEST(test_writes_to_input_that_was_not_enabled_are_refused_also_after_the_end),
		TEST(test_writes_for_the_other_kind_of_process_are_refused),
		TEST(test_writes_of_one_process_are_limited_in_number),
		TEST(test_writes_of_all_processes_are_limited_in_bytes_but_leave_keystrokes),
		TEST(test_writes_to_a_terminal_wait_for_its_reader),
		TEST(test_writes_of_a_line_that_a_terminal_cannot_hold_end_all_the_same),
		TEST(test_writes_to_a_terminal_fail_when_its_user_leaves),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
