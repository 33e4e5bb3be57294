/*
 * Between the files that read JSON: codec_json_read.c walks messages, codec_json_form.c reads the
 * well-known types, codec_json_scalar.c what has no fields.
 */
#pragma once

#include <stdint.h>

#include "base/json.h"
#include "rpc/codec_internal.h"

struct json_reader {
	struct arena *arena; /* has the text too, which strings and bytes stay in */
	struct err *e;
	unsigned depth; /* messages that we are in */
};

/* 1; 0 and the slot as it was: a name that the enum does not have; -1 refused. */
int json_read_scalar(struct json_reader *r, const ProtobufCFieldDescriptor *field,
                     const struct json *value, void *slot);

/* As json_read_scalar, for messages too. */
int json_read_value(struct json_reader *r, const ProtobufCFieldDescriptor *field,
                    const struct json *value, void *slot);

/* These return less than 0 when refused. */
int json_read_message(struct json_reader *r, ProtobufCMessage *message, const struct json *value);
int json_read_object(struct json_reader *r, ProtobufCMessage *message, const struct json *object);
int json_read_list(struct json_reader *r, ProtobufCMessage *message,
                   const ProtobufCFieldDescriptor *field, const struct json *list);
int json_read_map(struct json_reader *r, ProtobufCMessage *message,
                  const ProtobufCFieldDescriptor *field, const struct json *object);
int json_read_oneof(struct json_reader *r, ProtobufCMessage *message,
                    const ProtobufCFieldDescriptor *field, const struct json *value);

/* A message by its type's form, fields or not. */
int json_read_form(struct json_reader *r, ProtobufCMessage *message, const struct json *value);

int json_refuse_token(struct json_reader *r, const struct json *value);

/* A map's key; 0 or -1. */
int json_read_key(struct json_reader *r, const ProtobufCFieldDescriptor *field, struct span key,
                  void *slot);

/* A value as refusals quote it: between two quotes, cut if it is long. */
struct json_token {
	const char *quote;
	struct span text;
};

struct json_token json_token_of(const struct json *value);

/* Our own text, parsed in place, that we may keep and change. */
static inline char *json_text_of(struct span s)
{
	return (char *)(uintptr_t)s.at;
}
