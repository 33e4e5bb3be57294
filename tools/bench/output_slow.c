/*
 * Output of one process to a single reader that is slower than the process.
 *
 *     output_slow HOST PORT CODEC BYTES
 *
 * Takes SLOW_READ bytes at a time and rests SLOW_PAUSE_US after each. The reader must get all BYTES.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client.h"

#define SLOW_READ     65536u
#define SLOW_PAUSE_US 5000u /* so 12 MiB/s at most: far below what any process writes */

int main(int argc, char **argv)
{
	struct sockaddr_in where;
	struct stream s;

	if (argc != 5)
		fail("usage: output_slow HOST PORT CODEC BYTES");
	where = address_of(argv[1], argv[2]);
	stream_open(&s, &where, codec_of(argv[3]));
	stream_start(&s, (char *[]){ "head", "-c", argv[4], "/dev/zero", NULL }, false);
	while (!s.response.is_over) {
		stream_read(&s, SLOW_READ);
		usleep(SLOW_PAUSE_US);
	}
	if (s.n_bytes != strtoull(argv[4], NULL, 10))
		fail("the reader got %llu bytes", (unsigned long long)s.n_bytes);
	return 0;
}
