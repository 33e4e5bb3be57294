/*
 * Part of a file on its way into a socket, by sendfile(2) on a thread of the pool: the file system may
 * keep that thread as long as it likes, and what a download costs is not the loop's.
 *
 * The job has a descriptor of its own for the socket. It runs until all is sent, the socket is full,
 * something fails or others want the thread, then tells; who owns it waits for the socket, or not, and
 * lets it go on. Nobody else may write to the socket meanwhile. Loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "http/file.h"
#include "loop/loop.h"

/* How long one job sends although others wait for a thread: some megabytes at the speed of memory. */
#define FILE_SEND_MS 2u

/*
 * How long it waits for a full socket itself, unless others wait for a thread, and how often it looks
 * whether they do. A peer that reads at full speed makes room in tens of microseconds, or when it has a
 * processor again, some milliseconds later; a way through the loop costs more.
 */
#define FILE_SEND_PATIENCE_MS 10u
#define FILE_SEND_LOOK_MS     1u

struct file_send;

enum file_send_state {
	FILE_SEND_DONE,        /* all is sent */
	FILE_SEND_FULL,        /* the socket takes no more */
	FILE_SEND_INTERRUPTED, /* there is more to do at once */
	FILE_SEND_PEER_BROKEN, /* the socket */
	FILE_SEND_FILE_BROKEN  /* the file: see the error */
};

/* error: negative errno, -ENODATA if the file is shorter than it was; else 0. May free the sender. */
typedef void file_send_fn(void *owner, enum file_send_state state, int error);

/* Takes socket; references the file. Not going yet. */
struct file_send *file_send_new(struct loop *loop, int socket, struct http_file *file,
                                int64_t offset, int64_t len, file_send_fn *on_stopped, void *owner);

/* Tells nothing any more. A job that runs sees the socket shut down and ends when the file lets it. */
void file_send_free(struct file_send *s); /* NULL is nothing */

void file_send_go(struct file_send *s); /* while it goes: nothing */
bool file_send_is_going(const struct file_send *s);
