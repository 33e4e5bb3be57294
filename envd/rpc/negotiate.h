/*
 * What a request's header block decides: protocol, codec, compression both ways, time-out. Pure.
 * Source: wire.md 5, 5.1, 6; the protocols' specifications.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/text.h"
#include "rpc/call.h"
#include "rpc/codec.h"

struct buf;
struct rpc_protocol;

/* One row of the accepted content types; static. */
struct content_type {
	const char *text; /* canonical; the response has the same */
	const struct rpc_protocol *protocol;
	enum codec codec;
	unsigned kinds; /* BIT(enum rpc_kind) of the methods that accept it */
};

/*
 * The row of a Content-Type value, NULL if there is none. Media type, parameter name and charset
 * are compared without case; any parameter but a known charset matches nothing.
 */
const struct content_type *content_type_find(struct span value);

/* The row of Connect GET's encoding parameter ("proto", "json"). */
const struct content_type *content_type_of_get(struct span encoding);

/* All types that a method of that kind accepts, sorted, joined with ", ". */
void content_type_list(enum rpc_kind kind, struct buf *out);

/*
 * sent is the request's encoding, accept the first line of what the client takes; both may be
 * empty. The answer is compressed as the request, else with the first token that is known; there
 * are no weights.
 *
 * errors  ERR_UNIMPLEMENTED
 */
int negotiate_compression(struct span sent, struct span accept, bool *out_request_gzip,
                          bool *out_response_gzip, struct err *e);

#define RPC_COMPRESSIONS "gzip" /* as advertised */

/* Milliseconds; -1: none; 0: passed already, as are negative numbers. errors: ERR_INVALID */
int timeout_parse_connect(struct span value, int64_t *out_ms, struct err *e);
int timeout_parse_grpc(struct span value, int64_t *out_ms, struct err *e);

/* Keepalive-Ping-Interval in seconds, to milliseconds; nonsense is the default (newer.md W.1). */
uint64_t keepalive_parse(struct span value);
