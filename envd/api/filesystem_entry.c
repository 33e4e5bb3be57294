#include "api/filesystem_entry.h"

#include <string.h>

/* Seconds: the first and the last that a google.protobuf.Timestamp can hold. */
#define TIMESTAMP_MIN (-62135596800) /* 0001-01-01T00:00:00Z */
#define TIMESTAMP_MAX 253402300799   /* 9999-12-31T23:59:59Z */

static Filesystem__FileType type_of(enum entry_type type)
{
	switch (type) {
	case ENTRY_FILE:
		return FILESYSTEM__FILE_TYPE__FILE_TYPE_FILE;
	case ENTRY_DIRECTORY:
		return FILESYSTEM__FILE_TYPE__FILE_TYPE_DIRECTORY;
	default:
		return FILESYSTEM__FILE_TYPE__FILE_TYPE_UNSPECIFIED;
	}
}

/* Generated members are not const; the encoder only reads them. */
static void borrow(char **member, const char *text)
{
	memcpy(member, &text, sizeof text);
}

/* A time of zero is none, as in the reference. */
static bool has_time(const struct timespec *t)
{
	return (t->tv_sec != 0 || t->tv_nsec != 0) && t->tv_sec >= TIMESTAMP_MIN &&
	       t->tv_sec <= TIMESTAMP_MAX;
}

static bool put_time(Filesystem__EntryInfo *info, const struct timespec *t, struct arena *memory)
{
	Google__Protobuf__Timestamp *time;

	if (!has_time(t))
		return true;
	time = arena_alloc(memory, sizeof *time);
	if (!time)
		return false;
	google__protobuf__timestamp__init(time);
	time->seconds = t->tv_sec;
	time->nanos = (int32_t)t->tv_nsec;
	info->modified_time = time;
	return true;
}

static bool put_metadata(Filesystem__EntryInfo *info, const struct metadata *m,
                         struct arena *memory)
{
	Filesystem__EntryInfo__MetadataEntry *entries;

	if (m->n == 0)
		return true;
	entries = arena_alloc(memory, m->n * sizeof *entries);
	info->metadata = arena_alloc(memory, m->n * sizeof *info->metadata);
	if (!entries || !info->metadata)
		return false;
	for (; info->n_metadata < m->n; info->n_metadata++) {
		Filesystem__EntryInfo__MetadataEntry *entry = &entries[info->n_metadata];

		filesystem__entry_info__metadata_entry__init(entry);
		borrow(&entry->key, m->pairs[info->n_metadata].key);
		borrow(&entry->value, m->pairs[info->n_metadata].value);
		info->metadata[info->n_metadata] = entry;
	}
	return true;
}

Filesystem__EntryInfo *filesystem_entry_info(const struct entry *entry, struct arena *memory)
{
	Filesystem__EntryInfo *info = arena_alloc(memory, sizeof *info);

	if (!info)
		return NULL;
	filesystem__entry_info__init(info);
	borrow(&info->name, entry->name);
	info->type = type_of(entry->type);
	borrow(&info->path, entry->path);
	info->size = entry->size;
	info->mode = entry->mode;
	borrow(&info->permissions, entry->permissions);
	borrow(&info->owner, entry->owner);
	borrow(&info->group, entry->group);
	if (entry->symlink_target) {
		info->_symlink_target_case = FILESYSTEM__ENTRY_INFO___SYMLINK_TARGET_SYMLINK_TARGET;
		borrow(&info->symlink_target, entry->symlink_target);
	}
	info->is_symlink = entry->is_symlink;
	if (!put_time(info, &entry->modified, memory) ||
	    !put_metadata(info, &entry->metadata, memory))
		return NULL;
	return info;
}
