/*
 * The time from a write to its event, and its floor, in turns.
 *
 *     watch_event HOST PORT FOLDER ROUNDS
 *
 * A byte written to a file in a watched directory below FOLDER until WatchDir tells; the same until a
 * process that reads inotify and sends a byte for each read has told. Prints two lines of milliseconds:
 * "floor ..." and "event ...".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "watch.h"

#define ROUNDS_MAX 10000
#define PATH_LEN   256

struct watched {
	char folder[PATH_LEN];
	int file;
};

static void watched_make(struct watched *w, const char *folder, const char *name)
{
	char path[PATH_LEN + 8];

	if (snprintf(w->folder, sizeof(w->folder), "%s/%s", folder, name) >= PATH_LEN)
		fail("%s is too long", folder);
	snprintf(path, sizeof(path), "%s/file", w->folder);
	if (mkdir(w->folder, 0755) < 0)
		fail("mkdir %s: %s", w->folder, strerror(errno));
	w->file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (w->file < 0)
		fail("open %s: %s", path, strerror(errno));
}

static void write_byte(const struct watched *w)
{
	if (pwrite(w->file, "x", 1, 0) != 1)
		fail("write to %s: %s", w->folder, strerror(errno));
}

/* ---------------------------------------------------------------- the floor: a process that tells */

struct teller {
	pid_t pid;
	int fd; /* a byte comes when it is ready, and one for each write */
};

static _Noreturn void tell(const struct sockaddr_in *where, const char *folder)
{
	static char records[WATCH_READ_MAX];
	int out = call_open(where), in = inotify_init1(IN_CLOEXEC);

	if (in < 0 || inotify_add_watch(in, folder, WATCH_MASK) < 0)
		fail("inotify: %s", strerror(errno));
	do
		send_all(out, "x", 1, 0);
	while (read(in, records, sizeof(records)) > 0);
	fail("inotify: %s", strerror(errno));
}

static void teller_wait(const struct teller *t)
{
	char byte;

	if (recv(t->fd, &byte, 1, 0) != 1)
		fail("the floor does not tell");
}

static struct teller teller_start(const char *folder)
{
	struct sockaddr_in where = { .sin_family = AF_INET,
		                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(where);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct teller t;

	if (bind(listener, (struct sockaddr *)&where, len) < 0 || listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)&where, &len) < 0)
		fail("listen: %s", strerror(errno));
	t.pid = fork();
	if (t.pid == 0)
		tell(&where, folder);
	t.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(listener);
	teller_wait(&t);
	return t;
}

static void teller_stop(const struct teller *t)
{
	kill(t->pid, SIGKILL);
	waitpid(t->pid, NULL, 0);
	close(t->fd);
}

/* ---------------------------------------------------------------- rounds */

static double time_floor(const struct teller *t, const struct watched *w)
{
	double begin = now_s();

	write_byte(w);
	teller_wait(t);
	return now_s() - begin;
}

static double time_event(struct stream *s, const struct watched *w)
{
	uint64_t wanted = s->n_written + 1;
	double begin = now_s();

	write_byte(w);
	while (s->n_written < wanted)
		stream_read(s, READ_MAX);
	return now_s() - begin;
}

int main(int argc, char **argv)
{
	static double floors[ROUNDS_MAX], events[ROUNDS_MAX];
	int rounds = argc == 5 ? atoi(argv[4]) : 0;
	struct timeval quiet = { .tv_sec = WATCH_QUIET_S };
	struct watched floor, watched;
	struct sockaddr_in where;
	struct teller teller;
	struct stream s;

	if (rounds < 1 || rounds > ROUNDS_MAX)
		fail("usage: watch_event HOST PORT FOLDER ROUNDS");
	where = address_of(argv[1], argv[2]);
	watched_make(&floor, argv[3], "floor");
	watched_make(&watched, argv[3], "watched");
	teller = teller_start(floor.folder);
	stream_open(&s, &where, CODEC_JSON);
	setsockopt(s.response.fd, SOL_SOCKET, SO_RCVTIMEO, &quiet, sizeof(quiet));
	stream_watch(&s, watched.folder, false);
	for (int i = 0; i < rounds; i++) {
		floors[i] = time_floor(&teller, &floor);
		events[i] = time_event(&s, &watched);
	}
	teller_stop(&teller);
	stream_close(&s);
	print_ms("floor", floors, rounds);
	print_ms("event", events, rounds);
	return 0;
}
