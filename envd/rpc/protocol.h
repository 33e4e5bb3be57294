/*
 * The protocols behind one contract: how a call's answer is spoken.
 *
 *     connect unary    one body, or an error as JSON with its HTTP status; GET is the same
 *     connect stream   envelopes, the last one JSON with error and trailers
 *     gRPC             envelopes, then HTTP trailers; an error alone is trailers-only
 *     gRPC-Web         envelopes, the last one the trailers as text
 *
 * A reply is the output half of a call; it knows no handler and no request body. Whatever is sent
 * after the peer has gone is swallowed by the exchange.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "http/exchange.h"
#include "rpc/answer.h"
#include "rpc/codec.h"

/* Bytes of one encoded message: above what any bounded request makes us say, below what an
 * envelope can count. */
#define RPC_SEND_MAX (256u * 1024u * 1024u)

/* Bytes of response metadata and error details of one call, and their number. Ours are a few; the
 * conformance service returns what a client asks for. */
#define RPC_METADATA_MAX        (256u * 1024u)
#define RPC_METADATA_FIELDS_MAX 128u

struct rpc_reply;
struct field_list;

struct rpc_protocol {
	const char *name;
	bool enveloped;   /* the request body is frames */
	uint8_t end_flag; /* flag of the frame that ends a request; 0: none may */
	bool end_is_json; /* and its payload must be */
	/* Lower-case names of request fields. */
	const char *encoding_field;
	const char *accept_field;
	const char *timeout_field;
	int (*parse_timeout)(struct span value, int64_t *out_ms, struct err *e);
	const char *
		trailer_prefix; /* trailers are header fields with this prefix; NULL: they are not */
	void (*head)(const struct rpc_reply *r, struct field_list *list);
	/* Begins the response whose one message is encoded already and has so many bytes. */
	void (*begin)(struct rpc_reply *r, size_t len);
	/* -1: the message cannot be said, nothing was sent. *out_more: as exchange_send. */
	int (*send)(struct rpc_reply *r, const ProtobufCMessage *message, bool *out_more,
	            struct err *e);
	/* Ends the response: with the last message if not NULL, with e unless its kind is ERR_NONE.
	 * After begin there is neither.
	 * Gives r->x back; e is cleared. */
	void (*finish)(struct rpc_reply *r, const ProtobufCMessage *message, struct err *e);
};

extern const struct rpc_protocol connect_unary;
extern const struct rpc_protocol connect_stream;
extern const struct rpc_protocol grpc;
extern const struct rpc_protocol grpc_web;

struct metadata_node {
	struct metadata_node *next;
	struct http_field field; /* both end with a NUL */
};

/* In the order of adding. */
struct metadata {
	struct metadata_node *first;
	struct metadata_node *last;
};

struct detail_node {
	struct detail_node *next;
	struct span type_url;
	struct span value;
};

struct rpc_reply {
	struct exchange *x; /* owned; NULL when the response is complete */
	const struct rpc_protocol *protocol;
	struct span content_type; /* static, or the request's */
	enum codec codec;
	bool gzip;       /* messages are compressed */
	bool is_refusal; /* there is no call: nothing is advertised */
	bool is_get;     /* Connect GET: caches must know what the answer depends on */
	bool unbuffered; /* X-Accel-Buffering: no (newer.md W.2) */
	bool begun;      /* the head has been handed over */
	bool overflowed; /* metadata did not fit */
	unsigned n_metadata;
	struct metadata headers;
	struct metadata trailers;
	struct detail_node *details;
	struct detail_node **last_detail;
	struct arena arena; /* of all the above */
};

void reply_init(struct rpc_reply *r, struct exchange *x, const struct rpc_protocol *protocol);
void reply_deinit(struct rpc_reply *r); /* aborts the exchange if it is still there */

/* Copies. What does not fit makes the answer ERR_LIMIT. */
void reply_add_header(struct rpc_reply *r, struct span name, struct span value);
void reply_add_trailer(struct rpc_reply *r, struct span name, struct span value);
void reply_add_detail(struct rpc_reply *r, struct span type_url, struct span value);

/* Ends the response; the protocol's finish behind the checks that are the same for all. e is cleared.
 * Returns what the peer was told: a message that cannot be encoded is an error too. */
enum err_kind reply_finish(struct rpc_reply *r, const ProtobufCMessage *message, struct err *e);

/* Bytes of an encoded message given to the transport at a time, and in one turn of the loop: what
 * takes it a millisecond. */
#define REPLY_PIECE    65536u
#define REPLY_TURN_MAX (1024u * 1024u)

enum reply_progress {
	REPLY_WAITS,   /* until the exchange proceeds */
	REPLY_GOES_ON, /* its turn is over */
	REPLY_DONE,    /* the response has ended */
};

/* Begins the response, sends what is welcome of the answer, and ends the response behind it; then
 * *out_kind is what the peer was told. */
enum reply_progress reply_send_answer(struct rpc_reply *r, struct answer *a,
                                      enum err_kind *out_kind);

/* For the protocols. */

/* Fields of a response head or of trailers, gathered on the stack. */
struct field_list {
	struct http_field at[RPC_METADATA_FIELDS_MAX + 16];
	size_t n;
};

void fields_add(struct field_list *list, const char *name, struct span value);
void fields_add_metadata(struct field_list *list, const struct metadata *m);

/* Content type, the protocol's own fields, and metadata. */
void reply_head(const struct rpc_reply *r, struct field_list *list);
void reply_begin(struct rpc_reply *r); /* with a body to follow; once */

/*
 * One buffer serves all replies, because nothing stays in it when a function returns. reply_buf
 * empties it but for head bytes at the front; reply_seal compresses what was appended, if the
 * reply is compressed, and shows the result behind its own head bytes. -1: no memory.
 */
struct buf *reply_buf(size_t head);
int reply_seal(const struct rpc_reply *r, size_t head, struct span *out_bytes, struct err *e);

/* Encoded and sealed. */
int reply_encode(const struct rpc_reply *r, const ProtobufCMessage *message, size_t head,
                 struct span *out_bytes, struct err *e);

/* begin and send of the enveloped protocols. */
void reply_begin_frames(struct rpc_reply *r, size_t len);
int reply_send_message(struct rpc_reply *r, const ProtobufCMessage *message, bool *out_more,
                       struct err *e);

/*
 * Ends the response with what reply_buf(ENVELOPE_HEADER) holds as its last frame. Without memory for
 * it the response is cut: a stream without its end says that it failed.
 */
void reply_finish_frame(struct rpc_reply *r, uint8_t flags);

/* Appends {"code":"not_found","message":"...","details":[...]}. */
void reply_put_error_json(const struct rpc_reply *r, const struct err *e, struct buf *out);
