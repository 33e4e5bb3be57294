/*
 * JSON values of scalar fields: numbers as numbers or strings, enums as names or numbers, bytes as
 * base64. Text and bytes stay where they were parsed.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/base64.h"
#include "base/macros.h"
#include "rpc/codec_json.h"
#include "rpc/codec_text.h"

#define TOKEN_MAX 64 /* bytes of a wrong value that the refusal quotes */

static const char *const type_names[] = {
	[PROTOBUF_C_TYPE_INT32] = "int32",       [PROTOBUF_C_TYPE_SINT32] = "sint32",
	[PROTOBUF_C_TYPE_SFIXED32] = "sfixed32", [PROTOBUF_C_TYPE_INT64] = "int64",
	[PROTOBUF_C_TYPE_SINT64] = "sint64",     [PROTOBUF_C_TYPE_SFIXED64] = "sfixed64",
	[PROTOBUF_C_TYPE_UINT32] = "uint32",     [PROTOBUF_C_TYPE_FIXED32] = "fixed32",
	[PROTOBUF_C_TYPE_UINT64] = "uint64",     [PROTOBUF_C_TYPE_FIXED64] = "fixed64",
	[PROTOBUF_C_TYPE_FLOAT] = "float",       [PROTOBUF_C_TYPE_DOUBLE] = "double",
	[PROTOBUF_C_TYPE_BOOL] = "bool",         [PROTOBUF_C_TYPE_ENUM] = "enum",
	[PROTOBUF_C_TYPE_STRING] = "string",     [PROTOBUF_C_TYPE_BYTES] = "bytes",
	[PROTOBUF_C_TYPE_MESSAGE] = "message",
};

static struct span clipped(struct span s)
{
	while (s.len > TOKEN_MAX || (s.len > 0 && !utf8_is_valid(s.at, s.len)))
		s.len = s.len > TOKEN_MAX ? TOKEN_MAX : s.len - 1;
	return s;
}

struct json_token json_token_of(const struct json *value)
{
	switch (json_type(value)) {
	case JSON_BOOL:
		return (struct json_token){ "", json_bool(value) ? SPAN("true") : SPAN("false") };
	case JSON_NUMBER:
		return (struct json_token){ "", clipped(json_number(value)) };
	case JSON_STRING:
		return (struct json_token){ "\"", clipped(json_string(value)) };
	case JSON_ARRAY:
		return (struct json_token){ "", SPAN("[") };
	case JSON_OBJECT:
		return (struct json_token){ "", SPAN("{") };
	default:
		return (struct json_token){ "", SPAN("null") };
	}
}

static int refuse_value(const struct json_reader *r, const ProtobufCFieldDescriptor *field,
                        const struct json *value)
{
	const struct json_token token = json_token_of(value);

	return err_set(r->e, ERR_INVALID, "proto: invalid value for %s field %s: %s%.*s%s",
	               type_names[field->type], field->name, token.quote, (int)token.text.len,
	               token.text.at, token.quote);
}

/* Numbers may stand in a string; the empty span for anything else. A NUL follows. */
static struct span number_text(const struct json *value)
{
	return json_type(value) == JSON_STRING ? json_string(value) : json_number(value);
}

static int read_signed(const struct json *value, int64_t min, int64_t max, int64_t *out_number)
{
	return text_read_i64(number_text(value), min, max, out_number);
}

static int read_unsigned(const struct json *value, uint64_t max, uint64_t *out_number)
{
	return text_read_u64(number_text(value), max, out_number);
}

static int read_double(const struct json *value, bool single, double *out_number)
{
	if (json_type(value) == JSON_STRING) {
		const struct span text = json_string(value);

		if (span_equal(text, "NaN") || span_equal(text, "Infinity") ||
		    span_equal(text, "-Infinity")) {
			*out_number = text.at[0] == 'N'   ? (double)NAN
			              : text.at[0] == '-' ? -(double)INFINITY
			                                  : (double)INFINITY;
			return 0;
		}
	}
	return text_read_double(number_text(value), single, out_number);
}

static int read_float(const struct json *value, float *out_number)
{
	double number;
	int rc = read_double(value, true, &number);

	if (rc == 0)
		*out_number = (float)number;
	return rc;
}

static int read_i32(const struct json *value, int32_t *out_number)
{
	int64_t number;
	int rc = read_signed(value, INT32_MIN, INT32_MAX, &number);

	if (rc == 0)
		*out_number = (int32_t)number;
	return rc;
}

static int read_u32(const struct json *value, uint32_t *out_number)
{
	uint64_t number;
	int rc = read_unsigned(value, UINT32_MAX, &number);

	if (rc == 0)
		*out_number = (uint32_t)number;
	return rc;
}

static int read_number(ProtobufCType type, const struct json *value, void *slot)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return read_i32(value, slot);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return read_u32(value, slot);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return read_signed(value, INT64_MIN, INT64_MAX, slot);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return read_unsigned(value, UINT64_MAX, slot);
	case PROTOBUF_C_TYPE_FLOAT:
		return read_float(value, slot);
	default:
		return read_double(value, false, slot);
	}
}

/* Names that nobody knows are ignored, as unknown fields are. */
static int read_enum(struct json_reader *r, const ProtobufCFieldDescriptor *field,
                     const struct json *value, int *slot)
{
	const ProtobufCEnumDescriptor *type = codec_field_enum(field);
	const ProtobufCEnumValue *known;
	struct span name;
	int32_t number;

	if (json_type(value) == JSON_NULL && codec_field_is_null_value(field)) {
		*slot = 0;
		return 1;
	}
	if (json_type(value) == JSON_NUMBER && read_i32(value, &number) == 0) {
		*slot = number;
		return 1;
	}
	if (json_type(value) != JSON_STRING)
		return refuse_value(r, field, value);
	name = json_string(value);
	known = protobuf_c_enum_descriptor_get_value_by_name(type, name.at);
	if (!known || strlen(name.at) != name.len)
		return 0;
	*slot = known->value;
	return 1;
}

static int read_string(struct json_reader *r, const ProtobufCFieldDescriptor *field,
                       const struct json *value, char **slot)
{
	const struct span text = json_string(value);

	if (json_type(value) != JSON_STRING)
		return refuse_value(r, field, value);
	if (memchr(text.at, '\0', text.len))
		return err_set(r->e, ERR_INVALID, "proto: field %s contains a NUL character",
		               field->name);
	*slot = json_text_of(text);
	return 1;
}

/* Decoded over its own text, which is longer. */
static int read_bytes(struct json_reader *r, const ProtobufCFieldDescriptor *field,
                      const struct json *value, ProtobufCBinaryData *slot)
{
	const struct span text = json_string(value);
	char *data = json_text_of(text);
	ptrdiff_t len;

	if (json_type(value) != JSON_STRING)
		return refuse_value(r, field, value);
	len = base64_decode(data, text.at, text.len);
	if (len < 0)
		return err_set(r->e, ERR_INVALID,
		               "proto: invalid value for bytes field %s: not base64", field->name);
	*slot = (ProtobufCBinaryData){ (size_t)len, len > 0 ? (uint8_t *)data : NULL };
	return 1;
}

int json_read_scalar(struct json_reader *r, const ProtobufCFieldDescriptor *field,
                     const struct json *value, void *slot)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_BOOL:
		if (json_type(value) != JSON_BOOL)
			return refuse_value(r, field, value);
		*(protobuf_c_boolean *)slot = json_bool(value);
		return 1;
	case PROTOBUF_C_TYPE_ENUM:
		return read_enum(r, field, value, slot);
	case PROTOBUF_C_TYPE_STRING:
		return read_string(r, field, value, slot);
	case PROTOBUF_C_TYPE_BYTES:
		return read_bytes(r, field, value, slot);
	default:
		if (read_number(field->type, value, slot) < 0)
			return refuse_value(r, field, value);
		return 1;
	}
}

static int read_number_key(ProtobufCType type, struct span key, void *slot)
{
	const bool wide = codec_slot_size(type) == sizeof(uint64_t);
	uint64_t natural;
	int64_t number;

	switch (type) {
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		if (parse_u64(key, &natural) < 0 || (!wide && natural > UINT32_MAX))
			return -EINVAL;
		memcpy(slot, &natural, codec_slot_size(type));
		return 0;
	default:
		if (parse_i64(key, &number) < 0 ||
		    (!wide && (number < INT32_MIN || number > INT32_MAX)))
			return -EINVAL;
		memcpy(slot, &number, codec_slot_size(type));
		return 0;
	}
}

static int read_bool_key(struct span key, protobuf_c_boolean *slot)
{
	if (!span_equal(key, "true") && !span_equal(key, "false"))
		return -EINVAL;
	*slot = span_equal(key, "true");
	return 0;
}

static int read_string_key(struct span key, char **slot)
{
	if (memchr(key.at, '\0', key.len))
		return -EINVAL;
	*slot = json_text_of(key);
	return 0;
}

/* Names of members are strings always; the numbers in them are plain integers. */
int json_read_key(struct json_reader *r, const ProtobufCFieldDescriptor *field, struct span key,
                  void *slot)
{
	int rc;

	if (field->type == PROTOBUF_C_TYPE_STRING)
		rc = read_string_key(key, slot);
	else if (field->type == PROTOBUF_C_TYPE_BOOL)
		rc = read_bool_key(key, slot);
	else
		rc = read_number_key(field->type, key, slot);
	if (rc == 0)
		return 0;
	key = clipped(key);
	return err_set(r->e, ERR_INVALID, "proto: invalid value for %s key: \"%.*s\"",
	               type_names[field->type], (int)key.len, key.at);
}
