#include "rpc/call.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/state.h"
#include "loop/timer.h"
#include "rpc/answer.h"
#include "rpc/call_log.h"
#include "rpc/input.h"
#include "rpc/negotiate.h"
#include "rpc/protocol.h"
#include "rpc/service.h"

/* Bytes for the message inside the call's own allocation: most requests need no other. */
#define CALL_FIRST 1024u

/*
 * The conversation. The input half (input.h) and the output half (protocol.h) have states of their
 * own, the transport is the exchange's.
 *
 *     ARRIVING ──handle──▶ HELD ──finish, fail────▶ DONE
 *        │                  │ │                     ▲ ▲ ▲ ▲
 *        │                  │ └▶ SENDING ──all, gone┘ │ │ │
 *        │                  └──▶ LOST ──finish, fail──┘ │ │
 *        ├── refused, gone ─────────────────────────────┘ │
 *        └── refused ──▶ REFUSING ──heard out, gone───────┘
 *
 *     ARRIVING  the one request message is not complete; nobody but us knows the call
 *     REFUSING  it is refused, but the client is still sending (CALL_HEAR_OUT_MAX)
 *     HELD      the handler has the right to answer
 *     SENDING   the answer is encoded, and the peer has not taken all of it
 *     LOST      nobody listens any more (on_stop), or the answer is given (deadline, broken
 *               request); the handler is told, and lets go when it can
 *     DONE      freed when nothing of ours is on the stack
 */
enum call_state { CALL_ARRIVING, CALL_REFUSING, CALL_HELD, CALL_SENDING, CALL_LOST, CALL_DONE };

static const struct state_rule call_rules[] = {
	[CALL_ARRIVING] = { "arriving", BIT(CALL_REFUSING) | BIT(CALL_HELD) | BIT(CALL_DONE) },
	[CALL_REFUSING] = { "refusing", BIT(CALL_DONE) },
	[CALL_HELD] = { "held", BIT(CALL_SENDING) | BIT(CALL_LOST) | BIT(CALL_DONE) },
	[CALL_SENDING] = { "sending", BIT(CALL_DONE) },
	[CALL_LOST] = { "lost", BIT(CALL_DONE) },
	[CALL_DONE] = { "done", 0 },
};

/* What has happened and is not yet dealt with. */
enum {
	FACT_ASKED = BIT(0),     /* call_receive */
	FACT_PROCEED = BIT(1),   /* the transport takes more */
	FACT_KEEPALIVE = BIT(2), /* an interval passed without a message */
	FACT_LOST = BIT(3),      /* on_cancel is due */
	FACT_HANGUP = BIT(4),    /* the peer has ended its side */
};

struct call {
	struct state state;
	unsigned facts;
	unsigned depth; /* of call_enter: our frames on the stack */
	enum err_kind why_lost;
	struct err refusal; /* REFUSING */
	size_t n_dropped;   /* REFUSING: bytes */
	struct loop *loop;
	const struct rpc_method *method;
	const struct call_ops *ops;
	void *data;
	void *service;
	void *session;
	void (*free_session)(void *session);
	int64_t timeout_ms;
	uint64_t deadline_ms; /* loop time; 0: none */
	struct timer deadline;
	struct timer keepalive;
	uint64_t keepalive_ms; /* 0: none */
	struct task later;
	const ProtobufCMessage
		*message;      /* unary and server stream: the request, once it is there */
	struct answer *answer; /* SENDING: owned */
	struct rpc_input input;
	struct rpc_reply reply;
	char first[CALL_FIRST];
};

static void call_free(struct call *call)
{
	timer_stop(&call->loop->timers, &call->deadline);
	timer_stop(&call->loop->timers, &call->keepalive);
	loop_undefer(&call->later);
	err_clear(&call->refusal);
	answer_free(call->answer);
	input_deinit(&call->input);
	reply_deinit(&call->reply);
	if (call->free_session)
		call->free_session(call->session);
	free(call);
}

static void call_enter(struct call *call)
{
	call->depth++;
}

/* A last statement: frees the call when it is done. */
static void call_leave(struct call *call)
{
	ASSERT(call->depth > 0);
	if (--call->depth == 0 && call->state.now == CALL_DONE)
		call_free(call);
}

/* Lets the peer send as much as has been taken. */
static void call_credit(struct call *call)
{
	size_t credit = input_take_credit(&call->input);

	if (credit > 0 && call->reply.x && !call->reply.is_get)
		exchange_consumed(call->reply.x, credit);
}

/* Nothing comes from the peer or the clock any more. */
static void call_quiet(struct call *call)
{
	input_close(&call->input);
	timer_stop(&call->loop->timers, &call->deadline);
	timer_stop(&call->loop->timers, &call->keepalive);
}

static void call_tell_log(const struct call *call, enum err_kind kind)
{
	call_log(call->method, call->reply.is_get, call->state.id, kind);
}

/* Gives the answer, if it can still be given; the conversation is over but for its handler. */
static void call_end(struct call *call, const ProtobufCMessage *message, struct err *e)
{
	call_quiet(call);
	if (call->state.now != CALL_LOST && call->reply.x)
		call_tell_log(call, reply_finish(&call->reply, message, e));
	err_clear(e);
}

/* The handler loses its audience; e is what the peer is told, ERR_NONE: there is no peer. */
static void call_lose(struct call *call, struct err *e)
{
	call->why_lost = e->kind == ERR_NONE ? ERR_CANCELED : e->kind;
	if (e->kind == ERR_NONE) {
		call_quiet(call);
		call_tell_log(call, ERR_CANCELED);
	} else {
		call_end(call, NULL, e);
	}
	if (call->state.now != CALL_HELD) {
		state_move(&call->state, CALL_DONE);
		return;
	}
	state_move(&call->state, CALL_LOST);
	call->facts = FACT_LOST;
}

/* A stream of messages may wait for its answer at any time. */
static bool call_must_hear_out(const struct call *call)
{
	return !(call->method->kind & RPC_CLIENT_STREAM) && !call->reply.is_get &&
	       !call->input.body_ended && call_request(call)->version != HTTP_2 &&
	       call->input.form.body_length <= (int64_t)CALL_HEAR_OUT_MAX;
}

/* ARRIVING: what came is no request. */
static void call_refuse(struct call *call, struct err *e)
{
	if (!call_must_hear_out(call)) {
		call_lose(call, e);
		return;
	}
	err_move(&call->refusal, e);
	input_close(&call->input);
	state_move(&call->state, CALL_REFUSING);
}

/* REFUSING: true when it was answered. */
static bool call_hear_out(struct call *call)
{
	if (!call->input.body_ended && call->n_dropped <= CALL_HEAR_OUT_MAX)
		return false;
	call_lose(call, &call->refusal);
	return true;
}

/* ARRIVING: exactly one message, then the end; a client stream hands those to its handler. True:
 * something was decided. */
static bool call_gather(struct call *call)
{
	CLEANUP(err_clear) struct err e = { 0 };
	ProtobufCMessage *message = NULL;

	if (call->method->kind & RPC_CLIENT_STREAM) {
		state_move(&call->state, CALL_HELD);
		call->method->handle(call, NULL);
		return true;
	}
	switch (input_next(&call->input, &message, &e)) {
	case INPUT_FOUND_NOTHING:
		return false;
	case INPUT_FOUND_ERROR:
		break;
	case INPUT_FOUND_MESSAGE:
		if (!call->message) {
			call->message = message;
			return true;
		}
		(void)!err_set(&e, ERR_UNIMPLEMENTED, "unary request has multiple messages");
		break;
	case INPUT_FOUND_END:
		if (call->message) {
			state_move(&call->state, CALL_HELD);
			if (call->timeout_ms == 0)
				timer_start(&call->loop->timers, &call->deadline, 0);
			call->method->handle(call, call->message);
			return true;
		}
		(void)!err_set(&e, ERR_UNIMPLEMENTED, "unary request has zero messages");
		break;
	}
	call_refuse(call, &e);
	return true;
}

/* HELD and asked for a message. */
static bool call_deliver(struct call *call)
{
	CLEANUP(err_clear) struct err e = { 0 };
	ProtobufCMessage *message = NULL;

	switch (input_next(&call->input, &message, &e)) {
	case INPUT_FOUND_NOTHING:
		return false;
	case INPUT_FOUND_ERROR:
		call_lose(call, &e);
		return true;
	case INPUT_FOUND_MESSAGE:
		call->facts &= ~FACT_ASKED;
		call->ops->on_message(call, message);
		return true;
	case INPUT_FOUND_END:
		call->facts &= ~FACT_ASKED;
		call->ops->on_end(call);
		return true;
	}
	return false;
}

static bool call_take_fact(struct call *call, unsigned fact)
{
	bool is_set = call->facts & fact;

	call->facts &= ~fact;
	return is_set;
}

/* HELD: one callback at most. */
static bool call_serve(struct call *call)
{
	if (!call->ops)
		return false;
	if (call_take_fact(call, FACT_KEEPALIVE)) {
		if (call->ops->on_keepalive)
			call->ops->on_keepalive(call);
		return true;
	}
	if (call_take_fact(call, FACT_PROCEED)) {
		if (call->ops->on_proceed)
			call->ops->on_proceed(call);
		return true;
	}
	if (call_take_fact(call, FACT_HANGUP)) {
		if (call->ops->on_hangup)
			call->ops->on_hangup(call);
		return true;
	}
	return call->facts & FACT_ASKED ? call_deliver(call) : false;
}

/* LOST: the handler may set its ops later than that. */
static bool call_tell(struct call *call)
{
	if (!call->ops || !call_take_fact(call, FACT_LOST))
		return false;
	if (call->ops->on_cancel)
		call->ops->on_cancel(call, call->why_lost);
	return true;
}

/* SENDING: as much as the peer takes now. */
static void call_send_answer(struct call *call)
{
	enum err_kind kind;

	switch (reply_send_answer(&call->reply, call->answer, &kind)) {
	case REPLY_WAITS:
		return;
	case REPLY_GOES_ON:
		loop_defer(call->loop, &call->later);
		return;
	case REPLY_DONE:
		call_tell_log(call, kind);
		state_move(&call->state, CALL_DONE);
	}
}

static bool call_step(struct call *call)
{
	switch (call->state.now) {
	case CALL_ARRIVING:
		return call_gather(call);
	case CALL_REFUSING:
		return call_hear_out(call);
	case CALL_HELD:
		return call_serve(call);
	case CALL_SENDING:
		if (call_take_fact(call, FACT_PROCEED))
			call_send_answer(call);
		return false;
	case CALL_LOST:
		return call_tell(call);
	default:
		return false;
	}
}

/* All decisions, until nothing is left to decide. Only from the loop: it runs callbacks. */
static void call_advance(struct call *call)
{
	call_enter(call);
	while (call_step(call))
		;
	call_credit(call);
	call_leave(call);
}

static void call_on_later(struct task *task)
{
	struct call *call = CONTAINER_OF(task, struct call, later);

	if (call->state.now == CALL_SENDING)
		call->facts |= FACT_PROCEED;
	call_advance(call);
}

/* For functions that the handler calls: a callback is due, but not inside them. */
static void call_later(struct call *call)
{
	if (call->depth == 0)
		loop_defer(call->loop, &call->later);
}

/* --- what the transport, the clock and a job report ------------------------------------------- */

static void call_on_body(struct exchange *x, const uint8_t *data, size_t len)
{
	struct call *call = x->data;

	call_enter(call);
	if (call->state.now == CALL_REFUSING)
		call->n_dropped += len;
	input_push(&call->input, data, len);
	call_advance(call);
	input_keep(&call->input);
	call_leave(call);
}

static void call_on_decoded(struct rpc_input *input)
{
	call_advance(CONTAINER_OF(input, struct call, input));
}

static void call_on_body_end(struct exchange *x, enum exchange_body_end how)
{
	struct call *call = x->data;

	if (call->input.body_ended) /* Connect GET */
		return;
	input_end(&call->input, how);
	call_advance(call);
}

static void call_on_proceed(struct exchange *x)
{
	struct call *call = x->data;

	call->facts |= FACT_PROCEED;
	call_advance(call);
}

static void call_on_stop(struct exchange *x)
{
	CLEANUP(err_clear) struct err nobody = { 0 };
	struct call *call = x->data;

	if (call->state.now == CALL_LOST)
		return;
	call_enter(call);
	call_lose(call, &nobody);
	call_advance(call);
	call_leave(call);
}

static void call_on_hangup(struct exchange *x)
{
	struct call *call = x->data;

	call->facts |= FACT_HANGUP;
	call_advance(call);
}

static const struct exchange_ops call_exchange_ops = {
	.on_body = call_on_body,
	.on_body_end = call_on_body_end,
	.on_proceed = call_on_proceed,
	.on_stop = call_on_stop,
	.on_hangup = call_on_hangup,
};

static void call_on_deadline(struct timer *timer)
{
	CLEANUP(err_clear) struct err e = { 0 };
	struct call *call = CONTAINER_OF(timer, struct call, deadline);

	(void)!err_set(&e, ERR_DEADLINE, "context deadline exceeded");
	call_enter(call);
	call_lose(call, &e);
	call_advance(call);
	call_leave(call);
}

static void call_on_keepalive(struct timer *timer)
{
	struct call *call = CONTAINER_OF(timer, struct call, keepalive);

	timer_start(&call->loop->timers, &call->keepalive, call->keepalive_ms);
	call->facts |= FACT_KEEPALIVE;
	call_advance(call);
}

/* --- beginning ---------------------------------------------------------------------------------- */

static struct call *call_new(struct loop *loop, struct call_setup *setup)
{
	const struct rpc_options *options = setup->method->options;
	struct input_form form = {
		.protocol = setup->type->protocol,
		.type = setup->method->request,
		.codec = setup->type->codec,
		.gzip = setup->request_gzip,
		.message_max =
			options && options->message_max ? options->message_max : RPC_MESSAGE_MAX,
		.body_length = setup->is_get ? -1 : setup->x->request.content_length,
	};
	static uint64_t n_calls;
	struct call *call = try_calloc(1, sizeof *call);

	if (!call)
		return NULL;
	call->loop = loop;
	call->method = setup->method;
	call->service = setup->service;
	call->session = setup->session;
	call->free_session = setup->free_session;
	call->timeout_ms = setup->timeout_ms;
	call->deadline.on_due = call_on_deadline;
	call->keepalive.on_due = call_on_keepalive;
	call->later.run = call_on_later;
	state_init(&call->state, call_rules, ARRAY_SIZE(call_rules), CALL_ARRIVING, "call",
	           ++n_calls);
	input_init(&call->input, loop, &form, call->first, sizeof call->first);
	call->input.on_decoded = call_on_decoded;
	reply_init(&call->reply, TAKE_PTR(setup->x), setup->type->protocol);
	call->reply.content_type = span_of(setup->type->text);
	call->reply.codec = setup->type->codec;
	call->reply.gzip = setup->response_gzip;
	call->reply.is_get = setup->is_get;
	call->reply.unbuffered = setup->method->kind == RPC_SERVER_STREAM;
	exchange_own(call->reply.x, &call_exchange_ops, call);
	if (call->reply.x->hung_up)
		call->facts = FACT_HANGUP;
	return call;
}

/* What the head says is enough to refuse. */
static int call_check_head(const struct call *call, struct err *e)
{
	const struct rpc_method *method = call->method;

	if (call->timeout_ms == 0 && (!method->runs_expired || (method->kind & RPC_CLIENT_STREAM)))
		return err_set(e, ERR_DEADLINE, "context deadline exceeded");
	return input_check_length(&call->input, e);
}

/* Lets the request come, and its time run. */
static void call_begin(struct call *call, struct span body)
{
	/* One that has passed on arrival runs out when the handler has been heard: runs_expired. */
	if (call->timeout_ms > 0 && !call->method->ignores_deadline) {
		uint64_t wait_ms = (uint64_t)call->timeout_ms + CALL_DEADLINE_SLACK_MS;

		call->deadline_ms = loop_now_ms(call->loop) + wait_ms;
		timer_start(&call->loop->timers, &call->deadline, wait_ms);
	}
	if (call->reply.is_get) {
		input_push(&call->input, (const uint8_t *)body.at, body.len);
		input_end(&call->input, EXCHANGE_BODY_COMPLETE);
	} else if (!(call->method->kind & RPC_CLIENT_STREAM)) {
		exchange_read(call->reply.x);
	}
}

void call_start(struct loop *loop, struct call_setup *setup)
{
	CLEANUP(err_clear) struct err e = { 0 };
	struct call *call = call_new(loop, setup);

	if (!call) {
		if (setup->free_session)
			setup->free_session(setup->session);
		(void)!err_set(&e, ERR_LIMIT, "no memory for the call");
		rpc_refuse(&setup->x, &e);
		return;
	}
	if (call_check_head(call, &e) < 0)
		call_refuse(call, &e);
	if (call->state.now != CALL_DONE)
		call_begin(call, setup->body);
	call_advance(call);
}

/* --- what the handler calls --------------------------------------------------------------------- */

void call_set_ops(struct call *call, const struct call_ops *ops, void *data)
{
	call->ops = ops;
	call->data = data;
	if (call->facts)
		call_later(call);
}

void *call_data(const struct call *call)
{
	return call->data;
}

void *call_service(const struct call *call)
{
	return call->service;
}

void *call_session(const struct call *call)
{
	return call->session;
}

struct loop *call_loop(const struct call *call)
{
	return call->loop;
}

const struct rpc_method *call_method(const struct call *call)
{
	return call->method;
}

void call_drop_message(struct call *call)
{
	ASSERT(call->state.now != CALL_ARRIVING);
	input_drop_message(&call->input);
	call->message = NULL;
}

void call_receive(struct call *call)
{
	ASSERT(call->method->kind & RPC_CLIENT_STREAM);
	if (call->state.now != CALL_HELD)
		return;
	input_drop_message(&call->input);
	call->facts |= FACT_ASKED;
	exchange_read(call->reply.x);
	call_later(call);
}

bool call_send(struct call *call, const ProtobufCMessage *message)
{
	CLEANUP(err_clear) struct err e = { 0 };
	bool more = true;

	ASSERT(call->method->kind & RPC_SERVER_STREAM);
	ASSERT(call->state.now == CALL_HELD || call->state.now == CALL_LOST);
	if (call->state.now == CALL_LOST)
		return true;
	if (call->reply.protocol->send(&call->reply, message, &more, &e) < 0) {
		call_lose(call, &e);
		call_later(call);
		return true;
	}
	if (call->keepalive_ms)
		timer_start(&call->loop->timers, &call->keepalive, call->keepalive_ms);
	return more;
}

/* The right to answer has come back. */
static void call_give_back(struct call *call, const ProtobufCMessage *message, struct err *e)
{
	ASSERT(call->state.now == CALL_HELD || call->state.now == CALL_LOST);
	call_enter(call);
	call_end(call, message, e);
	state_move(&call->state, CALL_DONE);
	call_leave(call);
}

void call_finish(struct call **call, const ProtobufCMessage *message)
{
	CLEANUP(err_clear) struct err e = { 0 };
	struct call *c = TAKE_PTR(*call);

	ASSERT(message || (c->method->kind & RPC_SERVER_STREAM) || c->state.now == CALL_LOST);
	call_give_back(c, message, &e);
}

struct answer *call_new_answer(const struct call *call)
{
	const struct answer_form form = {
		.type = call->method->response,
		.codec = call->reply.codec,
		.gzip = call->reply.gzip,
		.enveloped = call->reply.protocol->enveloped,
	};

	return answer_new(&form);
}

void call_finish_encoded(struct call **call, struct answer **answer)
{
	CLEANUP(err_clear) struct err nobody = { 0 };
	struct call *c = TAKE_PTR(*call);

	ASSERT(!(c->method->kind & RPC_SERVER_STREAM));
	c->answer = TAKE_PTR(*answer);
	if (c->state.now == CALL_LOST) {
		call_give_back(c, NULL, &nobody);
		return;
	}
	call_enter(c);
	call_quiet(c);
	state_move(&c->state, CALL_SENDING);
	call_send_answer(c);
	call_leave(c);
}

void call_fail(struct call **call, struct err *e)
{
	struct call *c = TAKE_PTR(*call);

	ASSERT(e->kind != ERR_NONE);
	call_give_back(c, NULL, e);
}

void call_cancel(struct call **call)
{
	struct err e = { 0 };

	(void)!err_set(&e, ERR_CANCELED, "context canceled");
	call_fail(call, &e);
}

bool call_is_canceled(const struct call *call)
{
	return call->state.now == CALL_LOST;
}

void call_start_keepalive(struct call *call, uint64_t interval_ms)
{
	ASSERT(interval_ms > 0);
	call->keepalive_ms = interval_ms;
	if (call->state.now == CALL_HELD)
		timer_start(&call->loop->timers, &call->keepalive, interval_ms);
}

uint64_t call_keepalive_ms(const struct call *call)
{
	const struct http_field *f = NULL;

	if (call->reply.x)
		f = exchange_field(call->reply.x, "keepalive-ping-interval");
	return keepalive_parse(f ? f->value : (struct span){ 0 });
}

int64_t call_timeout_ms(const struct call *call)
{
	return call->timeout_ms;
}

uint64_t call_deadline_ms(const struct call *call)
{
	return call->deadline_ms;
}

bool call_is_connect(const struct call *call)
{
	return call->reply.protocol == &connect_unary || call->reply.protocol == &connect_stream;
}

bool call_is_get(const struct call *call)
{
	return call->reply.is_get;
}

const struct http_request *call_request(const struct call *call)
{
	static const struct http_request gone = { .content_length = -1 };

	return call->reply.x ? &call->reply.x->request : &gone;
}

void call_add_header(struct call *call, struct span name, struct span value)
{
	reply_add_header(&call->reply, name, value);
}

void call_add_trailer(struct call *call, struct span name, struct span value)
{
	reply_add_trailer(&call->reply, name, value);
}

void call_add_detail(struct call *call, const char *type_url, const void *value, size_t len)
{
	reply_add_detail(&call->reply, span_of(type_url), (struct span){ value, len });
}
