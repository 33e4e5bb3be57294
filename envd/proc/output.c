#include "proc/output.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct output_chunk {
	struct list link;
	size_t n_waiting; /* subscribers that have not taken it; 0 frees it */
	size_t len;
	enum output_stream stream;
	uint8_t data[];
};

static void output_on_stall(struct timer *timer);

void output_init(struct output *o, struct timers *timers,
                 void (*set_reading)(struct output *, bool), void (*on_idle)(struct output *))
{
	*o = (struct output){ .timers = timers, .set_reading = set_reading, .on_idle = on_idle };
	list_init(&o->subscribers);
	list_init(&o->window);
	o->stall.on_due = output_on_stall;
}

/* Headers count too: a window of one-byte chunks must not be larger than it looks. */
static size_t chunk_size(const struct output_chunk *chunk)
{
	return sizeof *chunk + chunk->len;
}

static void chunk_free(struct output *o, struct output_chunk *chunk)
{
	o->window_bytes -= chunk_size(chunk);
	list_remove(&chunk->link);
	free(chunk);
}

static struct output_chunk *chunk_after(struct output *o, struct output_chunk *chunk)
{
	struct list *next = chunk->link.next;

	return next == &o->window ? NULL : CONTAINER_OF(next, struct output_chunk, link);
}

/* Moves the cursor on by one; the chunk goes when it was the last to need it. */
static void subscriber_advance(struct subscriber *sub)
{
	struct output_chunk *chunk = sub->next;

	sub->next = chunk_after(sub->output, chunk);
	ASSERT(chunk->n_waiting > 0);
	if (--chunk->n_waiting == 0)
		chunk_free(sub->output, chunk);
}

void output_deinit(struct output *o)
{
	ASSERT(list_is_empty(&o->subscribers));
	ASSERT(list_is_empty(&o->window));
	timer_stop(o->timers, &o->stall);
}

static size_t output_count_ready(const struct output *o)
{
	struct subscriber *sub;
	size_t n = 0;

	LIST_FOR_EACH(&o->subscribers, sub, struct subscriber, link)
		n += sub->is_ready && !sub->next;
	return n;
}

/* When it counts as stuck, if it takes nothing until then. */
static uint64_t subscriber_stuck_ms(const struct subscriber *sub)
{
	uint64_t since_ms = MAX(sub->taken_ms, sub->output->waiting_ms);

	return MAX(sub->lasts_ms, since_ms + OUTPUT_STALL_MS);
}

/* Up to the first who may be stuck then. Whoever takes something meanwhile has put his time off,
 * which is seen when the timer comes up. */
static void output_watch_stall(struct output *o)
{
	uint64_t now = timers_now(o->timers), first = UINT64_MAX;
	struct subscriber *sub;

	LIST_FOR_EACH(&o->subscribers, sub, struct subscriber, link) {
		if (sub->next)
			first = MIN(first, subscriber_stuck_ms(sub));
	}
	timer_start(o->timers, &o->stall, first > now ? first - now : 0);
}

static void output_update_stall(struct output *o, bool others_wait)
{
	if (!others_wait) {
		o->waiting_ms = 0;
		timer_stop(o->timers, &o->stall);
		return;
	}
	if (o->waiting_ms == 0)
		o->waiting_ms = timers_now(o->timers);
	if (!timer_is_running(&o->stall))
		output_watch_stall(o);
}

/* Who decides whether the process is read: the slowest healthy reader. */
static void output_update(struct output *o)
{
	size_t n_ready = output_count_ready(o);
	bool is_full = o->window_bytes >= (o->is_paused ? OUTPUT_LOW : OUTPUT_HIGH);
	bool pause = !o->is_ended && o->n_subscribers > 0 && (n_ready == 0 || is_full);

	output_update_stall(o, pause && n_ready > 0);
	if (pause == o->is_paused)
		return;
	o->is_paused = pause;
	o->set_reading(o, !pause);
}

int output_subscribe(struct output *o, struct subscriber *sub, struct err *e)
{
	ASSERT(!sub->output);
	if (o->is_ended)
		return err_set(e, ERR_NOT_FOUND, "the process has ended");
	if (o->n_subscribers == OUTPUT_SUBSCRIBERS_MAX)
		return err_set(e, ERR_LIMIT, "too many subscribers, at most %u",
		               OUTPUT_SUBSCRIBERS_MAX);
	sub->output = o;
	sub->next = NULL;
	sub->is_ready = true;
	sub->taken_ms = sub->lasts_ms = timers_now(o->timers);
	sub->link = (struct list){ 0 };
	list_append(&o->subscribers, &sub->link);
	o->n_subscribers++;
	output_update(o);
	return 0;
}

/* Takes it out without telling anybody. */
static void subscriber_remove(struct subscriber *sub)
{
	struct output *o = sub->output;

	while (sub->next)
		subscriber_advance(sub);
	list_remove(&sub->link);
	o->n_subscribers--;
	sub->output = NULL;
}

/* on_idle may free o: a last statement. */
static void output_settle(struct output *o)
{
	output_update(o);
	if (o->is_ended && o->n_subscribers == 0)
		o->on_idle(o);
}

void output_unsubscribe(struct subscriber *sub)
{
	struct output *o = sub->output;

	if (!o)
		return;
	subscriber_remove(sub);
	output_settle(o);
}

static void subscriber_end(struct subscriber *sub, struct err *why)
{
	subscriber_remove(sub);
	sub->ops->on_end(sub, why);
}

static void subscriber_note_taken(struct subscriber *sub, size_t len)
{
	uint64_t now = timers_now(sub->output->timers);
	uint64_t lasts_ms =
		MAX(sub->lasts_ms, now) + (len * 1000 + OUTPUT_RATE_MIN - 1) / OUTPUT_RATE_MIN;

	sub->lasts_ms = MIN(lasts_ms, now + OUTPUT_STALL_MAX_MS);
	sub->taken_ms = now;
}

static void subscriber_take(struct subscriber *sub, enum output_stream stream, const uint8_t *data,
                            size_t len)
{
	subscriber_note_taken(sub, len);
	sub->is_ready = sub->ops->on_chunk(sub, stream, data, len);
}

void subscriber_proceed(struct subscriber *sub)
{
	struct output *o = sub->output;

	if (!o)
		return;
	sub->is_ready = true;
	while (sub->is_ready && sub->next) {
		struct output_chunk *chunk = sub->next;

		subscriber_take(sub, chunk->stream, chunk->data, chunk->len);
		subscriber_advance(sub);
	}
	if (o->is_ended && !sub->next)
		subscriber_end(sub, NULL);
	output_settle(o);
}

static struct output_chunk *output_store(struct output *o, enum output_stream stream,
                                         const uint8_t *data, size_t len)
{
	struct output_chunk *chunk = try_malloc(sizeof *chunk + len);

	if (!chunk)
		return NULL;
	*chunk = (struct output_chunk){ .len = len, .stream = stream };
	memcpy(chunk->data, data, len);
	list_append(&o->window, &chunk->link);
	o->window_bytes += chunk_size(chunk);
	return chunk;
}

/* A byte that cannot be kept for a subscriber ends it: better cut than with a hole. */
static void subscriber_overrun(struct subscriber *sub)
{
	CLEANUP(err_clear) struct err e = { 0 };

	(void)err_set(&e, ERR_LIMIT, "no memory to keep the output of the process for this stream");
	subscriber_end(sub, &e);
}

void output_append(struct output *o, enum output_stream stream, const uint8_t *data, size_t len)
{
	struct output_chunk *chunk = NULL;
	struct subscriber *sub;

	if (o->is_ended || o->n_subscribers == 0)
		return;
	LIST_FOR_EACH(&o->subscribers, sub, struct subscriber, link) {
		if (sub->is_ready && !sub->next) {
			subscriber_take(sub, stream, data, len);
			continue;
		}
		if (!chunk)
			chunk = output_store(o, stream, data, len);
		if (!chunk) {
			subscriber_overrun(sub);
			continue;
		}
		chunk->n_waiting++;
		if (!sub->next)
			sub->next = chunk;
	}
	output_settle(o);
}

void output_end(struct output *o)
{
	struct subscriber *sub;

	o->is_ended = true;
	LIST_FOR_EACH(&o->subscribers, sub, struct subscriber, link) {
		if (!sub->next)
			subscriber_end(sub, NULL);
	}
	output_settle(o);
}

void output_abort(struct output *o, const struct err *why)
{
	struct subscriber *sub;

	o->is_ended = true;
	LIST_FOR_EACH(&o->subscribers, sub, struct subscriber, link) {
		CLEANUP(err_clear) struct err copy = { 0 };

		(void)err_set(&copy, why->kind, "%s", err_text(why));
		subscriber_end(sub, &copy);
	}
	output_settle(o);
}

static void subscriber_end_stuck(struct subscriber *sub, uint64_t now)
{
	CLEANUP(err_clear) struct err e = { 0 };

	(void)err_set(&e, ERR_LIMIT, "the stream took no output for %u s while others waited",
	              (unsigned)((now - sub->taken_ms) / 1000));
	subscriber_end(sub, &e);
}

static void output_on_stall(struct timer *timer)
{
	struct output *o = CONTAINER_OF(timer, struct output, stall);
	uint64_t now = timers_now(o->timers);
	struct subscriber *sub;

	LIST_FOR_EACH(&o->subscribers, sub, struct subscriber, link) {
		if (sub->next && subscriber_stuck_ms(sub) <= now)
			subscriber_end_stuck(sub, now);
	}
	output_settle(o);
}
