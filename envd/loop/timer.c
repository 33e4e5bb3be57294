/*
 * A binary heap by armed_ms, which lags behind due_ms: a timer that comes up early is put back with
 * its real deadline. The uv_timer too is only ever moved to an earlier time, or when it has fired.
 */
#include "loop/timer.h"

#include "base/macros.h"
#include "base/mem.h"

#define TIMERS_FIRST 16u /* slots of the first allocation: the daemon's own and a few requests */
#define NEVER        UINT64_MAX

uint64_t timers_now(const struct timers *ts)
{
	return ts->has_handle && !ts->advancing ? uv_now(ts->handle.loop) : ts->now_ms;
}

static void timers_put(struct timers *ts, size_t i, struct timer *t)
{
	ts->heap[i] = t;
	t->slot = i + 1;
}

static void timers_sift_up(struct timers *ts, size_t i)
{
	struct timer *t = ts->heap[i];

	while (i > 0 && t->armed_ms < ts->heap[(i - 1) / 2]->armed_ms) {
		timers_put(ts, i, ts->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	timers_put(ts, i, t);
}

static void timers_sift_down(struct timers *ts, size_t i)
{
	struct timer *t = ts->heap[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < ts->n && ts->heap[child + 1]->armed_ms < ts->heap[child]->armed_ms)
			child++;
		if (child >= ts->n || t->armed_ms <= ts->heap[child]->armed_ms)
			break;
		timers_put(ts, i, ts->heap[child]);
		i = child;
	}
	timers_put(ts, i, t);
}

static void timers_insert(struct timers *ts, struct timer *t)
{
	if (ts->n == ts->cap) {
		ts->cap = MAX(ts->cap * 2, TIMERS_FIRST);
		ts->heap = xrealloc(ts->heap, ts->cap * sizeof *ts->heap);
	}
	ts->heap[ts->n++] = t;
	timers_sift_up(ts, ts->n - 1);
}

static void timers_remove(struct timers *ts, struct timer *t)
{
	size_t i = t->slot - 1;
	struct timer *last = ts->heap[--ts->n];

	ASSERT(ts->heap[i] == t || last == t);
	t->slot = 0;
	if (last == t)
		return;
	timers_put(ts, i, last);
	timers_sift_up(ts, i);
	timers_sift_down(ts, last->slot - 1);
}

static void timers_on_wake(uv_timer_t *handle);

/* Only while timers are armed is the uv_timer active, so that an idle loop can end. */
static void timers_set_wake(struct timers *ts)
{
	uint64_t first, now;

	if (!ts->has_handle || ts->advancing)
		return;
	if (ts->n == 0) {
		ts->wake_ms = NEVER;
		uv_timer_stop(&ts->handle);
		return;
	}
	first = ts->heap[0]->armed_ms;
	if (first >= ts->wake_ms)
		return;
	now = timers_now(ts);
	ts->wake_ms = first;
	uv_timer_start(&ts->handle, timers_on_wake, first > now ? first - now : 0, 0);
}

static void timers_on_wake(uv_timer_t *handle)
{
	struct timers *ts = handle->data;

	ts->wake_ms = NEVER;
	timers_advance(ts, uv_now(handle->loop));
}

void timers_init(struct timers *ts, uv_loop_t *uv)
{
	*ts = (struct timers){ .wake_ms = NEVER };
	if (!uv)
		return;
	uv_timer_init(uv, &ts->handle);
	ts->handle.data = ts;
	ts->has_handle = true;
}

void timers_close(struct timers *ts)
{
	if (!ts->has_handle)
		return;
	ts->now_ms = timers_now(ts);
	ts->has_handle = false;
	uv_close((uv_handle_t *)&ts->handle, NULL);
}

void timers_deinit(struct timers *ts)
{
	ASSERT(ts->n == 0);
	ASSERT(!ts->has_handle);
	freep(&ts->heap);
	*ts = (struct timers){ .wake_ms = NEVER };
}

/* The first timer that is really due at now_ms, taken off the heap; NULL if there is none. */
static struct timer *timers_take_due(struct timers *ts, uint64_t now_ms)
{
	while (ts->n > 0 && ts->heap[0]->armed_ms <= now_ms) {
		struct timer *t = ts->heap[0];

		if (t->armed_ms == t->due_ms) {
			timers_remove(ts, t);
			return t;
		}
		t->armed_ms = t->due_ms;
		timers_sift_down(ts, 0);
	}
	return NULL;
}

void timers_advance(struct timers *ts, uint64_t now_ms)
{
	struct timer *t;

	ASSERT(!ts->advancing);
	ts->now_ms = now_ms;
	ts->advancing = true;
	while ((t = timers_take_due(ts, now_ms)))
		t->on_due(t); /* may free t, start or stop any timer */
	ts->advancing = false;
	timers_set_wake(ts);
}

void timer_start(struct timers *ts, struct timer *t, uint64_t after_ms)
{
	uint64_t now = timers_now(ts);

	/* What an on_due starts is not due in the same round, or the round might never end. */
	if (ts->advancing && after_ms == 0)
		after_ms = 1;
	t->due_ms = after_ms < NEVER - now ? now + after_ms : NEVER;
	if (!t->slot) {
		t->armed_ms = t->due_ms;
		timers_insert(ts, t);
	} else if (t->due_ms < t->armed_ms) {
		t->armed_ms = t->due_ms;
		timers_sift_up(ts, t->slot - 1);
	}
	timers_set_wake(ts);
}

void timer_stop(struct timers *ts, struct timer *t)
{
	if (!t->slot)
		return;
	timers_remove(ts, t);
	timers_set_wake(ts);
}

bool timer_is_running(const struct timer *t)
{
	return t->slot != 0;
}
