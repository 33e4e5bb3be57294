/*
 * Timers without handles: any number of them on one uv_timer, so an object with a deadline needs
 * no asynchronous close for it.
 *
 * Pushing a deadline further away costs nothing (the heap is corrected when the old one passes),
 * which is what a connection does at every request. Tests drive timers_advance with a clock of
 * their own and need no loop.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct timer {
	uint64_t due_ms;   /* when on_due runs */
	uint64_t armed_ms; /* what the heap believes; never later than due_ms */
	size_t slot;       /* place in the heap + 1; 0 = not armed */
	void (*on_due)(struct timer *timer);
};

struct timers {
	struct timer **heap;
	size_t n, cap;
	uint64_t now_ms;
	uint64_t wake_ms; /* what the handle is set to; UINT64_MAX = not */
	uv_timer_t handle;
	bool has_handle;
	bool advancing;
};

void timers_init(struct timers *ts, uv_loop_t *uv); /* uv NULL: only timers_advance moves time */
void timers_close(struct timers *ts);  /* closes the handle; the loop must run once more */
void timers_deinit(struct timers *ts); /* frees the heap; asserts that nothing is armed */

/*
 * Runs on_due of everything due at now_ms, in the order of the deadlines; each timer is stopped
 * before its on_due runs. An on_due may free its timer and start or stop any, itself too: what it
 * starts is due 1 ms later at the earliest, so that a round ends.
 */
void timers_advance(struct timers *ts, uint64_t now_ms);

uint64_t timers_now(const struct timers *ts); /* ms, the clock of all deadlines */

void timer_start(struct timers *ts, struct timer *t, uint64_t after_ms); /* restarts if running */
void timer_stop(struct timers *ts, struct timer *t);                     /* may repeat */
bool timer_is_running(const struct timer *t);
