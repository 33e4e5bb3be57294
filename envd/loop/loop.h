/*
 * The one loop thread and what all its users share: the libuv loop, the timers, a read buffer and
 * deferred tasks.
 *
 * Rules: everything here belongs to the loop thread. A callback never runs inside the call that
 * registered it (loop_defer is how). Nothing on the loop blocks.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/list.h"
#include "loop/timer.h"

/* Bytes of the shared read buffer: the size of a pipe, so one read empties it. */
#define LOOP_READ_BUF 65536u

struct task {
	struct list link;
	void (*run)(struct task *task);
};

struct loop {
	uv_loop_t uv;
	struct timers timers;
	uv_prepare_t prepare; /* runs deferred tasks before the loop sleeps */
	uv_idle_t spin;       /* keeps it from sleeping while tasks wait */
	struct list tasks;
	struct job_pool *jobs; /* job.c's; NULL before the first job */
	/*
	 * Whoever reads a descriptor reads here and takes what it needs before it returns. Shared,
	 * so an idle connection or process owns no buffer.
	 */
	uint8_t *read_buf;
};

int loop_init(struct loop *loop); /* 0 or negative errno */

/*
 * Runs until nothing is left, for ms at most. False: something still runs, such as a pool thread
 * that is stuck in the kernel.
 */
bool loop_run_out(struct loop *loop, uint64_t ms);

/* Closes the loop's own handles, runs until nothing is left, asserts that nothing is. */
void loop_deinit(struct loop *loop);

void loop_run(struct loop *loop); /* until loop_stop or nothing is alive */
void loop_stop(struct loop *loop);

/* Runs the task once, later in this or in the next turn. Deferring a waiting task is nothing. */
void loop_defer(struct loop *loop, struct task *task);
void loop_undefer(struct task *task);

uint64_t loop_now_ms(const struct loop *loop); /* monotonic, cached once a turn */
