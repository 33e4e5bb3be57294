/*
 * Where processes run: three directories of the cgroup2 tree, made at start and kept for ever
 * (control.md 8).
 *
 *     ptys     processes on a terminal
 *     socats   helpers that forward ports
 *     user     all other processes
 *
 * ptys and user may use all memory but CGROUP_MEMORY_LEFT_MAX, so that the kernel ends a process
 * there before it looks at the rest of the guest. Without a writable cgroup2 tree nothing is placed,
 * and every function still works.
 *
 * A directory that somebody removed is made again at the next start. A process that cannot be placed
 * runs where the daemon runs, which is said once. Loop thread only; cgroup files answer from memory.
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/macros.h"

/* Bytes of memory that ptys and user leave alone, or an eighth of it if that is less. */
#define CGROUP_MEMORY_LEFT_MAX (128ull * 1024 * 1024)

enum cgroup_kind { CGROUP_PTYS, CGROUP_SOCATS, CGROUP_USER, CGROUP_KINDS };

/* One directory. Descriptors are close-on-exec; -1: there is none. */
struct cgroup {
	char *path;
	int dir_fd; /* O_PATH, for clone3; -1: it was removed and could not be made again */
	int events_fd;
	int freeze_fd;
	int missed; /* errno of the last placement that failed, 0: none: the same is not told twice */
};

struct cgroups {
	int64_t fs_type;     /* what the root must be (statfs); tests have their own */
	char *root;          /* without a slash at its end */
	int root_fd;         /* -1: processes are not placed */
	int root_freeze_fd;  /* -1: the root of the whole tree, which cannot be frozen */
	uint64_t memory_max; /* bytes, of ptys and of user */
	struct cgroup of[CGROUP_KINDS];
};

/* Places nothing until cgroups_set_up. */
void cgroups_init(struct cgroups *c);
void cgroups_deinit(struct cgroups *c);

/*
 * Makes the directories and writes their properties. Once.
 *
 * out_skipped  gets the properties that could not be set, "ptys/cpu.weight, ...": the controller is
 *              not enabled, or it is forbidden (the reason follows in brackets)
 * returns      0, or -1 with e, and processes are not placed: not cgroup2, not writable, or a value
 *              was refused
 */
int cgroups_set_up(struct cgroups *c, const char *root, struct buf *out_skipped,
                   struct err *e) MUST_CHECK;

/*
 * The last question before a fork: may a process start there now? A child that is cloned into a
 * frozen cgroup would not reach its exec (newer.md P.2). Another may freeze it right after.
 *
 * out_cgroup  borrowed until cgroups_deinit; NULL: the process is not placed
 * returns     0, or -1 with e: ERR_UNAVAILABLE "the target cgroup is frozen: <why>"
 */
int cgroups_admit(struct cgroups *c, enum cgroup_kind kind, struct cgroup **out_cgroup,
                  struct err *e) MUST_CHECK;

/* A process was admitted and could not be placed: tells why, once. */
void cgroup_missed(struct cgroup *cgroup, int errnum);

/* What ptys and user may use of this much memory, in bytes. */
uint64_t cgroups_memory_max(uint64_t total);
