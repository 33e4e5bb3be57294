#include "base/macros.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "tests/support/test.h"

struct owning {
	char *text;
	int fd;
};

static struct owning take_both(void)
{
	CLEANUP(freep) char *text = xstrdup("kept");
	CLEANUP(freep) char *dropped = xstrdup("dropped");
	CLEANUP(close_fdp) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CLEANUP(close_fdp) int never_opened = -1;

	UNUSED(dropped);
	UNUSED(never_opened);
	return (struct owning){ .text = TAKE_PTR(text), .fd = TAKE_FD(fd) };
}

static void test_cleanup_spares_what_was_taken(void **state)
{
	unsigned n_fds = test_fd_count();
	struct owning o = take_both();

	UNUSED(state);
	assert_string_equal(o.text, "kept");
	assert_int_equal(test_fd_count(), n_fds + 1);
	assert_int_equal(close(o.fd), 0);
	free(o.text);
}

/* A child that fails an ASSERT with this as its stderr. */
static void fail_in_child(int stderr_fd)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		dup2(stderr_fd, STDERR_FILENO);
		ASSERT(stderr_fd < 0);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void test_assert_failure_says_where_and_aborts(void **state)
{
	char text[256] = { 0 };
	int fds[2];

	UNUSED(state);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	fail_in_child(fds[1]);
	assert_true(read(fds[0], text, sizeof text - 1) > 0);
	assert_non_null(strstr(text, "macros_test.c:"));
	assert_non_null(strstr(text, "assertion failed: stderr_fd < 0\n"));
	close(fds[0]);
	close(fds[1]);
}

static void test_assert_failure_with_a_full_stderr_still_aborts(void **state)
{
	static char page[4096];
	int fds[2];

	UNUSED(state);
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	while (write(fds[1], page, sizeof page) > 0)
		;
	fcntl(fds[1], F_SETFL, 0);
	fail_in_child(fds[1]);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cleanup_spares_what_was_taken),
		cmocka_unit_test(test_assert_failure_says_where_and_aborts),
		cmocka_unit_test(test_assert_failure_with_a_full_stderr_still_aborts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
