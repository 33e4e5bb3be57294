/*
 * Global environment variables: what every started process gets (process.md 3.5) and what /envs
 * shows. Two kinds: internal ones are ours, the user's come from /init, which can neither replace
 * nor remove an internal one (control.md 3.4 item 2). Values are never logged. Loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/macros.h"

/* Bytes of all names and values: beyond a quarter of the usual 8 MiB stack the kernel starts no
 * process with them. */
#define ENVIRON_BYTES_MAX (2u * 1024u * 1024u)

struct environ_var {
	char *name;
	char *value;
	bool internal;
};

struct environ_store {
	struct environ_var *vars; /* sorted by name (bytes), names are unique */
	size_t n;
};

/* A borrowed assignment. */
struct environ_pair {
	const char *name;
	const char *value;
};

void environ_init(struct environ_store *env);
void environ_deinit(struct environ_store *env); /* may be called twice, or on a zeroed one */

/* An existing variable of that name, also a user's, becomes internal. */
void environ_set_internal(struct environ_store *env, const char *name, const char *value);

/*
 * Replaces the user's set; names that are internal are left alone, of repeated names the last
 * counts, empty names are dropped.
 *
 * returns  0, or -1 with ERR_LIMIT: over ENVIRON_BYTES_MAX or no memory; nothing has changed then
 */
int environ_replace_user(struct environ_store *env, const struct environ_pair *pairs, size_t n,
                         struct err *e) MUST_CHECK;

const char *environ_get(const struct environ_store *env, const char *name); /* NULL if unset */

/* All of it as one JSON object, keys sorted, escaped as Go does (control.md 2). */
void environ_append_json(const struct environ_store *env, struct buf *b);
