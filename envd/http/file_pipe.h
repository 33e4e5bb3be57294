/*
 * Part of a file for a connection that must see the bytes, because it frames or encrypts them: a job
 * splices the next pages into a pipe, the loop reads that. It waits for no file, and nothing is held
 * but pages of the kernel's. Loop thread.
 *
 *     filling ──job──▶ full ──read out──▶ filling ──▶ ... over, or broken
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "http/file.h"
#include "loop/loop.h"

/*
 * Bytes that a reader who stops holds. More are no faster, less cost more turns of the pool
 * (docs/decisions/0006).
 */
#define FILE_PIPE_SIZE (256u * 1024u)

struct file_pipe;

/* There is something to read, or error (negative errno, -ENODATA if the file is shorter than it was)
 * says why there will never be. */
typedef void file_pipe_fn(void *owner, int error);

/* References the file, and begins to fill. NULL: no descriptor, which errno says. len > 0. */
struct file_pipe *file_pipe_new(struct loop *loop, struct http_file *file, int64_t offset,
                                int64_t len, file_pipe_fn *on_filled, void *owner);
void file_pipe_free(struct file_pipe *p); /* tells nothing any more; NULL is nothing */

/*
 * returns  bytes; 0 if there are none now, then on_filled follows unless it is over; negative errno if
 *          a page has become unreadable
 */
ssize_t file_pipe_read(struct file_pipe *p, void *out, size_t room);
bool file_pipe_has_some(const struct file_pipe *p); /* there is something to read now */
bool file_pipe_is_over(const struct file_pipe *p);  /* all has been read */
