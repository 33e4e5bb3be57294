/*
 * The handlers of the Filesystem service, as rpc/call.h says of a handler; for the method table.
 */
#pragma once

#include "rpc/call.h"

/* filesystem_stat.c */
void filesystem_handle_stat(struct call *call, const ProtobufCMessage *message);

/* filesystem_list.c */
void filesystem_handle_list_dir(struct call *call, const ProtobufCMessage *message);

/* filesystem_change.c */
void filesystem_handle_make_dir(struct call *call, const ProtobufCMessage *message);
void filesystem_handle_remove(struct call *call, const ProtobufCMessage *message);

/* filesystem_move.c */
void filesystem_handle_move(struct call *call, const ProtobufCMessage *message);

/* filesystem_watch_dir.c */
void filesystem_handle_watch_dir(struct call *call, const ProtobufCMessage *message);

/* filesystem_pollers.c */
void filesystem_handle_create_watcher(struct call *call, const ProtobufCMessage *message);
void filesystem_handle_get_watcher_events(struct call *call, const ProtobufCMessage *message);
void filesystem_handle_remove_watcher(struct call *call, const ProtobufCMessage *message);
