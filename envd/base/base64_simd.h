/*
 * Base64 in vector registers: the long middle of what base64.c has to do, in blocks; the rest, and
 * the decision whether a text is base64 at all, are its own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct base64_simd {
	const char *name; /* of the instruction set */
	/*
	 * Encodes blocks from the front. Returns how many bytes it took, a multiple of 3; has
	 * written 4 characters for 3 of them, and nothing beyond.
	 */
	size_t (*encode)(char *out, const uint8_t *in, size_t len);
	/*
	 * Decodes blocks from the front, up to the first that holds anything but characters of the
	 * standard alphabet or, if url, of the URL alphabet. Returns how many characters it took, a
	 * multiple of 4; has written 3 bytes for 4 of them, and nothing beyond. out may be in.
	 */
	size_t (*decode)(uint8_t *out, const uint8_t *in, size_t len, bool url);
};

/* Those that this processor has, the best first; NULL after the last. */
const struct base64_simd *base64_simd_get(size_t i);
