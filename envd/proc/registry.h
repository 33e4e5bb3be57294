/*
 * All processes, by pid and by tag, and the ends of those that ended recently.
 *
 * A pid may be used again while an earlier process with it is still being drained: from then on it
 * means the later one, also when that has ended first. A retained end never speaks for a newer owner
 * of its pid or tag (process.md 6). Loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "base/list.h"
#include "loop/loop.h"
#include "loop/owner.h"
#include "proc/process.h"

/* Processes that exist, those included whose end was told but whose pipes a descendant holds. Four
 * descriptors each, of half a million that a service may usually have. */
#define REGISTRY_PROCESSES_MAX 16384u

#define REGISTRY_RETAIN_MS      30000u /* ms an end is remembered (process.md 6) */
#define REGISTRY_RETAIN_MAX     8192u /* ends; the oldest makes room: some 400 KiB, and their tags */
#define REGISTRY_RETAIN_TAG_MAX 256u  /* bytes of a tag that is remembered with an end */

/* Bytes of all configs, whose size clients choose: two of the largest, or 1 KiB for each process. */
#define REGISTRY_CONFIG_MAX (16u * 1024u * 1024u)

/* An end, for those who ask too late. */
struct ended {
	pid_t pid; /* 0: no longer valid */
	struct process_exit exit;
	uint64_t until_ms;
	char *tag;
};

struct registry {
	struct loop *loop;
	struct owner owner;
	struct list processes; /* newest first */
	size_t n_processes;
	uint64_t n_added; /* ever */
	size_t config_bytes;
	size_t write_bytes;  /* that wait to be written, PROCESS_WRITE_BYTES_MAX */
	struct ended *ended; /* a ring */
	size_t ended_first, n_ended, ended_cap;
	struct timer ended_timer;
	uv_signal_t orphans;
	bool reaps_orphans;
	bool is_closing;
	void (*on_closed)(struct registry *r);
};

/* How a client names a process: exactly one of the two is set. */
struct selector {
	pid_t pid; /* 0: by tag */
	const char *tag;
};

/*
 * Resets the disposition of SIGCHLD, which an unkind parent may have left ignored.
 *
 * reaps_orphans  as PID 1 (or as subreaper in a test): descendants that lost their parent become
 *                our children and are waited for, ours excepted
 * returns        0 or a negative errno
 */
int registry_init(struct registry *r, struct loop *loop, bool reaps_orphans) MUST_CHECK;

/* Lets go of all processes, which live on; on_closed when the last handle has closed. */
void registry_close(struct registry *r, void (*on_closed)(struct registry *r));

/* The newest live process; NULL with ERR_NOT_FOUND and the text of process.md 2. */
struct process *registry_find(struct registry *r, struct selector selector,
                              struct err *e) MUST_CHECK;

/* The very one that was found before, for whoever comes back to it in a later turn: it may be gone by
 * then, and its pid and tag another's. NULL: it is not live any more. */
struct process *registry_find_again(const struct registry *r, uint64_t serial);

/* The retained end; NULL if there is none. Valid until the next start or end. */
const struct ended *registry_find_ended(const struct registry *r, struct selector selector);

/* For struct process: a start claims its pid and tag; an end is retained, unless the pid has been
 * claimed by another since. */
void registry_add(struct registry *r, struct process *p);
void registry_claim(struct registry *r, const struct process *p);
void registry_retain(struct registry *r, const struct process *p);
void registry_remove(struct registry *r, struct process *p);
