#include "rpc/envelope.h"

#include <errno.h>
#include <string.h>

/* Bytes of a promised payload that are reserved before they arrive: a usual message in one piece,
 * and nothing worth promising falsely. */
#define ENVELOPE_RESERVE_MAX 16384u

/* Bytes of payload memory that stay for the next frame. */
#define ENVELOPE_KEEP_MAX 4096u

static uint32_t get_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

void envelope_init(struct envelope_reader *r, size_t payload_max)
{
	*r = (struct envelope_reader){ .payload_max = payload_max };
	buf_init(&r->payload, payload_max);
}

void envelope_deinit(struct envelope_reader *r)
{
	buf_deinit(&r->payload);
	*r = (struct envelope_reader){ 0 };
}

static int envelope_check_promise(struct envelope_reader *r, struct err *e)
{
	size_t promised = envelope_promised(r);

	if (promised > r->payload_max)
		return err_set(e, ERR_LIMIT, "message size %zu is larger than configured max %zu",
		               promised, r->payload_max);
	if (buf_reserve(&r->payload, MIN(promised, ENVELOPE_RESERVE_MAX)) < 0)
		return err_set(e, ERR_LIMIT, "no memory for a message of %zu bytes", promised);
	return 0;
}

ptrdiff_t envelope_feed(struct envelope_reader *r, const uint8_t *data, size_t len, struct err *e)
{
	size_t taken = 0;
	size_t piece;

	if (r->complete)
		return 0;
	if (r->n_header < ENVELOPE_HEADER) {
		taken = MIN(len, ENVELOPE_HEADER - r->n_header);
		if (taken > 0)
			memcpy(r->header + r->n_header, data, taken);
		r->n_header += taken;
		if (r->n_header < ENVELOPE_HEADER)
			return (ptrdiff_t)taken;
		if (envelope_check_promise(r, e) < 0)
			return -1;
	}
	piece = MIN(len - taken, envelope_promised(r) - r->payload.len);
	if (piece > 0)
		buf_append(&r->payload, data + taken, piece);
	if (buf_error(&r->payload))
		return err_set(e, ERR_LIMIT, "no memory for a message of %zu bytes",
		               envelope_promised(r));
	r->complete = r->payload.len == envelope_promised(r);
	return (ptrdiff_t)(taken + piece);
}

bool envelope_is_complete(const struct envelope_reader *r)
{
	return r->complete;
}

uint8_t envelope_flags(const struct envelope_reader *r)
{
	return r->header[0];
}

size_t envelope_promised(const struct envelope_reader *r)
{
	return r->n_header == ENVELOPE_HEADER ? get_u32(r->header + 1) : 0;
}

void envelope_next(struct envelope_reader *r)
{
	buf_reset(&r->payload, ENVELOPE_KEEP_MAX);
	r->n_header = 0;
	r->complete = false;
}

int envelope_finish(const struct envelope_reader *r, struct err *e)
{
	if (r->n_header == 0 || r->complete)
		return 0;
	if (r->n_header < ENVELOPE_HEADER)
		return err_set(e, ERR_INVALID,
		               "protocol error: incomplete envelope: unexpected EOF");
	return err_set(e, ERR_INVALID,
	               "protocol error: promised %zu bytes in enveloped message, got %zu bytes",
	               envelope_promised(r), r->payload.len);
}

void envelope_put_header(uint8_t out[ENVELOPE_HEADER], uint8_t flags, uint32_t len)
{
	out[0] = flags;
	out[1] = (uint8_t)(len >> 24);
	out[2] = (uint8_t)(len >> 16);
	out[3] = (uint8_t)(len >> 8);
	out[4] = (uint8_t)len;
}
