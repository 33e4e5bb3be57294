/*
 * Input for processes: SendInput and CloseStdin, of one message, and StreamInput, of many.
 *
 * What a process does not take at once waits with its call, until all is written, the process has
 * ended, the client has left, or the call's deadline has passed, which only SendInput has. Nobody else
 * waits but those behind it, for the same process. The bytes stay where they were decoded, in the call.
 *
 *     StreamInput   asked for a message ── start, keepalive ──▶ asked
 *                        └── data ──▶ writing ── written ──▶ asked
 *
 * A message is not asked for before the one in front of it is written: a full pipe stops the client.
 */
#include "api/process_handlers.h"

#include <stdlib.h>

#include "api/process_api.h"
#include "api/process_selector.h"
#include "base/mem.h"
#include "process/process.pb-c.h"

/* uv.h brings stdio.h, whose macro of this name would hide the member of messages. */
#undef stdin

/* A call that writes. */
struct input {
	struct call *call;
	struct process_write write;
	bool has_hung_up; /* the client: what would have to wait is not written any more */
	/* StreamInput: which process was selected. Not a pointer, because it may have ended and be
	 * freed by the next message, and not its pid, which may be another's by then. */
	uint64_t serial; /* 0: none */
	pid_t pid;       /* for texts */
};

/* Nothing waits to be written. */
static void input_fail(struct input *in, struct err *e)
{
	call_fail(&in->call, e);
	free(in);
}

/* In any state; the bytes of a write go with the call. */
static void input_give_up(struct input *in)
{
	process_cancel_write(&in->write);
	call_cancel(&in->call);
	free(in);
}

static void input_on_cancel(struct call *call, enum err_kind why)
{
	UNUSED(why);
	input_give_up(call_data(call));
}

static void input_on_hangup(struct call *call)
{
	struct input *in = call_data(call);

	in->has_hung_up = true;
	if (process_write_is_waiting(&in->write))
		input_give_up(in);
}

/* The bytes live in the call. NULL with e: there are none. */
static const ProtobufCBinaryData *input_data(const Process__ProcessInput *src,
                                             enum process_channel *out_channel, struct err *e)
{
	switch (src ? src->input_case : PROCESS__PROCESS_INPUT__INPUT__NOT_SET) {
	case PROCESS__PROCESS_INPUT__INPUT_STDIN:
		*out_channel = PROCESS_STDIN;
		return &src->stdin;
	case PROCESS__PROCESS_INPUT__INPUT_PTY:
		*out_channel = PROCESS_TTY;
		return &src->pty;
	default:
		(void)err_set(e, ERR_UNIMPLEMENTED, "invalid input type <nil>");
		return NULL;
	}
}

/* p NULL: it has ended. As process_write. */
static int input_write(struct input *in, struct process *p, const Process__ProcessInput *src,
                       struct err *e)
{
	enum process_channel channel;
	const ProtobufCBinaryData *data = input_data(src, &channel, e);

	if (!data)
		return -1;
	if (!p)
		return write_queue_refuse_ended(channel, in->pid, e);
	return process_write(p, channel, &in->write, data->data, data->len, e);
}

/* ---------------------------------------------------------------- SendInput */

static void send_finish(struct input *in)
{
	Process__SendInputResponse response = PROCESS__SEND_INPUT_RESPONSE__INIT;

	call_finish(&in->call, &response.base);
	free(in);
}

static void send_on_done(struct process_write *w, struct err *e)
{
	struct input *in = CONTAINER_OF(w, struct input, write);

	if (e)
		input_fail(in, e);
	else
		send_finish(in);
}

static const struct call_ops send_ops = {
	.on_cancel = input_on_cancel,
	.on_hangup = input_on_hangup,
};

void process_handle_send_input(struct call *call, const ProtobufCMessage *message)
{
	const Process__SendInputRequest *rq = (const Process__SendInputRequest *)message;
	struct process_service *service = call_service(call);
	struct input *in = xcalloc(1, sizeof *in);
	struct process *p;
	struct err e = { 0 };
	int rc;

	in->call = TAKE_PTR(call);
	in->write.on_done = send_on_done;
	call_set_ops(in->call, &send_ops, in);
	p = process_selector_find(&service->registry, rq->process, &e);
	rc = p ? input_write(in, p, rq->input, &e) : -1;
	if (rc < 0)
		input_fail(in, &e);
	else if (rc > 0)
		send_finish(in);
}

/* ---------------------------------------------------------------- StreamInput */

static int stream_select(struct input *in, const Process__ProcessSelector *selector, struct err *e)
{
	struct process_service *service = call_service(in->call);
	struct process *p = process_selector_find(&service->registry, selector, e);

	if (!p)
		return -1;
	in->serial = p->serial;
	in->pid = p->pid;
	return 1;
}

/* The reference holds on to a process that has ended, and so does the stream (process.md 8). */
static int stream_write(struct input *in, const Process__ProcessInput *src, struct err *e)
{
	const struct process_service *service = call_service(in->call);

	if (in->serial == 0)
		return err_set(e, ERR_INVALID, "data came before a start event named the process");
	return input_write(in, registry_find_again(&service->registry, in->serial), src, e);
}

/* 1: the next message may come. 0: it waits for a write. -1 with e. */
static int stream_take(struct input *in, const Process__StreamInputRequest *rq, struct err *e)
{
	switch (rq->event_case) {
	case PROCESS__STREAM_INPUT_REQUEST__EVENT_START:
		return stream_select(in, rq->start->process, e);
	case PROCESS__STREAM_INPUT_REQUEST__EVENT_DATA:
		return stream_write(in, rq->data->input, e);
	case PROCESS__STREAM_INPUT_REQUEST__EVENT_KEEPALIVE:
		return 1;
	default:
		return err_set(e, ERR_UNIMPLEMENTED, "invalid event type <nil>");
	}
}

static void stream_on_message(struct call *call, const ProtobufCMessage *message)
{
	struct input *in = call_data(call);
	struct err e = { 0 };
	int rc = stream_take(in, (const Process__StreamInputRequest *)message, &e);

	if (rc < 0)
		input_fail(in, &e);
	else if (rc > 0)
		call_receive(call);
	else if (in->has_hung_up)
		input_give_up(in);
}

static void stream_on_done(struct process_write *w, struct err *e)
{
	struct input *in = CONTAINER_OF(w, struct input, write);

	if (e)
		input_fail(in, e);
	else
		call_receive(in->call);
}

/* The end of the stream is not the end of the input. */
static void stream_on_end(struct call *call)
{
	Process__StreamInputResponse response = PROCESS__STREAM_INPUT_RESPONSE__INIT;
	struct input *in = call_data(call);

	call_finish(&in->call, &response.base);
	free(in);
}

static const struct call_ops stream_ops = {
	.on_message = stream_on_message,
	.on_end = stream_on_end,
	.on_cancel = input_on_cancel,
	.on_hangup = input_on_hangup,
};

void process_handle_stream_input(struct call *call, const ProtobufCMessage *message)
{
	struct input *in = xcalloc(1, sizeof *in);

	UNUSED(message); /* they come one by one */
	in->call = TAKE_PTR(call);
	in->write.on_done = stream_on_done;
	call_set_ops(in->call, &stream_ops, in);
	call_receive(in->call);
}

/* ---------------------------------------------------------------- CloseStdin */

void process_handle_close_stdin(struct call *call, const ProtobufCMessage *message)
{
	const Process__CloseStdinRequest *rq = (const Process__CloseStdinRequest *)message;
	Process__CloseStdinResponse response = PROCESS__CLOSE_STDIN_RESPONSE__INIT;
	struct process_service *service = call_service(call);
	struct process *p;
	struct err e = { 0 };

	p = process_selector_find(&service->registry, rq->process, &e);
	if (!p || process_close_stdin(p, &e) < 0)
		call_fail(&call, &e);
	else
		call_finish(&call, &response.base);
}
