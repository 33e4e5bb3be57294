/*
 * POST /init: the host tells the guest who may call, what is in the environment and what time it
 * is (control.md 3, newer.md C.1).
 *
 * One struct init_request is parsed from the body, then its parts are applied in the order of
 * control.md 3.4; a further part is one member, one row of the parser's table and one step. A body
 * of more than INIT_BODY_MAX bytes is 413. The body and what was parsed from it are wiped.
 */
#pragma once

#include "api/api.h"

/* Bytes of a body (newer.md C.1 step 3): the variables are user data and may be large. */
#define INIT_BODY_MAX (1024u * 1024u)

void init_post(struct api *api, struct exchange **x);
