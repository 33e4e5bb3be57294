/*
 * A pipe with bytes in it, for tests of exchange_send_pipe: byte i is i % 251.
 */
#pragma once

#include <stddef.h>

struct full_pipe {
	int read_fd, write_fd; /* neither blocks */
	size_t n_put;
};

void full_pipe_open(struct full_pipe *p);
void full_pipe_put(struct full_pipe *p, size_t len); /* the next len bytes; there must be room */
size_t full_pipe_left(const struct full_pipe *p);    /* bytes that nobody has read */
void full_pipe_close(struct full_pipe *p);

/* Asserts that data is what was put in from byte number `from` on. */
void full_pipe_check(const void *data, size_t len, size_t from);
