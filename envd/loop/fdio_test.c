#include "loop/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

#define READ_MAX 1000u

struct reader {
	struct owner owner;
	struct fdio io;
	int write_fd;
	char got[64 * 1024];
	size_t len;
	unsigned n_reads;
	unsigned n_ends;
	int error;
	unsigned closes_after; /* reads; 0: never */
	unsigned pauses_after;
	bool has_ended, has_closed;
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

static const struct fdio_ops reader_ops = { reader_on_data, reader_on_end };

static void reader_on_closed(struct owner *owner)
{
	CONTAINER_OF(owner, struct reader, owner)->has_closed = true;
}

static struct reader *reader_new(struct loop *loop)
{
	struct reader *r = xcalloc(1, sizeof *r);
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	r->write_fd = fds[1];
	owner_init(&r->owner, reader_on_closed);
	assert_int_equal(fdio_open(&r->io, loop, &r->owner, &fds[0], READ_MAX, &reader_ops), 0);
	assert_int_equal(fds[0], -1);
	return r;
}

static void reader_free(struct loop *loop, struct reader *r)
{
	fdio_close(&r->io);
	fdio_close(&r->io);
	owner_close(&r->owner);
	loop_fixture_run_until(loop, &r->has_closed);
	close_fdp(&r->write_fd);
	free(r);
}

static void reader_feed(struct reader *r, size_t len)
{
	char bytes[32768];

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (char)(i * 7);
	assert_int_equal(write(r->write_fd, bytes, len), (ssize_t)len);
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
	close_fdp(&r->write_fd);
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
	close_fdp(&r->write_fd);
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
	struct reader *r = xcalloc(1, sizeof *r);
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK), slave;

	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(slave >= 0);
	r->write_fd = -1;
	owner_init(&r->owner, reader_on_closed);
	assert_int_equal(fdio_open(&r->io, loop, &r->owner, &master, READ_MAX, &reader_ops), 0);
	fdio_resume(&r->io);
	assert_int_equal(write(slave, "bye", 3), 3);
	close(slave);
	loop_fixture_run_until(loop, &r->has_ended);
	assert_int_equal(r->len, 3);
	assert_int_equal(r->error, 0);
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
		TEST(test_fdio_refused_by_the_kernel_keeps_the_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
