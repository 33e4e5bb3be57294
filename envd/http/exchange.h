/*
 * One HTTP request and its response, the same for HTTP/1 and HTTP/2.
 *
 * The connection creates an exchange when a header block is complete and hands it to the server's
 * on_request; whoever takes it there owns the right to answer and gives it back exactly once, with
 * exchange_answer, exchange_finish or exchange_abort, each of which leaves NULL.
 *
 *   request body   pushed, but never before exchange_read and never more than EXCHANGE_WINDOW
 *                  bytes ahead of exchange_consumed: a handler that stops consuming stops the peer
 *   response body  sent in pieces; exchange_send says whether more is welcome, and on_proceed when
 *                  it is welcome again. Files are read and sent by pool jobs
 *                  (exchange_send_file): this thread waits for no file system
 *   peer gone      on_stop, once; later sends are swallowed. The exchange stays valid until its
 *                  owner gives it back, so an answer that is still on its way needs no check
 *   peer hung up   on_hangup, HTTP/1 only: it has ended its side before it had an answer. Most have
 *                  gone, without a reset that would tell; some only say that they have no more
 *
 * No callback runs inside a call of the functions below, nor inside on_request. All on the loop
 * thread. Limits of the header block: http/limits.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/arena.h"
#include "base/macros.h"
#include "base/text.h"

/* Request body bytes that may be in a handler's hands: several RPC messages, little memory. */
#define EXCHANGE_WINDOW (256u * 1024u)

/* Response bytes queued on one exchange before exchange_send asks to wait. */
#define EXCHANGE_SEND_HIGH (64u * 1024u)

/* Pieces of one exchange_send. */
#define EXCHANGE_IOV_MAX 8u

struct exchange;
struct exchange_wire;
struct http_file;

enum http_version { HTTP_1_0 = 10, HTTP_1_1 = 11, HTTP_2 = 20 };

/*
 * A header field. In requests the name is in lower case. In responses the name is written in
 * canonical case ("Content-Type") and lowered where the protocol wants that; the value must hold
 * neither CR, LF nor NUL (they are replaced by spaces). Repeated fields are separate entries.
 */
struct http_field {
	struct span name;
	struct span value;
};

/* Of two string literals; good for static tables too. */
#define HTTP_FIELD(n, v) ((struct http_field){ { (n), sizeof(n) - 1 }, { (v), sizeof(v) - 1 } })

struct http_request {
	enum http_version version;
	struct span method; /* exact case                                               */
	struct span path;   /* as received, escapes intact, without the query; "*" for OPTIONS * */
	struct span query;  /* after the '?', empty if none                             */
	struct span host;   /* Host or :authority; empty if HTTP/1.0 sent none          */
	const struct http_field *fields;
	size_t n_fields;
	int64_t content_length; /* bytes; -1: unknown (chunked, or HTTP/2 without it)   */
	bool has_body;          /* false: the body is known to be empty                 */
	bool expects_continue;  /* exchange_read sends the 100                          */
};

enum exchange_body_end {
	EXCHANGE_BODY_COMPLETE,
	EXCHANGE_BODY_CUT,      /* the peer ended its side before the body was complete */
	EXCHANGE_BODY_MALFORMED /* chunk framing or content length is broken            */
};

/* Why a body is not complete, in Go's words; NULL: it is. */
const char *exchange_cut_text(enum exchange_body_end how);

struct exchange_ops {
	/* data is valid during the call only; owes len bytes of exchange_consumed. */
	void (*on_body)(struct exchange *x, const uint8_t *data, size_t len);
	/* Once, after the last on_body; an answer is still possible, the connection ends after it
	 * unless the body was complete. Request trailers are in exchange_trailers. */
	void (*on_body_end)(struct exchange *x, enum exchange_body_end how);
	void (*on_proceed)(struct exchange *x);
	/* For owners that send files. error: 0, or a negative errno: it cannot be read, -ENODATA it is
	 * shorter than that; then the response can only be aborted. */
	void (*on_file_sent)(struct exchange *x, int error);
	void (*on_stop)(struct exchange *x);
	/* Optional, once: an answer is still possible, but not worth waiting long for. */
	void (*on_hangup)(struct exchange *x);
	/* For exchange_divert: there is something to read, until exchange_diverted. */
	void (*on_readable)(struct exchange *x);
};

/* The head of the protocols' own structs; members are read-only outside http/. */
struct exchange {
	struct http_request request; /* spans live as long as the exchange */
	const struct exchange_ops *ops;
	void *data; /* the owner's */
	const struct exchange_wire *wire;
	/* Fields for any response of this exchange, set before it starts (CORS, Vary). */
	struct http_field *extra;
	size_t n_extra;
	bool answered;                         /* a response has been started */
	bool held;                             /* see exchange_hold */
	bool stopped;                          /* the peer is gone */
	bool hung_up;                          /* see on_hangup; also before there is an owner */
	struct arena memory;                   /* of the extra fields */
	void (*free_gone)(struct exchange *x); /* see exchange_gone in wire.h */
};

/* Takes the exchange inside on_request. */
void exchange_own(struct exchange *x, const struct exchange_ops *ops, void *data);

/* First field of that lower-case name, NULL if none. */
const struct http_field *exchange_field(const struct exchange *x, const char *name);

/*
 * Copies both; at most EXCHANGE_EXTRA_MAX, a bug beyond. A field for which there is no memory
 * (EXCHANGE_EXTRA_MEMORY_MAX: a header block echoed twice, and room) is left out.
 */
#define EXCHANGE_EXTRA_MAX        12u
#define EXCHANGE_EXTRA_MEMORY_MAX (3u * 1024u * 1024u) /* bytes */
void exchange_add_field(struct exchange *x, const char *name, struct span value);

/* The same, in the place of a field of that name, in that case, which was added before. */
void exchange_set_field(struct exchange *x, const char *name, struct span value);

/* Lets the body come (and sends the 100 that the peer waits for). May repeat. */
void exchange_read(struct exchange *x);
void exchange_consumed(struct exchange *x, size_t len);

/*
 * The rest of a large body may go around the connection, without a copy and a turn of the loop for
 * each piece: after exchange_read the owner may ask for a descriptor and read the body there himself,
 * on any thread, at most *out_left bytes and only from on_readable to exchange_diverted. These bytes
 * do not come by on_body and owe no exchange_consumed.
 *
 * returns  the descriptor, which is the owner's to close and does not block; or -1: not now, or not at
 *          all. HTTP/1 of a declared length has one, when all that has been read is told
 */
int exchange_divert(struct exchange *x, uint64_t *out_left) MUST_CHECK;

/*
 * len bytes have been read. on_readable follows when there are more; after the last of the body
 * on_body_end.
 *
 * more  false: the rest comes by on_body again; so after an end or an error, which is found there
 */
void exchange_diverted(struct exchange *x, size_t len, bool more);

/* After on_body_end: the request's trailers. */
const struct http_field *exchange_trailers(const struct exchange *x, size_t *out_n);

/*
 * A whole response in one write. fields and body are borrowed for the call. Content-Length and
 * Date are added here (no length on 1xx, 204, 304). The rest of an unread request body is dropped
 * up to HTTP_DRAIN_MAX bytes, beyond that the connection ends.
 */
void exchange_answer(struct exchange **x, int status, const struct http_field *fields,
                     size_t n_fields, struct span body);

/*
 * Begins a response whose body follows. content_length -1: unknown (chunked; until the close on
 * HTTP/1.0). Nothing goes out before the first exchange_send or exchange_finish, so the header
 * travels with the first message.
 */
void exchange_begin(struct exchange *x, int status, const struct http_field *fields,
                    size_t n_fields, int64_t content_length);

/*
 * Sends the pieces, in order, as one write (HTTP/1: as one chunk). They are borrowed for the call:
 * what the socket does not take is copied. Returns false if no more should come before on_proceed;
 * what is sent in spite of that is queued, never lost.
 */
bool exchange_send(struct exchange *x, const struct iovec *pieces, size_t n_pieces);

/*
 * Sends part of a file as it is, len > 0 bytes. on_file_sent follows, unless on_stop does; until then
 * nothing else may be sent, nor the response be finished. Only for responses with a content_length
 * and a body, and not after exchange_hold. The file is referenced as long as it is needed.
 */
void exchange_send_file(struct exchange *x, struct http_file *file, int64_t offset, int64_t len);

/*
 * What is sent from here on is the end of the response, and exchange_finish or exchange_abort
 * follows in this turn: HTTP/1 makes one write of it. (HTTP/2 writes once a turn in any case.)
 */
void exchange_hold(struct exchange *x);

/* Ends the response, with trailers where the protocol has them (HTTP/1: only when chunked and
 * announced by a Trailer field of the caller). */
void exchange_finish(struct exchange **x, const struct http_field *trailers, size_t n_trailers);

/* The response cannot be completed: resets the stream (HTTP/2) or cuts the connection. */
void exchange_abort(struct exchange **x);
