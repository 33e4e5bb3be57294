/*
 * The names in an open directory, as the kernel gives them: in no order, without "." and "..".
 * Blocks: pool jobs only.
 */
#pragma once

#include <stddef.h>

#include "base/macros.h"

/* Bytes that are asked for at a time: some thousand names. */
#define DIR_READER_SIZE 32768u

struct dir_reader {
	int fd; /* borrowed */
	size_t at, len;
	_Alignas(16) char batch[DIR_READER_SIZE];
};

/* From where the descriptor stands. */
void dir_reader_init(struct dir_reader *r, int fd);

/*
 * out_name  good until the next call
 * out_type  DT_DIR and so on; DT_UNKNOWN where the file system does not say
 * returns   1; 0 at the end; a negative errno
 */
int dir_reader_next(struct dir_reader *r, const char **out_name,
                    unsigned char *out_type) MUST_CHECK;
