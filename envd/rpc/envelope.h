/*
 * Length-prefixed frames of Connect streams, gRPC and gRPC-Web: one flag byte, four bytes of length
 * (big endian), payload. Incremental and bounded; pure.
 *
 * The payload memory grows with what has arrived, never with what was promised.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define ENVELOPE_HEADER 5u

#define ENVELOPE_COMPRESSED        0x01u
#define ENVELOPE_END_CONNECT       0x02u
#define ENVELOPE_TRAILERS_GRPC_WEB 0x80u

struct envelope_reader {
	uint8_t header[ENVELOPE_HEADER];
	size_t n_header;    /* bytes of it that have arrived */
	struct buf payload; /* bytes of the current frame so far */
	size_t payload_max; /* a frame that promises more is ERR_LIMIT */
	bool complete;
};

void envelope_init(struct envelope_reader *r, size_t payload_max);
void envelope_deinit(struct envelope_reader *r);

/* Takes bytes up to the end of the current frame; returns how many, or -1 with e (ERR_LIMIT). */
ptrdiff_t envelope_feed(struct envelope_reader *r, const uint8_t *data, size_t len, struct err *e);
bool envelope_is_complete(const struct envelope_reader *r); /* payload and envelope_flags hold */
uint8_t envelope_flags(const struct envelope_reader *r);
size_t envelope_promised(const struct envelope_reader *r);
void envelope_next(struct envelope_reader *r); /* drops the complete frame */

/* The body ended: 0 between frames, else -1 with the error of wire.md 5.3. */
int envelope_finish(const struct envelope_reader *r, struct err *e);

void envelope_put_header(uint8_t out[ENVELOPE_HEADER], uint8_t flags, uint32_t len);
