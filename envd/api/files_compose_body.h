/*
 * What the body of POST /files/compose says (files_http.md 5, steps 1 and 2). Pure.
 *
 * As Go reads it: names match in any case, others are skipped, the last of a name counts, null is as if
 * it were not there, and so is what follows the object.
 */
#pragma once

#include "base/err.h"
#include "base/json.h"
#include "base/macros.h"

/* Bytes; what wire.md 1 asks for at the least. */
#define COMPOSE_BODY_MAX (64u * 1024u * 1024u)

struct compose_body {
	struct json_doc doc;
	const struct json *sources; /* an array of strings without a NUL, not empty; null is "" */
	const char *destination;    /* not empty */
	const char *username;       /* NULL: it names none */
};

/*
 * text     with JSON_PADDING behind it; changed, and lives as long as b
 * returns  0, or -1 with e, whose text is the answer's:
 *            ERR_INVALID      it says nothing that can be done
 *            ERR_UNAVAILABLE  no memory
 * Either way compose_body_deinit follows.
 */
int compose_body_parse(struct compose_body *b, char *text, size_t len, struct err *e) MUST_CHECK;
void compose_body_deinit(struct compose_body *b);
