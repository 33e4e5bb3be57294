/*
 * A domain that answers as a test tells it, behind methods of every kind.
 *
 *     struct domain d;                     what happened: "handle message(abc) end cancel(1) "
 *     domain_serve(&d, fake, &echo_unary)  the request's head has arrived
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "echo_test.pb-c.h"
#include "loop/loop.h"
#include "rpc/call.h"
#include "rpc/fake_exchange.h"
#include "rpc/service.h"

struct domain {
	struct loop *loop;
	struct call *call;         /* held since handle */
	struct buf log;            /* what happened, in order */
	const Test__Echo *message; /* the latest, NULL none; the call's */
	bool answers;              /* unary and server stream: "ok" at once */
	bool asks;                 /* for the next message, always */
	bool has_event;            /* anything since it was cleared: for loop_fixture_run_until */
	unsigned n_freed_sessions;
};

extern const struct rpc_method echo_unary;
extern const struct rpc_method echo_get;
extern const struct rpc_method echo_server;
extern const struct rpc_method echo_client;
extern const struct rpc_method echo_bidi;
extern const struct rpc_method echo_small;  /* unary, messages of at most 16 bytes */
extern const struct rpc_method echo_medium; /* the same of at most 4096 bytes */

void domain_init(struct domain *d, struct loop *loop);
void domain_deinit(struct domain *d);
void domain_serve(struct domain *d, struct fake_exchange *f, const struct rpc_method *method);

bool domain_send(struct domain *d, const char *text);
void domain_finish(struct domain *d, const char *text); /* NULL: no message */
void domain_fail(struct domain *d, enum err_kind kind, const char *text);

/* One envelope. */
void push_frame(struct fake_exchange *f, uint8_t flags, const char *payload);
