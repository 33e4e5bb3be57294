/*
 * The handlers of the Process service, as rpc/call.h says of a handler; for the method table.
 */
#pragma once

#include "rpc/call.h"

/* Each in the file of its name: process_list.c, and so on. */
void process_handle_list(struct call *call, const ProtobufCMessage *message);
void process_handle_start(struct call *call, const ProtobufCMessage *message);
void process_handle_connect(struct call *call, const ProtobufCMessage *message);
void process_handle_update(struct call *call, const ProtobufCMessage *message);

/* process_signal.c */
void process_handle_send_signal(struct call *call, const ProtobufCMessage *message);

/* process_input.c */
void process_handle_send_input(struct call *call, const ProtobufCMessage *message);
void process_handle_stream_input(struct call *call, const ProtobufCMessage *message);
void process_handle_close_stdin(struct call *call, const ProtobufCMessage *message);
