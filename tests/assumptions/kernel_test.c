/*
 * What we believe of the kernel. Each test says who relies on it. Tests of what a sandbox of a
 * sandbox may forbid (clone3 behind seccomp) are skipped there.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macros.h"
#include "tests/support/test.h"

#ifndef P_PIDFD
#define P_PIDFD 3 /* since Linux 5.4; older C libraries do not name it */
#endif

#define WAIT_MS 10000 /* longest wait for an event; none takes that long */

/* Epoll's word on a descriptor, waiting for one if there is none. */
static uint32_t epoll_events_of(int fd)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

	assert_int_equal(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event), 0);
	event.events = 0;
	assert_int_equal(epoll_wait(epoll_fd, &event, 1, WAIT_MS), 1);
	close(epoll_fd);
	return event.events;
}

/* A child made as the spawner does it; its pidfd. -1: forbidden here. */
static int clone3_child(pid_t *out_pid)
{
	int pidfd = -1;
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	long pid = syscall(SYS_clone3, &args, sizeof args);

	if (pid < 0)
		return -1;
	if (pid == 0) {
		pause();
		_exit(0);
	}
	*out_pid = (pid_t)pid;
	return pidfd;
}

/* proc/process: the end of a process is an event on its pidfd, and waitid reaps exactly that one. */
static void test_pidfd_of_clone3_is_readable_at_exit_only(void **state)
{
	siginfo_t info = { 0 };
	struct pollfd p = { .events = POLLIN };
	pid_t pid = 0;

	UNUSED(state);
	p.fd = clone3_child(&pid);
	if (p.fd < 0)
		skip();
	assert_true(fcntl(p.fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_int_equal(waitid(P_PIDFD, (id_t)p.fd, &info, WEXITED), 0);
	assert_int_equal(info.si_pid, pid);
	assert_int_equal(info.si_code, CLD_KILLED);
	assert_int_equal(info.si_status, SIGKILL);
	close(p.fd);
}

/* loop/fdio: the last bytes come together with the hang-up, and must be read before it counts. */
static void test_pipe_without_writer_reports_hangup_with_its_last_bytes(void **state)
{
	int fds[2];
	char c;

	UNUSED(state);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	close(fds[1]);
	assert_int_equal(epoll_events_of(fds[0]), EPOLLIN | EPOLLHUP);
	assert_int_equal(read(fds[0], &c, 1), 1);
	assert_int_equal(epoll_events_of(fds[0]), EPOLLHUP);
	assert_int_equal(read(fds[0], &c, 1), 0);
	close(fds[0]);
}

/* proc/process: a grandchild that holds the pipe keeps it open, hence the drain deadline. */
static void test_pipe_held_by_another_process_does_not_end(void **state)
{
	int fds[2];
	struct pollfd p = { .events = POLLIN };
	int status;
	pid_t pid = 0;

	UNUSED(state);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		pause();
		_exit(0);
	}
	close(fds[1]);
	p.fd = fds[0];
	assert_int_equal(poll(&p, 1, 0), 0);
	kill(pid, SIGKILL);
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_true(p.revents & POLLHUP);
	waitpid(pid, &status, 0);
	close(fds[0]);
}

/* loop/fdio: a terminal whose last program is gone fails with EIO, which is its end of file. */
static void test_pty_without_program_reads_its_rest_then_eio(void **state)
{
	int master, slave;
	char text[8];

	UNUSED(state);
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(write(slave, "x", 1), 1);
	close(slave);
	assert_int_equal(read(master, text, sizeof text), 1);
	assert_int_equal(read(master, text, sizeof text), -1);
	assert_int_equal(errno, EIO);
	close(master);
}

/* base/log: the second opening has its own O_NONBLOCK, so ours is nobody else's. */
static void test_pipe_opened_again_has_flags_of_its_own(void **state)
{
	char path[64];
	int fds[2], again;

	UNUSED(state);
	assert_int_equal(pipe(fds), 0);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fds[1]);
	again = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(again >= 0);
	assert_true(fcntl(again, F_GETFL) & O_NONBLOCK);
	assert_false(fcntl(fds[1], F_GETFL) & O_NONBLOCK);
	close(again);
	close(fds[0]);
	close(fds[1]);
}

/* base/log: a short line goes whole or not at all, so lines do not mix. */
static void test_pipe_takes_a_short_write_whole_or_not_at_all(void **state)
{
	static char data[PIPE_BUF];
	ssize_t n;
	int fds[2];

	UNUSED(state);
	assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
	assert_int_equal(write(fds[1], data, 100), 100); /* so that pages do not come out even */
	do {
		n = write(fds[1], data, sizeof data);
		assert_true(n == PIPE_BUF || n == -1);
	} while (n > 0);
	assert_int_equal(errno, EAGAIN);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pidfd_of_clone3_is_readable_at_exit_only),
		cmocka_unit_test(test_pipe_without_writer_reports_hangup_with_its_last_bytes),
		cmocka_unit_test(test_pipe_held_by_another_process_does_not_end),
		cmocka_unit_test(test_pty_without_program_reads_its_rest_then_eio),
		cmocka_unit_test(test_pipe_opened_again_has_flags_of_its_own),
		cmocka_unit_test(test_pipe_takes_a_short_write_whole_or_not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
