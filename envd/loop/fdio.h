/*
 * Reads one descriptor of ours, a pipe or a terminal's master, on the loop: pause, resume, end.
 *
 * Bytes are read into the loop's shared buffer, so an idle descriptor owns none. A paused
 * descriptor is not read: the pipe fills and its writer waits, which is the back-pressure.
 * Loop thread only. on_data and on_end may pause and close the fdio they are called for.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/macros.h"
#include "loop/loop.h"
#include "loop/owner.h"

/* Reads of one descriptor before the others get their turn: two empty a pipe of 64 KiB. */
#define FDIO_READS_PER_TURN 4u

struct fdio;

struct fdio_ops {
	/* data is valid during the call only. */
	void (*on_data)(struct fdio *io, const uint8_t *data, size_t len);
	/*
	 * Once: nothing more will come. error is 0 at the end of the file (a terminal that all its
	 * users have closed says EIO, which is its end of file), else a negative errno.
	 */
	void (*on_end)(struct fdio *io, int error);
};

struct fdio {
	uv_poll_t poll;
	struct loop *loop;
	struct owner *owner;
	const struct fdio_ops *ops;
	size_t read_max;
	int fd;
	bool open;
	bool wanted; /* resumed by the user                                       */
	bool polled; /* what libuv was told; follows lazily when wanted goes away */
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

void fdio_resume(struct fdio *io); /* nothing on a closed one */
void fdio_pause(struct fdio *io);

/* Bytes that wait to be read, as the kernel counts them (FIONREAD); 0 when closed or unknown. */
size_t fdio_unread(const struct fdio *io);
