/*
 * Listeners and the connections they accepted.
 *
 * EMFILE and the like pause accepting for HTTP_ACCEPT_BACKOFF_MS; at HTTP_CONNECTIONS_MAX accepting
 * pauses until one closes (the backlog holds the rest). Loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "http/exchange.h"
#include "http/limits.h"
#include "loop/loop.h"

struct server;

/* Must take the exchange (exchange_own) or answer it. */
typedef void on_request_fn(void *ctx, struct exchange *x);

struct server *server_new(struct loop *loop, on_request_fn *on_request, void *ctx);

/*
 * where   "tcp:ADDR:PORT" with ADDR an IPv4 address, an [IPv6] address, or empty: dual-stack
 *         [::], 0.0.0.0 where IPv6 is off. PORT 0: the kernel chooses (server_port tells).
 * errors  ERR_INVALID (the text), else what the system said ("listen tcp :49983: bind: address
 *         already in use")
 */
int server_listen(struct server *s, const char *where, struct err *e);
int server_port(const struct server *s); /* of the first TCP listener */

/* Stops accepting; idle connections end, busy ones after their last response. */
void server_drain(struct server *s);

/* To be set before server_drain: runs once, when the last connection has gone after it; not after
 * server_close. */
void server_set_on_drained(struct server *s, void (*on_drained)(void *ctx), void *ctx);
size_t server_n_connections(const struct server *s);

/* Ends everything now; on_closed runs when the last handle is closed, and s is freed. */
void server_close(struct server *s, void (*on_closed)(void *ctx), void *ctx);

/* For connections and protocols. */
struct conn;
struct loop *server_loop(const struct server *s);
void server_request(struct server *s, struct exchange *x);
bool server_is_draining(const struct server *s);
void server_add_conn(struct server *s, struct conn *c);
void server_remove_conn(struct server *s, struct conn *c); /* its handles are closed */

/* The value of a Date field, cached for a second. */
struct span server_date(struct server *s);

/*
 * Blocks of SERVER_BLOCK bytes for what lives as long as a request. Some are kept when they are
 * given back, so that a busy server allocates none and an idle one holds little: as many as HTTP/2
 * has open at once when a client sends its requests in bursts.
 */
#define SERVER_BLOCK       MEM_BLOCK
#define SERVER_BLOCKS_KEPT 32u
void *server_take_block(struct server *s) MUST_CHECK; /* NULL: no memory */
void server_give_block(struct server *s, void *block);

/*
 * Memory of output queues: what one has that empties is for the next that fills. With HTTP/2 each
 * message passes through two, and memory of their size otherwise comes from the kernel and goes
 * back every time: half of the CPU that a stream of output costs. Enough for three streams that are
 * fed in one turn and a connection's queue.
 */
#define SERVER_SPARES    4u
#define SERVER_SPARE_MAX (192u * 1024u) /* bytes: two messages of 32 KiB as JSON, doubled */
void server_take_spare(struct server *s, struct buf *b); /* nothing if b has memory */
void server_give_spare(struct server *s, struct buf *b); /* empties b, which then has none */

/*
 * Header blocks that are still arriving, and large ones as long as their request is served, all
 * connections together: charged before they grow.
 */
#define SERVER_HEADS_MAX (64u * 1024u * 1024u) /* bytes; 60 of the largest, 100,000 usual ones */
bool server_charge_head(struct server *s, size_t bytes) MUST_CHECK;
void server_discharge_head(struct server *s, size_t bytes);

/* Output that sockets have not taken, and that streams of HTTP/2 may not send yet, all together. */
#define SERVER_QUEUES_MAX (2u * HTTP_QUEUE_MAX) /* bytes; a stuck peer leaves room for another */
bool server_charge_queue(struct server *s, size_t bytes) MUST_CHECK;
void server_discharge_queue(struct server *s, size_t bytes);
