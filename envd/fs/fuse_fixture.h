/*
 * A file system of a user's process, with an empty directory as its top: what the rule for network
 * mounts is about, and what can be as stuck as a dead server is.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

struct fuse_fixture {
	char *path;
	int fd;
	pthread_t thread;
	pthread_mutex_t answers; /* held: none come */
};

/* At an empty directory; needs tree_own_mounts. False, with a message: it cannot be done here. */
bool fuse_fixture_begin(struct fuse_fixture *f, const char *path);
void fuse_fixture_freeze(struct fuse_fixture *f);
void fuse_fixture_thaw(struct fuse_fixture *f);
void fuse_fixture_end(struct fuse_fixture *f); /* thawed */
