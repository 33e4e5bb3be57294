/*
 * Reading the binary coding.
 *
 * It is our own, in one pass: protobuf_c_message_unpack checks no UTF-8 and no depth, keeps
 * unknown fields, refuses groups, and takes 40 bytes for each field on the wire before it knows
 * what is in it. As the specification has it: a field with the wrong wire type is an unknown one,
 * repeated numbers may come packed or not, a message that comes twice is merged, of a scalar or a
 * map key that comes twice the last counts.
 */
#include <string.h>

#include "rpc/codec_internal.h"

#define FIELD_MAX ((1u << 29) - 1) /* highest field number */

enum wire_type { WIRE_VARINT, WIRE_FIXED64, WIRE_BYTES, WIRE_GROUP, WIRE_GROUP_END, WIRE_FIXED32 };

struct proto_reader {
	struct arena *arena;
	struct err *e;
	unsigned depth; /* messages and unknown groups that we are in */
};

/* What is left of a message. */
struct proto_input {
	const uint8_t *at, *end;
};

struct proto_tag {
	uint32_t field;
	enum wire_type wire;
};

static int refuse_wire(struct proto_reader *r, const char *why)
{
	(void)err_set(r->e, ERR_INVALID, "proto: cannot parse invalid wire-format data: %s", why);
	return -1;
}

static int take_varint(struct proto_reader *r, struct proto_input *in, uint64_t *out_value)
{
	uint64_t value = 0;

	for (unsigned shift = 0; in->at < in->end; shift += 7) {
		uint8_t byte = *in->at++;

		if (shift == 63 && byte > 1)
			return refuse_wire(r, "variable length integer overflow");
		value |= (uint64_t)(byte & 0x7F) << shift;
		if (byte < 0x80) {
			*out_value = value;
			return 0;
		}
	}
	return refuse_wire(r, "unexpected EOF");
}

static int take_bytes(struct proto_reader *r, struct proto_input *in, size_t len,
                      struct proto_input *out_bytes)
{
	if (len > (size_t)(in->end - in->at))
		return refuse_wire(r, "unexpected EOF");
	*out_bytes = (struct proto_input){ in->at, in->at + len };
	in->at += len;
	return 0;
}

static int take_delimited(struct proto_reader *r, struct proto_input *in,
                          struct proto_input *out_bytes)
{
	uint64_t len;

	if (take_varint(r, in, &len) < 0)
		return -1;
	return take_bytes(r, in, len, out_bytes);
}

/* Little-endian, as all machines that we run on. */
static int take_fixed(struct proto_reader *r, struct proto_input *in, void *out_value, size_t size)
{
	struct proto_input bytes = { 0 };

	if (take_bytes(r, in, size, &bytes) < 0)
		return -1;
	memcpy(out_value, bytes.at, size);
	return 0;
}

static int take_tag(struct proto_reader *r, struct proto_input *in, struct proto_tag *out_tag)
{
	uint64_t value;

	if (take_varint(r, in, &value) < 0)
		return -1;
	if (value >> 3 == 0 || value >> 3 > FIELD_MAX)
		return refuse_wire(r, "invalid field number");
	if ((value & 7) > WIRE_FIXED32)
		return refuse_wire(r, "invalid wire type");
	*out_tag = (struct proto_tag){ (uint32_t)(value >> 3), (enum wire_type)(value & 7) };
	return 0;
}

static int enter(struct proto_reader *r)
{
	if (r->depth == CODEC_PROTO_DEPTH_MAX)
		return refuse_wire(r, "exceeded maximum recursion depth");
	r->depth++;
	return 0;
}

static int skip_group(struct proto_reader *r, struct proto_input *in, uint32_t field);

static int skip(struct proto_reader *r, struct proto_input *in, struct proto_tag tag)
{
	struct proto_input ignored;
	uint64_t number;

	switch (tag.wire) {
	case WIRE_VARINT:
		return take_varint(r, in, &number);
	case WIRE_FIXED64:
		return take_bytes(r, in, sizeof(uint64_t), &ignored);
	case WIRE_FIXED32:
		return take_bytes(r, in, sizeof(uint32_t), &ignored);
	case WIRE_BYTES:
		return take_delimited(r, in, &ignored);
	case WIRE_GROUP:
		return skip_group(r, in, tag.field);
	default:
		return refuse_wire(r, "mismatching end group marker");
	}
}

static int skip_group(struct proto_reader *r, struct proto_input *in, uint32_t field)
{
	struct proto_tag tag;

	if (enter(r) < 0)
		return -1;
	for (;;) {
		if (take_tag(r, in, &tag) < 0)
			return -1;
		if (tag.wire == WIRE_GROUP_END && tag.field == field)
			break;
		if (skip(r, in, tag) < 0)
			return -1;
	}
	r->depth--;
	return 0;
}

static enum wire_type wire_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return WIRE_FIXED32;
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return WIRE_FIXED64;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return WIRE_BYTES;
	default:
		return WIRE_VARINT;
	}
}

static int read_number(struct proto_reader *r, struct proto_input *in, ProtobufCType type,
                       void *slot)
{
	uint64_t number;

	if (wire_of(type) != WIRE_VARINT)
		return take_fixed(r, in, slot, codec_slot_size(type));
	if (take_varint(r, in, &number) < 0)
		return -1;
	switch (type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
		*(uint64_t *)slot = number;
		return 0;
	case PROTOBUF_C_TYPE_SINT64:
		*(uint64_t *)slot = number >> 1 ^ -(number & 1);
		return 0;
	case PROTOBUF_C_TYPE_SINT32:
		*(uint32_t *)slot = (uint32_t)number >> 1 ^ -((uint32_t)number & 1);
		return 0;
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)slot = number != 0;
		return 0;
	default:
		*(uint32_t *)slot = (uint32_t)number;
		return 0;
	}
}

static int read_string(struct proto_reader *r, const ProtobufCFieldDescriptor *field,
                       struct proto_input text, char **slot)
{
	const size_t len = (size_t)(text.end - text.at);
	char *copy;

	if (!utf8_is_valid((const char *)text.at, len))
		return err_set(r->e, ERR_INVALID, "proto: field %s contains invalid UTF-8",
		               field->name);
	if (len > 0 && memchr(text.at, '\0', len))
		return err_set(r->e, ERR_INVALID, "proto: field %s contains a NUL byte",
		               field->name);
	copy = arena_strndup(r->arena, (const char *)text.at, len);
	if (!copy)
		return codec_refuse_memory(r->e);
	*slot = copy;
	return 0;
}

static int read_bytes(struct proto_reader *r, struct proto_input bytes, ProtobufCBinaryData *slot)
{
	const size_t len = (size_t)(bytes.end - bytes.at);
	uint8_t *copy = NULL;

	if (len > 0) {
		copy = arena_alloc(r->arena, len);
		if (!copy)
			return codec_refuse_memory(r->e);
		memcpy(copy, bytes.at, len);
	}
	*slot = (ProtobufCBinaryData){ len, copy };
	return 0;
}

static int read_message(struct proto_reader *r, struct proto_input in, ProtobufCMessage *message);

/* The message in slot takes more fields; if there is none yet, it is a new one. */
static int read_submessage(struct proto_reader *r, const ProtobufCFieldDescriptor *field,
                           struct proto_input in, ProtobufCMessage **slot)
{
	if (!*slot)
		*slot = codec_message_new(codec_field_message(field), r->arena);
	if (!*slot)
		return codec_refuse_memory(r->e);
	return read_message(r, in, *slot);
}

static int read_value(struct proto_reader *r, const ProtobufCFieldDescriptor *field,
                      struct proto_input *in, void *slot)
{
	struct proto_input bytes;

	if (wire_of(field->type) != WIRE_BYTES)
		return read_number(r, in, field->type, slot);
	if (take_delimited(r, in, &bytes) < 0)
		return -1;
	if (field->type == PROTOBUF_C_TYPE_STRING)
		return read_string(r, field, bytes, slot);
	if (field->type == PROTOBUF_C_TYPE_BYTES)
		return read_bytes(r, bytes, slot);
	return read_submessage(r, field, bytes, slot);
}

static int read_element(struct proto_reader *r, const ProtobufCFieldDescriptor *field,
                        struct proto_input *in, ProtobufCMessage *message)
{
	void *slot = codec_array_extend(message, field, 1, r->arena);

	if (!slot)
		return codec_refuse_memory(r->e);
	memset(slot, 0, codec_slot_size(field->type));
	if (read_value(r, field, in, slot) < 0)
		return -1;
	++*codec_count(message, field);
	return 0;
}

/* How many numbers are in a packed field: of varints, as many as bytes that end one. */
static size_t count_packed(struct proto_input in, ProtobufCType type)
{
	size_t n = 0;

	if (wire_of(type) != WIRE_VARINT)
		return (size_t)(in.end - in.at) / codec_slot_size(type);
	for (; in.at < in.end; in.at++)
		n += *in.at < 0x80;
	return n;
}

static int read_packed(struct proto_reader *r, const ProtobufCFieldDescriptor *field,
                       struct proto_input *in, ProtobufCMessage *message)
{
	const size_t size = codec_slot_size(field->type);
	struct proto_input packed;
	uint8_t *slot;
	size_t n;

	if (take_delimited(r, in, &packed) < 0)
		return -1;
	n = count_packed(packed, field->type);
	if (n == 0 && packed.at < packed.end)
		return refuse_wire(r, "unexpected EOF");
	if (n == 0)
		return 0;
	slot = codec_array_extend(message, field, n, r->arena);
	if (!slot)
		return codec_refuse_memory(r->e);
	for (; packed.at < packed.end; slot += size) {
		if (read_number(r, &packed, field->type, slot) < 0)
			return -1;
	}
	*codec_count(message, field) += n;
	return 0;
}

static int read_oneof(struct proto_reader *r, const ProtobufCFieldDescriptor *field,
                      struct proto_input *in, ProtobufCMessage *message)
{
	void *slot = codec_slot(message, field);

	if (*codec_case(message, field) != field->id) {
		memset(slot, 0, codec_slot_size(field->type));
		*codec_case(message, field) = field->id;
	}
	return read_value(r, field, in, slot);
}

static int read_field(struct proto_reader *r, struct proto_tag tag, struct proto_input *in,
                      ProtobufCMessage *message)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field(message->descriptor, tag.field);
	const bool repeated = field && field->label == PROTOBUF_C_LABEL_REPEATED;

	if (repeated && tag.wire == WIRE_BYTES && wire_of(field->type) != WIRE_BYTES)
		return read_packed(r, field, in, message);
	if (!field || tag.wire != wire_of(field->type))
		return skip(r, in, tag);
	if (repeated)
		return read_element(r, field, in, message);
	if (codec_field_is_oneof(field))
		return read_oneof(r, field, in, message);
	return read_value(r, field, in, codec_slot(message, field));
}

/* An entry without a value has the default one; of messages too. */
static int complete_entry(struct proto_reader *r, ProtobufCMessage *entry)
{
	const ProtobufCFieldDescriptor *field = &entry->descriptor->fields[1];
	ProtobufCMessage **slot = codec_slot(entry, field);

	if (field->type == PROTOBUF_C_TYPE_MESSAGE && !*slot)
		*slot = codec_message_new(codec_field_message(field), r->arena);
	if (field->type == PROTOBUF_C_TYPE_MESSAGE && !*slot)
		return codec_refuse_memory(r->e);
	return 0;
}

static int finish_map(struct proto_reader *r, const ProtobufCFieldDescriptor *field,
                      ProtobufCMessage *message)
{
	ProtobufCMessage **entries = *(ProtobufCMessage ***)codec_slot(message, field);

	if (codec_map_dedupe(message, field, r->arena) < 0)
		return codec_refuse_memory(r->e);
	for (size_t i = 0; i < codec_peek_count(message, field); i++) {
		if (complete_entry(r, entries[i]) < 0)
			return -1;
	}
	return 0;
}

static int finish_message(struct proto_reader *r, ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;

	for (unsigned i = 0; i < type->n_fields; i++) {
		if (codec_field_is_map(type, &type->fields[i]) &&
		    finish_map(r, &type->fields[i], message) < 0)
			return -1;
	}
	return 0;
}

static int read_message(struct proto_reader *r, struct proto_input in, ProtobufCMessage *message)
{
	struct proto_tag tag;

	if (enter(r) < 0)
		return -1;
	while (in.at < in.end) {
		if (take_tag(r, &in, &tag) < 0 || read_field(r, tag, &in, message) < 0)
			return -1;
	}
	r->depth--;
	return finish_message(r, message);
}

int codec_proto_decode(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len,
                       struct arena *arena, ProtobufCMessage **out_message, struct err *e)
{
	struct proto_reader r = { .arena = arena, .e = e };
	ProtobufCMessage *message = codec_message_new(type, arena);

	if (!message)
		return codec_refuse_memory(e);
	if (len > 0 && read_message(&r, (struct proto_input){ data, data + len }, message) < 0)
		return -1;
	*out_message = message;
	return 0;
}
