/*
 * W. Muła's generic method ("SIMD-friendly algorithms for substring searching", 2016): the rest is
 * compared only where the first and the last byte both are right, which is asked of all positions of
 * a block at once.
 */
#include "base/find.h"

#include <string.h>

#include "base/macros.h"

/* A register that every x86-64 and every ARMv8 has; four of them make a block. */
typedef uint8_t lanes __attribute__((vector_size(16)));

#define FIND_LANES (sizeof(lanes))
#define FIND_BLOCK (4 * FIND_LANES)

static lanes load(const char *from)
{
	lanes v;

	memcpy(&v, from, sizeof v);
	return v;
}

static bool is_any(lanes v)
{
	uint64_t halves[2];

	memcpy(halves, &v, sizeof halves);
	return (halves[0] | halves[1]) != 0;
}

/* All bits of those positions where both bytes are right, distance bytes apart. */
static lanes match(const char *at, size_t distance, lanes first, lanes last)
{
	return (lanes)(load(at) == first) & (lanes)(load(at + distance) == last);
}

static bool block_may_match(const char *at, size_t distance, lanes first, lanes last)
{
	return is_any(match(at, distance, first, last) |
	              match(at + FIND_LANES, distance, first, last) |
	              match(at + 2 * FIND_LANES, distance, first, last) |
	              match(at + 3 * FIND_LANES, distance, first, last));
}

static const char *find_among(const char *at, size_t n_positions, struct span what)
{
	const char *const end = at + n_positions;

	for (; at < end; at++)
		if (at[0] == what.at[0] && at[what.len - 1] == what.at[what.len - 1] &&
		    memcmp(at, what.at, what.len) == 0)
			return at;
	return NULL;
}

const char *span_find(struct span s, struct span what)
{
	const char *at = s.at;
	size_t distance = what.len - 1, n_positions;
	lanes first, last;

	ASSERT(what.len > 0);
	if (s.len < what.len)
		return NULL;
	n_positions = s.len - distance;
	first = (lanes){ 0 } + (uint8_t)what.at[0];
	last = (lanes){ 0 } + (uint8_t)what.at[distance];
	for (; n_positions >= FIND_BLOCK; n_positions -= FIND_BLOCK, at += FIND_BLOCK) {
		const char *found = NULL;

		if (block_may_match(at, distance, first, last))
			found = find_among(at, FIND_BLOCK, what);
		if (found)
			return found;
	}
	return find_among(at, n_positions, what);
}
