/*
 * A server without listeners, connections on socket pairs, and a handler that does what the path
 * says and keeps what happened for the test to look at.
 *
 *   /hello    answers 200 "hello"
 *   /echo     reads the body, answers 200 with it when it has ended
 *   /read     reads the body and keeps it
 *   /greedy   reads the body and never says that it has consumed any
 *   /hold     only takes the exchange
 *   /begin    takes it and begins a chunked response
 *   /drop     aborts at once
 *   /slow     answers 200 "slow" when HTTP_TURN_MS have passed
 *   /pour     begins, and sends FIXTURE_POURED bytes as fast as it may
 *   /404, /, those that are no paths    404 without a body
 *   others    as /read
 */
#pragma once

#include "base/buf.h"
#include "http/server.h"
#include "loop/loop.h"

#define FIXTURE_BODY_MAX (4u * 1024u * 1024u) /* bytes kept of one exchange or peer */

#define FIXTURE_POUR_PIECE 10000u
#define FIXTURE_POURS      60u
#define FIXTURE_POURED     (FIXTURE_POURS * FIXTURE_POUR_PIECE) /* bytes */

/* One exchange that the handler has taken. */
struct held {
	struct exchange *x; /* NULL when given back */
	struct buf body;
	char path[64];
	bool answers_echo, consumes;
	bool ended;
	enum exchange_body_end how;
	unsigned n_proceeds, n_stops, n_hangups, n_files_sent;
	int file_error;
	unsigned n_to_pour; /* pieces of /pour that are still to be sent */
};

#define FIXTURE_HELD_MAX 64u

struct server_fixture {
	struct loop *loop;
	struct server *server;
	struct held held[FIXTURE_HELD_MAX];
	unsigned n_held;
	unsigned n_requests;
	char first[512]; /* the first request since n_requests was 0 ... */
	char last[512];  /* ... and the last: "GET /path?query host=h fields=2" */
	bool closed;
};

/* *state becomes a struct server_fixture. */
int server_fixture_setup(void **state);
int server_fixture_teardown(void **state); /* gives back what is held, closes the server */

struct held *server_fixture_held(struct server_fixture *f); /* the last one; must be there */
void server_fixture_forget(struct server_fixture *f);       /* gives back all that is held */
void held_finish(struct held *h);                           /* 200 "done", or the end of begin */

/* The client's end of a connection. */
struct peer {
	struct server_fixture *f;
	int fd;
	bool ended; /* the server has ended its side, or reset */
	bool reset;
	struct buf got; /* NUL terminated by peer_text */
};

struct conn *peer_open(struct peer *p, struct server_fixture *f); /* the server's end */
void peer_close(struct peer *p);
void peer_reset(struct peer *p); /* closes with unread input, which resets the other end */
void peer_end(struct peer *p);   /* ends our side, still reads */

void peer_send(struct peer *p, const char *text);
/* As much as the server takes; they return how much that is. */
size_t peer_send_bytes(struct peer *p, const void *data, size_t len);
size_t peer_send_slowly(struct peer *p, const void *data, size_t len, size_t step);

/* Turns the loop until nothing more can happen at once, and reads what has come. */
void peer_settle(struct peer *p);

/* All that came since the last call, without Date lines; valid until the next call. */
const char *peer_text(struct peer *p);
/* peer_settle and a check of peer_text. */
void peer_expect(struct peer *p, const char *text);
void peer_expect_end(struct peer *p, const char *text); /* and then the end of the connection */

/* Moves the fake clock: what is due in so many ms from now happens now. */
void server_fixture_pass(struct server_fixture *f, uint64_t ms);
