/*
 * One listening socket. Descriptors it accepts are non-blocking, close-on-exec and have the
 * socket options of wire.md 1.
 */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "base/err.h"
#include "base/list.h"
#include "loop/loop.h"
#include "loop/timer.h"

struct listener;

struct listener_ops {
	/* Takes fd. */
	void (*on_accept)(struct listener *l, int fd);
	void (*on_closed)(struct listener *l); /* freed after it */
};

struct listener {
	struct list link; /* the owner's */
	void *owner;
	const struct listener_ops *ops;
	struct loop *loop;
	uv_poll_t poll;
	struct timer backoff;
	int fd;
	int port;    /* TCP port; 0 for other families */
	bool paused; /* listener_pause; the back-off is apart from it */
	bool closed;
};

/* See server_listen. NULL with e on failure. */
struct listener *listener_open(struct loop *loop, const char *where, const struct listener_ops *ops,
                               void *owner, struct err *e);
void listener_close(struct listener *l);
void listener_pause(struct listener *l);
void listener_resume(struct listener *l);
