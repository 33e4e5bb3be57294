/*
 * A file that is sent piece by piece, because it is compressed on the way or because nobody knows how
 * long it is: a job makes a piece, the exchange sends it, and so on. Nothing is read for a peer before
 * it has taken what was read. A file that ends before its time, or cannot be read, breaks the answer
 * off: nobody may take that for the end.
 */
#pragma once

#include "api/files_load.h"
#include "fs/file_source.h"
#include "http/deflater.h"
#include "http/exchange.h"
#include "http/file.h"
#include "loop/loop.h"

/* Bytes that are read at once, and that are compressed and sent at once. */
#define FILES_PIECE 65536u

/* Pieces that one job reads for a piece that it sends, or less: a file of zeros would keep its thread for
 * a hundred times as long. */
#define FILES_READS_MAX 16u

/*
 * Takes x, whose answer has begun without a length, and the deflater; a reference of the file; path is
 * copied.
 *
 * source    SIZED, or STREAM whose head is sent first and which is taken then; its descriptor is the file's
 * deflater  NULL: as it is
 * path      for the log
 */
void files_pieces_send(struct loop *loop, struct files_load *load, struct exchange **x,
                       struct http_file *file, struct file_source *source,
                       struct deflater *deflater, const char *path);
