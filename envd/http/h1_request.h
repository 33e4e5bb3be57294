/*
 * A header block made into an exchange: request line, fields, and what they say about the body and
 * the connection (RFC 9112 3, 6, 9). Decides nothing about the connection's state.
 */
#pragma once

#include "http/exchange.h"
#include "http/server.h"
#include "http/wire.h"

struct h1;

/* Why there is no exchange. The texts are the reference's (wire.md 1). */
struct h1_refusal {
	int status;
	const char *detail; /* behind "400 Bad Request: "; NULL none */
	const char *body;   /* NULL: the status line's text */
};

struct h1_exchange {
	struct exchange x;
	struct server *server;
	struct h1 *h1;  /* NULL when given back or gone */
	bool is_block;  /* from server_take_block */
	size_t charged; /* to the server's heads, if it is none */

	/* the request */
	bool keep_alive;    /* the client's wish */
	bool chunked;       /* its body */
	bool expects_other; /* an expectation we do not know: 417 */
	bool continue_due;  /* the client waits for a 100 */
	struct span h2c; /* settings, if it asks for Upgrade: h2c as it should; else at is NULL */
	struct http_field *trailers;
	size_t n_trailers;

	/* the response */
	bool no_body;     /* HEAD, 204, 304 */
	bool until_close; /* the end of the connection is the end of the body */
	bool chunks;
	bool sends_trailers;
	bool want_proceed;
	bool corks;       /* the connection, until the response ends */
	int64_t left;     /* bytes of a declared length still to send */
	struct span head; /* travels with the first send; at is NULL when it is out */
};

_Static_assert(offsetof(struct h1_exchange, x) == 0, "h1_trailers");

/*
 * The first line of a connection, without its end: three words of which the last is no version are
 * what a client of HTTP/2 with a wrong preface says (RFC 9113 3.4).
 */
bool h1_is_wrong_preface(struct span line);

/* NULL with why. head is copied. */
struct h1_exchange *h1_request_new(struct server *s, const char *head, size_t len, size_t n_lines,
                                   struct h1_refusal *why);
void h1_request_free(struct exchange *x);

/* Its owner may have it longer than there is a server to give anything back to. */
void h1_request_forget_server(struct h1_exchange *q);
