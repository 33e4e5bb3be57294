/*
 * What the unfinished messages of all calls may take together: bytes that have arrived and that
 * nobody has decoded. Loop thread only.
 */
#pragma once

#include <stddef.h>

#include "base/err.h"

/*
 * Bytes of all together, where the first CHARGE_FREE_MAX of each are free: four of the largest at
 * once. A client that sends many and finishes none is refused, nobody else.
 */
#define CHARGE_TOTAL_MAX (256u * 1024u * 1024u)
#define CHARGE_FREE_MAX  65536u

/* One message's share; zeroed it is none. Goes on by charge_take. */
struct charge {
	size_t bytes;
};

/* For a message that is to become so large; never less than before. -1 with ERR_LIMIT. */
int charge_raise(struct charge *c, size_t size, struct err *e);
void charge_release(struct charge *c); /* may repeat */

static inline struct charge charge_take(struct charge *c)
{
	struct charge taken = *c;

	*c = (struct charge){ 0 };
	return taken;
}
