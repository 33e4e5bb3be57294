#include "tests/conformance/echo.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rpc/codec.h"
#include "rpc/status.h"
#include "tests/conformance/request_info.h"

#define ECHO_MEMORY_MAX   (256u * 1024u * 1024u) /* bytes of all requests of one call, and answers */
#define ECHO_REQUESTS_MAX 1024u                  /* requests of one call that are told back */

/*
 * One call. The definition of the answer comes with the first request and is kept, because messages
 * live only until the next is asked for.
 *
 *     GATHERING ──▶ ANSWERING        GATHERING  requests are coming in; full duplex answers each
 *                                    ANSWERING  the request is complete; what is left is sent
 */
struct echo {
	struct call *call;
	struct arena arena;
	bool is_answering;
	bool is_full_duplex;
	bool is_waiting; /* for the timer, or for the transport */
	struct timer delay;
	uint32_t delay_ms;
	Google__Protobuf__Any *requests[ECHO_REQUESTS_MAX];
	size_t n_requests; /* since they were last told */
	size_t n_sent;
	/* from the definition */
	const MESSAGE(Error) * error;
	const ProtobufCBinaryData *data;
	size_t n_data;
};

/* The end: with the message if not NULL, with e unless its kind is ERR_NONE. */
static void echo_end(struct echo *echo, const ProtobufCMessage *message, struct err *e)
{
	struct call *call = echo->call;

	timer_stop(&call_loop(call)->timers, &echo->delay);
	if (e->kind != ERR_NONE)
		call_fail(&call, e);
	else
		call_finish(&call, message);
	arena_deinit(&echo->arena);
	free(echo);
}

static void echo_fail(struct echo *echo, enum err_kind kind, const char *text)
{
	CLEANUP(err_clear) struct err e = { 0 };

	(void)!err_set(&e, kind, "%s", text);
	echo_end(echo, NULL, &e);
}

/* --- the definition ----------------------------------------------------------------------------- */

static void add_headers(struct call *call, MESSAGE(Header) *const *headers, size_t n,
                        void (*add)(struct call *call, struct span name, struct span value))
{
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < headers[i]->n_value; j++)
			add(call, span_of(headers[i]->name), span_of(headers[i]->value[j]));
	}
}

static void echo_define_one(struct echo *echo, const MESSAGE(UnaryResponseDefinition) * def)
{
	if (!def)
		return;
	add_headers(echo->call, def->response_headers, def->n_response_headers, call_add_header);
	add_headers(echo->call, def->response_trailers, def->n_response_trailers, call_add_trailer);
	echo->delay_ms = def->response_delay_ms;
	if (def->response_case ==
	    CONNECTRPC__CONFORMANCE__V1__UNARY_RESPONSE_DEFINITION__RESPONSE_ERROR)
		echo->error = def->error;
	if (def->response_case ==
	    CONNECTRPC__CONFORMANCE__V1__UNARY_RESPONSE_DEFINITION__RESPONSE_RESPONSE_DATA) {
		echo->data = &def->response_data;
		echo->n_data = 1;
	}
}

static void echo_define_stream(struct echo *echo, const MESSAGE(StreamResponseDefinition) * def)
{
	if (!def)
		return;
	add_headers(echo->call, def->response_headers, def->n_response_headers, call_add_header);
	add_headers(echo->call, def->response_trailers, def->n_response_trailers, call_add_trailer);
	echo->delay_ms = def->response_delay_ms;
	echo->error = def->error;
	echo->data = def->response_data;
	echo->n_data = def->n_response_data;
}

/* response_definition is field 1 of every request. */
static void echo_define(struct echo *echo, const ProtobufCMessage *request)
{
	const ProtobufCMessageDescriptor *type = request->descriptor;
	void *definition;

	memcpy(&definition, (const char *)request + type->fields[0].offset, sizeof definition);
	if (call_method(echo->call)->kind & RPC_SERVER_STREAM)
		echo_define_stream(echo, definition);
	else
		echo_define_one(echo, definition);
	if (type == &DESCRIPTOR(bidi_stream_request))
		echo->is_full_duplex = ((const MESSAGE(BidiStreamRequest) *)request)->full_duplex;
}

/* Remembers the request; -1 with e if there is no memory for it. */
static int echo_take(struct echo *echo, const ProtobufCMessage *request, struct err *e)
{
	bool is_first = echo->n_requests == 0 && echo->n_sent == 0;
	ProtobufCMessage *kept;
	Google__Protobuf__Any *any;

	any = echo->n_requests < ECHO_REQUESTS_MAX ? any_of(request, &echo->arena) : NULL;
	if (!any)
		return err_set(e, ERR_LIMIT, "too many or too large requests");
	echo->requests[echo->n_requests++] = any;
	if (!is_first)
		return 0;
	if (codec_decode(CODEC_PROTO, request->descriptor, any->value.data, any->value.len,
	                 &echo->arena, &kept, e) < 0)
		return -1;
	echo_define(echo, kept);
	return 0;
}

/* --- the answer --------------------------------------------------------------------------------- */

/* Everything that was seen; after the first answer of a full duplex call, the new requests only. */
static MESSAGE(ConformancePayload__RequestInfo) * echo_info(struct echo *echo)
{
	MESSAGE(ConformancePayload__RequestInfo) * info;

	if (echo->n_sent == 0) {
		info = request_info_of(echo->call, &echo->arena);
	} else {
		info = arena_calloc(&echo->arena, sizeof *info);
		if (info)
			connectrpc__conformance__v1__conformance_payload__request_info__init(info);
	}
	if (!info)
		return NULL;
	info->requests = echo->requests;
	info->n_requests = echo->n_requests;
	return info;
}

static enum err_kind kind_of_code(int code)
{
	enum err_kind kind = status_of_grpc(code);

	return kind == ERR_NONE ? ERR_UNKNOWN : kind;
}

/* The error that was asked for; tells what was seen if no message has. */
static void echo_answer_error(struct echo *echo)
{
	const MESSAGE(Error) *error = echo->error;
	bool has_text =
		error->_message_case == CONNECTRPC__CONFORMANCE__V1__ERROR___MESSAGE_MESSAGE;
	MESSAGE(ConformancePayload__RequestInfo) * info;
	Google__Protobuf__Any *any;

	for (size_t i = 0; i < error->n_details; i++)
		call_add_detail(echo->call, error->details[i]->type_url,
		                error->details[i]->value.data, error->details[i]->value.len);
	if (echo->n_sent == 0) {
		info = echo_info(echo);
		any = info ? any_of(&info->base, &echo->arena) : NULL;
		if (any)
			call_add_detail(echo->call, any->type_url, any->value.data, any->value.len);
	}
	echo_fail(echo, kind_of_code((int)error->code), has_text ? error->message : "");
}

/* A response of the method's type, whose one field is the payload. NULL: no memory. */
static ProtobufCMessage *echo_response(struct echo *echo, bool has_info)
{
	const ProtobufCMessageDescriptor *type = call_method(echo->call)->response;
	ProtobufCMessage *response = arena_calloc(&echo->arena, type->sizeof_message);
	MESSAGE(ConformancePayload) *payload = arena_calloc(&echo->arena, sizeof *payload);

	if (!response || !payload)
		return NULL;
	protobuf_c_message_init(type, response);
	connectrpc__conformance__v1__conformance_payload__init(payload);
	if (echo->n_sent < echo->n_data)
		payload->data = echo->data[echo->n_sent];
	if (has_info)
		payload->request_info = echo_info(echo);
	memcpy((char *)response + type->fields[0].offset, &payload, sizeof payload);
	return response;
}

static void echo_answer_one(struct echo *echo)
{
	CLEANUP(err_clear) struct err e = { 0 };
	ProtobufCMessage *response;

	if (echo->error) {
		echo_answer_error(echo);
		return;
	}
	response = echo_response(echo, true);
	if (!response)
		(void)!err_set(&e, ERR_LIMIT, "no memory for the answer");
	echo_end(echo, response, &e);
}

static void echo_step(struct echo *echo);

/* After the delay: the next message. */
static void echo_send(struct echo *echo)
{
	bool has_info = echo->is_full_duplex ? echo->n_requests > 0 : echo->n_sent == 0;
	ProtobufCMessage *response = echo_response(echo, has_info);

	if (!response) {
		echo_fail(echo, ERR_LIMIT, "no memory for the answer");
		return;
	}
	echo->is_waiting = !call_send(echo->call, response);
	echo->n_sent++;
	echo->n_requests = 0;
	if (!echo->is_answering)
		call_receive(echo->call);
	else if (!echo->is_waiting)
		echo_step(echo);
}

static void echo_on_delay(struct timer *timer)
{
	struct echo *echo = CONTAINER_OF(timer, struct echo, delay);

	echo->is_waiting = false;
	if (call_method(echo->call)->kind & RPC_SERVER_STREAM)
		echo_send(echo);
	else
		echo_answer_one(echo);
}

static void echo_end_stream(struct echo *echo)
{
	CLEANUP(err_clear) struct err e = { 0 };

	if (echo->error)
		echo_answer_error(echo);
	else
		echo_end(echo, NULL, &e);
}

/* What comes next is due: a message after its delay, or the end. */
static void echo_step(struct echo *echo)
{
	if (call_method(echo->call)->kind & RPC_SERVER_STREAM && echo->n_sent >= echo->n_data) {
		echo_end_stream(echo);
		return;
	}
	echo->is_waiting = true;
	timer_start(&call_loop(echo->call)->timers, &echo->delay, echo->delay_ms);
}

/* --- the call ----------------------------------------------------------------------------------- */

static void echo_on_message(struct call *call, const ProtobufCMessage *message)
{
	CLEANUP(err_clear) struct err e = { 0 };
	struct echo *echo = call_data(call);

	if (echo_take(echo, message, &e) < 0)
		echo_end(echo, NULL, &e);
	else if (echo->is_full_duplex)
		echo_step(echo);
	else
		call_receive(call);
}

static void echo_on_end(struct call *call)
{
	struct echo *echo = call_data(call);

	echo->is_answering = true;
	echo_step(echo);
}

static void echo_on_proceed(struct call *call)
{
	struct echo *echo = call_data(call);

	if (!echo->is_answering || !echo->is_waiting || timer_is_running(&echo->delay))
		return;
	echo->is_waiting = false;
	echo_step(echo);
}

static void echo_on_cancel(struct call *call, enum err_kind why)
{
	echo_fail(call_data(call), why, "");
}

static const struct call_ops echo_ops = {
	.on_message = echo_on_message,
	.on_end = echo_on_end,
	.on_proceed = echo_on_proceed,
	.on_cancel = echo_on_cancel,
};

static void echo_handle(struct call *call, const ProtobufCMessage *message)
{
	CLEANUP(err_clear) struct err e = { 0 };
	struct echo *echo = xcalloc(1, sizeof *echo);

	echo->call = call;
	echo->delay.on_due = echo_on_delay;
	arena_init(&echo->arena, ECHO_MEMORY_MAX, NULL, 0);
	call_set_ops(call, &echo_ops, echo);
	if (!message) {
		call_receive(call);
		return;
	}
	echo->is_answering = true;
	if (echo_take(echo, message, &e) < 0)
		echo_end(echo, NULL, &e);
	else
		echo_step(echo);
}

static void unimplemented_handle(struct call *call, const ProtobufCMessage *message)
{
	CLEANUP(err_clear) struct err e = { 0 };

	UNUSED(message);
	(void)!err_set(&e, ERR_UNIMPLEMENTED, "%s has no implementation", call_method(call)->path);
	call_fail(&call, &e);
}

#define PATH "/connectrpc.conformance.v1.ConformanceService/"

static struct rpc_method methods[ECHO_METHODS] = {
	{
		.path = PATH "Unary",
		.kind = RPC_UNARY,
		.request = &DESCRIPTOR(unary_request),
		.response = &DESCRIPTOR(unary_response),
		.handle = echo_handle,
	},
	{
		.path = PATH "IdempotentUnary",
		.kind = RPC_UNARY,
		.request = &DESCRIPTOR(idempotent_unary_request),
		.response = &DESCRIPTOR(idempotent_unary_response),
		.no_side_effects = true,
		.handle = echo_handle,
	},
	{
		.path = PATH "Unimplemented",
		.kind = RPC_UNARY,
		.request = &DESCRIPTOR(unimplemented_request),
		.response = &DESCRIPTOR(unimplemented_response),
		.handle = unimplemented_handle,
	},
	{
		.path = PATH "ServerStream",
		.kind = RPC_SERVER_STREAM,
		.request = &DESCRIPTOR(server_stream_request),
		.response = &DESCRIPTOR(server_stream_response),
		.handle = echo_handle,
	},
	{
		.path = PATH "ClientStream",
		.kind = RPC_CLIENT_STREAM,
		.request = &DESCRIPTOR(client_stream_request),
		.response = &DESCRIPTOR(client_stream_response),
		.handle = echo_handle,
	},
	{
		.path = PATH "BidiStream",
		.kind = RPC_BIDI_STREAM,
		.request = &DESCRIPTOR(bidi_stream_request),
		.response = &DESCRIPTOR(bidi_stream_response),
		.handle = echo_handle,
	},
};

const struct rpc_method *echo_methods(const struct rpc_options *options)
{
	for (size_t i = 0; i < ECHO_METHODS; i++)
		methods[i].options = options;
	return methods;
}

void echo_set_types(void)
{
	static const ProtobufCMessageDescriptor *const types[] = {
		&DESCRIPTOR(unary_request),
		&DESCRIPTOR(unary_response),
		&DESCRIPTOR(idempotent_unary_request),
		&DESCRIPTOR(idempotent_unary_response),
		&DESCRIPTOR(server_stream_request),
		&DESCRIPTOR(server_stream_response),
		&DESCRIPTOR(client_stream_request),
		&DESCRIPTOR(client_stream_response),
		&DESCRIPTOR(bidi_stream_request),
		&DESCRIPTOR(bidi_stream_response),
		&DESCRIPTOR(unimplemented_request),
		&DESCRIPTOR(unimplemented_response),
		&DESCRIPTOR(conformance_payload),
		&DESCRIPTOR(conformance_payload__request_info),
		&DESCRIPTOR(conformance_payload__connect_get_info),
		&DESCRIPTOR(header),
		&DESCRIPTOR(error),
	};
	static const struct codec_types table = { types, ARRAY_SIZE(types) };

	codec_set_types(&table);
}
