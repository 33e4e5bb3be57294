/*
 * Attributes that statx(2) tells, for a C library that does not name them (musl). <linux/stat.h> has
 * them, but cannot stand beside such a library's <sys/stat.h>.
 */
#pragma once

#include <sys/stat.h>

#ifndef STATX_ATTR_IMMUTABLE
#define STATX_ATTR_IMMUTABLE 0x10
#endif
#ifndef STATX_ATTR_APPEND
#define STATX_ATTR_APPEND 0x20
#endif
#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x2000
#endif
