/*
 * A value and its MIME parameters: Content-Disposition, and Content-Type, which has the same form.
 * Read and written as Go's mime package does (RFC 2045, 2231, 5987): a backslash in a quoted string
 * escapes only what would need it, a parameter may be repeated if it says the same again, and
 * `name*=utf-8''...` and its continuations `name*0=` go before a plain `name=`. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/text.h"

struct buf;

/* Parameters of one value; clients send two. */
#define DISPOSITION_PARAMS_MAX 32u

struct disposition_param {
	struct span name;  /* in lower case, with the `*` parts of RFC 2231 */
	struct span value; /* without its quotes and escapes */
};

struct disposition {
	struct span type; /* in lower case: "form-data", "multipart/mixed" */
	struct disposition_param params[DISPOSITION_PARAMS_MAX];
	size_t n_params;
	struct arena *memory; /* borrowed, holds all that the spans show; takes twice the field */
};

/* NULL, or why it cannot be read: a static text that begins with "mime: ". */
const char *disposition_parse(struct disposition *d, struct span field, struct arena *memory);

/* The parameter's value, decoded; false if there is none. name is in lower case. */
bool disposition_find(const struct disposition *d, const char *name, struct span *out_value);

/*
 * Appends `; name=value`: as a token where that is possible, else quoted, and percent-encoded
 * (`; name*=utf-8''...`) if there is a byte that is neither printable ASCII nor a tab.
 */
void disposition_append_param(struct buf *b, const char *name, struct span value);
