/*
 * ListDir of one directory, and its floor, in turns.
 *
 *     list_dir HOST PORT CODEC FOLDER ENTRIES ROUNDS
 *
 * readdir and lstat of each of the ENTRIES that FOLDER has; ListDir until its answer is there, on a kept
 * connection. Prints two lines of milliseconds: "floor ..." and "list ...".
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client.h"

#define ROUNDS_MAX  1000
#define ENTRY_LEAST 32 /* bytes of an entry in an answer, in protobuf too */

static double time_floor(const char *folder, int n_wanted)
{
	double begin = now_s();
	DIR *dir = opendir(folder);
	const struct dirent *entry;
	struct stat st;
	int n = 0;

	if (!dir)
		fail("opendir %s: %s", folder, strerror(errno));
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			n++;
	}
	closedir(dir);
	if (n != n_wanted)
		fail("%s has %d entries", folder, n);
	return now_s() - begin;
}

static double time_list(int fd, enum codec codec, const char *folder, int n_wanted)
{
	double begin = now_s();

	call_list_dir(fd, codec, folder);
	if (response_wait(fd) < (uint64_t)n_wanted * ENTRY_LEAST)
		fail("the answer is too short");
	return now_s() - begin;
}

int main(int argc, char **argv)
{
	static double floors[ROUNDS_MAX], lists[ROUNDS_MAX];
	int rounds = argc == 7 ? atoi(argv[6]) : 0, n, fd;
	struct sockaddr_in where;

	if (rounds < 1 || rounds > ROUNDS_MAX)
		fail("usage: list_dir HOST PORT json|proto FOLDER ENTRIES ROUNDS");
	where = address_of(argv[1], argv[2]);
	n = atoi(argv[5]);
	fd = call_open(&where);
	for (int i = 0; i < rounds; i++) {
		floors[i] = time_floor(argv[4], n);
		lists[i] = time_list(fd, codec_of(argv[3]), argv[4], n);
	}
	print_ms("floor", floors, rounds);
	print_ms("list", lists, rounds);
	return 0;
}
