/*
 * From a resolved launch to a child: the only fork in the tree.
 *
 * Nothing here waits. The fork itself copies page tables and returns; whether exec succeeded is
 * told later by the error pipe, which the caller reads on the loop: end of file means that the
 * command runs (or that its exec failed in the way a shell shows, exit status 126 or 127 with a
 * line on stderr), a struct spawn_failure means that there is no process to speak of.
 *
 * The child has a session and group of its own, the terminal if there is one as its controlling
 * terminal, default signal dispositions, an empty signal mask, no descriptor above 2, oom_score_adj
 * 100, nice 0, best-effort I/O priority 4, and the identity, directory and limits of its spec. It is
 * in its spec's cgroup from the first instruction, or in ours if the kernel does not put it there
 * (before Linux 5.7, cgroup gone or unsuitable), which is logged. Needs Linux 5.3 (pidfd_open).
 * Source: process.md 3.3, 3.4.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/macros.h"
#include "proc/spec.h"

enum spawn_stage {
	SPAWN_STDIO, /* before the fork: pipes or a terminal */
	SPAWN_FORK,
	SPAWN_IDENTITY, /* in the child */
	SPAWN_CHDIR,
	SPAWN_EXEC, /* refused for want of resources, not for the command's sake */
};

/* Crosses the error pipe in one write. */
struct spawn_failure {
	int32_t stage;
	int32_t error; /* errno */
};

/* Our side. Descriptors are close-on-exec, non-blocking and not below 3; -1 where there is none. */
struct child {
	pid_t pid;
	int pidfd;
	int error_fd;
	int stdin_fd;
	int stdout_fd;
	int stderr_fd;
	int tty_fd; /* the master: the three of stdio in one, both ways */
};

#define CHILD_NONE                                                                                 \
	{                                                                                          \
		.pid = -1, .pidfd = -1, .error_fd = -1, .stdin_fd = -1, .stdout_fd = -1,           \
		.stderr_fd = -1, .tty_fd = -1                                                      \
	}

/* returns 0, or -1 with the failure; nothing is left behind then. */
int spawn(const struct spec *spec, struct child *out_child,
          struct spawn_failure *out_failure) MUST_CHECK;

/* Closes the descriptors. */
void child_deinit(struct child *child);

/* The client's view of a failure, with its code (newer.md P.1, P.3). Returns -1. */
int spawn_refuse(const struct spec *spec, const struct spawn_failure *failure, struct err *e);
