/*
 * Memory. Sizes that we choose come from the x functions, which abort: there is nothing better to
 * do without the next kilobyte. Sizes that a peer chooses come from the try_ functions after they
 * have been charged to a limit, and their NULL is answered with ERR_LIMIT.
 */
#pragma once

#include <stddef.h>

#include "base/macros.h"

/*
 * Bytes of a block that many small things share. Not a power of two: musl's malloc serves 4,076 bytes
 * from a slot of 4,080, and 4,096 from one of 5,440.
 */
#define MEM_BLOCK 4064u

void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t len);

void *try_malloc(size_t size) MUST_CHECK;
void *try_calloc(size_t n, size_t size) MUST_CHECK;
void *try_realloc(void *p, size_t size) MUST_CHECK;

/*
 * Tests only: the nth try_ allocation from now on fails (1 = the next), once; 0 switches off.
 * Returns whether the previously armed failure has happened, so that a test can count upwards
 * until nothing failed any more.
 */
int mem_fail_nth(unsigned nth);
