/*
 * Reading proto3 JSON as Go's protojson does, unknown fields ignored (wire.md 5.5).
 *
 * The text is copied into the arena once and parsed there; the tree over it is gone when the
 * message is there.
 *
 *   names      lowerCamelCase or as in the .proto file; the same field twice is an error
 *   null       no value; an error as element, map value and message; a value of
 *              google.protobuf.Value and NullValue
 *   oneof      two members that are not null are an error
 *   map        the same key twice is an error
 */
#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "rpc/codec_json.h"
#include "rpc/codec_text.h"

#define SEEN_BITS 64u /* fields of a message that need no memory to be remembered as seen */

int json_refuse_token(struct json_reader *r, const struct json *value)
{
	const struct json_token token = json_token_of(value);

	return err_set(r->e, ERR_INVALID, "proto: unexpected token %s%.*s%s", token.quote,
	               (int)token.text.len, token.text.at, token.quote);
}

/* null is a value there and not the absence of one. */
static bool takes_null(const ProtobufCFieldDescriptor *field)
{
	const ProtobufCMessageDescriptor *type = codec_field_message(field);

	return codec_field_is_null_value(field) || (type && codec_form_of(type) == FORM_VALUE);
}

/* As json_read_scalar, and for messages. */
int json_read_value(struct json_reader *r, const ProtobufCFieldDescriptor *field,
                    const struct json *value, void *slot)
{
	ProtobufCMessage *message;

	if (field->type != PROTOBUF_C_TYPE_MESSAGE)
		return json_read_scalar(r, field, value, slot);
	message = codec_message_new(codec_field_message(field), r->arena);
	if (!message)
		return codec_refuse_memory(r->e);
	if (json_read_message(r, message, value) < 0)
		return -1;
	*(ProtobufCMessage **)slot = message;
	return 1;
}

int json_read_list(struct json_reader *r, ProtobufCMessage *message,
                   const ProtobufCFieldDescriptor *field, const struct json *list)
{
	const size_t size = codec_slot_size(field->type);
	const struct json *value;
	struct json_iter it;
	struct span no_key;
	uint8_t *slot;
	int rc;

	if (json_type(list) != JSON_ARRAY)
		return json_refuse_token(r, list);
	if (json_count(list) == 0)
		return 0;
	slot = codec_array_extend(message, field, json_count(list), r->arena);
	if (!slot)
		return codec_refuse_memory(r->e);
	for (value = json_first(&it, list, &no_key); value; value = json_next(&it, &no_key)) {
		rc = json_read_value(r, field, value, slot);
		if (rc < 0)
			return -1;
		if (rc == 0)
			continue;
		slot += size;
		++*codec_count(message, field);
	}
	return 0;
}

static int read_entry(struct json_reader *r, ProtobufCMessage *entry, struct span key,
                      const struct json *value)
{
	const ProtobufCFieldDescriptor *members = entry->descriptor->fields;

	if (json_read_key(r, &members[0], key, codec_slot(entry, &members[0])) < 0)
		return -1;
	return json_read_value(r, &members[1], value, codec_slot(entry, &members[1]));
}

static int read_entries(struct json_reader *r, ProtobufCMessage *message,
                        const ProtobufCFieldDescriptor *field, const struct json *object)
{
	const struct json *value;
	struct json_iter it;
	struct span key;
	ProtobufCMessage **slot;
	int rc;

	slot = codec_array_extend(message, field, json_count(object), r->arena);
	if (!slot)
		return codec_refuse_memory(r->e);
	for (value = json_first(&it, object, &key); value; value = json_next(&it, &key)) {
		*slot = codec_message_new(codec_field_message(field), r->arena);
		if (!*slot)
			return codec_refuse_memory(r->e);
		rc = read_entry(r, *slot, key, value);
		if (rc < 0)
			return -1;
		if (rc == 0)
			continue;
		slot++;
		++*codec_count(message, field);
	}
	return 0;
}

int json_read_map(struct json_reader *r, ProtobufCMessage *message,
                  const ProtobufCFieldDescriptor *field, const struct json *object)
{
	int rc;

	if (json_type(object) != JSON_OBJECT)
		return json_refuse_token(r, object);
	if (json_count(object) == 0)
		return 0;
	r->depth++; /* the entry's: both codings count alike */
	rc = read_entries(r, message, field, object);
	r->depth--;
	if (rc < 0)
		return -1;
	rc = codec_map_dedupe(message, field, r->arena);
	if (rc < 0)
		return codec_refuse_memory(r->e);
	if (rc > 0)
		return err_set(r->e, ERR_INVALID, "proto: duplicate map key in field %s",
		               field->name);
	return 0;
}

int json_read_oneof(struct json_reader *r, ProtobufCMessage *message,
                    const ProtobufCFieldDescriptor *field, const struct json *value)
{
	int rc;

	if (*codec_case(message, field) != 0)
		return err_set(r->e, ERR_INVALID,
		               "proto: error parsing \"%s\", oneof is already set", field->name);
	rc = json_read_value(r, field, value, codec_slot(message, field));
	if (rc > 0)
		*codec_case(message, field) = field->id;
	return rc;
}

static int read_field(struct json_reader *r, ProtobufCMessage *message,
                      const ProtobufCFieldDescriptor *field, const struct json *value)
{
	if (json_type(value) == JSON_NULL && !takes_null(field))
		return 0;
	if (codec_field_is_map(message->descriptor, field))
		return json_read_map(r, message, field, value);
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return json_read_list(r, message, field, value);
	if (codec_field_is_oneof(field))
		return json_read_oneof(r, message, field, value);
	return json_read_value(r, field, value, codec_slot(message, field));
}

/* Both names begin alike, so that most fields are passed over at the first letter. */
static bool has_name(const ProtobufCFieldDescriptor *field, struct span name)
{
	const char first = name.len > 0 ? name.at[0] : '\0';

	if (field->name[0] != first && field->name[0] != '_')
		return false;
	return text_equal_camel(name, field->name) || span_equal(name, field->name);
}

/* The index of the field, or n_fields. */
static unsigned find_field(const ProtobufCMessageDescriptor *type, struct span name)
{
	unsigned i;

	for (i = 0; i < type->n_fields; i++) {
		if (has_name(&type->fields[i], name))
			break;
	}
	return i;
}

static int read_members(struct json_reader *r, ProtobufCMessage *message, const struct json *object,
                        uint64_t *seen)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;
	const struct json *value;
	struct json_iter it;
	struct span key;

	for (value = json_first(&it, object, &key); value; value = json_next(&it, &key)) {
		const unsigned i = find_field(type, key);
		const uint64_t bit = (uint64_t)1 << i % SEEN_BITS;

		if (i == type->n_fields)
			continue;
		if (seen[i / SEEN_BITS] & bit)
			return err_set(r->e, ERR_INVALID, "proto: duplicate field \"%.*s\"",
			               (int)key.len, key.at);
		seen[i / SEEN_BITS] |= bit;
		if (read_field(r, message, &type->fields[i], value) < 0)
			return -1;
	}
	return 0;
}

int json_read_object(struct json_reader *r, ProtobufCMessage *message, const struct json *object)
{
	const unsigned n_fields = message->descriptor->n_fields;
	uint64_t few = 0, *seen = &few;

	if (json_type(object) != JSON_OBJECT)
		return json_refuse_token(r, object);
	if (n_fields > SEEN_BITS)
		seen = arena_calloc(r->arena, (n_fields / SEEN_BITS + 1) * sizeof *seen);
	if (!seen)
		return codec_refuse_memory(r->e);
	return read_members(r, message, object, seen);
}

int json_read_message(struct json_reader *r, ProtobufCMessage *message, const struct json *value)
{
	int rc;

	if (r->depth >= CODEC_PROTO_DEPTH_MAX)
		return err_set(r->e, ERR_INVALID, "proto: exceeded max recursion depth");
	r->depth++;
	rc = json_read_form(r, message, value);
	r->depth--;
	return rc;
}

/* Line and column from the bytes as they came: parsing has changed its own. */
static int refuse_syntax(const struct json_doc *doc, const uint8_t *data, size_t len, struct err *e)
{
	size_t line = 1, column = 1;

	for (size_t i = 0; i < MIN(doc->error_at, len); i++) {
		column++;
		if (data[i] == '\n') {
			line++;
			column = 1;
		}
	}
	return err_set(e, ERR_INVALID, "proto: syntax error (line %zu:%zu): %s", line, column,
	               doc->error);
}

static int read_tree(const ProtobufCMessageDescriptor *type, const struct json *root,
                     struct arena *arena, ProtobufCMessage **out_message, struct err *e)
{
	struct json_reader r = { .arena = arena, .e = e };
	ProtobufCMessage *message = codec_message_new(type, arena);

	if (!message)
		return codec_refuse_memory(e);
	if (json_read_message(&r, message, root) < 0)
		return -1;
	*out_message = message;
	return 0;
}

int codec_json_read(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len,
                    struct arena *arena, ProtobufCMessage **out_message, struct err *e)
{
	CLEANUP(json_deinit) struct json_doc doc;
	char *text;
	int rc;

	json_init(&doc);
	if (len == 0)
		return err_set(e, ERR_INVALID, "zero-length payload is not a valid JSON object");
	text = arena_alloc(arena, len + JSON_PADDING);
	if (!text)
		return codec_refuse_memory(e);
	memcpy(text, data, len);
	rc = json_parse(&doc, text, len, 0);
	if (rc == -EINVAL)
		return refuse_syntax(&doc, data, len, e);
	if (rc < 0)
		return codec_refuse_memory(e);
	return read_tree(type, doc.root, arena, out_message, e);
}
