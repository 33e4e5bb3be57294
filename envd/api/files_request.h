/*
 * The head of GET and POST /files: what the query asks for, whether the request may do it, and whose
 * it is. Source: wire.md 3; files_http.md 1 and 3, the first steps.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api/api.h"
#include "base/arena.h"
#include "base/err.h"
#include "host/requester.h"

enum files_operation { FILES_READ, FILES_WRITE };

struct files_request {
	char *path; /* decoded, as sent; NULL: absent, which is not the same as "" */
	struct requester requester; /* named; a job looks it up (files_find_user) */
};

/*
 * Reads the query, then checks the right, then names the user. Does not let the body come, so that a
 * refused upload is never read.
 *
 * returns  0; or -1: the request is refused, has been answered, and *x is NULL. r is zeroed then
 * thread   loop
 */
int files_request_init(struct files_request *r, struct api *api, struct exchange **x,
                       enum files_operation operation) MUST_CHECK;
void files_request_deinit(struct files_request *r); /* accepts zeroed memory */

/*
 * The user of a REST request: the one it names, "" included, or the default user, who is looked up
 * later.
 *
 * name     NULL: the request names none
 * returns  0, or -1 with the text of a 400
 */
int files_name_user(struct requester *r, const struct defaults *defaults, const char *name,
                    struct err *e) MUST_CHECK;

/*
 * Looks the user up. Blocks: from a pool job only.
 *
 * returns  0, or -1 with the text of a 401
 */
int files_find_user(struct requester *r, struct err *e) MUST_CHECK;

/* ---- its parts, which are pure ---- */

/* The four parameters; spans are decoded, NUL terminated, and may hold a NUL. */
struct files_query {
	struct span path, username, signature;
	bool has_path, has_username, has_signature, has_expiration;
	int64_t expires_s; /* since the epoch */
};

/* Bytes for the decoded pairs of one query: those of a whole header block, and their overhead. */
#define FILES_QUERY_MEMORY_MAX (2u * 1024u * 1024u)

/* returns  0, or -1 with ERR_INVALID and the text of a binding error, without its newline */
int files_query_parse(struct files_query *q, struct span query, struct arena *memory,
                      struct err *e) MUST_CHECK;

/*
 * Why the request may not, which is the text of a 401; NULL: it may.
 *
 * sent   the X-Access-Token field, empty without one
 * now_s  of the guest's clock, since the epoch
 */
const char *files_query_refusal(const struct files_query *q, enum files_operation operation,
                                const struct secret *token, struct span sent, int64_t now_s);
