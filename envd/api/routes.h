/*
 * THE table: every path and method, its rights, its limits, its handler.
 *
 * Matching is exact on the path as received: no cleaning, no trailing slash, no escapes (none of
 * our paths needs one). Source: wire.md 2.2 and 4.
 */
#pragma once

#include <stdbool.h>

#include "api/api.h"

/* The standard methods; anything else, in exact case, is METHOD_OTHER. */
enum method {
	METHOD_OTHER,
	METHOD_CONNECT,
	METHOD_DELETE,
	METHOD_GET,
	METHOD_HEAD,
	METHOD_OPTIONS,
	METHOD_PATCH,
	METHOD_POST,
	METHOD_PUT,
	METHOD_TRACE,
};

enum method method_parse(struct span name);

/* Whether the access token is waived for it; path is decoded. */
bool routes_is_open(enum method method, struct span path);

/* Whether it is served before the first /init of a daemon that came from a live upgrade. */
bool routes_is_early(enum method method, struct span path);

/* Serves it or answers 404 or 405. session is taken, may be NULL. */
void routes_serve(struct api *api, struct exchange **x, struct session *session);

void session_free(void *session); /* NULL is nothing */
