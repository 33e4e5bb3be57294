/*
 * All messages of codec_test.proto, and what its Any fields may hold.
 */
#pragma once

#include "codec_test.pb-c.h"
#include "google/protobuf/any.pb-c.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/empty.pb-c.h"
#include "google/protobuf/field_mask.pb-c.h"
#include "google/protobuf/struct.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "google/protobuf/wrappers.pb-c.h"

static const ProtobufCMessageDescriptor *const codec_test_list[] = {
	&codec__test__scalars__descriptor,
	&codec__test__optionals__descriptor,
	&codec__test__lists__descriptor,
	&codec__test__nested__descriptor,
	&codec__test__maps__descriptor,
	&codec__test__choice__descriptor,
	&codec__test__wellknown__descriptor,
	&codec__test__event__descriptor,
	&codec__test__wide__descriptor,
	&google__protobuf__any__descriptor,
	&google__protobuf__duration__descriptor,
	&google__protobuf__empty__descriptor,
	&google__protobuf__struct__descriptor,
	&google__protobuf__value__descriptor,
	&google__protobuf__timestamp__descriptor,
	&google__protobuf__string_value__descriptor,
	&google__protobuf__field_mask__descriptor,
};
