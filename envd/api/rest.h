/*
 * Answers that are not RPC: the REST error shape and plain texts of wire.md 2.2 and 9.
 */
#pragma once

#include "base/err.h"
#include "base/text.h"
#include "http/exchange.h"

/* {"code":404,"message":"..."} and a newline, as application/json; charset=utf-8. */
void rest_error(struct exchange **x, int status, const char *message);

/* What an error of files is answered with: files_http.md. 500 for a kind that has no status there. */
int rest_status(enum err_kind kind);

/* As Go's http.Error: text/plain, nosniff. The text says its own newline. */
void rest_text(struct exchange **x, int status, const char *text);

/* A JSON document that must not be cached. */
void rest_json(struct exchange **x, struct span body);

/* No body at all; no_store adds Cache-Control. */
void rest_empty(struct exchange **x, int status, bool no_store);
