/*
 * What a file is, for a Content-Type: by the extension of its name, or else by how it begins. Pure.
 * Source: files_http.md 1; the WHATWG's MIME sniffing as far as Go's http.DetectContentType has it.
 */
#pragma once

#include <stddef.h>

#include "base/text.h"

/* Bytes of the beginning that are looked at. */
#define MEDIA_TYPE_SNIFFED 512u

/* By what stands behind the last dot of the path's last part; at is NULL: nothing is known of it. */
struct span media_type_of_name(struct span path);

/* By the first bytes: "text/plain; charset=utf-8" without any that a text has not, at worst
 * "application/octet-stream". */
struct span media_type_of_content(const void *bytes, size_t len);
