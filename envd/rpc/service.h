/*
 * From a method row and an exchange to a call: protocol and codec by content type, decode, invoke.
 * Knows no service by name.
 */
#pragma once

#include "rpc/call.h"

/*
 * Serves the exchange, which the caller owns and hands over, by the method. Refusals that are not
 * RPC errors (405 with Allow, 415 with Accept-Post, 505) are answered here too.
 *
 * service  borrowed, lives as long as the server: the domain behind the handler
 * session  taken, may be NULL: what access control found out about this request; free_session runs
 *          when the call has ended
 */
void rpc_serve(struct loop *loop, struct exchange **x, const struct rpc_method *method,
               void *service, void *session, void (*free_session)(void *session));

/*
 * Answers with an RPC error in the shape the request's content type asks for, for refusals that
 * come before there is a call (wire.md 2.3). e is cleared.
 */
void rpc_refuse(struct exchange **x, struct err *e);
