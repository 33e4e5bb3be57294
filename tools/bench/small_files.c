/*
 * Round trips of 4 KiB files, and their floor, in turns.
 *
 *     small_files HOST PORT FLOOR_PORT FOLDER ROUNDS
 *
 * One file in FOLDER is written by POST /files and read by GET /files, on a kept connection; another
 * one by floor_files, which listens on 127.0.0.1:FLOOR_PORT, with the same requests. Prints four lines
 * of milliseconds: "writefloor ...", "write ...", "readfloor ...", "read ...".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define ROUNDS_MAX  10000
#define SIZE        4096
#define REQUEST_MAX 1024

struct server {
	int fd;
	char write[REQUEST_MAX + SIZE], read[REQUEST_MAX];
	size_t n_write, n_read;
	double writes[ROUNDS_MAX], reads[ROUNDS_MAX];
};

static void server_open(struct server *s, const struct sockaddr_in *where, const char *folder,
                        const char *name)
{
	int n_head =
		snprintf(s->write, REQUEST_MAX,
	                 "POST /files?path=%s/%s HTTP/1.1\r\nHost: envd\r\n"
	                 "Content-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n",
	                 folder, name, SIZE);
	int n_read = snprintf(s->read, REQUEST_MAX,
	                      "GET /files?path=%s/%s HTTP/1.1\r\nHost: envd\r\n\r\n", folder, name);

	if (n_head >= REQUEST_MAX || n_read >= REQUEST_MAX)
		fail("the request is too long");
	memset(s->write + n_head, 'x', SIZE);
	s->n_write = (size_t)n_head + SIZE;
	s->n_read = (size_t)n_read;
	s->fd = call_open(where);
}

static void time_round(struct server *s, int round)
{
	double begin = now_s(), written;

	send_all(s->fd, s->write, s->n_write, 0);
	response_wait(s->fd);
	written = now_s();
	send_all(s->fd, s->read, s->n_read, 0);
	if (response_wait(s->fd) != SIZE)
		fail("the file has not come whole");
	s->writes[round] = written - begin;
	s->reads[round] = now_s() - written;
}

int main(int argc, char **argv)
{
	static struct server floor, envd;
	int rounds = argc == 6 ? atoi(argv[5]) : 0;
	struct sockaddr_in where, floor_where;

	if (rounds < 1 || rounds > ROUNDS_MAX)
		fail("usage: small_files HOST PORT FLOOR_PORT FOLDER ROUNDS");
	where = address_of(argv[1], argv[2]);
	floor_where = address_of("127.0.0.1", argv[3]);
	server_open(&floor, &floor_where, argv[4], "floor");
	server_open(&envd, &where, argv[4], "envd");
	for (int i = 0; i < rounds; i++) {
		time_round(&floor, i);
		time_round(&envd, i);
	}
	print_ms("writefloor", floor.writes, rounds);
	print_ms("write", envd.writes, rounds);
	print_ms("readfloor", floor.reads, rounds);
	print_ms("read", envd.reads, rounds);
	return 0;
}
