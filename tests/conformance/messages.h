/*
 * The conformance service's messages under names that fit a line.
 */
#pragma once

#include "connectrpc/conformance/v1/server_compat.pb-c.h"
#include "connectrpc/conformance/v1/service.pb-c.h"

#define MESSAGE(name) Connectrpc__Conformance__V1__##name

#define DESCRIPTOR(name) connectrpc__conformance__v1__##name##__descriptor
