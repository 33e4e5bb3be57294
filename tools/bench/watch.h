/* What the floors of watches ask of inotify, and how long silence means that an event was missed. */
#pragma once

#include <sys/inotify.h>

/* The events that the daemon asks for (filesystem.md 4.2). */
#define WATCH_MASK                                                                                 \
	(IN_CREATE | IN_MODIFY | IN_DELETE | IN_DELETE_SELF | IN_MOVED_TO | IN_MOVED_FROM |        \
	 IN_MOVE_SELF | IN_ATTRIB)

#define WATCH_QUIET_S 10

/* Bytes of one read of an inotify descriptor. */
#define WATCH_READ_MAX 65536
