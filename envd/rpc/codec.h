/*
 * Messages to bytes and back, in protobuf and in proto3 JSON, driven by protobuf-c descriptors.
 * Pure: no call, no connection, no loop.
 *
 * Decoding puts the message into an arena, whose limit is the limit on what a small input can
 * blow up to. Strict as wire.md 5.5: invalid UTF-8, duplicate keys, conflicting oneof members,
 * wrong types and messages nested beyond CODEC_PROTO_DEPTH_MAX are ERR_INVALID; unknown fields are
 * skipped, those of JSON down to JSON_DEPTH_MAX (base/json.h). A string with a NUL byte is refused,
 * because protobuf-c's strings end at one. The input is read only and may go away afterwards: JSON
 * is copied into the arena once and parsed there, its strings and bytes stay in that copy.
 *
 * Encoding appends to a buf; bytes fields of JSON are base64 straight into it. Strings that are
 * not UTF-8 are repaired with U+FFFD in both codings.
 *
 * Maps are repeated entry messages (protobuf-c knows no maps); an entry is recognised by its
 * descriptor. A decoded map has each key once: JSON that repeats one is refused, in protobuf the
 * last entry counts. `optional` is a oneof of one member (dependencies.md 0.1).
 *
 * protobuf-c's own ways when encoding: a oneof's string that points to protobuf_c_empty_string is
 * left out in protobuf (any other "" is written), and -0 is taken for the default 0.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

/* Messages in messages, in both codings and directions, map entries included: these recurse. None of
 * envd's own nests deeper than five; 100 is what other implementations take at the least. */
#define CODEC_PROTO_DEPTH_MAX 100u

/* Bytes a decoded message may take: the largest accepted body as bytes field, and room. */
#define CODEC_MESSAGE_MEMORY_MAX (160u * 1024u * 1024u)

enum codec { CODEC_PROTO, CODEC_JSON };

/* What google.protobuf.Any may hold in JSON. Borrowed, static. NULL: nothing. */
struct codec_types {
	const ProtobufCMessageDescriptor *const *types;
	size_t n;
};

/* Sets the table for Any, borrowed; once at start. Well-known types are not in it by themselves. */
void codec_set_types(const struct codec_types *types);

/*
 * errors: ERR_INVALID with the cause, beginning as the reference's does after "unmarshal message: ";
 * ERR_LIMIT when the arena is full or JSON has more values than base/json.h takes.
 */
int codec_decode(enum codec codec, const ProtobufCMessageDescriptor *type, const uint8_t *data,
                 size_t len, struct arena *arena, ProtobufCMessage **out_message, struct err *e);

/* Failures of out stick to it (buf.h) and are the caller's to look at; -1 only for a message that
 * JSON cannot say (an Any of unknown type, a Timestamp out of range). */
int codec_encode(enum codec codec, const ProtobufCMessage *message, struct buf *out, struct err *e);

/*
 * A message whose only field is a list of messages, element by element: for lists that are never in
 * memory as a whole. As codec_encode; codec_list_end writes what stands behind the last one.
 */
struct codec_list {
	enum codec codec;
	const ProtobufCMessageDescriptor *type;
	size_t n; /* elements written */
};

int codec_list_add(struct codec_list *list, const ProtobufCMessage *element, struct buf *out,
                   struct err *e);
void codec_list_end(const struct codec_list *list, struct buf *out);
