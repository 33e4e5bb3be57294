/*
 * Entries (fs/entry.h) as the messages of the Filesystem service. Any thread.
 * Source: proto/filesystem/filesystem.proto, filesystem.md 2, newer.md F.1.
 */
#pragma once

#include "base/arena.h"
#include "base/macros.h"
#include "filesystem/filesystem.pb-c.h"
#include "fs/entry.h"

/*
 * The message, in the arena; what it says is borrowed from the entry. NULL when the arena is full.
 *
 * A time that a Timestamp cannot hold, before the year 1 or after 9999, is left out: one odd file must
 * not fail the answer about many.
 */
Filesystem__EntryInfo *filesystem_entry_info(const struct entry *entry,
                                             struct arena *memory) MUST_CHECK;
