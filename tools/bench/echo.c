/*
 * Stdin echo round trips, and their floor, in turns.
 *
 *     echo HOST PORT ROUNDS
 *
 * A line to a `cat` of our own and back through two pipes; SendInput of the same line to a `cat` of
 * the daemon's until its data event has come, on kept connections. The answer of SendInput itself is
 * read afterwards. Prints two lines of milliseconds: "floor ..." and "echo ...".
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"

#define ROUNDS_MAX 10000

static const char line[] = "ping\n";
static const char line_base64[] = "cGluZwo=";
#define LINE_LEN (sizeof(line) - 1)

extern char **environ;

static char *const command[] = { "cat", NULL };

struct cat {
	int in, out;
	pid_t pid;
};

static struct cat cat_start(void)
{
	int in[2], out[2];
	posix_spawn_file_actions_t actions;
	struct cat cat;

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		fail("no pipe");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
	if (posix_spawnp(&cat.pid, command[0], &actions, NULL, command, environ) != 0)
		fail("no %s", command[0]);
	posix_spawn_file_actions_destroy(&actions);
	close(in[0]);
	close(out[1]);
	cat.in = in[1];
	cat.out = out[0];
	return cat;
}

static void cat_stop(struct cat *cat)
{
	close(cat->in);
	close(cat->out);
	waitpid(cat->pid, NULL, 0);
}

static double time_floor(const struct cat *cat)
{
	double begin = now_s();
	char back[LINE_LEN];

	if (write(cat->in, line, LINE_LEN) != (ssize_t)LINE_LEN ||
	    read(cat->out, back, LINE_LEN) != (ssize_t)LINE_LEN)
		fail("our own cat does not echo");
	return now_s() - begin;
}

static double time_echo(struct stream *s, int calls)
{
	uint64_t wanted = s->n_bytes + LINE_LEN;
	double begin = now_s(), end;

	call_send_input(calls, s->pid, line_base64);
	while (s->n_bytes < wanted)
		stream_read(s, READ_MAX);
	end = now_s();
	response_wait(calls);
	return end - begin;
}

int main(int argc, char **argv)
{
	static double floors[ROUNDS_MAX], echoes[ROUNDS_MAX];
	int rounds = argc == 4 ? atoi(argv[3]) : 0, calls;
	struct sockaddr_in where;
	struct stream s;
	struct cat cat;

	if (rounds < 1 || rounds > ROUNDS_MAX)
		fail("usage: echo HOST PORT ROUNDS");
	where = address_of(argv[1], argv[2]);
	calls = call_open(&where);
	stream_open(&s, &where, CODEC_JSON);
	stream_start(&s, command, true);
	stream_wait_start(&s);
	cat = cat_start();
	for (int i = 0; i < rounds; i++) {
		floors[i] = time_floor(&cat);
		echoes[i] = time_echo(&s, calls);
	}
	cat_stop(&cat);
	call_kill(calls, s.pid);
	response_wait(calls);
	stream_wait_over(&s);
	print_ms("floor", floors, rounds);
	print_ms("echo", echoes, rounds);
	return 0;
}
