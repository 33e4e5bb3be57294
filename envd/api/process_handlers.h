/*
 * The handlers of the Process service, as rpc/call.h says of a handler; for the method table.
 */
#pragma once

#include "rpc/call.h"

void process_handle_list(struct call *call, const ProtobufCMessage *message);        /* _list.c */
void process_handle_start(struct call *call, const ProtobufCMessage *message);       /* _start.c */
void process_handle_send_signal(struct call *call, const ProtobufCMessage *message); /* _signal.c */
