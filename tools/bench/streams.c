/*
 * Many Start streams of processes that do nothing, and their floor.
 *
 *     streams HOST PORT N
 *
 * First N times posix_spawn of `sleep` with a pipe as its stdout, kill and waitpid. Then N
 * connections and a Start of the same on each, all at once, until all start events have come; then
 * it waits for a line on stdin (whoever measures memory does it now), then SendSignal to each in
 * turn on another connection, until all responses are over.
 * Prints "floor START KILL" and, each when it is known, "start SECONDS" and "kill SECONDS".
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"

#define STREAMS_MAX 10000
#define EVENTS_MAX  64

extern char **environ;

static char *const command[] = { "sleep", "1000", NULL };

static struct stream streams[STREAMS_MAX];
static pid_t pids[STREAMS_MAX];
static int n;

/* ---------------------------------------------------------------- the floor */

static pid_t spawn(int out)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	if (posix_spawnp(&pid, command[0], &actions, NULL, command, environ) != 0)
		fail("no %s", command[0]);
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

static double time_floor_start(void)
{
	double begin = now_s();

	for (int i = 0; i < n; i++) {
		int out[2];

		if (pipe2(out, O_CLOEXEC) < 0)
			fail("no pipe");
		pids[i] = spawn(out[1]);
		close(out[1]);
		streams[i].response.fd = out[0];
	}
	return now_s() - begin;
}

static double time_floor_kill(void)
{
	double begin = now_s();

	for (int i = 0; i < n; i++)
		kill(pids[i], SIGKILL);
	for (int i = 0; i < n; i++) {
		waitpid(pids[i], NULL, 0);
		close(streams[i].response.fd);
	}
	return now_s() - begin;
}

/* ---------------------------------------------------------------- the streams */

static bool has_started(const struct stream *s)
{
	return s->pid != 0;
}

static bool is_over(const struct stream *s)
{
	return s->response.is_over;
}

/* Reads what comes until it holds for all. */
static void wait_all(bool (*holds)(const struct stream *))
{
	struct epoll_event events[EVENTS_MAX];
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	for (int i = 0; i < n; i++) {
		events[0] = (struct epoll_event){ .events = EPOLLIN, .data.ptr = &streams[i] };
		epoll_ctl(epoll, EPOLL_CTL_ADD, streams[i].response.fd, &events[0]);
	}
	for (int n_left = n; n_left > 0;) {
		int n_events = epoll_wait(epoll, events, EVENTS_MAX, -1);

		for (int i = 0; i < n_events; i++) {
			struct stream *s = events[i].data.ptr;

			stream_read(s, READ_MAX);
			if (!holds(s))
				continue;
			epoll_ctl(epoll, EPOLL_CTL_DEL, s->response.fd, NULL);
			n_left--;
		}
	}
	close(epoll);
}

static double time_start(const struct sockaddr_in *where)
{
	double begin = now_s();

	for (int i = 0; i < n; i++) {
		stream_open(&streams[i], where, CODEC_JSON);
		stream_start(&streams[i], command, false);
	}
	wait_all(has_started);
	return now_s() - begin;
}

static double time_kill(int calls)
{
	double begin = now_s();

	for (int i = 0; i < n; i++) {
		call_kill(calls, streams[i].pid);
		response_wait(calls);
	}
	wait_all(is_over);
	return now_s() - begin;
}

static void raise_fd_limit(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
	struct sockaddr_in where;
	double start;
	int calls;

	n = argc == 4 ? atoi(argv[3]) : 0;
	if (n < 1 || n > STREAMS_MAX)
		fail("usage: streams HOST PORT N");
	raise_fd_limit();
	setlinebuf(stdout);
	where = address_of(argv[1], argv[2]);
	calls = call_open(&where);
	start = time_floor_start();
	printf("floor %.6f %.6f\n", start, time_floor_kill());
	printf("start %.6f\n", time_start(&where));
	getchar();
	printf("kill %.6f\n", time_kill(calls));
	return 0;
}
