/*
 * The query of a request target, as Go's url.ParseQuery reads it: pairs apart by `&`; `+` is a space;
 * a pair with a `;` or a broken escape is dropped. Pure.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/text.h"

struct query_pair {
	struct span name, value; /* decoded; NUL terminated, and may hold a NUL */
};

/*
 * Takes the next pair off *rest; false at the end. Decoded texts live in the arena.
 *
 * is_full  set when the arena had no room; the pair is then missing
 */
bool query_next(struct span *rest, struct arena *memory, struct query_pair *out_pair,
                bool *is_full);
