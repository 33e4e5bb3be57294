/*
 * Responses over HTTP/1.1 on a blocking socket, one after the other: parsed as they arrive and counted,
 * not kept. One that is not a 200 ends the program.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define READ_MAX 262144u /* bytes of one read */

enum response_part { /* what comes next */
	             RESPONSE_HEAD,
	             RESPONSE_BODY,
	             RESPONSE_SIZE,
	             RESPONSE_CHUNK,
	             RESPONSE_CHUNK_END,
	             RESPONSE_TRAILER,
};

struct response {
	int fd;
	enum response_part part;
	char line[256]; /* of the head or of chunk framing; a longer one is cut */
	size_t n_line;
	bool is_chunked;
	uint64_t n_left;  /* bytes of the body, or of the chunk */
	uint64_t n_bytes; /* of body so far */
	bool is_over;     /* the connection takes the next request */
};

/* Bytes of the body, as they come. */
typedef void response_sink(void *data, const char *bytes, size_t len);

/* The next response on a connected socket. */
void response_begin(struct response *r, int fd);

/* One read of at most len bytes, which waits for the first. sink may be NULL. */
void response_read(struct response *r, size_t len, response_sink *sink, void *data);

/* The whole response to what was just asked on the socket; returns the length of its body. */
uint64_t response_wait(int fd);

/* All of it, with MSG_ flags beside MSG_NOSIGNAL. */
void send_all(int fd, const void *bytes, size_t len, int flags);
