/*
 * Writing the binary coding: protobuf-c's, with one copy of each string and bytes.
 *
 * A message with text that is not UTF-8 is written from a copy of it in which that is repaired;
 * there should be none, so what is paid for each message is looking.
 */
#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "rpc/codec_internal.h"

#define WIRE_BYTES 2u /* the wire type of strings, bytes and messages */

static bool is_text_valid(const ProtobufCMessage *message);

static bool is_slot_valid(const ProtobufCFieldDescriptor *field, const void *slot)
{
	const char *text;

	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		return is_text_valid(*(ProtobufCMessage *const *)slot);
	text = *(char *const *)slot;
	return utf8_is_valid(text, strlen(text));
}

static bool is_text_valid(const ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;

	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];

		if (field->type != PROTOBUF_C_TYPE_MESSAGE && field->type != PROTOBUF_C_TYPE_STRING)
			continue;
		if (field->label != PROTOBUF_C_LABEL_REPEATED) {
			if (codec_is_set(message, field) &&
			    !is_slot_valid(field, codec_peek(message, field)))
				return false;
			continue;
		}
		for (size_t n = 0; n < codec_peek_count(message, field); n++) {
			if (!is_slot_valid(field,
			                   codec_peek_array(message, field) + n * sizeof(void *)))
				return false;
		}
	}
	return true;
}

static ProtobufCMessage *repaired_copy(const ProtobufCMessage *message, struct arena *arena);

static bool repair_slot(const ProtobufCFieldDescriptor *field, void *slot, struct arena *arena)
{
	ProtobufCMessage **message = slot;
	char **text = slot;
	struct buf repaired;

	if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
		*message = repaired_copy(*message, arena);
		return *message;
	}
	if (utf8_is_valid(*text, strlen(*text)))
		return true;
	buf_init(&repaired, CODEC_MESSAGE_MEMORY_MAX);
	utf8_append_repaired(&repaired, *text, strlen(*text));
	*text = buf_error(&repaired)
	                ? NULL
	                : arena_strndup(arena, (const char *)repaired.data, repaired.len);
	buf_deinit(&repaired);
	return *text;
}

static bool repair_array(const ProtobufCFieldDescriptor *field, ProtobufCMessage *message,
                         struct arena *arena)
{
	const size_t n = codec_peek_count(message, field);
	uint8_t **array = codec_slot(message, field);
	uint8_t *copy;

	if (n == 0)
		return true;
	copy = arena_alloc(arena, n * sizeof(void *));
	if (!copy)
		return false;
	memcpy(copy, *array, n * sizeof(void *));
	*array = copy;
	for (size_t i = 0; i < n; i++) {
		if (!repair_slot(field, copy + i * sizeof(void *), arena))
			return false;
	}
	return true;
}

/* NULL when the arena is full. Bytes and numbers are shared with the original. */
static ProtobufCMessage *repaired_copy(const ProtobufCMessage *message, struct arena *arena)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;
	ProtobufCMessage *copy = arena_alloc(arena, type->sizeof_message);

	if (!copy)
		return NULL;
	memcpy(copy, message, type->sizeof_message);
	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];

		if (field->type != PROTOBUF_C_TYPE_MESSAGE && field->type != PROTOBUF_C_TYPE_STRING)
			continue;
		if (field->label == PROTOBUF_C_LABEL_REPEATED) {
			if (!repair_array(field, copy, arena))
				return NULL;
		} else if (codec_is_set(copy, field) &&
		           !repair_slot(field, codec_slot(copy, field), arena)) {
			return NULL;
		}
	}
	return copy;
}

struct buf_sink {
	ProtobufCBuffer base;
	struct buf *out;
};

static void sink_append(ProtobufCBuffer *base, size_t len, const uint8_t *data)
{
	struct buf_sink *sink = CONTAINER_OF(base, struct buf_sink, base);

	buf_append(sink->out, data, len);
}

static void put_varint(struct buf *out, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		buf_append_byte(out, (uint8_t)(value | 0x80));
	buf_append_byte(out, (uint8_t)value);
}

/* As member number `member` of a message around it; 0: there is none. */
static void pack(const ProtobufCMessage *message, uint32_t member, struct buf *out)
{
	struct buf_sink sink = { { sink_append }, out };
	const size_t size = protobuf_c_message_get_packed_size(message);

	if (member > 0) {
		put_varint(out, (uint64_t)member << 3 | WIRE_BYTES);
		put_varint(out, size);
	}
	if (buf_reserve(out, size) == 0)
		protobuf_c_message_pack_to_buffer(message, &sink.base);
}

static void encode(const ProtobufCMessage *message, uint32_t member, struct buf *out)
{
	const ProtobufCMessage *copy;
	struct arena arena;

	if (is_text_valid(message)) {
		pack(message, member, out);
		return;
	}
	arena_init(&arena, CODEC_MESSAGE_MEMORY_MAX, NULL, 0);
	copy = repaired_copy(message, &arena);
	if (copy)
		pack(copy, member, out);
	else if (!out->error)
		out->error = -ENOMEM;
	arena_deinit(&arena);
}

void codec_proto_encode(const ProtobufCMessage *message, struct buf *out)
{
	encode(message, 0, out);
}

void codec_proto_encode_member(uint32_t number, const ProtobufCMessage *message, struct buf *out)
{
	encode(message, number, out);
}
