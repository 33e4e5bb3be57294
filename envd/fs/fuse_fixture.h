/*
 * A file system of a user's process, with an empty directory as its top: what the rule for network
 * mounts is about, and what can be as stuck as a dead server is.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct fuse_fixture {
	char *path;
	pid_t server; /* a process, so that it can be stopped */
};

/* At an empty directory; needs tree_own_mounts. False, with a message: it cannot be done here. */
bool fuse_fixture_begin(struct fuse_fixture *f, const char *path);
void fuse_fixture_freeze(struct fuse_fixture *f);
void fuse_fixture_thaw(struct fuse_fixture *f);
void fuse_fixture_end(struct fuse_fixture *f); /* thawed */
