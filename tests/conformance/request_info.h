/*
 * What a call's request looked like, as the conformance service tells it back.
 */
#pragma once

#include "base/arena.h"
#include "rpc/call.h"
#include "tests/conformance/messages.h"

#define ANY_PREFIX "type.googleapis.com/"

/* The message inside google.protobuf.Any; all in the arena. NULL: it is full. */
Google__Protobuf__Any *any_of(const ProtobufCMessage *message, struct arena *arena);

/* Header fields, time-out and the query of a GET; requests are the caller's. NULL: as above. */
MESSAGE(ConformancePayload__RequestInfo) *
	request_info_of(const struct call *call, struct arena *arena);
