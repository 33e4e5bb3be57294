#include "rpc/call_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rpc/envelope.h"
#include "tests/support/test.h"

static void note(struct domain *d, const char *event)
{
	buf_append_text(&d->log, event);
	d->has_event = true;
}

static void echo_on_message(struct call *call, const ProtobufCMessage *message)
{
	struct domain *d = call_data(call);

	d->message = (const Test__Echo *)message;
	buf_appendf(&d->log, "message(%s) ", d->message->text);
	d->has_event = true;
	if (d->asks)
		call_receive(call);
}

static void echo_on_end(struct call *call)
{
	note(call_data(call), "end ");
}

static void echo_on_proceed(struct call *call)
{
	note(call_data(call), "proceed ");
}

static void echo_on_cancel(struct call *call, enum err_kind why)
{
	struct domain *d = call_data(call);

	assert_true(call_is_canceled(call));
	buf_appendf(&d->log, "cancel(%d) ", (int)why);
	d->has_event = true;
}

static void echo_on_keepalive(struct call *call)
{
	note(call_data(call), "keepalive ");
}

static void echo_on_hangup(struct call *call)
{
	note(call_data(call), "hangup ");
}

static const struct call_ops echo_ops = {
	.on_message = echo_on_message,
	.on_end = echo_on_end,
	.on_proceed = echo_on_proceed,
	.on_cancel = echo_on_cancel,
	.on_keepalive = echo_on_keepalive,
	.on_hangup = echo_on_hangup,
};

static void echo_handle(struct call *call, const ProtobufCMessage *message)
{
	struct domain *d = call_service(call);

	d->call = call;
	d->message = (const Test__Echo *)message;
	call_set_ops(call, &echo_ops, d);
	if (message)
		buf_appendf(&d->log, "handle(%s) ", d->message->text);
	else
		note(d, "handle ");
	d->has_event = true;
	if (d->asks)
		call_receive(call);
	if (d->answers)
		domain_finish(d, "ok");
}

static const struct rpc_options small = { .message_max = 16 };
static const struct rpc_options medium = { .message_max = 4096 };
static const struct rpc_options over_http1 = { .bidi_over_http1 = true };

#define ECHO_METHOD(k)                                                                             \
	.path = "/test.Echo/Echo", .kind = (k), .request = &test__echo__descriptor,                \
	.response = &test__echo__descriptor, .handle = echo_handle

const struct rpc_method echo_unary = { ECHO_METHOD(RPC_UNARY) };
const struct rpc_method echo_get = { ECHO_METHOD(RPC_UNARY), .no_side_effects = true };
const struct rpc_method echo_server = { ECHO_METHOD(RPC_SERVER_STREAM) };
const struct rpc_method echo_client = { ECHO_METHOD(RPC_CLIENT_STREAM) };
const struct rpc_method echo_bidi = { ECHO_METHOD(RPC_BIDI_STREAM), .options = &over_http1 };
const struct rpc_method echo_small = { ECHO_METHOD(RPC_UNARY), .options = &small };
const struct rpc_method echo_medium = { ECHO_METHOD(RPC_UNARY), .options = &medium };

void domain_init(struct domain *d, struct loop *loop)
{
	*d = (struct domain){ .loop = loop };
	buf_init(&d->log, 65536);
	assert_int_equal(buf_reserve(&d->log, 4096), 0);
}

void domain_deinit(struct domain *d)
{
	assert_null(d->call);
	buf_deinit(&d->log);
}

static void on_session_end(void *session)
{
	struct domain *d = session;

	d->n_freed_sessions++;
}

void domain_serve(struct domain *d, struct fake_exchange *f, const struct rpc_method *method)
{
	struct exchange *x = &f->x;

	rpc_serve(d->loop, &x, method, d, d, on_session_end);
	assert_null(x);
}

bool domain_send(struct domain *d, const char *text)
{
	Test__Echo message = TEST__ECHO__INIT;
	char *copy = xstrdup(text);
	bool more;

	message.text = copy;
	more = call_send(d->call, &message.base);
	free(copy);
	return more;
}

void domain_finish(struct domain *d, const char *text)
{
	Test__Echo message = TEST__ECHO__INIT;
	char *copy = xstrdup(text ? text : "");

	message.text = copy;
	call_finish(&d->call, text ? &message.base : NULL);
	assert_null(d->call);
	free(copy);
}

void domain_fail(struct domain *d, enum err_kind kind, const char *text)
{
	struct err e = { 0 };

	(void)!err_set(&e, kind, "%s", text);
	call_fail(&d->call, &e);
	assert_null(d->call);
	assert_int_equal(e.kind, ERR_NONE);
}

void push_frame(struct fake_exchange *f, uint8_t flags, const char *payload)
{
	size_t len = strlen(payload);
	uint8_t *frame = xmalloc(ENVELOPE_HEADER + len);

	envelope_put_header(frame, flags, (uint32_t)len);
	memcpy(frame + ENVELOPE_HEADER, payload, len);
	fake_push(f, frame, ENVELOPE_HEADER + len);
	free(frame);
}
