/*
 * Parts of a file whose size is known, sent as they are: the exchange does it, one part after the
 * other, with what stands around each where there are several. A file that ends before its time, or
 * cannot be read, breaks the answer off.
 */
#pragma once

#include "api/files_load.h"
#include "http/byteranges.h"
#include "http/exchange.h"
#include "http/file.h"

/*
 * Takes x, whose answer has begun, and a reference of the file; all else is copied.
 *
 * parts     n of them, at least one
 * together  frames them; not looked at if there is only one
 * path      for the log
 */
void files_parts_send(struct files_load *load, struct exchange **x, struct http_file *file,
                      const struct range *parts, size_t n, const struct byteranges *together,
                      const char *path);
