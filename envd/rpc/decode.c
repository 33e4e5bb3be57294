#include "rpc/decode.h"

#include <errno.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/state.h"
#include "http/coding.h"
#include "loop/job.h"

/* --- on any thread ------------------------------------------------------------------------------ */

/* By what gzip_decompress returns when max bytes are allowed. */
static int refuse_payload(int rc, size_t max, struct err *e)
{
	switch (rc) {
	case -ENOBUFS:
		return err_set(e, ERR_LIMIT, "message is larger than configured max %zu", max);
	case -ENOMEM:
		return err_set(e, ERR_LIMIT, "decompress: no memory");
	default:
		return err_set(e, ERR_INVALID, "decompress: gzip: invalid data");
	}
}

/* Never NULL, so that an empty one is an address too. */
static const uint8_t *bytes_of(const struct buf *b)
{
	static const uint8_t nothing;

	return b->data ? b->data : &nothing;
}

static int decode_plain(const struct decode_form *form, const struct buf *data, struct arena *arena,
                        ProtobufCMessage **out_message, struct err *e)
{
	if (data->len == 0 && form->codec == CODEC_JSON && !form->enveloped)
		return err_set(e, ERR_INVALID,
		               "unmarshal message: zero-length payload is not a valid JSON object");
	if (codec_decode(data->len ? form->codec : CODEC_PROTO, form->type, bytes_of(data),
	                 data->len, arena, out_message, e) < 0)
		return err_wrap(e, "unmarshal message");
	return 1;
}

/* 1; 0: it has more than max bytes, but perhaps no more than a message may; -1 with e. */
static int decode_within(size_t max, const struct decode_form *form, const struct buf *payload,
                         struct arena *arena, ProtobufCMessage **out_message, struct err *e)
{
	CLEANUP(buf_deinit) struct buf plain = { 0 };
	int rc;

	if (payload->len > max)
		return 0;
	if (!form->is_compressed || payload->len == 0)
		return decode_plain(form, payload, arena, out_message, e);
	buf_init(&plain, max);
	rc = gzip_decompress(&plain, payload->data, payload->len);
	if (rc == -ENOBUFS && max < form->message_max)
		return 0;
	if (rc < 0)
		return refuse_payload(rc, max, e);
	return decode_plain(form, &plain, arena, out_message, e);
}

int decode_try(const struct decode_form *form, const struct buf *payload, struct arena *arena,
               ProtobufCMessage **out_message, struct err *e)
{
	return decode_within(MIN(DECODE_NOW_MAX, form->message_max), form, payload, arena,
	                     out_message, e);
}

/* --- the end frame ------------------------------------------------------------------------------ */

static void end_json_init(ProtobufCMessage *message);

/* An empty message type skips all its fields as unknown. */
static const ProtobufCMessageDescriptor end_json = {
	.magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
	.name = "EndStreamMessage",
	.short_name = "EndStreamMessage",
	.c_name = "EndStreamMessage",
	.package_name = "",
	.sizeof_message = sizeof(ProtobufCMessage),
	.message_init = end_json_init,
};

static void end_json_init(ProtobufCMessage *message)
{
	*message = (ProtobufCMessage){ .descriptor = &end_json };
}

int decode_end(const struct buf *payload, bool is_compressed, struct err *e)
{
	CLEANUP(arena_deinit) struct arena arena = { 0 };
	CLEANUP(buf_deinit) struct buf plain = { 0 };
	const struct buf *data = payload;
	ProtobufCMessage *message;
	int rc;

	if (payload->len > DECODE_END_MAX)
		return refuse_payload(-ENOBUFS, DECODE_END_MAX, e);
	if (is_compressed && payload->len > 0) {
		buf_init(&plain, DECODE_END_MAX);
		rc = gzip_decompress(&plain, payload->data, payload->len);
		if (rc < 0)
			return refuse_payload(rc, DECODE_END_MAX, e);
		data = &plain;
	}
	arena_init(&arena, CODEC_MESSAGE_MEMORY_MAX, NULL, 0);
	if (codec_decode(CODEC_JSON, &end_json, bytes_of(data), data->len, &arena, &message, e) <
	    0) {
		err_wrap(e, "unmarshal end stream message");
		e->kind = ERR_INTERNAL;
		return -1;
	}
	return 0;
}

/* --- jobs --------------------------------------------------------------------------------------- */

enum decode_state { DECODE_WAITING, DECODE_RUNNING, DECODE_DONE, DECODE_LEFT };

static const struct state_rule decode_rules[] = {
	[DECODE_WAITING] = { "waiting", BIT(DECODE_RUNNING) },
	[DECODE_RUNNING] = { "running", BIT(DECODE_DONE) | BIT(DECODE_LEFT) },
	[DECODE_DONE] = { "done", 0 },
	[DECODE_LEFT] = { "left", 0 },
};

struct decode_job {
	struct job job;
	struct list link; /* WAITING */
	struct state state;
	struct loop *loop;
	void (*on_done)(void *data);
	void *data;
	struct charge charge;
	/* The work's own: */
	struct decode_form form;
	struct buf payload;
	struct arena arena; /* of the message */
	ProtobufCMessage *message;
	struct err e; /* ERR_NONE: there is a message */
};

static struct list waiting = LIST_INIT(waiting); /* first come, first served */
static unsigned n_running;                       /* RUNNING and LEFT */

/* What is not handed over goes at once, and not on the loop. */
static void decode_work(struct job *job)
{
	struct decode_job *d = CONTAINER_OF(job, struct decode_job, job);

	if (decode_within(d->form.message_max, &d->form, &d->payload, &d->arena, &d->message,
	                  &d->e) < 0)
		arena_reset(&d->arena);
	buf_deinit(&d->payload);
}

static void decode_job_end(struct decode_job *d)
{
	charge_release(&d->charge);
	buf_deinit(&d->payload);
	arena_deinit(&d->arena);
	err_clear(&d->e);
	free(d);
}

static void decode_on_done(struct job *job);

static void start_waiting(void)
{
	struct list *first;

	while (n_running < DECODE_JOBS_MAX && (first = list_take_first(&waiting))) {
		struct decode_job *d = CONTAINER_OF(first, struct decode_job, link);

		state_move(&d->state, DECODE_RUNNING);
		n_running++;
		job_start(d->loop, &d->job, decode_work, decode_on_done);
	}
}

static void decode_on_done(struct job *job)
{
	struct decode_job *d = CONTAINER_OF(job, struct decode_job, job);

	n_running--;
	start_waiting();
	if (d->state.now == DECODE_LEFT) {
		decode_job_end(d);
		return;
	}
	state_move(&d->state, DECODE_DONE);
	charge_release(&d->charge);
	d->on_done(d->data); /* may free d: last statement */
}

struct decode_job *decode_job_start(struct loop *loop, const struct decode_form *form,
                                    struct buf *payload, struct charge *charge,
                                    void (*on_done)(void *data), void *data)
{
	struct decode_job *d = try_calloc(1, sizeof *d);

	if (!d)
		return NULL;
	state_init(&d->state, decode_rules, ARRAY_SIZE(decode_rules), DECODE_WAITING, "decode", 0);
	d->loop = loop;
	d->on_done = on_done;
	d->data = data;
	d->charge = charge_take(charge);
	d->form = *form;
	d->payload = *payload;
	buf_init(payload, payload->max);
	arena_init(&d->arena, CODEC_MESSAGE_MEMORY_MAX, NULL, 0);
	list_append(&waiting, &d->link);
	start_waiting();
	return d;
}

bool decode_job_is_done(const struct decode_job *d)
{
	return d->state.now == DECODE_DONE;
}

int decode_job_take(struct decode_job *d, ProtobufCMessage **out_message, struct err *e)
{
	ASSERT(d->state.now == DECODE_DONE);
	if (d->e.kind != ERR_NONE) {
		err_move(e, &d->e);
		return -1;
	}
	*out_message = TAKE_PTR(d->message);
	return 0;
}

void decode_job_free(struct decode_job *d)
{
	if (!d)
		return;
	if (d->state.now == DECODE_RUNNING) {
		state_move(&d->state, DECODE_LEFT);
		job_cancel(&d->job);
		return;
	}
	list_remove(&d->link);
	decode_job_end(d);
}
