/*
 * A complete payload to a message: decompressed if need be, then decoded.
 *
 * A small one at once. A large one would hold the loop - the largest for half a second, and 64 KiB
 * of gzip can become the largest - so it is a job, which owns the payload, its charge and the
 * message. Errors have the texts of wire.md 5.2. Loop thread only.
 *
 *     WAITING ──▶ RUNNING ──▶ DONE     WAITING  in line: DECODE_JOBS_MAX run
 *                    │                 RUNNING  on the pool, or in its queue
 *                    └──────▶ LEFT     DONE     the message is here, or why there is none
 *                                      LEFT     nobody wants it: frees itself when it ends
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "loop/loop.h"
#include "rpc/charge.h"
#include "rpc/codec.h"

/*
 * Bytes, before and after decompression, that are decoded at once: half a millisecond of the worst
 * JSON, and many may come in one turn. Compressed size says nothing (deflate shrinks a
 * thousandfold), so what is compressed is tried, and given to a job when it turns out to be larger.
 */
#define DECODE_NOW_MAX 65536u

/* Jobs on the pool: half of its threads. Looking up a user never waits for a message. */
#define DECODE_JOBS_MAX 2u

/* Bytes of an end frame, before and after decompression. It holds a client's trailers, of which no
 * known client sends any. */
#define DECODE_END_MAX 65536u

struct decode_form {
	const ProtobufCMessageDescriptor *type;
	enum codec codec;
	bool enveloped;     /* an empty payload is the default message in either codec */
	bool is_compressed; /* unless it is empty */
	size_t message_max; /* bytes after decompression; the payload has no more before it */
};

/* 1: the message is in the arena. 0: it is large, and nothing has happened. -1 with e. */
int decode_try(const struct decode_form *form, const struct buf *payload, struct arena *arena,
               ProtobufCMessage **out_message, struct err *e);

/* The payload of a frame that ends a request: any JSON object will do. -1 with e. */
int decode_end(const struct buf *payload, bool is_compressed, struct err *e);

struct decode_job;

/*
 * Takes the payload, of which an empty buf with its max is left, and the charge. Unless the job is
 * freed before, on_done comes once, never inside a call; it may free the job.
 *
 * returns  NULL without memory, nothing is taken
 */
struct decode_job *decode_job_start(struct loop *loop, const struct decode_form *form,
                                    struct buf *payload, struct charge *charge,
                                    void (*on_done)(void *data), void *data);
bool decode_job_is_done(const struct decode_job *d);

/* Once, when it is done. The message lives as long as the job; -1 with e. */
int decode_job_take(struct decode_job *d, ProtobufCMessage **out_message, struct err *e);
void decode_job_free(struct decode_job *d); /* in any state */
