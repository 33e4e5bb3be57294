/*
 * Reads and writes one descriptor of ours on the loop: a pipe, or a terminal's master, which is both
 * ways in one. Pause, resume, end; what does not fit waits until it does.
 *
 * Bytes are read into the loop's shared buffer, so an idle descriptor owns none. A paused
 * descriptor is not read: the pipe fills and its writer waits, which is the back-pressure.
 * Loop thread only. Each callback may pause and close the fdio it is called for.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "base/macros.h"
#include "loop/loop.h"
#include "loop/owner.h"

/* Reads of one descriptor before the others get their turn: two empty a pipe of 64 KiB. */
#define FDIO_READS_PER_TURN 4u

struct fdio;

/* What a user never asks for needs no callback. */
struct fdio_ops {
	/* data is valid during the call only. */
	void (*on_data)(struct fdio *io, const uint8_t *data, size_t len);
	/*
	 * Once: nothing more will come. error is 0 at the end of the file (a terminal that all its
	 * users have closed says EIO, which is its end of file), else a negative errno. Writing is
	 * another matter, it goes on until it fails.
	 */
	void (*on_end)(struct fdio *io, int error);
	/* Once for each fdio_await_writable: a write will take something, or say what is wrong. */
	void (*on_writable)(struct fdio *io);
};

struct fdio {
	uv_poll_t poll;
	struct loop *loop;
	struct owner *owner;
	const struct fdio_ops *ops;
	size_t read_max;
	int fd;
	bool open;
	bool ended;      /* on_end has been told */
	unsigned wanted; /* by the user: UV_READABLE, UV_WRITABLE */
	unsigned
		polled; /* what libuv was told; follows lazily when something is not wanted any more */
};

/*
 * Opens paused. Zeroed memory counts as closed.
 *
 * owner     borrowed; the handle is one of its holds until it has closed
 * fd        taken on success (*fd becomes -1); must be non-blocking
 * read_max  bytes of one read and so of one on_data, at most LOOP_READ_BUF
 * returns   0 or a negative errno
 */
int fdio_open(struct fdio *io, struct loop *loop, struct owner *owner, int *fd, size_t read_max,
              const struct fdio_ops *ops) MUST_CHECK;

/* Closes the descriptor at once; no callback follows. May repeat. */
void fdio_close(struct fdio *io);

/* Nothing on a closed or ended one. */
void fdio_resume(struct fdio *io);
void fdio_pause(struct fdio *io);

/* Bytes that wait to be read, as the kernel counts them (FIONREAD); 0 when closed or unknown. A
 * terminal's are not all counted. */
size_t fdio_unread(const struct fdio *io);

/* Whether bytes wait to be read, of a terminal too; false when closed. */
bool fdio_has_unread(const struct fdio *io);

/*
 * Writes once. SIGPIPE must be ignored.
 *
 * returns  bytes taken, 0 when there is no room, or a negative errno: -EPIPE when a pipe has no
 *          reader, -EIO when a terminal is full and has no user, -EBADF when closed
 */
ssize_t fdio_write(struct fdio *io, const uint8_t *data, size_t len) MUST_CHECK;

/* Nothing on a closed one. */
void fdio_await_writable(struct fdio *io);
