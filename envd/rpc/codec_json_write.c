/*
 * Writing proto3 JSON, straight into the buffer: no tree, no white space. Bytes are encoded in
 * place; text is escaped where it must be, and repaired where it is not UTF-8.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/base64.h"
#include "base/macros.h"
#include "rpc/codec_internal.h"
#include "rpc/codec_text.h"

/* Messages in Any are decoded one more time for each Any around them: all of that together. */
#define ANY_MEMORY_MAX CODEC_MESSAGE_MEMORY_MAX

struct json_writer {
	struct buf *out;
	struct err *e;
	unsigned depth;
	struct arena *arena; /* for what is in the outermost Any that we are in; else NULL */
};

static int write_message(struct json_writer *w, const ProtobufCMessage *message);

static void write_text(struct json_writer *w, const char *text)
{
	buf_append_byte(w->out, '"');
	if (text)
		json_append_string(w->out, text, strlen(text), false);
	buf_append_byte(w->out, '"');
}

static void write_bytes(struct json_writer *w, const ProtobufCBinaryData *bytes)
{
	const size_t len = BASE64_SIZE(bytes->len);
	uint8_t *at = buf_extend(w->out, len + 2);

	if (!at)
		return;
	at[0] = '"';
	base64_encode((char *)at + 1, bytes->data, bytes->len);
	at[len + 1] = '"';
}

static void write_enum(struct json_writer *w, const ProtobufCFieldDescriptor *field, int value)
{
	const ProtobufCEnumValue *known =
		protobuf_c_enum_descriptor_get_value(codec_field_enum(field), value);

	if (codec_field_is_null_value(field))
		buf_append_text(w->out, "null");
	else if (known)
		write_text(w, known->name);
	else
		text_append_i64(w->out, value);
}

static void write_i64(struct json_writer *w, int64_t value)
{
	buf_append_byte(w->out, '"');
	text_append_i64(w->out, value);
	buf_append_byte(w->out, '"');
}

static void write_u64(struct json_writer *w, uint64_t value)
{
	buf_append_byte(w->out, '"');
	text_append_u64(w->out, value);
	buf_append_byte(w->out, '"');
}

static int write_value(struct json_writer *w, const ProtobufCFieldDescriptor *field,
                       const void *slot)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		text_append_i64(w->out, *(const int32_t *)slot);
		return 0;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		text_append_u64(w->out, *(const uint32_t *)slot);
		return 0;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		write_i64(w, *(const int64_t *)slot);
		return 0;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		write_u64(w, *(const uint64_t *)slot);
		return 0;
	case PROTOBUF_C_TYPE_FLOAT:
		text_append_double(w->out, *(const float *)slot, true);
		return 0;
	case PROTOBUF_C_TYPE_DOUBLE:
		text_append_double(w->out, *(const double *)slot, false);
		return 0;
	case PROTOBUF_C_TYPE_BOOL:
		buf_append_text(w->out, *(const protobuf_c_boolean *)slot ? "true" : "false");
		return 0;
	case PROTOBUF_C_TYPE_ENUM:
		write_enum(w, field, *(const int *)slot);
		return 0;
	case PROTOBUF_C_TYPE_STRING:
		write_text(w, *(char *const *)slot);
		return 0;
	case PROTOBUF_C_TYPE_BYTES:
		write_bytes(w, slot);
		return 0;
	default:
		return write_message(w, *(ProtobufCMessage *const *)slot);
	}
}

static int write_list(struct json_writer *w, const ProtobufCMessage *message,
                      const ProtobufCFieldDescriptor *field)
{
	const uint8_t *array = codec_peek_array(message, field);
	const size_t size = codec_slot_size(field->type);

	buf_append_byte(w->out, '[');
	for (size_t i = 0; i < codec_peek_count(message, field); i++) {
		if (i > 0)
			buf_append_byte(w->out, ',');
		if (write_value(w, field, array + i * size) < 0)
			return -1;
	}
	buf_append_byte(w->out, ']');
	return 0;
}

/* Keys are strings, whatever their type. */
static int write_key(struct json_writer *w, const ProtobufCFieldDescriptor *field, const void *slot)
{
	const bool quoted = field->type == PROTOBUF_C_TYPE_STRING ||
	                    codec_slot_size(field->type) == sizeof(uint64_t);

	if (quoted)
		return write_value(w, field, slot);
	buf_append_byte(w->out, '"');
	if (write_value(w, field, slot) < 0)
		return -1;
	buf_append_byte(w->out, '"');
	return 0;
}

static int write_entries(struct json_writer *w, const ProtobufCMessage *message,
                         const ProtobufCFieldDescriptor *field)
{
	ProtobufCMessage *const *entries =
		*(ProtobufCMessage *const *const *)codec_peek(message, field);
	const ProtobufCFieldDescriptor *members = codec_field_message(field)->fields;

	buf_append_byte(w->out, '{');
	for (size_t i = 0; i < codec_peek_count(message, field); i++) {
		if (i > 0)
			buf_append_byte(w->out, ',');
		if (write_key(w, &members[0], codec_peek(entries[i], &members[0])) < 0)
			return -1;
		buf_append_byte(w->out, ':');
		if (write_value(w, &members[1], codec_peek(entries[i], &members[1])) < 0)
			return -1;
	}
	buf_append_byte(w->out, '}');
	return 0;
}

/* The entry counts as a level, as it does for those who read. */
static int write_map(struct json_writer *w, const ProtobufCMessage *message,
                     const ProtobufCFieldDescriptor *field)
{
	int rc;

	w->depth++;
	rc = write_entries(w, message, field);
	w->depth--;
	return rc;
}

static void write_name(struct json_writer *w, const char *name, bool *first)
{
	text_append_member(w->out, *first ? '\0' : ',', name);
	*first = false;
}

/* The members of an object that is open; first: none is in it yet. */
static int write_fields(struct json_writer *w, const ProtobufCMessage *message, bool first)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;
	int rc;

	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];
		const bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;

		if (repeated ? codec_peek_count(message, field) == 0
		             : !codec_is_set(message, field))
			continue;
		write_name(w, field->name, &first);
		if (!repeated)
			rc = write_value(w, field, codec_peek(message, field));
		else if (codec_field_is_map(type, field))
			rc = write_map(w, message, field);
		else
			rc = write_list(w, message, field);
		if (rc < 0)
			return -1;
	}
	return 0;
}

static int write_object(struct json_writer *w, const ProtobufCMessage *message)
{
	buf_append_byte(w->out, '{');
	if (write_fields(w, message, true) < 0)
		return -1;
	buf_append_byte(w->out, '}');
	return 0;
}

static int refuse(struct json_writer *w, const ProtobufCMessage *message, const char *why)
{
	return err_set(w->e, ERR_INTERNAL, "proto: %s: %s", message->descriptor->name, why);
}

static int enter(struct json_writer *w, const ProtobufCMessage *message)
{
	if (w->depth >= CODEC_PROTO_DEPTH_MAX)
		return refuse(w, message, "exceeded max recursion depth");
	w->depth++;
	return 0;
}

static int write_time(struct json_writer *w, const ProtobufCMessage *message,
                      int (*append)(struct buf *out, int64_t seconds, int32_t nanos))
{
	const ProtobufCFieldDescriptor *fields = message->descriptor->fields;
	const int64_t *seconds = codec_peek(message, &fields[0]);
	const int32_t *nanos = codec_peek(message, &fields[1]);

	buf_append_byte(w->out, '"');
	if (append(w->out, *seconds, *nanos) < 0)
		return refuse(w, message, "out of range");
	buf_append_byte(w->out, '"');
	return 0;
}

static int write_field_mask(struct json_writer *w, const ProtobufCMessage *message)
{
	const ProtobufCFieldDescriptor *field = &message->descriptor->fields[0];
	char *const *paths = *(char *const *const *)codec_peek(message, field);

	buf_append_byte(w->out, '"');
	for (size_t i = 0; i < codec_peek_count(message, field); i++) {
		if (i > 0)
			buf_append_byte(w->out, ',');
		if (text_append_path_camel(w->out, span_of(paths[i])) < 0)
			return refuse(w, message, "contains irreversible value");
	}
	buf_append_byte(w->out, '"');
	return 0;
}

static int write_any_value(struct json_writer *w, const ProtobufCMessage *inner)
{
	int rc;

	if (codec_form_of(inner->descriptor) != FORM_MESSAGE) {
		buf_append_text(w->out, ",\"value\":");
		return write_message(w, inner);
	}
	if (enter(w, inner) < 0)
		return -1;
	rc = write_fields(w, inner, false);
	w->depth--;
	return rc;
}

static int write_any_content(struct json_writer *w, const ProtobufCMessage *any, const char *url,
                             const ProtobufCBinaryData *value)
{
	const ProtobufCMessageDescriptor *type = codec_find_type(span_of(url));
	ProtobufCMessage *inner;

	if (!type)
		return err_set(w->e, ERR_INTERNAL, "proto: %s: unable to resolve \"%s\"",
		               any->descriptor->name, url);
	if (codec_proto_decode(type, value->data, value->len, w->arena, &inner, w->e) < 0)
		return err_wrap(w->e, "proto: %s: unable to unmarshal \"%s\"",
		                any->descriptor->name, url);
	buf_append_text(w->out, "{\"@type\":");
	write_text(w, url);
	if (write_any_value(w, inner) < 0)
		return -1;
	buf_append_byte(w->out, '}');
	return 0;
}

static int write_any(struct json_writer *w, const ProtobufCMessage *any)
{
	const ProtobufCFieldDescriptor *fields = any->descriptor->fields;
	const char *url = *(char *const *)codec_peek(any, &fields[0]);
	const ProtobufCBinaryData *value = codec_peek(any, &fields[1]);
	struct arena arena;
	int rc;

	if (span_of(url).len == 0 && value->len == 0) {
		buf_append_text(w->out, "{}");
		return 0;
	}
	if (span_of(url).len == 0)
		return refuse(w, any, "type_url is not set");
	if (w->arena)
		return write_any_content(w, any, url, value);
	arena_init(&arena, ANY_MEMORY_MAX, NULL, 0);
	w->arena = &arena;
	rc = write_any_content(w, any, url, value);
	w->arena = NULL;
	arena_deinit(&arena);
	return rc;
}

/* google.protobuf.Value: the member that is set, bare. */
static int write_dynamic(struct json_writer *w, const ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;

	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];
		const void *slot = codec_peek(message, field);

		if (!codec_is_set(message, field))
			continue;
		if (i == VALUE_NUMBER && !isfinite(*(const double *)slot))
			return refuse(w, message, "number_value is not finite");
		return write_value(w, field, slot);
	}
	return refuse(w, message, "none of the oneof fields is set");
}

static int write_form(struct json_writer *w, const ProtobufCMessage *message)
{
	const ProtobufCFieldDescriptor *fields = message->descriptor->fields;

	switch (codec_form_of(message->descriptor)) {
	case FORM_ANY:
		return write_any(w, message);
	case FORM_DURATION:
		return write_time(w, message, text_append_duration);
	case FORM_TIMESTAMP:
		return write_time(w, message, text_append_timestamp);
	case FORM_FIELD_MASK:
		return write_field_mask(w, message);
	case FORM_LIST_VALUE:
		return write_list(w, message, &fields[0]);
	case FORM_STRUCT:
		return write_map(w, message, &fields[0]);
	case FORM_VALUE:
		return write_dynamic(w, message);
	case FORM_WRAPPER:
		return write_value(w, &fields[0], codec_peek(message, &fields[0]));
	default:
		return write_object(w, message);
	}
}

static int write_message(struct json_writer *w, const ProtobufCMessage *message)
{
	int rc;

	if (enter(w, message) < 0)
		return -1;
	rc = write_form(w, message);
	w->depth--;
	return rc;
}

int codec_json_write(const ProtobufCMessage *message, struct buf *out, struct err *e)
{
	struct json_writer w = { .out = out, .e = e };

	return write_message(&w, message);
}
