/*
 * One RPC: its state, the right to answer it, its messages in both directions.
 *
 * A method's handler gets a struct call *: the right to answer. call_finish and call_fail take it
 * away and leave NULL, exactly once, also after the call was cancelled: until then the pointer
 * stays valid, so an answer that is still on its way from a pool thread needs no check; when nobody
 * listens any more it is dropped.
 *
 *   handle      unary and server streams: runs with the one request message.
 *               Client and bidi streams: runs as soon as the header is in, with message NULL; the
 *               handler sets its ops and asks for messages with call_receive.
 *   call_receive one on_message or on_end follows. A handler that does not ask stops the peer.
 *   call_send   false: wait for on_proceed. What is sent all the same is queued, never lost.
 *   on_cancel   once, when nobody listens any more: the peer is gone (ERR_CANCELED), the deadline has
 *               passed (ERR_DEADLINE), or the request turned out broken or a message could not be
 *               encoded (the kind of that error). The answer, if any, has been given. Let go of
 *               what the call holds, then call_cancel (or fail, or finish), now or later.
 *   on_hangup   once, HTTP/1 only: the client has ended its side before it had an answer. Most likely
 *               it has gone; what is ready may still be answered, what would have to wait should not.
 *
 * No callback runs inside a call of the functions below, nor inside handle. Loop thread only.
 * Messages passed to a handler live in the call until the next call_receive or the end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "base/err.h"
#include "base/text.h"
#include "http/exchange.h"
#include "loop/loop.h"

/* Bytes of one received message, after decompression. SendInput items of 5 MB are seen in the wild
 * (clients.md); 64 MiB is what wire.md 1 asks for at the least. */
#define RPC_MESSAGE_MAX (64u * 1024u * 1024u)

/* Seconds between keepalives where the client names none, or nonsense (newer.md W.1). */
#define RPC_KEEPALIVE_DEFAULT_S 90u
#define RPC_KEEPALIVE_MAX_S     9223372036ull

/* Milliseconds on top of the client's time-out. It has rounded what it had left down to a whole one,
 * and the loop's clock rounds down once more: without these we would give up before it does, and our
 * answer would cross with its reset. */
#define CALL_DEADLINE_SLACK_MS 2u

/* Bytes of a request that are still read and dropped before it is refused, over HTTP/1. A client in the
 * middle of its only message waits for nothing yet, and several (Go's among them) close the connection
 * under an answer that comes so early. The number is that of Go's net/http. */
#define CALL_HEAR_OUT_MAX (256u * 1024u)

struct answer;
struct call;

/* What a server may set differently; static. */
struct rpc_options {
	size_t message_max; /* bytes of a received message; 0: RPC_MESSAGE_MAX */
	/* HTTP/1 clients that expect full duplex hang, so bidi over it is 505 unless this is set; it
	 * then works half-duplex. */
	bool bidi_over_http1;
};

enum rpc_kind {
	RPC_UNARY = 0,
	RPC_CLIENT_STREAM = 1,
	RPC_SERVER_STREAM = 2,
	RPC_BIDI_STREAM = 3, /* both bits */
};

/* One row of a method table; static. */
struct rpc_method {
	const char *path; /* "/process.Process/Start" */
	enum rpc_kind kind;
	const ProtobufCMessageDescriptor *request;
	const ProtobufCMessageDescriptor *response;
	bool no_side_effects; /* Connect GET is allowed */
	/* Unary and server streams: the handler runs even when the time-out has passed on arrival
	 * (call_timeout_ms is 0), and what it answers inside handle counts. Otherwise the answer is
	 * deadline_exceeded and nothing is done. */
	bool runs_expired;
	/* A time-out that has not passed on arrival is the client's alone: it ends the call, we do
	 * not (wire.md 6, StreamInput). */
	bool ignores_deadline;
	const struct rpc_options *options; /* NULL: the defaults */
	void (*handle)(struct call *call, const ProtobufCMessage *message);
};

struct call_ops {
	void (*on_message)(struct call *call, const ProtobufCMessage *message);
	void (*on_end)(struct call *call); /* the client has sent its last message */
	void (*on_proceed)(struct call *call);
	void (*on_cancel)(struct call *call, enum err_kind why);
	void (*on_hangup)(struct call *call);
	void (*on_keepalive)(struct call *call);
};

void call_set_ops(struct call *call, const struct call_ops *ops, void *data);
void *call_data(const struct call *call);
void *call_service(const struct call *call); /* what rpc_serve was given as service */
void *call_session(const struct call *call); /* what rpc_serve was given as session */
struct loop *call_loop(const struct call *call);
const struct rpc_method *call_method(const struct call *call);

/* The message that handle was given is read and its memory, up to CODEC_MESSAGE_MEMORY_MAX, goes
 * back. For streams that live long: it would stay until their end. */
void call_drop_message(struct call *call);

/* Asks for the next message; asking twice is asking once. */
void call_receive(struct call *call);

/* The message is encoded inside the call and may be freed after it. */
bool call_send(struct call *call, const ProtobufCMessage *message);

/* Unary and client stream: the answer. Streams: the last message if not NULL, then the end. */
void call_finish(struct call **call, const ProtobufCMessage *message);
/* The same for unary and client stream with a message that a job has encoded (rpc/answer.h), or will;
 * the peer takes it as fast as it can. */
struct answer *call_new_answer(const struct call *call);
void call_finish_encoded(struct call **call, struct answer **answer);
/* e is cleared. ERR_NONE is a bug. */
void call_fail(struct call **call, struct err *e);
/* call_fail for a client that has gone, most likely: "context canceled". */
void call_cancel(struct call **call);

bool call_is_canceled(const struct call *call);

/* on_keepalive every interval that passes without a call_send; from now until the end. */
void call_start_keepalive(struct call *call, uint64_t interval_ms);
uint64_t call_keepalive_ms(const struct call *call); /* Keepalive-Ping-Interval, defaults applied */

/* Milliseconds the client gave the call; -1 none. Connect-Timeout-Ms or grpc-timeout. */
int64_t call_timeout_ms(const struct call *call);
/* Loop time when the call runs out; 0: never (ignores_deadline), or it had passed on arrival. */
uint64_t call_deadline_ms(const struct call *call);
bool call_is_connect(const struct call *call); /* not gRPC, not gRPC-Web */
bool call_is_get(const struct call *call);     /* Connect GET */

/* Request metadata: all fields as received. Empty once the response is complete. */
const struct http_request *call_request(const struct call *call);

/*
 * Response metadata, before the first message; and before the end. Both are copied; what does not
 * fit into RPC_METADATA_MAX makes the answer ERR_LIMIT. Values of names that end in -bin are base64
 * already, as they are in call_request.
 */
void call_add_header(struct call *call, struct span name, struct span value);
void call_add_trailer(struct call *call, struct span name, struct span value);

/* A detail (google.protobuf.Any content) for the call_fail that follows. */
void call_add_detail(struct call *call, const char *type_url, const void *value, size_t len);

/*
 * For service.c: a call from an exchange and what was found out about it. All members are taken;
 * may run the handler before it returns.
 */
struct call_setup {
	struct exchange *x;
	const struct rpc_method *method;
	const struct content_type *type;
	bool request_gzip;
	bool response_gzip;
	bool is_get;
	int64_t timeout_ms;
	struct span body; /* Connect GET: the message; borrowed for the call */
	void *service;
	void *session;
	void (*free_session)(void *session);
};

void call_start(struct loop *loop, struct call_setup *setup);
