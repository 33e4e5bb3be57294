#include "rpc/charge.h"

static size_t total; /* bytes of all charges */

int charge_raise(struct charge *c, size_t size, struct err *e)
{
	size_t due = size > CHARGE_FREE_MAX ? size - CHARGE_FREE_MAX : 0;

	if (due <= c->bytes)
		return 0;
	if (due - c->bytes > CHARGE_TOTAL_MAX - total)
		return err_set(e, ERR_LIMIT,
		               "too many bytes of unfinished messages, at most %u at once",
		               CHARGE_TOTAL_MAX);
	total += due - c->bytes;
	c->bytes = due;
	return 0;
}

void charge_release(struct charge *c)
{
	total -= c->bytes;
	c->bytes = 0;
}
