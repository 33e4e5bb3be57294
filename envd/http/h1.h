/*
 * Inside of HTTP/1: the state of one connection, and what h1.c (the conversation), h1_body.c (the
 * request's body) and h1_wire.c (what owners of an exchange call) need of each other.
 */
#pragma once

#include "base/buf.h"
#include "http/chunked.h"
#include "http/conn.h"
#include "http/h1_head.h"
#include "http/h1_request.h"

enum h1_in { H1_IN_HEAD, H1_IN_BODY, H1_IN_DONE };
enum h1_out { H1_OUT_IDLE, H1_OUT_WAITING, H1_OUT_STREAMING, H1_OUT_DONE };

struct h1 {
	struct conn *conn;
	struct h1_exchange *x; /* somebody owns it */
	enum h1_in in;
	enum h1_out out;

	struct buf head; /* a header block that came in pieces */
	struct h1_scan scan;

	/* the body of the current request, also after its exchange has gone back */
	struct chunked chunked;
	bool is_chunked;
	uint64_t body_left; /* bytes of a declared length still to come */
	size_t credit;      /* bytes the owner may still be given */
	size_t n_drained;
	enum exchange_body_end end;

	bool reading;  /* the owner wants the body */
	bool end_due;  /* on_body_end has not been told */
	bool closes;   /* the connection ends after this response */
	bool hung_up;  /* the peer has ended its side, with input unread */
	bool started;  /* the first line of the connection has come */
	bool in_input; /* h1_on_input is running and will look again */
	bool choked;   /* the next request waits for the queue */
};

/* What a step may take from. */
struct h1_input {
	const uint8_t *at;
	size_t len;
	bool handed_over; /* h1 is freed */
};

static inline void h1_take(struct h1_input *in, size_t n)
{
	in->at += n;
	in->len -= n;
}

static inline struct server *h1_server(const struct h1 *h)
{
	return conn_server(h->conn);
}

/* The response is complete; the owner gives the exchange back. */
void h1_finished(struct h1 *h);

/* All of the body that will come has come: on_body_end is due. */
void h1_body_ended(struct h1 *h, enum exchange_body_end how);

/* Gives a piece of body to the owner, or drops it. Returns whether there may be more to do. */
bool h1_step_body(struct h1 *h, struct h1_input *in);

extern const struct exchange_wire h1_wire;
