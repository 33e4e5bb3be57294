/*
 * Messages to bytes and back, in protobuf and in proto3 JSON, driven by protobuf-c descriptors.
 * Pure: no call, no connection, no loop.
 *
 * Decoding puts the message into an arena, whose limit is the limit on what a small input can
 * blow up to. Strict as wire.md 5.5: invalid UTF-8, duplicate keys, conflicting oneof members,
 * wrong types and nesting beyond CODEC_DEPTH_MAX are ERR_INVALID; unknown fields are skipped. A
 * string with a NUL byte is refused, because protobuf-c's strings end at one.
 *
 * Encoding appends to a buf; bytes fields of JSON are base64 straight into it. Strings that are
 * not UTF-8 are repaired with U+FFFD in both codings.
 *
 * Maps are repeated entry messages (protobuf-c knows no maps); an entry is recognised by its
 * descriptor. `optional` is a oneof of one member (dependencies.md 0.1).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define CODEC_DEPTH_MAX 10000u /* nesting in JSON, as protojson's */
#define CODEC_PROTO_DEPTH_MAX 100u /* nesting in protobuf: unpacking recurses */

/* Bytes a decoded message may take: the largest accepted body as bytes field, and room. */
#define CODEC_MESSAGE_MEMORY_MAX (160u * 1024u * 1024u)

enum codec { CODEC_PROTO, CODEC_JSON };

/* What google.protobuf.Any may hold in JSON. Borrowed, static. NULL: nothing. */
struct codec_types {
	const ProtobufCMessageDescriptor *const *types;
	size_t n;
};

/* Sets the table for Any; once at start. */
void codec_set_types(const struct codec_types *types);

/* errors: ERR_INVALID with the cause; ERR_LIMIT when the arena is full. */
int codec_decode(enum codec codec, const ProtobufCMessageDescriptor *type, const uint8_t *data,
                 size_t len, struct arena *arena, ProtobufCMessage **out_message, struct err *e);

/* Failures of out stick to it (buf.h) and are the caller's to look at; -1 only for a message that
 * JSON cannot say (an Any of unknown type, a Timestamp out of range). */
int codec_encode(enum codec codec, const ProtobufCMessage *message, struct buf *out, struct err *e);
