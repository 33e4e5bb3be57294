/*
 * Bytes between a stream and a protocol.
 *
 *      open ──close_after_flush──▶ flushing ──all written──▶ lingering ──end, limit, time──▶ closing
 *        └──────────close, reset, broken──────────┴───────────────────┴─────────────────────────▲
 *
 *   flushing   what is queued goes out; input is dropped from here on
 *   lingering  our side is ended; the peer's last bytes are read, or a reset would eat the answer
 *   closing    the protocol is told from the loop, then the stream is closed and the conn freed
 *
 * Nothing is freed inside a call: that happens when the stream reports its end.
 */
#include "http/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/state.h"
#include "http/file_send.h"
#include "http/limits.h"
#include "http/stream.h"

/* As much of HTTP/2's preface as no HTTP/1 request can begin with. */
static const char conn_preface[] = "PRI * HTTP/2.0\r\n";
#define CONN_PREFACE_LEN (sizeof conn_preface - 1)

/* Who reads. */
enum conn_reader {
	CONN_ITSELF,
	CONN_DIVERTED, /* somebody else, when there is something */
	CONN_LENT,     /* somebody else, just now */
};

enum conn_phase { CONN_OPEN, CONN_FLUSHING, CONN_LINGERING, CONN_CLOSING };

static const struct state_rule conn_phases[] = {
	[CONN_OPEN] = { "open", BIT(CONN_FLUSHING) | BIT(CONN_CLOSING) },
	[CONN_FLUSHING] = { "flushing", BIT(CONN_LINGERING) | BIT(CONN_CLOSING) },
	[CONN_LINGERING] = { "lingering", BIT(CONN_CLOSING) },
	[CONN_CLOSING] = { "closing", 0 },
};

struct conn {
	struct list link; /* in the server */
	struct server *server;
	struct stream *stream;
	const struct conn_protocol *protocol; /* NULL until the first bytes have told */
	void *protocol_state;
	struct state phase;
	struct timer deadline;
	struct timer stall; /* the peer takes nothing of the queue */
	struct task work;   /* what must not happen inside a call */

	struct buf in; /* input that waits for the protocol */
	size_t in_at;  /* how much of it has been taken */
	struct buf out;
	size_t out_at;
	size_t charged;         /* to the server, of out */
	struct file_send *file; /* after out; NULL: none */
	size_t dropped;         /* bytes read since the protocol wants none */
	unsigned corks;
	enum conn_reader reader;

	bool paused;  /* the protocol has left input */
	bool stuck;   /* the socket does not take the queue */
	bool drained; /* on_drained is due */
	bool resumed; /* kept input is to be offered */
	bool ended;   /* the peer's end has been read */
	bool hung_up; /* the peer has ended its side, unread bytes may be before that */
	bool told_eof;
	bool told_hangup;
	bool abrupt; /* close with a reset */
};

static struct loop *conn_loop(const struct conn *c)
{
	return server_loop(c->server);
}

static bool conn_can_read(const struct conn *c)
{
	return c->reader != CONN_LENT && (!c->paused || conn_kept(c) < HTTP_PENDING_MAX);
}

static void conn_update_wants(struct conn *c)
{
	unsigned facts = c->stuck ? STREAM_WRITABLE : 0;

	if (c->phase.now == CONN_CLOSING)
		return;
	if (!c->ended && conn_can_read(c))
		facts |= STREAM_READABLE;
	else if (!c->ended && !c->hung_up)
		facts |= STREAM_HANGUP;
	c->stream->ops->want(c->stream, facts);
}

/* ---- a socket that is full ---- */

static void conn_unstick(struct conn *c)
{
	if (!c->stuck)
		return;
	c->stuck = false;
	timer_stop(&conn_loop(c)->timers, &c->stall);
}

/* The socket is full; it has taken something since the last time, or nothing. */
static void conn_stick(struct conn *c, bool has_moved)
{
	if (has_moved || !c->stuck)
		timer_start(&conn_loop(c)->timers, &c->stall, HTTP_WRITE_STALL_MS);
	c->stuck = true;
}

/* ---- the end ---- */

static void conn_on_closed(struct stream *s)
{
	struct conn *c = s->owner;

	buf_deinit(&c->in);
	buf_deinit(&c->out);
	server_discharge_queue(c->server, c->charged);
	server_remove_conn(c->server, c);
	free(c);
}

static void conn_end(struct conn *c)
{
	if (c->protocol)
		c->protocol->on_gone(c);
	c->protocol_state = NULL;
	c->stream->ops->close(c->stream, c->abrupt);
}

/* What is not sent of it yet will not be. */
static void conn_drop_file(struct conn *c)
{
	file_send_free(TAKE_PTR(c->file));
	if (conn_queued(c) == 0)
		conn_unstick(c);
}

void conn_close(struct conn *c)
{
	if (c->phase.now == CONN_CLOSING)
		return;
	state_move(&c->phase, CONN_CLOSING);
	conn_drop_file(c);
	c->stuck = false;
	c->stream->ops->want(c->stream, 0);
	timer_stop(&conn_loop(c)->timers, &c->deadline);
	timer_stop(&conn_loop(c)->timers, &c->stall);
	loop_defer(conn_loop(c), &c->work);
}

void conn_reset(struct conn *c)
{
	c->abrupt = true;
	conn_close(c);
}

static void conn_linger(struct conn *c)
{
	c->stream->ops->end_output(c->stream);
	if (c->ended) {
		conn_close(c);
		return;
	}
	state_move(&c->phase, CONN_LINGERING);
	timer_start(&conn_loop(c)->timers, &c->deadline, HTTP_DRAIN_MS);
	conn_update_wants(c);
}

void conn_close_after_flush(struct conn *c)
{
	if (conn_is_closing(c))
		return;
	if (c->file && file_send_is_going(c->file)) {
		conn_close(c); /* there is no telling how far it is */
		return;
	}
	state_move(&c->phase, CONN_FLUSHING);
	c->dropped = conn_kept(c); /* its memory may be under the protocol's eyes just now */
	c->paused = false;
	conn_drop_file(c);
	c->reader = CONN_ITSELF;
	timer_stop(&conn_loop(c)->timers, &c->deadline);
	if (conn_queued(c) == 0)
		conn_linger(c);
	else
		conn_update_wants(c);
}

bool conn_is_closing(const struct conn *c)
{
	return c->phase.now != CONN_OPEN;
}

void conn_close_idle(struct conn *c)
{
	if (conn_queued(c) > 0)
		conn_close_after_flush(c);
	else
		conn_close(c);
}

void conn_shutdown(struct conn *c)
{
	if (conn_is_closing(c))
		return;
	if (c->protocol)
		c->protocol->on_shutdown(c);
	else
		conn_close_idle(c);
}

/* ---- output ---- */

static void conn_discharge(struct conn *c, size_t n)
{
	server_discharge_queue(c->server, n);
	c->charged -= n;
}

static void conn_queue_empty(struct conn *c)
{
	c->out_at = 0;
	server_give_spare(c->server, &c->out);
	conn_discharge(c, c->charged);
	c->drained = c->drained || c->stuck;
	conn_unstick(c);
}

/* The socket has taken n bytes of the queue, and perhaps not all. */
static void conn_flushed(struct conn *c, size_t n)
{
	c->out_at += n;
	if (c->out_at == c->out.len)
		conn_queue_empty(c);
	else
		conn_stick(c, n > 0);
}

static void conn_flush(struct conn *c)
{
	struct iovec piece;
	ptrdiff_t n;

	if (conn_queued(c) == 0)
		return;
	piece = (struct iovec){ c->out.data + c->out_at, conn_queued(c) };
	n = c->stream->ops->write(c->stream, &piece, 1);
	if (n < 0 && n != -EAGAIN) {
		conn_close(c);
		return;
	}
	conn_flushed(c, n < 0 ? 0 : (size_t)n);
	if (c->phase.now == CONN_FLUSHING && conn_queued(c) == 0)
		conn_linger(c);
}

/* Appends all but the first skip bytes, which leaves n. */
static void conn_queue(struct conn *c, const struct iovec *pieces, size_t n_pieces, size_t skip,
                       size_t n)
{
	if (c->out_at > 0 && c->out_at >= c->out.len / 2) {
		buf_consume(&c->out, c->out_at);
		conn_discharge(c, c->out_at);
		c->out_at = 0;
	}
	if (!server_charge_queue(c->server, n)) {
		conn_close(c); /* as below: others have it all */
		return;
	}
	c->charged += n;
	server_take_spare(c->server, &c->out);
	for (size_t i = 0; i < n_pieces; i++) {
		size_t cut = MIN(skip, pieces[i].iov_len);

		skip -= cut;
		buf_append(&c->out, (const char *)pieces[i].iov_base + cut,
		           pieces[i].iov_len - cut);
	}
	if (buf_error(&c->out))
		conn_close(c); /* HTTP_QUEUE_MAX, or no memory: the peer cannot be served */
}

bool conn_write(struct conn *c, const struct iovec *pieces, size_t n_pieces)
{
	size_t total = 0, done = 0;
	ptrdiff_t n;

	if (conn_is_closing(c))
		return true;
	ASSERT(!c->file);
	for (size_t i = 0; i < n_pieces; i++)
		total += pieces[i].iov_len;
	if (c->corks == 0 && conn_queued(c) == 0) {
		n = c->stream->ops->write(c->stream, pieces, n_pieces);
		if (n < 0 && n != -EAGAIN) {
			conn_close(c);
			return true;
		}
		done = n < 0 ? 0 : (size_t)n;
	}
	if (done == total)
		return true;
	conn_queue(c, pieces, n_pieces, done, total - done);
	if (c->corks > 0 || conn_is_closing(c))
		return true;
	conn_flushed(c, 0);
	conn_update_wants(c);
	return false;
}

size_t conn_queued(const struct conn *c)
{
	return c->out.len - c->out_at;
}

/* ---- files ---- */

/* Behind the queue, and when there is room. */
static void conn_go_on_with_file(struct conn *c)
{
	if (c->file && c->corks == 0 && !c->stuck && conn_queued(c) == 0)
		file_send_go(c->file);
}

static void conn_on_file(void *owner, enum file_send_state state, int error)
{
	struct conn *c = owner;

	switch (state) {
	case FILE_SEND_FULL:
		conn_stick(c, true);
		break;
	case FILE_SEND_INTERRUPTED:
		conn_go_on_with_file(c);
		break;
	case FILE_SEND_PEER_BROKEN:
		conn_close(c);
		break;
	case FILE_SEND_DONE:
	case FILE_SEND_FILE_BROKEN:
		conn_drop_file(c);
		c->protocol->on_file_sent(c, error);
		break;
	}
	conn_update_wants(c);
}

void conn_send_file(struct conn *c, struct http_file *file, int64_t offset, int64_t len)
{
	int socket;

	if (conn_is_closing(c))
		return;
	ASSERT(!c->file);
	socket = c->stream->ops->lend_socket(c->stream);
	if (socket < 0) {
		conn_close(c); /* as for want of memory */
		return;
	}
	c->file = file_send_new(conn_loop(c), socket, file, offset, len, conn_on_file, c);
	conn_go_on_with_file(c);
}

/* ---- corks ---- */

void conn_cork(struct conn *c)
{
	c->corks++;
}

void conn_uncork(struct conn *c)
{
	ASSERT(c->corks > 0);
	if (--c->corks > 0 || c->phase.now == CONN_CLOSING || c->stuck)
		return;
	conn_flush(c);
	conn_go_on_with_file(c);
	conn_update_wants(c);
}

/* ---- input ---- */

size_t conn_kept(const struct conn *c)
{
	return c->in.len - c->in_at;
}

void conn_resume(struct conn *c)
{
	if (conn_is_closing(c))
		return;
	c->resumed = true;
	loop_defer(conn_loop(c), &c->work);
}

int conn_divert(struct conn *c)
{
	int fd;

	if (conn_is_closing(c) || conn_kept(c) > 0 || c->ended || !c->stream->ops->lend_input)
		return -1;
	fd = c->stream->ops->lend_input(c->stream);
	if (fd >= 0)
		c->reader = CONN_DIVERTED;
	return fd;
}

bool conn_is_lent(const struct conn *c)
{
	return c->reader == CONN_LENT;
}

void conn_give_back(struct conn *c, bool is_over)
{
	if (c->reader == CONN_ITSELF)
		return;
	c->reader = is_over ? CONN_ITSELF : CONN_DIVERTED;
	conn_resume(c);
}

/* Returns whether a protocol speaks now. */
static bool conn_sniff(struct conn *c, const uint8_t *data, size_t len)
{
	if (memcmp(data, conn_preface, MIN(len, CONN_PREFACE_LEN)) != 0)
		h1_start(c);
	else if (len >= CONN_PREFACE_LEN)
		h2_start(c);
	else if (conn_kept(c) == 0)
		conn_deadline(c, HTTP_HEADER_MS); /* for all of the preface, not for each byte */
	return c->protocol;
}

/* Returns how much was taken. The protocol may hand over to another one in the middle. */
static size_t conn_offer(struct conn *c, const uint8_t *data, size_t len)
{
	const struct conn_protocol *speaks;
	size_t taken = 0;

	if (!c->protocol && (len == 0 || !conn_sniff(c, data, len)))
		return 0;
	do {
		speaks = c->protocol;
		taken += speaks->on_input(c, data + taken, len - taken);
	} while (c->protocol != speaks && !conn_is_closing(c));
	c->paused = taken < len;
	return taken;
}

static void conn_keep(struct conn *c, const uint8_t *data, size_t len)
{
	if (conn_is_closing(c) || len == 0)
		return;
	if (c->in_at > 0) {
		buf_consume(&c->in, c->in_at);
		c->in_at = 0;
	}
	buf_append(&c->in, data, len);
	if (buf_error(&c->in))
		conn_close(c);
}

static void conn_offer_kept(struct conn *c)
{
	static const uint8_t nothing;
	const uint8_t *data = conn_kept(c) > 0 ? c->in.data + c->in_at : &nothing;
	size_t taken = conn_offer(c, data, conn_kept(c));

	if (conn_is_closing(c))
		return;
	c->in_at += taken;
	if (conn_kept(c) == 0) {
		c->in_at = 0;
		buf_reset(&c->in, 0);
	}
}

static void conn_take_input(struct conn *c, const uint8_t *data, size_t len)
{
	if (conn_kept(c) > 0) {
		conn_keep(c, data, len);
		if (!c->paused && !conn_is_closing(c))
			conn_offer_kept(c);
		return;
	}
	size_t taken = conn_offer(c, data, len);

	conn_keep(c, data + taken, len - taken);
}

/* Tells the protocol, once each, that the peer has ended its side. */
static void conn_tell_end(struct conn *c)
{
	if (conn_is_closing(c) || !(c->ended || c->hung_up))
		return;
	if (!c->protocol) {
		conn_close(c);
	} else if (c->ended && conn_kept(c) == 0) {
		if (!c->told_eof) {
			c->told_eof = true;
			c->protocol->on_eof(c);
		}
	} else if (!c->told_hangup && c->protocol->on_hangup) {
		c->told_hangup = true;
		c->protocol->on_hangup(c);
	}
}

static void conn_drop_input(struct conn *c, size_t len)
{
	c->dropped += len;
	if (c->dropped > HTTP_LINGER_MAX)
		conn_close(c);
}

static bool conn_is_read_elsewhere(struct conn *c)
{
	if (c->reader == CONN_ITSELF)
		return false;
	c->reader = CONN_LENT;
	c->protocol->on_readable(c);
	return true;
}

static void conn_read(struct conn *c)
{
	uint8_t *data = conn_loop(c)->read_buf;
	size_t room = conn_is_closing(c) ? LOOP_READ_BUF : HTTP_PENDING_MAX - conn_kept(c);
	ptrdiff_t n;

	if (room == 0 || conn_is_read_elsewhere(c))
		return;
	n = c->stream->ops->read(c->stream, data, MIN(room, LOOP_READ_BUF));
	if (n == -EAGAIN)
		return;
	if (n < 0) {
		conn_close(c);
		return;
	}
	if (n == 0) {
		c->ended = true;
		if (c->phase.now == CONN_LINGERING)
			conn_close(c);
	} else if (conn_is_closing(c)) {
		conn_drop_input(c, (size_t)n);
	} else {
		conn_take_input(c, data, (size_t)n);
	}
}

/* ---- from the loop ---- */

static void conn_tell_drained(struct conn *c)
{
	if (!c->drained)
		return;
	c->drained = false;
	if (!conn_is_closing(c) && c->protocol)
		c->protocol->on_drained(c);
}

static void conn_on_room(struct conn *c)
{
	conn_flush(c);
	if (conn_queued(c) > 0)
		return;
	conn_unstick(c);
	conn_go_on_with_file(c);
}

static void conn_on_ready(struct stream *s, unsigned facts)
{
	struct conn *c = s->owner;

	if (facts & STREAM_WRITABLE)
		conn_on_room(c);
	conn_tell_drained(c);
	if (facts & STREAM_HANGUP)
		c->hung_up = true;
	if (facts & STREAM_READABLE && c->phase.now != CONN_CLOSING)
		conn_read(c);
	if (facts & STREAM_BROKEN && !conn_can_read(c))
		conn_close(c); /* there is no room to read as far as the error */
	conn_tell_end(c);
	conn_update_wants(c);
}

static void conn_on_work(struct task *task)
{
	struct conn *c = CONTAINER_OF(task, struct conn, work);

	if (c->phase.now == CONN_CLOSING) {
		conn_end(c);
		return;
	}
	if (c->resumed && !conn_is_closing(c)) {
		c->resumed = false;
		conn_offer_kept(c);
	}
	conn_tell_end(c);
	conn_update_wants(c);
}

static void conn_on_deadline(struct timer *timer)
{
	struct conn *c = CONTAINER_OF(timer, struct conn, deadline);

	if (conn_is_closing(c) || !c->protocol)
		conn_close(c);
	else
		c->protocol->on_timeout(c);
}

static void conn_on_stall(struct timer *timer)
{
	conn_close(CONTAINER_OF(timer, struct conn, stall));
}

void conn_deadline(struct conn *c, uint64_t after_ms)
{
	if (conn_is_closing(c))
		return;
	if (after_ms > 0)
		timer_start(&conn_loop(c)->timers, &c->deadline, after_ms);
	else
		timer_stop(&conn_loop(c)->timers, &c->deadline);
}

/* ---- making ---- */

struct conn *conn_new(struct server *server, int fd)
{
	struct stream *stream = stream_socket_new(server_loop(server), fd);
	struct conn *c;

	if (!stream)
		return NULL;
	c = xcalloc(1, sizeof *c);
	c->server = server;
	c->stream = stream;
	stream->owner = c;
	stream->on_ready = conn_on_ready;
	stream->on_closed = conn_on_closed;
	state_init(&c->phase, conn_phases, ARRAY_SIZE(conn_phases), CONN_OPEN, "conn",
	           (uint64_t)fd);
	buf_init(&c->in, HTTP_PENDING_MAX);
	buf_init(&c->out, HTTP_QUEUE_MAX);
	c->work.run = conn_on_work;
	c->deadline.on_due = conn_on_deadline;
	c->stall.on_due = conn_on_stall;
	server_add_conn(server, c);
	conn_deadline(c, HTTP_IDLE_MS);
	conn_update_wants(c);
	return c;
}

struct list *conn_link(struct conn *c)
{
	return &c->link;
}

struct conn *conn_of_link(struct list *link)
{
	return CONTAINER_OF(link, struct conn, link);
}

struct server *conn_server(const struct conn *c)
{
	return c->server;
}

void *conn_state(const struct conn *c)
{
	return c->protocol_state;
}

void conn_set_protocol(struct conn *c, const struct conn_protocol *p, void *state)
{
	c->protocol = p;
	c->protocol_state = state;
}
