/*
 * Exec round trips, and their floor, in turns.
 *
 *     exec HOST PORT ROUNDS
 *
 * posix_spawn + waitpid of /bin/true, and Start of /bin/true until its response is over, on one kept
 * connection. Prints two lines of milliseconds: "floor ..." and "exec ...".
 */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "client.h"

#define ROUNDS_MAX 10000

extern char **environ;

static char *const command[] = { "/bin/true", NULL };

static double time_floor(void)
{
	double begin = now_s();
	pid_t pid;
	int r = posix_spawn(&pid, command[0], NULL, NULL, command, environ);

	if (r != 0)
		fail("%s: %s", command[0], strerror(r));
	waitpid(pid, NULL, 0);
	return now_s() - begin;
}

static double time_exec(struct stream *s)
{
	double begin = now_s();

	stream_start(s, command, false);
	stream_wait_over(s);
	return now_s() - begin;
}

int main(int argc, char **argv)
{
	static double floors[ROUNDS_MAX], execs[ROUNDS_MAX];
	int rounds = argc == 4 ? atoi(argv[3]) : 0;
	struct sockaddr_in where;
	struct stream s;

	if (rounds < 1 || rounds > ROUNDS_MAX)
		fail("usage: exec HOST PORT ROUNDS");
	where = address_of(argv[1], argv[2]);
	stream_open(&s, &where, CODEC_JSON);
	for (int i = 0; i < rounds; i++) {
		floors[i] = time_floor();
		execs[i] = time_exec(&s);
	}
	print_ms("floor", floors, rounds);
	print_ms("exec", execs, rounds);
	return 0;
}
