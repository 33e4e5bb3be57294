/*
 * What access control found out about a request, and what applies where a request says nothing.
 */
#pragma once

#include "base/mem.h"

/* One request's; freed with the call or the exchange it belongs to. */
struct session {
	char *user_name; /* from Basic access, known to exist a moment ago; NULL: the default user */
};

/* The daemon's, replaced by /init (control.md 3.4); loop thread only. */
struct defaults {
	char *user;    /* never NULL; may be "" or a name that does not exist */
	char *workdir; /* NULL until /init sends one */
};
