/*
 * ConformanceService: answers as each request tells it to, and tells what it saw.
 * Source: service.proto of the conformance suite.
 */
#pragma once

#include "rpc/call.h"

#define ECHO_METHODS 6u

/* Rows for routing; options go into each. */
const struct rpc_method *echo_methods(const struct rpc_options *options);

/* Tells the codec what Any may hold. */
void echo_set_types(void);
