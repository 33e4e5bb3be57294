/*
 * Counts an object's handles and requests, and reports "all closed" exactly once: the object
 * outlives its last handle, and not by one line more.
 *
 * owner_hold for each handle initialised or request in flight; owner_drop in its close callback or
 * completion. After owner_close the last drop calls on_closed, which may free the object: the drop
 * is the last statement of its function. owner_close on an object that holds nothing reports at
 * once, so it too is a last statement.
 */
#pragma once

#include <stdbool.h>

struct owner {
	unsigned pending;
	bool closing;
	void (*on_closed)(struct owner *o);
};

void owner_init(struct owner *o, void (*on_closed)(struct owner *o));
void owner_hold(struct owner *o);
void owner_drop(struct owner *o);
void owner_close(struct owner *o);
