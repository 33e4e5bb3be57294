/*
 * What the codec's files share: the four directions, and how a message is looked at through its
 * descriptor.
 *
 * A field's memory is a "slot": of the message, of an array, or of a map entry. Its C type follows
 * from the field's type: int32_t, uint32_t, int64_t, uint64_t, float, double, protobuf_c_boolean,
 * int (enums), char *, ProtobufCBinaryData, ProtobufCMessage *. Fields of a descriptor are sorted
 * by number; the well-known types are addressed by that index.
 */
#pragma once

#include <stdbool.h>

#include "base/text.h"
#include "rpc/codec.h"

int codec_proto_decode(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len,
                       struct arena *arena, ProtobufCMessage **out_message, struct err *e);
void codec_proto_encode(const ProtobufCMessage *message, struct buf *out);
/* As a member of the message that out is within. */
void codec_proto_encode_member(uint32_t number, const ProtobufCMessage *message, struct buf *out);

int codec_json_read(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len,
                    struct arena *arena, ProtobufCMessage **out_message, struct err *e);
int codec_json_write(const ProtobufCMessage *message, struct buf *out, struct err *e);

/* The type behind the last slash of a type URL; NULL if it is not in the table. */
const ProtobufCMessageDescriptor *codec_find_type(struct span url);

/* The arena is full: ERR_LIMIT. */
int codec_refuse_memory(struct err *e);

/* Types whose JSON is not that of their fields. */
enum codec_form {
	FORM_MESSAGE = 0,
	FORM_ANY,
	FORM_DURATION,
	FORM_EMPTY, /* a message like any other, but not within Any */
	FORM_FIELD_MASK,
	FORM_LIST_VALUE,
	FORM_STRUCT,
	FORM_TIMESTAMP,
	FORM_VALUE,
	FORM_WRAPPER,
};

enum codec_form codec_form_of(const ProtobufCMessageDescriptor *type);

/* google.protobuf.Value by index: its field numbers less one. */
enum { VALUE_NULL, VALUE_NUMBER, VALUE_STRING, VALUE_BOOL, VALUE_STRUCT, VALUE_LIST };

const ProtobufCMessageDescriptor *codec_field_message(const ProtobufCFieldDescriptor *field);
const ProtobufCEnumDescriptor *codec_field_enum(const ProtobufCFieldDescriptor *field);
bool codec_field_is_map(const ProtobufCMessageDescriptor *parent,
                        const ProtobufCFieldDescriptor *field);
bool codec_field_is_oneof(const ProtobufCFieldDescriptor *field);
bool codec_field_is_null_value(const ProtobufCFieldDescriptor *field); /* the enum NullValue */
size_t codec_slot_size(ProtobufCType type);

/* A singular field's slot, a repeated one's array and length, a oneof's case. */
void *codec_slot(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);
const void *codec_peek(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);
size_t *codec_count(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);
size_t codec_peek_count(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);
const uint8_t *codec_peek_array(const ProtobufCMessage *message,
                                const ProtobufCFieldDescriptor *field);
uint32_t *codec_case(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);

/* Singular: has a value that is written, be it explicit or not the default. */
bool codec_is_set(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);

/* Fields at their defaults; NULL when the arena is full. */
ProtobufCMessage *codec_message_new(const ProtobufCMessageDescriptor *type, struct arena *arena);

/*
 * Room for n more elements at the end of a repeated field, which the caller fills and counts. An
 * array has room for the next power of two, so that growing copies O(n) and leaves as much behind.
 */
void *codec_array_extend(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, size_t n,
                         struct arena *arena);

/*
 * Looks for keys that occur more than once among a map's entries. Of each such key the last entry
 * stays, in its place; returns whether there was one, or -1 when the arena is full.
 */
int codec_map_dedupe(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                     struct arena *arena);
