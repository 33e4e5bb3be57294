/*
 * The handlers of the Filesystem service, as rpc/call.h says of a handler; for the method table.
 */
#pragma once

#include "rpc/call.h"

/* filesystem_stat.c */
void filesystem_handle_stat(struct call *call, const ProtobufCMessage *message);
