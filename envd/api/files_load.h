/*
 * How many downloads are on their way that are not small. Loop thread.
 */
#pragma once

/*
 * Each has two descriptors or four, of which a guest has 20,000, and beside them FILES_PIECE bytes if
 * its file has no size. Over HTTP/2 one that stalls keeps FILE_PIPE_SIZE of the page cache, all together
 * 256 MiB. One more is answered with 503.
 */
#define FILES_TRANSFERS_MAX 1024u

/* Those of them that compress: each has DEFLATER_MEMORY and two pieces, all together 50 MiB. One more
 * comes as it is if its client takes that, too. */
#define FILES_DEFLATING_MAX 128u

struct files_load {
	unsigned n_transfers, n_deflating;
};
