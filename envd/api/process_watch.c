#include "api/process_watch.h"

#include <stdlib.h>

#include "api/process_events.h"
#include "base/mem.h"

struct watch {
	struct call *call;
	struct process *process;
	struct process_starter starter;
	struct subscriber sub;
	bool is_started;
};

static bool watch_on_chunk(struct subscriber *sub, enum output_stream stream, const uint8_t *data,
                           size_t len)
{
	struct watch *w = CONTAINER_OF(sub, struct watch, sub);

	return process_events_send_data(w->call, stream, data, len);
}

static void watch_on_end(struct subscriber *sub, struct err *why)
{
	struct watch *w = CONTAINER_OF(sub, struct watch, sub);

	if (why)
		call_fail(&w->call, why);
	else
		process_events_finish(&w->call, &w->process->exit);
	free(w);
}

static const struct subscriber_ops watch_subscriber_ops = { watch_on_chunk, watch_on_end };

/* Keepalives go on until the end, also when the output has ended before. */
static void watch_begin(struct watch *w)
{
	w->is_started = true;
	call_start_keepalive(w->call, call_keepalive_ms(w->call));
	(void)process_events_send_start(w->call, w->process->pid);
}

static void watch_on_started(struct process_starter *starter)
{
	watch_begin(CONTAINER_OF(starter, struct watch, starter));
}

static void watch_on_refused(struct process_starter *starter, struct err *e)
{
	struct watch *w = CONTAINER_OF(starter, struct watch, starter);

	output_unsubscribe(&w->sub);
	call_fail(&w->call, e);
	free(w);
}

static void watch_on_proceed(struct call *call)
{
	struct watch *w = call_data(call);

	subscriber_proceed(&w->sub); /* may free w */
}

/* A client with data on its way needs no sign of life. */
static void watch_on_keepalive(struct call *call)
{
	struct watch *w = call_data(call);

	if (w->sub.is_ready)
		w->sub.is_ready = process_events_send_keepalive(call);
}

static void watch_on_cancel(struct call *call, enum err_kind why)
{
	struct watch *w = call_data(call);

	UNUSED(why);
	if (!w->is_started)
		process_forget_starter(w->process);
	output_unsubscribe(&w->sub);
	call_cancel(&w->call);
	free(w);
}

static const struct call_ops watch_call_ops = {
	.on_proceed = watch_on_proceed,
	.on_cancel = watch_on_cancel,
	.on_keepalive = watch_on_keepalive,
};

int process_watch_start(struct registry *registry, struct spec **spec, struct call **call,
                        struct err *e)
{
	struct watch *w = xcalloc(1, sizeof *w);

	w->starter = (struct process_starter){ watch_on_started, watch_on_refused };
	w->sub.ops = &watch_subscriber_ops;
	w->process = process_start(registry, spec, &w->starter, e);
	if (!w->process) {
		free(w);
		return -1;
	}
	/* A new process has room and has not ended. */
	ASSERT(output_subscribe(&w->process->output, &w->sub, e) == 0);
	w->call = TAKE_PTR(*call);
	call_set_ops(w->call, &watch_call_ops, w);
	return 0;
}

int process_watch_live(struct process *p, struct call **call, struct err *e)
{
	struct watch *w = xcalloc(1, sizeof *w);

	w->process = p;
	w->sub.ops = &watch_subscriber_ops;
	if (output_subscribe(&p->output, &w->sub, e) < 0) {
		free(w);
		return -1;
	}
	w->call = TAKE_PTR(*call);
	call_set_ops(w->call, &watch_call_ops, w);
	watch_begin(w);
	return 0;
}
