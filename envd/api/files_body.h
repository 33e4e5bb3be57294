/*
 * The body of one POST /files: decoded as it comes, each file in it written at once. It is made on
 * the loop thread of the request's head; everything else is called by jobs, one at a time, and blocks.
 *
 *     gzip, where it is coded -> one file, or the parts of a form -> fs/upload
 *
 * What it refuses is told by the kind of the error: ERR_INVALID is 400, ERR_UNAUTHENTICATED 401,
 * ERR_LIMIT 507, all else 500. Source: files_http.md 2 to 4.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/files_request.h"
#include "base/err.h"
#include "base/text.h"
#include "http/exchange.h"

/* Bytes of inflated data that one call writes: what a thread is kept from others for. */
#define FILES_BODY_TURN_MAX (4u * 1024u * 1024u)

/* Bytes of inflated data at a time. */
#define FILES_BODY_PIECE 65536u

/* Bytes of the answer, which names each file: some hundred thousand of them in one request. */
#define FILES_BODY_ANSWER_MAX (32u * 1024u * 1024u)

struct files_body;

/*
 * Copies what it needs of the head and takes the request, which is zeroed.
 *
 * returns  NULL without memory
 */
struct files_body *files_body_new(struct files_request *request,
                                  const struct exchange *x) MUST_CHECK;
void files_body_free(struct files_body *b); /* closes what is open; NULL is nothing */

/*
 * First: looks the user up, checks the head, and opens the file where it is known already and the body
 * needs no decoding. So what is refused for one of these is refused before the body is read.
 */
int files_body_open(struct files_body *b, struct err *e) MUST_CHECK;

/*
 * Takes input.
 *
 * returns  0: all of it is written; 1: FILES_BODY_TURN_MAX is, and it is to be called again, with the
 *          rest of the input if there is one, before anything else; -1
 */
int files_body_write(struct files_body *b, struct span *input, struct err *e) MUST_CHECK;

/*
 * Last: finishes what is open and writes the answer.
 *
 * cut  NULL: the body is complete; else why it is not, a static text
 */
int files_body_close(struct files_body *b, const char *cut, struct err *e) MUST_CHECK;

/* After files_body_close: a JSON array of the files. */
struct span files_body_answer(const struct files_body *b);
