/*
 * One inotify descriptor of the kernel: its records, and reading them on the loop.
 *
 * Reading and removing a watch never block. Adding one walks a path, which does: pool jobs
 * (watch_walk.h). Everything here but inotify_next is for the loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/macros.h"
#include "base/text.h"
#include "loop/loop.h"
#include "loop/owner.h"

#define INOTIFY_READ_BUF 65536u /* bytes: some 2,000 records */

/*
 * How long the loop goes on reading before others get their turn, and how many bytes it reads between
 * two looks at the time: some 120 records. Applying one to a thousand watchers takes 0.1 ms.
 */
#define INOTIFY_TURN_MS   5u
#define INOTIFY_READ_STEP 4096u

/* inotify(7): struct inotify_event. */
struct inotify_record {
	int wd; /* -1 with IN_Q_OVERFLOW: of none */
	uint32_t mask;
	uint32_t cookie;  /* ties IN_MOVED_FROM and IN_MOVED_TO; 0: none */
	const char *name; /* of an entry of the watched directory; "": the directory itself */
};

/*
 * Takes the first record off; its name is borrowed from the bytes. Pure.
 *
 * returns  false: no whole record is left
 */
bool inotify_next(struct span *bytes, struct inotify_record *out_record) MUST_CHECK;

struct inotify {
	uv_poll_t poll;
	struct owner *owner;
	int fd;
	char *buf; /* its own: what the loop has read may be in use when somebody asks what is queued */
	/* Whole records, in the order in which they happened; valid during the call. */
	void (*on_bytes)(struct inotify *in, struct span bytes);
};

/*
 * Opens and starts to read; on_bytes never runs inside it.
 *
 * owner    borrowed; the poll handle is one of its holds until it has closed
 * returns  0 or a negative errno: -EMFILE when the user has as many of them as the kernel allows
 */
int inotify_open(struct inotify *in, struct loop *loop, struct owner *owner,
                 void (*on_bytes)(struct inotify *in, struct span bytes)) MUST_CHECK;

/* Reads what the kernel has queued so far, through on_bytes. What a system call that has returned did
 * is queued, so afterwards it is known. */
void inotify_read_queued(struct inotify *in);

/* The kernel forgets the watch and queues its IN_IGNORED. Nothing for a watch that is gone. */
void inotify_remove(struct inotify *in, int wd);

/* No on_bytes follows. The descriptor itself stays open until inotify_deinit: pool jobs may be adding
 * watches to it. */
void inotify_close(struct inotify *in);
void inotify_deinit(struct inotify *in);
