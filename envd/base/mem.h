/*
 * Memory. Sizes that we choose come from the x functions, which abort: there is nothing better to
 * do without the next kilobyte. Sizes that a peer chooses come from the try_ functions after they
 * have been charged to a limit, and their NULL is answered with ERR_LIMIT.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

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
 * memcpy for texts, most of which are short. musl's takes 80 ns for any length; one whose length the
 * compiler knows is a move or two.
 */
static inline void mem_copy(void *to, const void *from, size_t len)
{
	uint8_t *t = to;
	const uint8_t *f = from;

	if (len > 64) {
		memcpy(t, f, len);
	} else if (len > 32) {
		memcpy(t, f, 32);
		memcpy(t + len - 32, f + len - 32, 32);
	} else if (len > 16) {
		memcpy(t, f, 16);
		memcpy(t + len - 16, f + len - 16, 16);
	} else if (len >= 8) {
		memcpy(t, f, 8);
		memcpy(t + len - 8, f + len - 8, 8);
	} else if (len >= 4) {
		memcpy(t, f, 4);
		memcpy(t + len - 4, f + len - 4, 4);
	} else if (len > 0) {
		t[0] = f[0];
		t[len / 2] = f[len / 2];
		t[len - 1] = f[len - 1];
	}
}

/*
 * Tests only: the nth try_ allocation from now on fails (1 = the next), once; 0 switches off.
 * Returns whether the previously armed failure has happened, so that a test can count upwards
 * until nothing failed any more.
 */
int mem_fail_nth(unsigned nth);
