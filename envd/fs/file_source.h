/*
 * A file that an answer is read from. What is small is read at once, and so is the beginning of what has
 * no size to trust: the files of procfs and sysfs say 0 or 4096. Blocks: pool jobs only.
 * Source: files_http.md 1, steps 5 to 9 and "pseudo files"; newer.md H.1.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/err.h"
#include "base/macros.h"

/* Bytes that are read at once: most files that are asked for have less, and so have nearly all of
 * /proc and /sys. */
#define FILE_SOURCE_WHOLE_MAX 65536u

/* Bytes read of the beginning of a larger file, to see what it is. */
#define FILE_SOURCE_BEGINNING 512u

enum file_source_kind {
	FILE_SOURCE_WHOLE, /* head is all of it; nothing is open any more */
	FILE_SOURCE_SIZED, /* head is its beginning, size was its size when it was opened */
	FILE_SOURCE_STREAM /* head is its beginning; the rest is read on until its end */
};

struct file_source {
	enum file_source_kind kind;
	int fd;          /* -1: none */
	int64_t size;    /* bytes; of a stream -1 */
	time_t modified; /* since the epoch */
	uint8_t *head;
	size_t head_len;
};

/*
 * Whether something is there that is no directory. Links are followed.
 *
 * returns  0 and its st_mode, or -1 with e:
 *            ERR_NOT_FOUND  it does not exist
 *            ERR_INVALID    it is a directory
 *            ERR_INTERNAL   anything else
 */
int file_source_check(const char *path, mode_t *out_mode, struct err *e) MUST_CHECK;

/*
 * Opens it and reads its head. Waits for no writer and takes no terminal; a character device that is
 * no stream is empty, whatever it would say.
 *
 * mode     file_source_check's
 * returns  0, or -1 with e:
 *            ERR_INVALID   a FIFO, a socket, a terminal, a block device
 *            ERR_INTERNAL  it cannot be opened or read
 */
int file_source_open(struct file_source *s, const char *path, mode_t mode,
                     struct err *e) MUST_CHECK;
void file_source_close(struct file_source *s); /* accepts zeroed memory with fd -1, may repeat */

/*
 * Reads on until len bytes are there or the file ends. /proc/kmsg and its like end where they would
 * wait for more: what has been read of them is read by nobody else.
 *
 * returns  bytes, or a negative errno
 */
ptrdiff_t file_source_read(int fd, void *out, size_t len);
