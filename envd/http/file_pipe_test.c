#include "http/file_pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/macros.h"
#include "tests/support/busy_pool.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/pattern_file.h"
#include "tests/support/test.h"

struct scene {
	struct loop *loop;
	struct http_file *file;
	struct file_pipe *p;
	unsigned n_told;
	int error;
	bool is_freed;
};

static void on_filled(void *owner, int error)
{
	struct scene *c = owner;

	c->n_told++;
	c->error = error;
	if (c->is_freed)
		file_pipe_free(TAKE_PTR(c->p));
}

static void begin(struct scene *c, void **state, int fd, int64_t offset, int64_t len)
{
	*c = (struct scene){ .loop = loop_fixture_loop(state) };
	c->file = http_file_new(c->loop, fd);
	c->p = file_pipe_new(c->loop, c->file, offset, len, on_filled, c);
	assert_non_null(c->p);
	assert_int_equal(c->n_told, 0);
}

static void end(struct scene *c)
{
	file_pipe_free(TAKE_PTR(c->p));
	http_file_unref(TAKE_PTR(c->file));
	loop_fixture_run_jobs(c->loop);
}

static void test_file_pipe_gives_a_part_of_a_file(void **state)
{
	unsigned char data[10000];
	struct scene c;

	begin(&c, state, pattern_file(100000), 777, 9000);
	assert_int_equal(file_pipe_read(c.p, data, sizeof data), 0); /* it waits for nothing */
	assert_false(file_pipe_has_some(c.p));
	loop_fixture_run_jobs(c.loop);
	assert_int_equal(c.n_told, 1);
	assert_true(file_pipe_has_some(c.p));
	assert_int_equal(file_pipe_read(c.p, data, 0), 0);
	assert_int_equal(file_pipe_read(c.p, data, 8999), 8999);
	assert_false(file_pipe_is_over(c.p));
	assert_int_equal(file_pipe_read(c.p, data + 8999, 100), 1);
	assert_true(file_pipe_is_over(c.p));
	pattern_check(data, 9000, 777);
	assert_int_equal(file_pipe_read(c.p, data, sizeof data), 0);
	loop_fixture_run_jobs(c.loop);
	assert_int_equal(c.n_told, 1);
	end(&c);
}

/* More than the pipe holds: it is filled again when it is empty, and not before. */
static void test_file_pipe_is_filled_again_and_again(void **state)
{
	const size_t size = 3 * FILE_PIPE_SIZE + 12345;
	static unsigned char data[65536];
	struct scene c;
	size_t got = 0;

	begin(&c, state, pattern_file(size), 0, (int64_t)size);
	while (!file_pipe_is_over(c.p)) {
		ssize_t n = file_pipe_read(c.p, data, sizeof data);

		assert_true(n >= 0);
		pattern_check(data, (size_t)n, got);
		got += (size_t)n;
		if (file_pipe_has_some(c.p))
			assert_int_equal(job_count(c.loop), 0);
		else
			loop_fixture_run_jobs(c.loop);
	}
	assert_int_equal(got, size);
	assert_int_equal(c.n_told, 4);
	end(&c);
}

static void test_file_pipe_of_a_file_that_is_shorter(void **state)
{
	struct scene c;

	begin(&c, state, pattern_file(1000), 500, 501);
	loop_fixture_run_jobs(c.loop);
	assert_int_equal(c.n_told, 1);
	assert_int_equal(c.error, -ENODATA);
	end(&c);
}

static void test_file_pipe_of_a_file_that_cannot_be_read(void **state)
{
	struct scene c;

	begin(&c, state, open("/proc/self/mem", O_RDONLY | O_CLOEXEC), 0, 10);
	loop_fixture_run_jobs(c.loop);
	assert_int_equal(c.error, -EIO);
	end(&c);
}

static void test_file_pipe_copies_where_there_is_no_splice(void **state)
{
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	char expected[4096], data[4096];
	ssize_t len = pread(fd, expected, sizeof expected, 0);
	struct scene c;

	begin(&c, state, fd, 0, len);
	loop_fixture_run_jobs(c.loop);
	assert_int_equal(c.error, 0);
	assert_int_equal(file_pipe_read(c.p, data, sizeof data), len);
	assert_memory_equal(data, expected, len);
	end(&c);
}

static void test_file_pipe_may_be_freed_when_it_tells(void **state)
{
	struct scene c;

	begin(&c, state, pattern_file(1000), 0, 1000);
	c.is_freed = true;
	loop_fixture_run_jobs(c.loop);
	assert_null(c.p);
	end(&c);
}

static void test_file_pipe_freed_while_it_is_filled_tells_nothing(void **state)
{
	struct busy_pool pool;
	struct scene c;

	begin(&c, state, pattern_file(1000), 0, 1000);
	file_pipe_free(TAKE_PTR(c.p));
	busy_pool_begin(&pool, c.loop);
	c.p = file_pipe_new(c.loop, c.file, 0, 1000, on_filled, &c); /* waits for a thread */
	http_file_unref(TAKE_PTR(c.file));                           /* both have their own */
	file_pipe_free(TAKE_PTR(c.p));
	busy_pool_end(&pool);
	end(&c);
	assert_int_equal(c.n_told, 0);
}

static void test_file_pipe_without_descriptors_is_none(void **state)
{
	struct rlimit before, none;
	struct scene c;

	begin(&c, state, pattern_file(1000), 0, 1000);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ 0, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_null(file_pipe_new(c.loop, c.file, 0, 1000, on_filled, &c));
	assert_int_equal(errno, EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	end(&c);
}

#define T(name) cmocka_unit_test_setup_teardown(name, loop_fixture_setup, loop_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_file_pipe_gives_a_part_of_a_file),
		T(test_file_pipe_is_filled_again_and_again),
		T(test_file_pipe_of_a_file_that_is_shorter),
		T(test_file_pipe_of_a_file_that_cannot_be_read),
		T(test_file_pipe_copies_where_there_is_no_splice),
		T(test_file_pipe_may_be_freed_when_it_tells),
		T(test_file_pipe_freed_while_it_is_filled_tells_nothing),
		T(test_file_pipe_without_descriptors_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
