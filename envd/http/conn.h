/*
 * One connection: bytes in, bytes out, time limits. Which protocol speaks over it is decided by
 * its first bytes; conn.c knows nothing of requests, h1.c and h2.c nothing of sockets.
 *
 * The bytes below come through struct stream, so that TLS, Unix and vsock listeners join without
 * touching a protocol.
 *
 *   input    conn reads into the loop's shared buffer and offers it to on_input; what the protocol
 *            leaves is kept (at most HTTP_PENDING_MAX) and reading pauses until conn_resume
 *   output   conn_write tries the socket at once (unless corked) and queues the rest; on_drained
 *            runs, from the loop, when a queue that the socket did not take is empty again. Files go
 *            from the page cache into the socket, by jobs (conn_send_file)
 *   end      conn_close_after_flush (orderly) or conn_close (now). on_gone runs once, from the
 *            loop, with the last chance to let go of the exchanges; the conn is freed after it
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"
#include "http/file.h"
#include "http/server.h"
#include "loop/timer.h"

struct conn;

struct conn_protocol {
	/*
	 * Returns how many bytes were taken. Less than len means: paused, offer the rest after
	 * conn_resume (which offers what there is, at times nothing). The connection may have been
	 * asked to close meanwhile, or been given to another protocol, which gets the rest.
	 */
	size_t (*on_input)(struct conn *c, const uint8_t *data, size_t len);
	/* Instead of on_input while the input is diverted: see conn_divert. */
	void (*on_readable)(struct conn *c);
	void (*on_eof)(struct conn *c); /* all input has been taken and no more will come */
	/* Optional: the peer has ended its side, but input still waits for conn_resume. */
	void (*on_hangup)(struct conn *c);
	void (*on_drained)(struct conn *c); /* an output queue that was stuck is empty again */
	/* Optional: conn_send_file is done; error as file_send_fn has it. */
	void (*on_file_sent)(struct conn *c, int error);
	void (*on_timeout)(struct conn *c); /* the deadline of conn_deadline has passed */
	/* The server drains: finish what runs, take nothing new. */
	void (*on_shutdown)(struct conn *c);
	void (*on_gone)(struct conn *c); /* frees the protocol's state */
};

extern const struct conn_protocol h1_protocol;
extern const struct conn_protocol h2_protocol;

/* They call conn_set_protocol; the input that told is offered next. */
void h1_start(struct conn *c);
void h2_start(struct conn *c); /* prior knowledge: the preface, if it is one, is in the input */

/*
 * Upgrade: h2c, called by h1 for a request without a body. False: the settings (the base64url text
 * of HTTP2-Settings) are bad, nothing has happened and the request is served as HTTP/1.1. True: h2
 * has written HTTP_SWITCHING_H2C and its own SETTINGS, has taken the connection over
 * (conn_set_protocol; h1 lets go of its own state) and serves a copy of the request as stream 1.
 */
#define HTTP_SWITCHING_H2C                                                                         \
	"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
bool h2_start_upgraded(struct conn *c, struct span settings, const struct http_request *request);

/* Takes fd, a connected stream socket; NULL if the loop cannot watch it (fd is closed). */
struct conn *conn_new(struct server *server, int fd);

/* The server's list of them. */
struct list *conn_link(struct conn *c);
struct conn *conn_of_link(struct list *link);

struct server *conn_server(const struct conn *c);
void *conn_state(const struct conn *c);
void conn_set_protocol(struct conn *c, const struct conn_protocol *p, void *state);

/*
 * Queues or writes the pieces, in order. False: the socket is full, on_drained will follow. While
 * corked nobody knows; after the last conn_uncork conn_queued tells.
 */
bool conn_write(struct conn *c, const struct iovec *pieces, size_t n_pieces);
size_t conn_queued(const struct conn *c); /* bytes written but not yet taken by the socket */

/*
 * Sends part of a file behind what is queued. on_file_sent follows, or else on_gone; until then nothing
 * else may be written. len > 0.
 */
void conn_send_file(struct conn *c, struct http_file *file, int64_t offset, int64_t len);

/* Between them conn_write only queues; the last conn_uncork writes once. They nest. */
void conn_cork(struct conn *c);
void conn_uncork(struct conn *c);

size_t conn_kept(const struct conn *c); /* bytes of input that wait for conn_resume */
void conn_resume(struct conn *c);       /* offer kept input again (from the loop) and read on */

/*
 * Somebody else reads what comes next: from the descriptor that is returned, which is his own, and
 * only between on_readable and conn_give_back. -1 and nothing else: the stream has none, or input has
 * been read already.
 */
int conn_divert(struct conn *c);
void conn_give_back(struct conn *c, bool is_over); /* is_over: it is read here again; may repeat */
bool conn_is_lent(const struct conn *c);           /* he reads just now */

/* The server drains: on_shutdown of the protocol, or the end if none speaks yet. */
void conn_shutdown(struct conn *c);

/* on_timeout after so many ms from now; replaces an earlier deadline; 0 = none. */
void conn_deadline(struct conn *c, uint64_t after_ms);

/*
 * Stops reading requests, writes what is queued, ends our side, and drops what the peer still
 * sends for a while (HTTP_LINGER_MAX, HTTP_DRAIN_MS), so that a reset does not eat the answer.
 */
void conn_close_after_flush(struct conn *c);
/* Between requests: the peer is not waited for once the socket has all. It may look only before its next
 * request, minutes later. */
void conn_close_idle(struct conn *c);
void conn_close(struct conn *c); /* drops what is queued */
void conn_reset(struct conn *c); /* so that the peer cannot take it for an orderly end */
bool conn_is_closing(const struct conn *c);
