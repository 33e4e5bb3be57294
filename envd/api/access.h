/*
 * Who may call: the access token and the Basic user (wire.md 2.2, 2.3).
 */
#pragma once

#include <stdbool.h>

#include "api/api.h"

/* Answers 401 and returns true where the token is missing or wrong. */
bool access_refuses(const struct api *api, struct exchange **x);

/*
 * The user name of a Basic Authorization field, ours to free; NULL if there is none that can be
 * read (another scheme, broken base64, no colon), which means the default user.
 */
char *access_basic_user(const struct exchange *x);
