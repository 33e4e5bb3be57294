#include "api/filesystem_event.h"

#include "api/filesystem_entry.h"
#include "api/filesystem_legacy.h"

static const Filesystem__EventType types[] = {
	[WATCH_CREATE] = FILESYSTEM__EVENT_TYPE__EVENT_TYPE_CREATE,
	[WATCH_RENAME] = FILESYSTEM__EVENT_TYPE__EVENT_TYPE_RENAME,
	[WATCH_CHMOD] = FILESYSTEM__EVENT_TYPE__EVENT_TYPE_CHMOD,
	[WATCH_WRITE] = FILESYSTEM__EVENT_TYPE__EVENT_TYPE_WRITE,
	[WATCH_REMOVE] = FILESYSTEM__EVENT_TYPE__EVENT_TYPE_REMOVE,
};

void filesystem_event_init(struct filesystem_event *room, bool is_legacy)
{
	arena_init(&room->memory, FILESYSTEM_EVENT_MAX, room->first, sizeof room->first);
	room->is_legacy = is_legacy;
}

void filesystem_event_deinit(struct filesystem_event *room)
{
	arena_deinit(&room->memory);
}

static void put_entry(struct filesystem_event *room, const struct entry *entry)
{
	Filesystem__FilesystemEvent *message = &room->message;

	message->entry = filesystem_entry_info(entry, &room->memory);
	if (message->entry)
		message->_entry_case = FILESYSTEM__FILESYSTEM_EVENT___ENTRY_ENTRY;
}

Filesystem__FilesystemEvent *filesystem_event_message(struct filesystem_event *room,
                                                      const struct watch_event *event)
{
	Filesystem__FilesystemEvent *message = &room->message;

	arena_reset(&room->memory);
	filesystem__filesystem_event__init(message);
	/* The encoder only reads; the generated member is not const. */
	message->name = (char *)(uintptr_t)event->name;
	message->type = types[event->change];
	if (event->entry)
		put_entry(room, event->entry);
	if (room->is_legacy)
		legacy_reduce_event(message);
	return message;
}
