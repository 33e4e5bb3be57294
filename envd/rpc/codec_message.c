/*
 * Messages seen through their descriptors: slots, arrays, presence, maps. Pure.
 */
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "rpc/codec_internal.h"

#define ARRAY_FIRST 4u /* elements; most repeated fields are short */

static const struct {
	const char *name; /* behind "google.protobuf." */
	enum codec_form form;
} forms[] = {
	{ "Any", FORM_ANY },
	{ "BoolValue", FORM_WRAPPER },
	{ "BytesValue", FORM_WRAPPER },
	{ "DoubleValue", FORM_WRAPPER },
	{ "Duration", FORM_DURATION },
	{ "Empty", FORM_EMPTY },
	{ "FieldMask", FORM_FIELD_MASK },
	{ "FloatValue", FORM_WRAPPER },
	{ "Int32Value", FORM_WRAPPER },
	{ "Int64Value", FORM_WRAPPER },
	{ "ListValue", FORM_LIST_VALUE },
	{ "StringValue", FORM_WRAPPER },
	{ "Struct", FORM_STRUCT },
	{ "Timestamp", FORM_TIMESTAMP },
	{ "UInt32Value", FORM_WRAPPER },
	{ "UInt64Value", FORM_WRAPPER },
	{ "Value", FORM_VALUE },
};

enum codec_form codec_form_of(const ProtobufCMessageDescriptor *type)
{
	static const char package[] = "google.protobuf.";
	const char *name = type->name + sizeof package - 1;

	if (strncmp(type->name, package, sizeof package - 1) != 0)
		return FORM_MESSAGE;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		if (*name == *forms[i].name && strcmp(name, forms[i].name) == 0)
			return forms[i].form;
	}
	return FORM_MESSAGE;
}

const ProtobufCMessageDescriptor *codec_field_message(const ProtobufCFieldDescriptor *field)
{
	return field->type == PROTOBUF_C_TYPE_MESSAGE ? field->descriptor : NULL;
}

const ProtobufCEnumDescriptor *codec_field_enum(const ProtobufCFieldDescriptor *field)
{
	return field->type == PROTOBUF_C_TYPE_ENUM ? field->descriptor : NULL;
}

bool codec_field_is_null_value(const ProtobufCFieldDescriptor *field)
{
	const ProtobufCEnumDescriptor *type = codec_field_enum(field);

	return type && strcmp(type->name, "google.protobuf.NullValue") == 0;
}

bool codec_field_is_oneof(const ProtobufCFieldDescriptor *field)
{
	return field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
}

/* protoc names the entry of field env_vars EnvVarsEntry, and lets nobody else use the name. */
static bool is_entry_name(const char *name, const char *field_name)
{
	bool upper = true;

	for (; *field_name; field_name++) {
		char c = *field_name;

		if (c == '_') {
			upper = true;
			continue;
		}
		if (upper && c >= 'a' && c <= 'z')
			c = (char)(c - ('a' - 'A'));
		upper = false;
		if (*name++ != c)
			return false;
	}
	return strcmp(name, "Entry") == 0;
}

bool codec_field_is_map(const ProtobufCMessageDescriptor *parent,
                        const ProtobufCFieldDescriptor *field)
{
	const ProtobufCMessageDescriptor *entry = codec_field_message(field);
	size_t prefix;

	if (field->label != PROTOBUF_C_LABEL_REPEATED || !entry || entry->n_fields != 2 ||
	    strcmp(entry->fields[0].name, "key") != 0 ||
	    strcmp(entry->fields[1].name, "value") != 0)
		return false;
	prefix = strlen(parent->name);
	return strncmp(entry->name, parent->name, prefix) == 0 && entry->name[prefix] == '.' &&
	       is_entry_name(entry->name + prefix + 1, field->name);
}

size_t codec_slot_size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return sizeof(uint64_t);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return sizeof(uint32_t);
	}
}

const void *codec_peek(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	return (const uint8_t *)message + field->offset;
}

void *codec_slot(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	return (uint8_t *)message + field->offset;
}

size_t *codec_count(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	return (size_t *)(void *)((uint8_t *)message + field->quantifier_offset);
}

size_t codec_peek_count(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	return *(const size_t *)(const void *)((const uint8_t *)message + field->quantifier_offset);
}

const uint8_t *codec_peek_array(const ProtobufCMessage *message,
                                const ProtobufCFieldDescriptor *field)
{
	return *(const uint8_t *const *)codec_peek(message, field);
}

uint32_t *codec_case(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	return (uint32_t *)(void *)((uint8_t *)message + field->quantifier_offset);
}

static bool is_oneof_case(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	const void *at = (const uint8_t *)message + field->quantifier_offset;

	return *(const uint32_t *)at == field->id;
}

/* A number of one of the two sizes. */
static bool is_zero(const void *slot, size_t size)
{
	return size == sizeof(uint64_t) ? *(const uint64_t *)slot == 0
	                                : *(const uint32_t *)slot == 0;
}

bool codec_is_set(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	const void *slot = codec_peek(message, field);
	const bool oneof = codec_field_is_oneof(field);

	if (oneof && !is_oneof_case(message, field))
		return false;
	switch (field->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		return *(ProtobufCMessage *const *)slot;
	case PROTOBUF_C_TYPE_STRING:
		return *(char *const *)slot && (oneof || **(char *const *)slot);
	case PROTOBUF_C_TYPE_BYTES:
		return oneof || ((const ProtobufCBinaryData *)slot)->len > 0;
	default:
		return oneof || !is_zero(slot, codec_slot_size(field->type));
	}
}

ProtobufCMessage *codec_message_new(const ProtobufCMessageDescriptor *type, struct arena *arena)
{
	ProtobufCMessage *message = arena_alloc(arena, type->sizeof_message);

	if (message)
		protobuf_c_message_init(type, message);
	return message;
}

static size_t array_room(size_t n)
{
	size_t room = ARRAY_FIRST;

	if (n == 0)
		return 0;
	while (room < n)
		room *= 2;
	return room;
}

void *codec_array_extend(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, size_t n,
                         struct arena *arena)
{
	const size_t size = codec_slot_size(field->type);
	const size_t count = codec_peek_count(message, field);
	uint8_t **array = codec_slot(message, field);
	uint8_t *larger;

	if (array_room(count + n) > array_room(count)) {
		larger = arena_alloc(arena, array_room(count + n) * size);
		if (!larger)
			return NULL;
		if (count > 0)
			memcpy(larger, *array, count * size);
		*array = larger;
	}
	return *array + count * size;
}

struct map_key {
	struct span text;
	uint64_t number; /* of keys that are not strings */
	size_t at;
};

static int map_key_compare(const void *left, const void *right)
{
	const struct map_key *a = left, *b = right;
	int order;

	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	if (a->text.len != b->text.len)
		return a->text.len < b->text.len ? -1 : 1;
	order = a->text.len > 0 ? memcmp(a->text.at, b->text.at, a->text.len) : 0;
	if (order == 0)
		return a->at < b->at ? -1 : a->at > b->at;
	return order;
}

static bool map_key_equal(const struct map_key *a, const struct map_key *b)
{
	return a->number == b->number && a->text.len == b->text.len &&
	       (a->text.len == 0 || memcmp(a->text.at, b->text.at, a->text.len) == 0);
}

static struct map_key map_key_of(const ProtobufCMessage *entry, size_t at)
{
	const ProtobufCFieldDescriptor *field = &entry->descriptor->fields[0];
	const void *slot = codec_peek(entry, field);
	struct map_key key = { .at = at };

	if (field->type == PROTOBUF_C_TYPE_STRING)
		key.text = span_of(*(char *const *)slot);
	else
		memcpy(&key.number, slot, codec_slot_size(field->type));
	return key;
}

int codec_map_dedupe(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                     struct arena *arena)
{
	ProtobufCMessage **entries = *(ProtobufCMessage ***)codec_slot(message, field);
	size_t *count = codec_count(message, field);
	const size_t n = *count;
	struct map_key *keys;

	if (n < 2)
		return 0;
	keys = arena_alloc(arena, n * sizeof *keys);
	if (!keys)
		return -1;
	for (size_t i = 0; i < n; i++)
		keys[i] = map_key_of(entries[i], i);
	qsort(keys, n, sizeof *keys, map_key_compare);
	for (size_t i = 0; i + 1 < n; i++) {
		if (map_key_equal(&keys[i], &keys[i + 1]))
			entries[keys[i].at] = NULL;
	}

	*count = 0;
	for (size_t i = 0; i < n; i++) {
		if (entries[i])
			entries[(*count)++] = entries[i];
	}
	return *count < n;
}
