#include "loop/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

#define READ_MAX  1000u
#define PIPE_ROOM 65536 /* bytes, the kernel's default */

struct reader {
	struct owner owner;
	struct fdio io;
	int other_fd;
	char got[64 * 1024];
	size_t len;
	unsigned n_reads;
	unsigned n_ends;
	int error;
	unsigned closes_after; /* reads; 0: never */
	unsigned pauses_after;
	unsigned n_writables;
	bool closes_when_writable;
	bool has_ended, has_closed, is_writable;
};

static void reader_on_data(struct fdio *io, const uint8_t *data, size_t len)
{
	struct reader *r = CONTAINER_OF(io, struct reader, io);

	assert_true(len > 0 && len <= READ_MAX && r->len + len <= sizeof r->got);
	memcpy(r->got + r->len, data, len);
	r->len += len;
	r->n_reads++;
	if (r->n_reads == r->closes_after)
		fdio_close(io);
	if (r->n_reads == r->pauses_after)
		fdio_pause(io);
}

static void reader_on_end(struct fdio *io, int error)
{
	struct reader *r = CONTAINER_OF(io, struct reader, io);

	r->n_ends++;
	r->error = error;
	r->has_ended = true;
}

static void reader_on_writable(struct fdio *io)
{
	struct reader *r = CONTAINER_OF(io, struct reader, io);

	r->n_writables++;
	r->is_writable = true;
	if (r->closes_when_writable)
		fdio_close(io);
}

static const struct fdio_ops reader_ops = { reader_on_data, reader_on_end, reader_on_writable };

static void reader_on_closed(struct owner *owner)
{
	CONTAINER_OF(owner, struct reader, owner)->has_closed = true;
}

/* io is fd, other_fd is what the test itself holds. */
static struct reader *reader_open(struct loop *loop, int fd, int other_fd)
{
	struct reader *r = xcalloc(1, sizeof *r);

	r->other_fd = other_fd;
	owner_init(&r->owner, reader_on_closed);
	assert_int_equal(fdio_open(&r->io, loop, &r->owner, &fd, READ_MAX, &reader_ops), 0);
	assert_int_equal(fd, -1);
	return r;
}

static struct reader *reader_new(struct loop *loop)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	return reader_open(loop, fds[0], fds[1]);
}

static struct reader *writer_new(struct loop *loop)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	return reader_open(loop, fds[1], fds[0]);
}

/* A terminal without echo or line editing, whose other side is the slave. */
static struct reader *terminal_new(struct loop *loop)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK), slave;
	struct termios raw;

	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	assert_true(slave >= 0);
	assert_int_equal(tcgetattr(slave, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
	return reader_open(loop, master, slave);
}

static void reader_free(struct loop *loop, struct reader *r)
{
	fdio_close(&r->io);
	fdio_close(&r->io);
	owner_close(&r->owner);
	loop_fixture_run_until(loop, &r->has_closed);
	close_fdp(&r->other_fd);
	free(r);
}

static void reader_feed(struct reader *r, size_t len)
{
	char bytes[32768];

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (char)(i * 7);
	assert_int_equal(write(r->other_fd, bytes, len), (ssize_t)len);
}

static void test_fdio_opens_paused(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct reader *r = reader_new(loop);

	reader_feed(r, 10);
	loop_fixture_turn(loop, 3);
	assert_int_equal(r->n_reads, 0);
	assert_int_equal(fdio_unread(&r->io), 10);
	fdio_resume(&r->io);
	assert_int_equal(r->n_reads, 0); /* never inside the call */
	loop_fixture_turn(loop, 2);
	assert_int_equal(r->len, 10);
	reader_free(loop, r);
}

static void test_fdio_gives_every_byte_in_order_and_then_the_end_once(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct reader *r = reader_new(loop);

	fdio_resume(&r->io);
	reader_feed(r, 32768);
	close_fdp(&r->other_fd);
	loop_fixture_run_until(loop, &r->has_ended);
	loop_fixture_turn(loop, 3);
	assert_int_equal(r->len, 32768);
	assert_int_equal(r->n_ends, 1);
	assert_int_equal(r->error, 0);
	for (size_t i = 0; i < r->len; i++)
		assert_int_equal(r->got[i], (char)(i * 7));
	reader_free(loop, r);
}

static void test_fdio_leaves_others_their_turn(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct reader *r = reader_new(loop);

	reader_feed(r, 32768);
	fdio_resume(&r->io);
	while (r->n_reads == 0)
		loop_fixture_turn(loop, 1);
	assert_true(r->n_reads <= FDIO_READS_PER_TURN);
	reader_free(loop, r);
}

static void test_fdio_paused_inside_a_read_stops_there(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct reader *r = reader_new(loop);

	r->pauses_after = 2;
	reader_feed(r, 10 * READ_MAX);
	fdio_resume(&r->io);
	loop_fixture_turn(loop, 5);
	assert_int_equal(r->n_reads, 2);
	fdio_resume(&r->io);
	loop_fixture_turn(loop, 5);
	assert_int_equal(r->len, 10 * READ_MAX);
	reader_free(loop, r);
}

static void test_fdio_paused_and_resumed_in_one_turn_goes_on(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct reader *r = reader_new(loop);

	fdio_resume(&r->io);
	loop_fixture_turn(loop, 1);
	fdio_pause(&r->io);
	fdio_resume(&r->io);
	reader_feed(r, 10);
	loop_fixture_turn(loop, 2);
	assert_int_equal(r->len, 10);
	reader_free(loop, r);
}

static void test_fdio_closed_inside_a_read_says_nothing_more(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct reader *r = reader_new(loop);

	r->closes_after = 1;
	reader_feed(r, 3 * READ_MAX);
	close_fdp(&r->other_fd);
	fdio_resume(&r->io);
	loop_fixture_turn(loop, 5);
	assert_int_equal(r->n_reads, 1);
	assert_int_equal(r->n_ends, 0);
	assert_false(r->io.open);
	assert_int_equal(r->io.fd, -1); /* it is somebody else's number from now on */
	assert_int_equal(fdio_unread(&r->io), 0);
	fdio_resume(&r->io);
	reader_free(loop, r);
}

/* A terminal whose users are gone answers reads with EIO. */
static void test_fdio_terminal_without_users_is_at_its_end(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct reader *r = terminal_new(loop);

	fdio_resume(&r->io);
	assert_int_equal(write(r->other_fd, "bye", 3), 3);
	close_fdp(&r->other_fd);
	loop_fixture_run_until(loop, &r->has_ended);
	assert_int_equal(r->len, 3);
	assert_int_equal(r->error, 0);
	/* Its end stays an end, though a terminal could be opened again. */
	fdio_resume(&r->io);
	loop_fixture_turn(loop, 3);
	assert_int_equal(r->n_ends, 1);
	reader_free(loop, r);
}

/* The kernel hands them on in the background: right after the write none may have arrived. */
static void test_fdio_unread_bytes_of_a_terminal_are_never_overlooked(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct reader *r = terminal_new(loop);

	fdio_resume(&r->io);
	for (unsigned i = 0; i < 500; i++) {
		assert_int_equal(write(r->other_fd, "x", 1), 1);
		assert_true(fdio_has_unread(&r->io));
		while (r->len <= i)
			loop_fixture_turn(loop, 1);
		assert_false(fdio_has_unread(&r->io));
	}
	assert_int_equal(write(r->other_fd, "x", 1), 1);
	fdio_close(&r->io);
	assert_false(fdio_has_unread(&r->io));
	reader_free(loop, r);
}

/* Writes until that fails with error, or with 0 because it is full. */
static size_t writer_fill(struct reader *r, ssize_t error)
{
	static const uint8_t bytes[PIPE_ROOM];
	size_t sum = 0;
	ssize_t n;

	while ((n = fdio_write(&r->io, bytes, sizeof bytes)) > 0)
		sum += (size_t)n;
	assert_int_equal(n, error);
	return sum;
}

static size_t writer_empty(struct reader *r)
{
	uint8_t bytes[PIPE_ROOM];
	size_t sum = 0;
	ssize_t n;

	while ((n = read(r->other_fd, bytes, sizeof bytes)) > 0)
		sum += (size_t)n;
	return sum;
}

static void test_fdio_full_pipe_takes_nothing_and_tells_once_when_it_has_room(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct reader *r = writer_new(loop);

	assert_int_equal(writer_fill(r, 0), PIPE_ROOM);
	fdio_await_writable(&r->io);
	loop_fixture_turn(loop, 3);
	assert_int_equal(r->n_writables, 0);
	assert_int_equal(writer_empty(r), PIPE_ROOM);
	loop_fixture_run_until(loop, &r->is_writable);
	loop_fixture_turn(loop, 3);
	assert_int_equal(r->n_writables, 1);
	assert_int_equal(fdio_write(&r->io, (const uint8_t *)"again", 5), 5);
	fdio_await_writable(&r->io);
	assert_int_equal(r->n_writables, 1); /* never inside the call */
	loop_fixture_turn(loop, 3);
	assert_int_equal(r->n_writables, 2);
	reader_free(loop, r);
}

static void test_fdio_reader_that_goes_while_a_write_waits_is_told_by_the_write(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct reader *r = writer_new(loop);

	(void)writer_fill(r, 0);
	fdio_await_writable(&r->io);
	close_fdp(&r->other_fd);
	loop_fixture_run_until(loop, &r->is_writable);
	assert_int_equal(fdio_write(&r->io, (const uint8_t *)"x", 1), -EPIPE);
	assert_int_equal(r->n_ends, 0);
	reader_free(loop, r);
}

/* The kernel would call it ready, and full, for ever. */
static void test_fdio_terminal_whose_user_goes_fails_the_waiting_write(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct reader *r = terminal_new(loop);

	(void)writer_fill(r, 0);
	fdio_await_writable(&r->io);
	close_fdp(&r->other_fd);
	loop_fixture_run_until(loop, &r->is_writable);
	(void)writer_fill(r, -EIO);
	reader_free(loop, r);
}

static void test_fdio_closed_when_it_becomes_writable_says_nothing_more(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct reader *r = terminal_new(loop);

	r->closes_when_writable = true;
	assert_int_equal(write(r->other_fd, "unread", 6), 6);
	fdio_resume(&r->io);
	fdio_await_writable(&r->io);
	loop_fixture_run_until(loop, &r->is_writable);
	loop_fixture_turn(loop, 3);
	assert_int_equal(r->n_reads, 0);
	assert_int_equal(fdio_write(&r->io, (const uint8_t *)"x", 1), -EBADF);
	fdio_await_writable(&r->io);
	reader_free(loop, r);
}

static void test_fdio_terminal_is_read_and_written_by_one_descriptor(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct reader *r = terminal_new(loop);
	char text[16];

	fdio_resume(&r->io);
	assert_int_equal(write(r->other_fd, "out", 3), 3);
	assert_int_equal(fdio_write(&r->io, (const uint8_t *)"in", 2), 2);
	fdio_await_writable(&r->io);
	while (r->len < 3 || r->n_writables == 0)
		loop_fixture_turn(loop, 1);
	assert_memory_equal(r->got, "out", 3);
	assert_int_equal(read(r->other_fd, text, sizeof text), 2);
	assert_memory_equal(text, "in", 2);
	assert_int_equal(r->n_writables, 1);
	reader_free(loop, r);
}

static void test_fdio_paused_terminal_still_tells_when_it_has_room(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct reader *r = terminal_new(loop);
	size_t written, got = 0;

	fdio_resume(&r->io);
	loop_fixture_turn(loop, 1);
	fdio_pause(&r->io);
	assert_int_equal(write(r->other_fd, "unread", 6), 6);
	written = writer_fill(r, 0);
	fdio_await_writable(&r->io);
	while (r->n_writables == 0) {
		got += writer_empty(r);
		loop_fixture_turn(loop, 1);
	}
	assert_int_equal(r->n_reads, 0);
	while (got < written)
		got += writer_empty(r);
	fdio_resume(&r->io);
	while (r->len < 6)
		loop_fixture_turn(loop, 1);
	reader_free(loop, r);
}

static void test_fdio_refused_by_the_kernel_keeps_the_descriptor(void **state)
{
	struct loop *loop = loop_fixture_loop(state);
	struct fdio io = { 0 };
	struct owner owner;
	int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

	owner_init(&owner, reader_on_closed);
	assert_int_equal(fdio_open(&io, loop, &owner, &fd, READ_MAX, &reader_ops), -EPERM);
	assert_true(fd >= 0);
	assert_int_equal(owner.pending, 0);
	fdio_close(&io);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, loop_fixture_setup, loop_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fdio_opens_paused),
		TEST(test_fdio_gives_every_byte_in_order_and_then_the_end_once),
		TEST(test_fdio_leaves_others_their_turn),
		TEST(test_fdio_paused_inside_a_read_stops_there),
		TEST(test_fdio_paused_and_resumed_in_one_turn_goes_on),
		TEST(test_fdio_closed_inside_a_read_says_nothing_more),
		TEST(test_fdio_terminal_without_users_is_at_its_end),
		TEST(test_fdio_unread_bytes_of_a_terminal_are_never_overlooked),
		TEST(test_fdio_full_pipe_takes_nothing_and_tells_once_when_it_has_room),
		TEST(test_fdio_reader_that_goes_while_a_write_waits_is_told_by_the_write),
		TEST(test_fdio_terminal_whose_user_goes_fails_the_waiting_write),
		TEST(test_fdio_closed_when_it_becomes_writable_says_nothing_more),
		TEST(test_fdio_terminal_is_read_and_written_by_one_descriptor),
		TEST(test_fdio_paused_terminal_still_tells_when_it_has_room),
		TEST(test_fdio_refused_by_the_kernel_keeps_the_descriptor),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
