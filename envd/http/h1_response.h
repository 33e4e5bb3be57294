/*
 * Response heads and error answers of HTTP/1. Pure but for the memory of a large head.
 */
#pragma once

#include "base/arena.h"
#include "http/exchange.h"
#include "http/h1_request.h"

/* Bytes of a head that is made without asking for memory; ordinary ones have some 300. */
#define H1_HEAD_SMALL 2048u

enum h1_framing { H1_NO_LENGTH, H1_LENGTH, H1_CHUNKED };

struct h1_head_spec {
	const struct exchange *x; /* version and extra fields */
	int status;
	const struct http_field *fields;
	size_t n_fields;
	enum h1_framing framing;
	int64_t length;
	struct span date;
	bool close;
};

size_t h1_head_size(const struct h1_head_spec *h); /* never less than what h1_head_write writes */
size_t h1_head_write(const struct h1_head_spec *h, char *out);

const char *h1_status_text(int status); /* "" for strangers */

/* A whole error answer without an exchange; the connection ends after it. */
#define H1_REFUSAL_MAX 512u
size_t h1_refusal_write(const struct h1_refusal *r, char out[H1_REFUSAL_MAX]);

/* "1f\r\n"; out has room for H1_CHUNK_LINE_MAX. */
#define H1_CHUNK_LINE_MAX 18u
size_t h1_chunk_line(char *out, size_t len);

/* "0\r\n", the trailers and the empty line, in memory of the arena. at is NULL: no memory. */
struct span h1_last_chunk(struct arena *memory, const struct http_field *trailers, size_t n);
