#include "loop/owner.h"

#include "base/macros.h"

void owner_init(struct owner *o, void (*on_closed)(struct owner *o))
{
	*o = (struct owner){ .on_closed = on_closed };
}

void owner_hold(struct owner *o)
{
	o->pending++;
}

void owner_drop(struct owner *o)
{
	ASSERT(o->pending > 0);
	if (--o->pending == 0 && o->closing)
		o->on_closed(o); /* may free o: last statement */
}

void owner_close(struct owner *o)
{
	ASSERT(!o->closing);
	o->closing = true;
	if (o->pending == 0)
		o->on_closed(o); /* may free o: last statement */
}
