/*
 * Reading the well-known types whose JSON is not an object of their fields.
 */
#include <string.h>

#include "rpc/codec_json.h"
#include "rpc/codec_text.h"

static int refuse_form(struct json_reader *r, const ProtobufCMessage *message,
                       const struct json *value)
{
	const struct json_token token = json_token_of(value);

	return err_set(r->e, ERR_INVALID, "proto: invalid %s value %s%.*s%s",
	               message->descriptor->name, token.quote, (int)token.text.len, token.text.at,
	               token.quote);
}

/* The object's member of that name; NULL if it has none, and if it has two, which refuses. */
static int find_member(struct json_reader *r, const struct json *object, const char *name,
                       const struct json **out_value)
{
	const struct json *value;
	struct json_iter it;
	struct span key;

	*out_value = NULL;
	for (value = json_first(&it, object, &key); value; value = json_next(&it, &key)) {
		if (!span_equal(key, name))
			continue;
		if (*out_value)
			return err_set(r->e, ERR_INVALID, "proto: duplicate \"%s\" field", name);
		*out_value = value;
	}
	return 0;
}

/* The message that an Any's object has: its own members, or "value" where its JSON is no object. */
static int read_any_value(struct json_reader *r, ProtobufCMessage *inner, const struct json *object)
{
	const enum codec_form form = codec_form_of(inner->descriptor);
	const struct json *value;

	if (form == FORM_MESSAGE)
		return json_read_message(r, inner, object);
	if (find_member(r, object, "value", &value) < 0)
		return -1;
	if (value)
		return json_read_message(r, inner, value);
	if (form == FORM_EMPTY)
		return 0;
	return err_set(r->e, ERR_INVALID, "proto: missing \"value\" field");
}

static int pack_any(struct json_reader *r, ProtobufCMessage *any, char *url,
                    const ProtobufCMessage *inner)
{
	const ProtobufCFieldDescriptor *fields = any->descriptor->fields;
	ProtobufCBinaryData *value = codec_slot(any, &fields[1]);
	const size_t size = protobuf_c_message_get_packed_size(inner);
	uint8_t *data = size > 0 ? arena_alloc(r->arena, size) : NULL;

	if (size > 0 && !data)
		return codec_refuse_memory(r->e);
	if (size > 0)
		protobuf_c_message_pack(inner, data);
	*(char **)codec_slot(any, &fields[0]) = url;
	*value = (ProtobufCBinaryData){ size, data };
	return 0;
}

static int read_any(struct json_reader *r, ProtobufCMessage *any, const struct json *object)
{
	const ProtobufCMessageDescriptor *type;
	const struct json *url;
	ProtobufCMessage *inner;
	struct span text;

	if (json_type(object) != JSON_OBJECT)
		return json_refuse_token(r, object);
	if (find_member(r, object, "@type", &url) < 0)
		return -1;
	if (!url)
		return 0; /* all fields are unknown ones */
	text = json_string(url);
	if (text.len == 0 || memchr(text.at, '\0', text.len))
		return err_set(r->e, ERR_INVALID, "proto: \"@type\" is no type URL");
	type = codec_find_type(text);
	if (!type)
		return err_set(r->e, ERR_INVALID, "proto: unable to resolve \"%.*s\"",
		               (int)text.len, text.at);
	inner = codec_message_new(type, r->arena);
	if (!inner)
		return codec_refuse_memory(r->e);
	if (read_any_value(r, inner, object) < 0)
		return -1;
	return pack_any(r, any, json_text_of(text), inner);
}

static int read_time(struct json_reader *r, ProtobufCMessage *message, const struct json *value,
                     int (*read)(struct span s, int64_t *out_seconds, int32_t *out_nanos))
{
	const ProtobufCFieldDescriptor *fields = message->descriptor->fields;

	if (json_type(value) != JSON_STRING)
		return json_refuse_token(r, value);
	if (read(json_string(value), codec_slot(message, &fields[0]),
	         codec_slot(message, &fields[1])) < 0)
		return refuse_form(r, message, value);
	return 0;
}

static int read_mask_path(struct json_reader *r, struct span camel, char **out_path)
{
	struct buf path;
	int rc;

	buf_init(&path, camel.len * 2);
	rc = text_append_path_snake(&path, camel);
	if (rc == 0)
		*out_path = buf_error(&path)
		                    ? NULL
		                    : arena_strndup(r->arena, (const char *)path.data, path.len);
	buf_deinit(&path);
	return rc;
}

static int read_field_mask(struct json_reader *r, ProtobufCMessage *message,
                           const struct json *value)
{
	const ProtobufCFieldDescriptor *field = &message->descriptor->fields[0];
	struct span rest = json_string(value);
	const char *comma;
	char **slot;

	if (json_type(value) != JSON_STRING)
		return json_refuse_token(r, value);
	while (rest.len > 0) {
		comma = memchr(rest.at, ',', rest.len);
		const size_t len = comma ? (size_t)(comma - rest.at) : rest.len;

		slot = codec_array_extend(message, field, 1, r->arena);
		if (!slot)
			return codec_refuse_memory(r->e);
		if (read_mask_path(r, (struct span){ rest.at, len }, slot) < 0 ||
		    (comma && len + 1 == rest.len))
			return refuse_form(r, message, value);
		if (!*slot)
			return codec_refuse_memory(r->e);
		++*codec_count(message, field);
		rest.at += comma ? len + 1 : len;
		rest.len -= comma ? len + 1 : len;
	}
	return 0;
}

/* google.protobuf.Value: the member that the token asks for. */
static int read_dynamic(struct json_reader *r, ProtobufCMessage *message, const struct json *value)
{
	static const uint8_t member_of[] = {
		[JSON_NULL] = VALUE_NULL,     [JSON_BOOL] = VALUE_BOOL,
		[JSON_NUMBER] = VALUE_NUMBER, [JSON_STRING] = VALUE_STRING,
		[JSON_ARRAY] = VALUE_LIST,    [JSON_OBJECT] = VALUE_STRUCT,
	};

	return json_read_oneof(r, message,
	                       &message->descriptor->fields[member_of[json_type(value)]], value);
}

int json_read_form(struct json_reader *r, ProtobufCMessage *message, const struct json *value)
{
	const ProtobufCFieldDescriptor *fields = message->descriptor->fields;

	switch (codec_form_of(message->descriptor)) {
	case FORM_ANY:
		return read_any(r, message, value);
	case FORM_DURATION:
		return read_time(r, message, value, text_read_duration);
	case FORM_TIMESTAMP:
		return read_time(r, message, value, text_read_timestamp);
	case FORM_FIELD_MASK:
		return read_field_mask(r, message, value);
	case FORM_LIST_VALUE:
		return json_read_list(r, message, &fields[0], value);
	case FORM_STRUCT:
		return json_read_map(r, message, &fields[0], value);
	case FORM_VALUE:
		return read_dynamic(r, message, value);
	case FORM_WRAPPER:
		return json_read_value(r, &fields[0], value, codec_slot(message, &fields[0]));
	default:
		return json_read_object(r, message, value);
	}
}
