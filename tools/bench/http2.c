#define _GNU_SOURCE
#include "http2.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "client.h"

/* RFC 9113 */
#define FRAME_HEAD    9u
#define FRAME_PAYLOAD 16384u /* SETTINGS_MAX_FRAME_SIZE as it begins, ours and theirs */
#define WINDOW_FIRST  65535
enum { DATA, HEADERS, RST_STREAM = 3, SETTINGS, GOAWAY = 7, WINDOW_UPDATE };
enum { ACK = 0x1, END_STREAM = 0x1, END_HEADERS = 0x4 };
enum { SETTINGS_INITIAL_WINDOW_SIZE = 0x4 };
#define STREAM 1u

/* RFC 7541: a field that no table holds, as is. ":status: 200" is an entry of the static table. */
#define HPACK_LITERAL    0x00
#define HPACK_STATUS_200 0x88
#define HPACK_TABLE_SIZE 0x20 /* may come before the fields, in one byte when it is small */
#define HPACK_TEXT_MAX   126u

#define WRITE_FRAMES 16u /* frames of one write */

struct http2 {
	int fd;
	char buffer[READ_MAX]; /* what was read; whole frames are taken from its begin */
	size_t n_buffered;

	int64_t connection_window, stream_window; /* that we may send in */
	int64_t first_window;                     /* that the server's settings give a stream */
	size_t n_data_left;                       /* of a DATA frame */
	uint64_t n_bytes;
	bool has_status, is_over;
};

static void put_frame_head(char *at, size_t len, int type, int flags, unsigned stream)
{
	const char head[FRAME_HEAD] = {
		(char)(len >> 16), (char)(len >> 8), (char)len, (char)type, (char)flags, 0, 0, 0,
		(char)stream
	};

	memcpy(at, head, sizeof(head));
}

static uint32_t get_u32(const char *at)
{
	const uint8_t *u = (const uint8_t *)at;

	return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

/* ---------------------------------------------------------------- what we send */

static void send_preface(int fd)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
				      "\0\0\x06\x04\0\0\0\0\0" /* SETTINGS_INITIAL_WINDOW_SIZE */
				      "\0\x04\x7f\xff\xff\xff"
				      "\0\0\x04\x08\0\0\0\0\0" /* WINDOW_UPDATE of the connection */
				      "\x7f\xff\0\0";

	send_all(fd, preface, sizeof(preface) - 1, MSG_MORE);
}

static size_t put_text(char *at, const char *text)
{
	size_t len = strlen(text);

	if (len > HPACK_TEXT_MAX)
		fail("the request is too long");
	*at = (char)len;
	memcpy(at + 1, text, len);
	return 1 + len;
}

static void send_head(int fd, const struct http2_request *request)
{
	char head[FRAME_HEAD + 8 * (1 + 2 * (1 + HPACK_TEXT_MAX))], *at = head + FRAME_HEAD;
	int flags = END_HEADERS | (request->body ? 0 : END_STREAM);

	for (const struct http2_field *field = request->fields; field->name; field++) {
		*at++ = HPACK_LITERAL;
		at += put_text(at, field->name);
		at += put_text(at, field->value);
	}
	put_frame_head(head, (size_t)(at - head) - FRAME_HEAD, HEADERS, flags, STREAM);
	send_all(fd, head, (size_t)(at - head), 0);
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t room(const struct http2 *c)
{
	int64_t window =
		c->connection_window < c->stream_window ? c->connection_window : c->stream_window;

	return window > 0 ? (size_t)window : 0;
}

/* Some frames in one write; returns how much of the body went. */
static size_t send_body(struct http2 *c, const char *body, size_t len)
{
	size_t n_sent = 0, n_written = 0,
	       n = least(least(len, room(c)), WRITE_FRAMES * FRAME_PAYLOAD);
	char heads[WRITE_FRAMES][FRAME_HEAD];
	struct iovec parts[2 * WRITE_FRAMES];
	struct msghdr message = { .msg_iov = parts };

	for (unsigned i = 0; n_sent < n; i++) {
		size_t n_payload = least(n - n_sent, FRAME_PAYLOAD);
		int flags = n_sent + n_payload == len ? END_STREAM : 0;

		put_frame_head(heads[i], n_payload, DATA, flags, STREAM);
		parts[message.msg_iovlen++] = (struct iovec){ heads[i], FRAME_HEAD };
		parts[message.msg_iovlen++] =
			(struct iovec){ (char *)(uintptr_t)body + n_sent, n_payload };
		n_sent += n_payload;
		n_written += FRAME_HEAD + n_payload;
	}
	if (sendmsg(c->fd, &message, MSG_NOSIGNAL) != (ssize_t)n_written)
		fail("send: %s", strerror(errno));
	c->connection_window -= (int64_t)n_sent;
	c->stream_window -= (int64_t)n_sent;
	return n_sent;
}

/* ---------------------------------------------------------------- what comes */

static void on_settings(struct http2 *c, const char *payload, size_t len)
{
	char ack[FRAME_HEAD];

	for (; len >= 6; payload += 6, len -= 6) {
		if (payload[1] != SETTINGS_INITIAL_WINDOW_SIZE)
			continue;
		c->stream_window += get_u32(payload + 2) - c->first_window;
		c->first_window = get_u32(payload + 2);
	}
	put_frame_head(ack, 0, SETTINGS, ACK, 0);
	send_all(c->fd, ack, sizeof(ack), 0);
}

static void on_headers(struct http2 *c, const char *payload)
{
	if (c->has_status)
		return;
	if ((*payload & 0xe0) == HPACK_TABLE_SIZE)
		payload++;
	if ((uint8_t)*payload != HPACK_STATUS_200)
		fail("a request over HTTP/2 was refused");
	c->has_status = true;
}

static void on_frame(struct http2 *c, const char *head, size_t len)
{
	const char *payload = head + FRAME_HEAD;

	switch (head[3]) {
	case HEADERS:
		on_headers(c, payload);
		break;
	case SETTINGS:
		if (!(head[4] & ACK))
			on_settings(c, payload, len);
		break;
	case WINDOW_UPDATE:
		*(head[8] ? &c->stream_window : &c->connection_window) += get_u32(payload);
		break;
	case RST_STREAM:
	case GOAWAY:
		fail("a request over HTTP/2 was cut off");
	default:
		break;
	}
}

/* Returns how much it took: a whole frame, or some of a DATA frame; 0: more has to come. */
static size_t take(struct http2 *c, const char *at, size_t len)
{
	size_t n_payload;

	if (c->n_data_left > 0) {
		size_t n = least(len, c->n_data_left);

		c->n_data_left -= n;
		c->n_bytes += n;
		return n;
	}
	if (len < FRAME_HEAD)
		return 0;
	n_payload = get_u32(at) >> 8;
	if (at[3] != DATA && len < FRAME_HEAD + n_payload)
		return 0;
	if ((at[3] == DATA || at[3] == HEADERS) && (at[4] & END_STREAM))
		c->is_over = true;
	if (at[3] == DATA) {
		c->n_data_left = n_payload;
		return FRAME_HEAD;
	}
	on_frame(c, at, n_payload);
	return FRAME_HEAD + n_payload;
}

/* One read; with MSG_DONTWAIT of what is there. */
static void http2_read(struct http2 *c, int flags)
{
	ssize_t n =
		recv(c->fd, c->buffer + c->n_buffered, sizeof(c->buffer) - c->n_buffered, flags);
	size_t n_taken = 0, n_frame;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		fail("a connection of HTTP/2 broke off: %s", n < 0 ? strerror(errno) : "closed");
	c->n_buffered += (size_t)n;
	while (n_taken < c->n_buffered) {
		n_frame = take(c, c->buffer + n_taken, c->n_buffered - n_taken);
		if (n_frame == 0)
			break;
		n_taken += n_frame;
	}
	c->n_buffered -= n_taken;
	memmove(c->buffer, c->buffer + n_taken, c->n_buffered);
}

uint64_t http2_exchange(int fd, const struct http2_request *request)
{
	static struct http2 c;

	c = (struct http2){ .fd = fd,
		            .connection_window = WINDOW_FIRST,
		            .stream_window = WINDOW_FIRST,
		            .first_window = WINDOW_FIRST };
	send_preface(fd);
	send_head(fd, request);
	for (size_t n_sent = 0; n_sent < request->n_body;) {
		n_sent += send_body(&c, request->body + n_sent, request->n_body - n_sent);
		http2_read(&c, room(&c) > 0 ? MSG_DONTWAIT : 0);
	}
	while (!c.is_over || c.n_data_left > 0)
		http2_read(&c, 0);
	if (!c.has_status)
		fail("a response over HTTP/2 has no status");
	return c.n_bytes;
}
