/*
 * The input half of a call: bytes of a request body to messages.
 *
 *     READING ──▶ AFTER_END ──▶ ENDED     READING    a body or frames are on their way
 *      ▲   │└───────────────────▲ ▲       DECODING   a large message is with a job (decode.h)
 *      │   ▼                      │       AFTER_END  an end frame has come; the body has not ended
 *     DECODING ───────────────────┘       ENDED      the client has sent its last message
 *     any ──▶ CLOSED                      CLOSED     broken, or nobody wants it any more
 *
 * Nothing is decoded before it is asked for: what arrives earlier waits, undecoded, and its bytes
 * are not handed back to the transport, which stops the peer at EXCHANGE_WINDOW. The same goes for
 * what arrives while a message is decoded. Errors have the texts of wire.md 5.2 and 5.3. Knows
 * neither exchange nor handler.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/state.h"
#include "http/exchange.h"
#include "rpc/charge.h"
#include "rpc/codec.h"
#include "rpc/decode.h"
#include "rpc/envelope.h"
#include "rpc/protocol.h"

/* Bytes after an end-of-stream frame that are counted before we stop waiting for more. */
#define RPC_EXTRA_MAX (1024u * 1024u)

enum input_state { INPUT_READING, INPUT_DECODING, INPUT_AFTER_END, INPUT_ENDED, INPUT_CLOSED };

enum input_found {
	INPUT_FOUND_NOTHING, /* ask again when bytes have come, or on_decoded */
	INPUT_FOUND_MESSAGE,
	INPUT_FOUND_END,
	INPUT_FOUND_ERROR, /* e; closed now */
};

/* What the request's head says about its body. */
struct input_form {
	const struct rpc_protocol *protocol;
	const ProtobufCMessageDescriptor *type;
	enum codec codec;
	bool gzip;           /* frames may be compressed; a bare body is */
	size_t message_max;  /* bytes, before and after decompression */
	int64_t body_length; /* bytes, -1 unknown */
};

struct rpc_input {
	struct state state;
	struct input_form form;
	struct envelope_reader frame; /* without envelopes only its payload is used */
	struct buf waiting;           /* arrived and not wanted yet */
	size_t waiting_at;            /* bytes of it that have been taken */
	const uint8_t *fresh;         /* borrowed between input_push and input_keep */
	size_t n_fresh;
	size_t credit;        /* bytes taken since input_take_credit */
	size_t n_extra;       /* bytes after the end frame */
	struct charge charge; /* of the payload */
	bool body_ended;
	enum exchange_body_end how;
	struct arena arena;        /* of a small message */
	struct decode_job *decode; /* of a large one, which it keeps when it is decoded */
	struct loop *loop;
	/* The owner's: input_next will find something. Never runs inside a call of these. */
	void (*on_decoded)(struct rpc_input *in);
};

/* first: memory for small messages, borrowed for the input's life. */
void input_init(struct rpc_input *in, struct loop *loop, const struct input_form *form, void *first,
                size_t first_size);
void input_deinit(struct rpc_input *in);

/* -1 with e: a body of the promised length is more than a message may be. */
int input_check_length(const struct rpc_input *in, struct err *e);

/* Bytes have arrived. They are borrowed until input_keep, which copies what nobody took. */
void input_push(struct rpc_input *in, const uint8_t *data, size_t len);
void input_keep(struct rpc_input *in);
void input_end(struct rpc_input *in, enum exchange_body_end how);

/* The message lives until input_drop_message or the next message. */
enum input_found input_next(struct rpc_input *in, ProtobufCMessage **out_message, struct err *e);
void input_drop_message(struct rpc_input *in);

/* From now on everything is dropped and credited. */
void input_close(struct rpc_input *in);

/* Bytes that the transport may let come anew. */
size_t input_take_credit(struct rpc_input *in);
