/*
 * One request over HTTP/2 by prior knowledge, on a connection of its own: frames written and read by
 * hand, so that the client costs little beside its system calls. Our windows are as large as they may
 * be; those of the server are kept. A response that is not a 200 ends the program.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct http2_field {
	const char *name, *value; /* up to 126 bytes each */
};

struct http2_request {
	struct http2_field fields[8]; /* pseudo-header fields first; the last has no name */
	const char *body;
	size_t n_body;
};

/* fd: connected, and of no use afterwards. Returns the length of the response's body. */
uint64_t http2_exchange(int fd, const struct http2_request *request);
