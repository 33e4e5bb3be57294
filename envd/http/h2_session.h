/*
 * HTTP/2 between its own files: h2.c (the connection), h2_frames.c (what nghttp2 tells us),
 * h2_request.c, h2_response.c and h2_stream.c (one stream). Nobody else includes this.
 *
 * A stream is an exchange and outlives either of its two ends: nghttp2 closes the stream, the
 * owner gives the exchange back; whichever comes second frees it.
 *
 *   request   HEAD ──headers──▶ BODY ──END_STREAM──▶ ENDED ──owner told──▶ TOLD
 *   response  OPEN ──begin──▶ BEGUN ──first send──▶ SENDING ──finish──▶ FINISHED
 *             any ──abort──▶ ABORTED      (OPEN ──answer──▶ FINISHED)
 *
 * Nothing is sent inside a call of the owner's: the flush task does that, once for all streams.
 * Callbacks run from it or from the connection's input.
 */
#pragma once

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/state.h"
#include "http/conn.h"
#include "http/file_pipe.h"
#include "http/h2_guard.h"
#include "http/limits.h"
#include "http/server.h"
#include "http/wire.h"
#include "loop/loop.h"

/*
 * Streams a client may have open. An agent keeps every running process on a stream of one
 * connection; hundreds are usual, a thousand is room. Each costs a SERVER_BLOCK while it is open.
 */
#define H2_STREAMS_MAX 1000u

/* Bytes a client may have in flight on all streams together: four of the largest stream windows. */
#define H2_CONNECTION_WINDOW (4u * EXCHANGE_WINDOW)

/*
 * Body bytes that all handlers of a connection may sit on before its window closes too. Up to
 * here a stream that nobody reads costs the others nothing; that is 64 full streams.
 */
#define H2_HELD_MAX (64u * EXCHANGE_WINDOW)

/*
 * Response bytes queued on all streams of a connection above which each of them gets no more than
 * H2_SEND_LEAST: a client that opens windows for nobody holds these megabytes and not a thousand
 * times EXCHANGE_SEND_HIGH, and a stream that moves still moves.
 */
#define H2_SEND_TOTAL (64u * EXCHANGE_SEND_HIGH)
#define H2_SEND_LEAST 4096u

/* Bytes waiting for the socket above which nothing is read and nothing is framed: a few frames. */
#define H2_OUTPUT_HIGH 65536u

/* Bytes given to nghttp2 before its answers are collected, so that those stay few. */
#define H2_INPUT_SLICE 4096u

/*
 * Requests handed over in one turn of the loop; then others have their turn. With a slice of the
 * smallest requests on top of it that is some milliseconds of work.
 */
#define H2_REQUESTS_PER_TURN 64u

/* Acknowledgements waiting to be sent; with the slice above a peer that reads never gets there. */
#define H2_ACKS_MAX 2000u

struct h2_head;

struct h2 {
	struct conn *conn;
	struct server *server;
	struct loop *loop;
	nghttp2_session *session;
	struct h2_guard guard;
	struct task flush;
	struct list streams; /* that nghttp2 has open                              */
	struct list ready;   /* those with something to tell their owner           */
	size_t n_streams;
	unsigned n_handed_over;     /* requests in this turn                             */
	size_t held_bytes;          /* request bodies received, not yet consumed          */
	size_t owed_bytes;          /* of those: not yet returned to the connection window */
	size_t queued_bytes;        /* response bodies not yet framed                     */
	struct h2_stream *upgraded; /* the request that came by HTTP/1.1, not yet handed over */
	struct state drain;
	uint32_t error;   /* the connection ends with this HTTP/2 error code    */
	bool failed;      /* error is set                                       */
	bool settled;     /* the client's first SETTINGS have come              */
	bool more_output; /* nghttp2 has frames that did not fit                */
	bool input_paused;
	bool ended; /* the conn was asked to close                        */
	enum { H2_WAITS_NOT, H2_WAITS_INPUT, H2_WAITS_DRAIN, H2_WAITS_REQUEST } deadline;
	uint32_t deadline_of; /* guard.n_begun when it was set */
};

enum { H2_DRAIN_NOT, H2_DRAIN_NOTICED, H2_DRAIN_LAST };
enum { H2_REQUEST_HEAD, H2_REQUEST_BODY, H2_REQUEST_ENDED, H2_REQUEST_TOLD };
enum {
	H2_RESPONSE_OPEN,
	H2_RESPONSE_BEGUN,
	H2_RESPONSE_SENDING,
	H2_RESPONSE_FINISHED,
	H2_RESPONSE_ABORTED,
};

struct h2_fields {
	struct http_field *at; /* in the stream's arena, as names and values are */
	size_t n, cap;
	size_t bytes; /* as RFC 9113 6.5.2 counts them: name, value and 32 */
};

struct h2_stream {
	struct exchange x; /* first */
	struct h2 *h2;     /* NULL once nghttp2 has closed the stream */
	struct server *server;
	struct list link, ready_link;
	int32_t id;
	uint32_t charged; /* bytes of server_charge_head */

	struct state request;
	struct arena arena; /* of the request's fields */
	struct h2_fields fields, trailers;
	struct span method, path, authority;
	struct buf in;        /* body that came before it was wanted */
	size_t held_bytes;    /* body that the owner has not consumed, including `in` */
	size_t dropped_bytes; /* body that came when nobody owned the exchange */
	int refusal;          /* status to answer the request with instead of handing it over */
	bool reading;
	bool got_body;
	bool lingering; /* the response is out, the request is not */

	struct state response;
	struct h2_head *begun; /* waits for the first send      */
	struct h2_head *trailers_out;
	struct buf out;
	size_t out_sent;        /* bytes of out already framed   */
	struct file_pipe *file; /* framed after out; NULL: none */
	int file_error;
	bool file_ended;   /* on_file_sent is due */
	int64_t out_left;  /* of a declared length; -1 none */
	bool no_body;      /* HEAD, 204, 304                */
	bool out_deferred; /* nghttp2 waits for resume_data */
	bool wants_proceed;
	struct timer stall;
	char first[]; /* the rest of the block: the arena's */
};

/* For APIs that take what they only read as writable: iovec, nghttp2_nv. */
static inline void *h2_unconst(const void *p)
{
	union {
		const void *in;
		void *out;
	} u = { p };

	return u.out;
}

/* h2.c */
void h2_fail(struct h2 *h, uint32_t error_code); /* ends the connection, from the flush task */
bool h2_check(struct h2 *h, int rc);             /* false, and h2_fail, if rc is fatal */
void h2_wake(struct h2 *h);                      /* runs the flush task later */
void h2_drain_last(struct h2 *h);                /* the second GOAWAY, if the first is out */

/* h2_frames.c */
int h2_frames_new_session(nghttp2_session **out_session, struct h2 *h);

/* h2_stream.c */
extern const struct exchange_wire h2_wire;
struct h2_stream *h2_stream_new(struct h2 *h, int32_t id); /* NULL: no memory */
void h2_stream_closed(struct h2_stream *s);                /* by nghttp2, or with the connection */
void h2_stream_on_data(struct h2_stream *s, const uint8_t *data, size_t len);
void h2_stream_on_request_end(struct h2_stream *s);
void h2_stream_make_ready(struct h2_stream *s);
void h2_stream_tell(struct h2_stream *s); /* all that its owner can be told now */
void h2_stream_reset(struct h2_stream *s, uint32_t error_code);
void h2_stream_linger(struct h2_stream *s);
void h2_stream_watch(struct h2_stream *s); /* starts or stops the stall timer */

/* h2_request.c */
bool h2_request_add(struct h2_stream *s, struct span name, struct span value); /* false: no more */
void h2_request_add_trailer(struct h2_stream *s, struct span name, struct span value);
void h2_request_complete(struct h2_stream *s, bool has_body); /* hands it to the server */
bool h2_request_copy(struct h2_stream *s, const struct http_request *request);

/* h2_response.c */
void h2_response_answer(struct exchange *x, int status, const struct http_field *fields, size_t n,
                        struct span body);
void h2_response_begin(struct exchange *x, int status, const struct http_field *fields, size_t n,
                       int64_t content_length);
bool h2_response_send(struct exchange *x, const struct iovec *pieces, size_t n);
void h2_response_send_file(struct exchange *x, struct http_file *file, int64_t offset, int64_t len);
void h2_response_finish(struct exchange *x, const struct http_field *trailers, size_t n);
void h2_response_continue(struct h2_stream *s);
void h2_response_deinit(struct h2_stream *s);
size_t h2_response_queued(const struct h2_stream *s);
bool h2_response_waits(const struct h2_stream *s);       /* for the client's windows */
bool h2_response_may_proceed(const struct h2_stream *s); /* on_proceed is due */
