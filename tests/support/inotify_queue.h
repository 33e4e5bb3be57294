/*
 * What the kernel has queued for the inotify descriptors of this process.
 */
#pragma once

#include "loop/loop.h"

/* Turns the loop until all of it is read, and what that led to at once has happened. */
void inotify_queue_run(struct loop *loop);
