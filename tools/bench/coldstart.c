/*
 * Cold start, and its floor, in one run.
 *
 *     coldstart ROUNDS PORT NOOP PROGRAM [ARGUMENT...]
 *
 * In turns: posix_spawn + waitpid of NOOP, and posix_spawn of PROGRAM until its first answer to
 * GET /health on 127.0.0.1:PORT. Prints two lines of microseconds, sorted: "floor ..." and
 * "start ...". The program is ended by SIGKILL after each round.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MAX   10000
#define START_US_MAX 10000000.0 /* us before a start counts as failed */

extern char **environ;

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static pid_t spawn(char **argv)
{
	pid_t pid;
	int r = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);

	if (r != 0) {
		fprintf(stderr, "coldstart: %s: %s\n", argv[0], strerror(r));
		exit(1);
	}
	return pid;
}

static int try_health(const struct sockaddr_in *where)
{
	static const char request[] = "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
	char answer[512];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int ok = 0;

	if (connect(fd, (const struct sockaddr *)where, sizeof(*where)) == 0 &&
	    write(fd, request, sizeof(request) - 1) == (ssize_t)sizeof(request) - 1)
		ok = read(fd, answer, sizeof(answer)) >= 12 &&
		     memcmp(answer, "HTTP/1.1 204", 12) == 0;
	close(fd);
	return ok;
}

static double time_start(char **argv, const struct sockaddr_in *where)
{
	double begin = now_us(), us;
	pid_t pid = spawn(argv);

	while (!try_health(where)) {
		if (now_us() - begin > START_US_MAX) {
			fprintf(stderr, "coldstart: no answer from %s\n", argv[0]);
			kill(pid, SIGKILL);
			exit(1);
		}
		sched_yield();
	}
	us = now_us() - begin;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return us;
}

static double time_floor(char **argv)
{
	double begin = now_us();
	pid_t pid = spawn(argv);

	waitpid(pid, NULL, 0);
	return now_us() - begin;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print(const char *name, double *us, int n)
{
	qsort(us, (size_t)n, sizeof(*us), compare);
	printf("%s", name);
	for (int i = 0; i < n; i++)
		printf(" %.1f", us[i]);
	printf("\n");
}

int main(int argc, char **argv)
{
	static double floors[ROUNDS_MAX], starts[ROUNDS_MAX];
	struct sockaddr_in where = { .sin_family = AF_INET };
	int rounds = argc > 4 ? atoi(argv[1]) : 0;
	char *noop[] = { argv[3], NULL };

	if (rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: coldstart ROUNDS PORT NOOP PROGRAM [ARGUMENT...]\n");
		return 2;
	}
	where.sin_port = htons((uint16_t)atoi(argv[2]));
	where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (try_health(&where)) {
		fprintf(stderr, "coldstart: port %s is taken\n", argv[2]);
		return 1;
	}
	for (int i = 0; i < rounds; i++) {
		floors[i] = time_floor(noop);
		starts[i] = time_start(argv + 4, &where);
	}
	print("floor", floors, rounds);
	print("start", starts, rounds);
	return 0;
}
