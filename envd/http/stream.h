/*
 * The seam below a connection: a non-blocking byte stream. Sockets come through stream_socket_new
 * (TCP; Unix and vsock are the same calls); TLS joins as another set of stream_ops.
 *
 * on_ready tells facts and may be called without need; it never runs inside a call of the
 * functions below. Loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct loop;
struct stream;

/* What on_ready may have to tell. */
enum {
	STREAM_READABLE = 1, /* bytes, the end or an error wait to be read */
	STREAM_WRITABLE = 2,
	STREAM_HANGUP = 4, /* the peer has ended its side; only while reading is not wanted */
	STREAM_BROKEN = 8, /* told unasked: an error waits to be read, perhaps behind bytes */
};

struct stream_ops {
	/* Bytes read; 0 at the end; -EAGAIN; another negative errno if the stream is broken. */
	ptrdiff_t (*read)(struct stream *s, void *data, size_t len);
	/* Bytes written, perhaps fewer than offered; -EAGAIN; or negative errno. */
	ptrdiff_t (*write)(struct stream *s, const struct iovec *pieces, size_t n_pieces);
	/*
	 * A descriptor of its own for the socket, close-on-exec, for a job that sends a file into it;
	 * the job has the socket to itself until it is closed. -1: there is none, which errno says.
	 */
	int (*lend_socket)(struct stream *s);
	/*
	 * Optional: a descriptor of the caller's own that reads the same bytes, one of both at a time,
	 * and finds their end when the stream is closed. -1: there is none now. A stream that changes
	 * the bytes has none at all.
	 */
	int (*lend_input)(struct stream *s);
	/* Which facts on_ready is wanted for. Repeating costs nothing. */
	void (*want)(struct stream *s, unsigned facts);
	void (*end_output)(struct stream *s);
	/* abrupt: the peer sees a reset. on_closed follows, later; the stream is freed after it. */
	void (*close)(struct stream *s, bool abrupt);
};

struct stream {
	const struct stream_ops *ops;
	void (*on_ready)(struct stream *s, unsigned facts);
	void (*on_closed)(struct stream *s);
	void *owner;
};

/* Takes fd, which is made non-blocking; NULL if the loop cannot watch it (fd is closed). */
struct stream *stream_socket_new(struct loop *loop, int fd);
