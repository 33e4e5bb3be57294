#include "http/file_send.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/mem.h"
#include "loop/job.h"
#include "tests/support/busy_pool.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/pattern_file.h"
#include "tests/support/test.h"

#define SIZE 5000000u /* more than a socket holds */

/* One sender, and the other end of its socket. */
struct scene {
	struct loop *loop;
	struct http_file *file;
	struct file_send *s;
	int peer;
	unsigned n_told;
	enum file_send_state told;
	int error;
	bool goes_on; /* interrupted, it goes on at once */
	bool is_freed;
};

static void on_stopped(void *owner, enum file_send_state state, int error)
{
	struct scene *c = owner;

	assert_false(file_send_is_going(c->s));
	if (state == FILE_SEND_INTERRUPTED && c->goes_on) {
		file_send_go(c->s);
		return;
	}
	c->n_told++;
	c->told = state;
	c->error = error;
	if (c->is_freed)
		file_send_free(TAKE_PTR(c->s));
}

static void begin(struct scene *c, void **state, int fd, int64_t offset, int64_t len)
{
	int ends[2];

	(void)signal(SIGPIPE, SIG_IGN);
	*c = (struct scene){ .loop = loop_fixture_loop(state), .goes_on = true };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
	                 0);
	c->peer = ends[1];
	c->file = http_file_new(c->loop, fd);
	c->s = file_send_new(c->loop, ends[0], c->file, offset, len, on_stopped, c);
}

static void end(struct scene *c)
{
	file_send_free(TAKE_PTR(c->s));
	http_file_unref(TAKE_PTR(c->file));
	close_fdp(&c->peer);
	loop_fixture_run_jobs(c->loop);
}

/* Lets it go until it tells. */
static void go(struct scene *c)
{
	unsigned before = c->n_told;

	file_send_go(c->s);
	assert_int_equal(c->n_told, before); /* not inside the call */
	loop_fixture_run_jobs(c->loop);
	assert_int_equal(c->n_told, before + 1);
}

/* All that the peer can read now. */
static size_t receive(struct scene *c, size_t from)
{
	static unsigned char data[SIZE];
	size_t len = 0;
	ssize_t n;

	while ((n = recv(c->peer, data + len, sizeof data - len, 0)) > 0)
		len += (size_t)n;
	pattern_check(data, len, from);
	return len;
}

static void test_file_send_sends_a_part_of_a_file(void **state)
{
	struct scene c;

	begin(&c, state, pattern_file(100000), 1000, 50000);
	go(&c);
	assert_int_equal(c.told, FILE_SEND_DONE);
	assert_int_equal(c.error, 0);
	assert_int_equal(receive(&c, 1000), 50000);
	end(&c);
}

static void test_file_send_tells_of_a_full_socket_and_goes_on(void **state)
{
	struct scene c;
	size_t got = 0;

	begin(&c, state, pattern_file(SIZE), 0, SIZE);
	do {
		go(&c);
		assert_true(c.told == FILE_SEND_FULL || c.told == FILE_SEND_DONE);
		got += receive(&c, got);
	} while (c.told != FILE_SEND_DONE);
	assert_int_equal(got, SIZE);
	assert_true(c.n_told > 1);
	end(&c);
}

static bool is_going(void *arg)
{
	return file_send_is_going(((struct scene *)arg)->s);
}

/* To a peer that reads at full speed it would otherwise have its thread for as long as the file is. */
static void test_file_send_gives_its_thread_to_others_that_wait(void **state)
{
	const int64_t size = INT64_C(1) << 34;
	struct busy_pool others;
	struct scene c;
	int sparse = memfd_create("sparse", MFD_CLOEXEC);

	assert_int_equal(ftruncate(sparse, size), 0);
	begin(&c, state, sparse, 0, 0);
	file_send_free(c.s);
	/* Such a peer: it is never full. */
	c.s = file_send_new(c.loop, open("/dev/null", O_WRONLY | O_CLOEXEC), c.file, 0, size,
	                    on_stopped, &c);
	c.goes_on = false;
	file_send_go(c.s);
	busy_pool_begin(&others, c.loop); /* wants every thread */
	loop_fixture_run_while(c.loop, is_going, &c);
	assert_int_equal(c.told, FILE_SEND_INTERRUPTED);
	busy_pool_end(&others);
	end(&c);
}

static void test_file_send_of_a_file_that_is_shorter(void **state)
{
	struct scene c;

	begin(&c, state, pattern_file(1000), 0, 1001);
	go(&c);
	assert_int_equal(c.told, FILE_SEND_FILE_BROKEN);
	assert_int_equal(c.error, -ENODATA);
	assert_int_equal(receive(&c, 0), 1000);
	end(&c);
}

static void test_file_send_of_a_file_that_cannot_be_read(void **state)
{
	struct scene c;

	begin(&c, state, open("/proc/self/mem", O_RDONLY | O_CLOEXEC), 0, 10);
	go(&c);
	assert_int_equal(c.told, FILE_SEND_FILE_BROKEN);
	assert_int_equal(c.error, -EIO);
	end(&c);
}

static void test_file_send_to_a_peer_that_is_gone(void **state)
{
	struct scene c;

	begin(&c, state, pattern_file(1000), 0, 1000);
	close_fdp(&c.peer);
	go(&c);
	assert_int_equal(c.told, FILE_SEND_PEER_BROKEN);
	assert_int_equal(c.error, -EPIPE);
	end(&c);
}

static void test_file_send_copies_where_pages_cannot_be_sent(void **state)
{
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	char expected[4096], data[4096];
	ssize_t len = pread(fd, expected, sizeof expected, 0);
	struct scene c;

	begin(&c, state, fd, 0, len);
	go(&c);
	assert_int_equal(c.told, FILE_SEND_DONE);
	assert_int_equal(recv(c.peer, data, sizeof data, 0), len);
	assert_memory_equal(data, expected, len);
	end(&c);
}

static void test_file_send_may_be_freed_when_it_tells(void **state)
{
	struct scene c;

	begin(&c, state, pattern_file(1000), 0, 1000);
	c.is_freed = true;
	go(&c);
	assert_null(c.s);
	end(&c);
}

static void test_file_send_freed_while_it_goes_tells_nothing(void **state)
{
	struct scene c;
	char byte;

	begin(&c, state, pattern_file(SIZE), 0, SIZE);
	file_send_go(c.s);
	file_send_go(c.s); /* it does */
	file_send_free(TAKE_PTR(c.s));
	http_file_unref(TAKE_PTR(c.file)); /* it has its own reference */
	loop_fixture_run_jobs(c.loop);
	assert_int_equal(c.n_told, 0);
	while (recv(c.peer, &byte, 1, 0) > 0)
		;
	assert_int_equal(recv(c.peer, &byte, 1, 0), 0); /* the peer is not left waiting */
	end(&c);
}

static void test_file_send_freed_while_it_waits_for_a_thread_sends_nothing(void **state)
{
	struct busy_pool pool;
	struct scene c;
	char byte;

	begin(&c, state, pattern_file(SIZE), 0, SIZE);
	busy_pool_begin(&pool, c.loop);
	file_send_go(c.s);
	assert_true(file_send_is_going(c.s));
	file_send_free(TAKE_PTR(c.s));
	loop_fixture_turn(c.loop, 3);
	assert_int_equal(recv(c.peer, &byte, 1, 0), 0);
	busy_pool_end(&pool);
	assert_int_equal(c.n_told, 0);
	end(&c);
}

#define T(name) cmocka_unit_test_setup_teardown(name, loop_fixture_setup, loop_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_file_send_sends_a_part_of_a_file),
		T(test_file_send_tells_of_a_full_socket_and_goes_on),
		T(test_file_send_gives_its_thread_to_others_that_wait),
		T(test_file_send_of_a_file_that_is_shorter),
		T(test_file_send_of_a_file_that_cannot_be_read),
		T(test_file_send_to_a_peer_that_is_gone),
		T(test_file_send_copies_where_pages_cannot_be_sent),
		T(test_file_send_may_be_freed_when_it_tells),
		T(test_file_send_freed_while_it_goes_tells_nothing),
		T(test_file_send_freed_while_it_waits_for_a_thread_sends_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
