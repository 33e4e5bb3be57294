/*
 * A refusal: why a request cannot be done.
 *
 * Kinds are a closed list that maps one-to-one to Connect codes (rpc/status.c). The text is for
 * the client; the first function that knows the path, user or pid writes it. A struct err starts
 * zeroed, owns its text, and is cleared by whoever stops it; clearing twice is nothing.
 *
 *     CLEANUP(err_clear) struct err e = { 0 };
 */
#pragma once

#include "base/macros.h"

/* Bytes of a text, the rest is cut: a command line may be quoted in it, a novel may not. */
#define ERR_TEXT_MAX 65536u

enum err_kind {
	ERR_NONE = 0,
	ERR_CANCELED,
	ERR_UNKNOWN,
	ERR_INVALID,
	ERR_DEADLINE,
	ERR_NOT_FOUND,
	ERR_EXISTS,
	ERR_PERMISSION,
	ERR_LIMIT,
	ERR_PRECONDITION,
	ERR_ABORTED,
	ERR_RANGE,
	ERR_UNIMPLEMENTED,
	ERR_INTERNAL,
	ERR_UNAVAILABLE,
	ERR_DATA_LOSS,
	ERR_UNAUTHENTICATED,
	ERR_KINDS /* how many; not a kind */
};

struct err {
	enum err_kind kind;
	char *text; /* NULL reads as "" (err_text) */
};

/* All three return -1, so that refusing is one line. An earlier refusal in e is replaced. */
int err_set(struct err *e, enum err_kind kind, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Appends ": " and the system's text for errnum; the kind is what errnum means to a client. */
int err_sys(struct err *e, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Keeps the kind, puts "prefix: " before the text. */
int err_wrap(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

enum err_kind err_kind_of_errno(int errnum);
const char *err_text(const struct err *e);
void err_clear(struct err *e);
void err_move(struct err *to, struct err *from); /* from is left cleared */

/* The errno text that Go prints ("no such file or directory"), lower case, never localised. */
const char *errno_text(int errnum);
