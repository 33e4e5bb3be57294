#include "http/server.h"

#include <stdlib.h>
#include <time.h>

#include "base/list.h"
#include "base/mem.h"
#include "http/conn.h"
#include "http/date.h"
#include "http/limits.h"
#include "http/listener.h"
#include "loop/owner.h"

struct server {
	struct loop *loop;
	on_request_fn *on_request;
	void *ctx;
	struct owner owner; /* holds: listeners and connections */
	struct list listeners;
	struct list conns;
	size_t n_conns;
	size_t head_bytes;
	size_t queue_bytes;
	struct date date;
	struct buf spares[SERVER_SPARES]; /* data and cap only */
	unsigned n_spares;
	void *blocks; /* a chain through their first word */
	unsigned n_blocks;
	int port;
	bool draining;
	struct task drained; /* deferred when the last connection has gone */
	void (*on_drained)(void *ctx);
	void *drained_ctx;
	void (*on_closed)(void *ctx);
	void *closed_ctx;
};

/* ---- listening ---- */

static void server_on_accept(struct listener *l, int fd)
{
	struct server *s = l->owner;
	struct listener *other;

	conn_new(s, fd);
	if (s->n_conns < HTTP_CONNECTIONS_MAX)
		return;
	LIST_FOR_EACH(&s->listeners, other, struct listener, link)
		listener_pause(other);
}

static void server_on_listener_closed(struct listener *l)
{
	struct server *s = l->owner;

	list_remove(&l->link);
	owner_drop(&s->owner);
}

static const struct listener_ops server_listener_ops = {
	.on_accept = server_on_accept,
	.on_closed = server_on_listener_closed,
};

int server_listen(struct server *s, const char *where, struct err *e)
{
	struct listener *l = listener_open(s->loop, where, &server_listener_ops, s, e);

	if (!l)
		return -1;
	list_append(&s->listeners, &l->link);
	owner_hold(&s->owner);
	if (s->port == 0)
		s->port = l->port;
	return 0;
}

int server_port(const struct server *s)
{
	return s->port;
}

/* ---- connections ---- */

void server_add_conn(struct server *s, struct conn *c)
{
	list_append(&s->conns, conn_link(c));
	s->n_conns++;
	owner_hold(&s->owner);
}

static void server_on_drained(struct task *task)
{
	struct server *s = CONTAINER_OF(task, struct server, drained);

	TAKE_PTR(s->on_drained)(s->drained_ctx); /* may close s: last statement */
}

static void server_check_drained(struct server *s)
{
	if (s->n_conns == 0 && s->on_drained)
		loop_defer(s->loop, &s->drained);
}

void server_remove_conn(struct server *s, struct conn *c)
{
	struct listener *l;

	list_remove(conn_link(c));
	s->n_conns--;
	if (s->draining) {
		server_check_drained(s);
	} else {
		LIST_FOR_EACH(&s->listeners, l, struct listener, link)
			listener_resume(l);
	}
	owner_drop(&s->owner);
}

size_t server_n_connections(const struct server *s)
{
	return s->n_conns;
}

struct loop *server_loop(const struct server *s)
{
	return s->loop;
}

void server_request(struct server *s, struct exchange *x)
{
	s->on_request(s->ctx, x);
}

struct span server_date(struct server *s)
{
	return date_at(&s->date, time(NULL));
}

/* ---- memory that connections share ---- */

void *server_take_block(struct server *s)
{
	void *block = s->blocks;

	if (!block)
		return try_malloc(SERVER_BLOCK);
	s->blocks = *(void **)block;
	s->n_blocks--;
	return block;
}

void server_give_block(struct server *s, void *block)
{
	if (s->n_blocks == SERVER_BLOCKS_KEPT) {
		free(block);
		return;
	}
	*(void **)block = s->blocks;
	s->blocks = block;
	s->n_blocks++;
}

void server_take_spare(struct server *s, struct buf *b)
{
	struct buf *spare;

	if (b->data || s->n_spares == 0)
		return;
	spare = &s->spares[--s->n_spares];
	ASSERT(spare->cap <= b->max);
	b->data = TAKE_PTR(spare->data);
	b->cap = spare->cap;
}

void server_give_spare(struct server *s, struct buf *b)
{
	struct buf *spare;

	buf_reset(b, s->n_spares < SERVER_SPARES ? SERVER_SPARE_MAX : 0);
	if (!b->data)
		return;
	spare = &s->spares[s->n_spares++];
	spare->data = TAKE_PTR(b->data);
	spare->cap = b->cap;
	b->cap = 0;
}

bool server_charge_head(struct server *s, size_t bytes)
{
	if (bytes > SERVER_HEADS_MAX - s->head_bytes)
		return false;
	s->head_bytes += bytes;
	return true;
}

void server_discharge_head(struct server *s, size_t bytes)
{
	ASSERT(bytes <= s->head_bytes);
	s->head_bytes -= bytes;
}

bool server_charge_queue(struct server *s, size_t bytes)
{
	if (bytes > SERVER_QUEUES_MAX - s->queue_bytes)
		return false;
	s->queue_bytes += bytes;
	return true;
}

void server_discharge_queue(struct server *s, size_t bytes)
{
	ASSERT(bytes <= s->queue_bytes);
	s->queue_bytes -= bytes;
}

/* ---- the end ---- */

void server_drain(struct server *s)
{
	struct listener *l;
	struct list *at;

	s->draining = true;
	LIST_FOR_EACH(&s->listeners, l, struct listener, link)
		listener_close(l);
	/* None leaves the list inside the call: they do when their stream is closed. */
	for (at = s->conns.next; at != &s->conns; at = at->next)
		conn_shutdown(conn_of_link(at));
	server_check_drained(s);
}

void server_set_on_drained(struct server *s, void (*on_drained)(void *ctx), void *ctx)
{
	s->on_drained = on_drained;
	s->drained_ctx = ctx;
}

bool server_is_draining(const struct server *s)
{
	return s->draining;
}

static void server_on_all_closed(struct owner *o)
{
	struct server *s = CONTAINER_OF(o, struct server, owner);
	void (*on_closed)(void *ctx) = s->on_closed;
	void *ctx = s->closed_ctx;

	ASSERT(s->n_conns == 0 && s->head_bytes == 0 && s->queue_bytes == 0);
	while (s->n_spares > 0)
		buf_deinit(&s->spares[--s->n_spares]);
	while (s->blocks) {
		void *block = s->blocks;

		s->blocks = *(void **)block;
		free(block);
	}
	free(s);
	if (on_closed)
		on_closed(ctx);
}

void server_close(struct server *s, void (*on_closed)(void *ctx), void *ctx)
{
	struct listener *l;
	struct list *at;

	s->on_closed = on_closed;
	s->closed_ctx = ctx;
	s->on_drained = NULL;
	loop_undefer(&s->drained);
	s->draining = true;
	LIST_FOR_EACH(&s->listeners, l, struct listener, link)
		listener_close(l);
	for (at = s->conns.next; at != &s->conns; at = at->next)
		conn_close(conn_of_link(at));
	owner_close(&s->owner);
}

struct server *server_new(struct loop *loop, on_request_fn *on_request, void *ctx)
{
	struct server *s = xcalloc(1, sizeof *s);

	s->loop = loop;
	s->on_request = on_request;
	s->ctx = ctx;
	s->drained.run = server_on_drained;
	list_init(&s->listeners);
	list_init(&s->conns);
	owner_init(&s->owner, server_on_all_closed);
	return s;
}
