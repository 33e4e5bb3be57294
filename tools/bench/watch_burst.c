/*
 * Files created in a burst under a recursive watch, and the floor, in turns.
 *
 *     watch_burst HOST PORT FOLDER FILES ROUNDS
 *
 * FILES are created one after the other in DIRS directories, which are watched before; a thread counts
 * what is told of them. Each round has trees of its own in FOLDER: one watched by WatchDir, one by
 * inotify in that thread. Every file must be told of. Prints two lines of milliseconds, from the first
 * file to the last event: "floor ..." and "burst ...".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "watch.h"

#define DIRS       100
#define ROUNDS_MAX 100
#define PATH_LEN   256

struct tree {
	char path[PATH_LEN];
	int dirs[DIRS]; /* where files are created */
};

static void dir_path(char *path, const struct tree *t, int dir)
{
	if (snprintf(path, PATH_LEN, "%s/d%02d", t->path, dir) >= PATH_LEN)
		fail("%s is too long", t->path);
}

static void tree_make(struct tree *t, const char *folder, const char *name, int round)
{
	char path[PATH_LEN];

	if (snprintf(t->path, PATH_LEN, "%s/%s-%d", folder, name, round) >= PATH_LEN)
		fail("%s is too long", folder);
	if (mkdir(t->path, 0755) < 0)
		fail("mkdir %s: %s", t->path, strerror(errno));
	for (int i = 0; i < DIRS; i++) {
		dir_path(path, t, i);
		if (mkdir(path, 0755) < 0)
			fail("mkdir %s: %s", path, strerror(errno));
		t->dirs[i] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
}

static void tree_close(struct tree *t)
{
	for (int i = 0; i < DIRS; i++)
		close(t->dirs[i]);
}

static void create_files(const struct tree *t, int n)
{
	char name[32];

	for (int i = 0; i < n; i++) {
		int fd;

		snprintf(name, sizeof(name), "f%06d", i);
		fd = openat(t->dirs[i % DIRS], name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (fd < 0)
			fail("create %s: %s", name, strerror(errno));
		close(fd);
	}
}

/* ---------------------------------------------------------------- who counts */

struct counter {
	int inotify;
	struct stream s;
	uint64_t n_wanted;
};

static void *count_records(void *data)
{
	static char records[WATCH_READ_MAX] __attribute__((aligned(8)));
	const struct counter *c = data;
	uint64_t n = 0;

	while (n < c->n_wanted) {
		ssize_t len = read(c->inotify, records, sizeof(records));

		if (len <= 0)
			fail("inotify: %s", strerror(errno));
		for (const char *at = records; at < records + len;) {
			const struct inotify_event *event = (const void *)at;

			n += (event->mask & IN_CREATE) != 0;
			at += sizeof(*event) + event->len;
		}
	}
	return NULL;
}

static void *count_events(void *data)
{
	struct counter *c = data;

	while (c->s.n_created < c->n_wanted)
		stream_read(&c->s, READ_MAX);
	return NULL;
}

static double time_burst(const struct tree *t, struct counter *c, void *(*count)(void *))
{
	double begin = now_s();
	pthread_t thread;

	if (pthread_create(&thread, NULL, count, c) != 0)
		fail("no thread");
	create_files(t, (int)c->n_wanted);
	pthread_join(thread, NULL);
	return now_s() - begin;
}

static double floor_round(const char *folder, int n_files, int round)
{
	struct counter c = { .inotify = inotify_init1(IN_CLOEXEC), .n_wanted = (uint64_t)n_files };
	char path[PATH_LEN];
	struct tree t;
	double seconds;

	tree_make(&t, folder, "floor", round);
	for (int i = 0; i < DIRS; i++) {
		dir_path(path, &t, i);
		if (inotify_add_watch(c.inotify, path, WATCH_MASK) < 0)
			fail("inotify: %s", strerror(errno));
	}
	seconds = time_burst(&t, &c, count_records);
	close(c.inotify);
	tree_close(&t);
	return seconds;
}

static double burst_round(const struct sockaddr_in *where, const char *folder, int n_files,
                          int round)
{
	struct counter c = { .n_wanted = (uint64_t)n_files };
	struct timeval quiet = { .tv_sec = WATCH_QUIET_S };
	struct tree t;
	double seconds;

	tree_make(&t, folder, "watched", round);
	stream_open(&c.s, where, CODEC_JSON);
	setsockopt(c.s.response.fd, SOL_SOCKET, SO_RCVTIMEO, &quiet, sizeof(quiet));
	stream_watch(&c.s, t.path, true);
	seconds = time_burst(&t, &c, count_events);
	stream_close(&c.s);
	tree_close(&t);
	return seconds;
}

int main(int argc, char **argv)
{
	static double floors[ROUNDS_MAX], bursts[ROUNDS_MAX];
	int rounds = argc == 6 ? atoi(argv[5]) : 0, n_files;
	struct sockaddr_in where;

	if (rounds < 1 || rounds > ROUNDS_MAX)
		fail("usage: watch_burst HOST PORT FOLDER FILES ROUNDS");
	where = address_of(argv[1], argv[2]);
	n_files = atoi(argv[4]);
	for (int i = 0; i < rounds; i++) {
		floors[i] = floor_round(argv[3], n_files, i);
		bursts[i] = burst_round(&where, argv[3], n_files, i);
	}
	print_ms("floor", floors, rounds);
	print_ms("burst", bursts, rounds);
	return 0;
}
