/*
 * The client of 2024, which calls itself `connect-python` and refuses members that it does not know:
 * its answers are reduced to what it knows, and say so in a header field.
 *
 * Unary calls are marked when they succeed, streams before they begin. Source: wire.md 8.
 */
#pragma once

#include <stdbool.h>

#include "filesystem/filesystem.pb-c.h"
#include "rpc/call.h"

bool legacy_is_client(const struct call *call);
void legacy_mark(struct call *call);

/* Only name, type and path stay. */
void legacy_reduce_entry(Filesystem__EntryInfo *info);
/* Only name and type stay. */
void legacy_reduce_event(Filesystem__FilesystemEvent *event);
