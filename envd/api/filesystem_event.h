/*
 * What happened in a watched directory (fs/watch.h) as a message of the Filesystem service. Any thread.
 * Source: proto/filesystem/filesystem.proto, filesystem.md 4.2.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/macros.h"
#include "filesystem/filesystem.pb-c.h"
#include "fs/watch.h"

/* Bytes of an event's entry as a message, whose strings are borrowed: its pairs of metadata. An event
 * whose entry takes more comes without it. */
#define FILESYSTEM_EVENT_MAX   65536u
#define FILESYSTEM_EVENT_FIRST 1024u /* of them within the room: enough for most */

/* Room for one message after the other. */
struct filesystem_event {
	Filesystem__FilesystemEvent message;
	struct arena memory;
	char first[FILESYSTEM_EVENT_FIRST];
	bool is_legacy; /* see filesystem_legacy.h */
};

void filesystem_event_init(struct filesystem_event *room, bool is_legacy);
void filesystem_event_deinit(struct filesystem_event *room);

/* In the room, until the next; what it says is borrowed from the event. */
Filesystem__FilesystemEvent *filesystem_event_message(struct filesystem_event *room,
                                                      const struct watch_event *event) MUST_CHECK;
