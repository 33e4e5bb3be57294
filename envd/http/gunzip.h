/*
 * gzip on its way in, of any length, in bounded memory: what arrives is handed out as it is inflated.
 * One member may follow the other, as in Go's multistream reader; anything else behind one is an
 * error. For whole messages: coding.h. Runs on any thread, one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/text.h"

struct gunzip;

struct gunzip *gunzip_new(void); /* some 48 KiB; NULL without memory */
void gunzip_free(struct gunzip *z);

/*
 * Takes input and gives at most size > 0 bytes of output.
 *
 * returns  the bytes; 0: all input is taken, and more is needed; -1 with ERR_INVALID and a text as
 *          Go's: it is not gzip, or corrupt. Then no further call
 */
ptrdiff_t gunzip_next(struct gunzip *z, struct span *input, void *out, size_t size,
                      struct err *e) MUST_CHECK;

/* Whether a whole header has been seen: before that the input is not known to be gzip. */
bool gunzip_has_begun(const struct gunzip *z);

/* The input has ended: 0, or -1 with "EOF" (there was none) or "unexpected EOF". */
int gunzip_end(const struct gunzip *z, struct err *e) MUST_CHECK;
