#include "http/h2_guard.h"

#include <nghttp2/nghttp2.h>
#include <string.h>

#include "base/macros.h"

#define H2_FRAME_HEADER 9u
#define H2_MAGIC        24u /* NGHTTP2_CLIENT_MAGIC_LEN */

_Static_assert(NGHTTP2_CLIENT_MAGIC_LEN == H2_MAGIC, "RFC 9113 3.4");

struct frame_header {
	uint32_t length;
	uint8_t type;
	uint8_t flags;
	uint32_t stream_id;
};

void h2_guard_init(struct h2_guard *g, uint32_t opened_id, uint64_t now_ms)
{
	*g = (struct h2_guard){
		.resets = { H2_RESETS_BURST, now_ms },
		.control = { H2_CONTROL_BURST, now_ms },
		.highest_id = opened_id,
		.magic_left = H2_MAGIC,
	};
}

static bool budget_take(struct h2_budget *b, uint32_t burst, uint32_t per_s, uint64_t now_ms)
{
	uint64_t gained = (now_ms - b->filled_ms) * per_s / 1000;

	if (gained >= burst - b->left) {
		b->left = burst;
		b->filled_ms = now_ms;
	} else if (gained) {
		b->left += (uint32_t)gained;
		b->filled_ms += gained * 1000 / per_s;
	}
	if (!b->left)
		return false;
	b->left--;
	return true;
}

bool h2_guard_charge_reset(struct h2_guard *g, uint64_t now_ms)
{
	return budget_take(&g->resets, H2_RESETS_BURST, H2_RESETS_PER_S, now_ms);
}

bool h2_guard_charge_control(struct h2_guard *g, uint64_t now_ms)
{
	if (g->earned) {
		g->earned--;
		return true;
	}
	return budget_take(&g->control, H2_CONTROL_BURST, H2_CONTROL_PER_S, now_ms);
}

static void guard_earn(struct h2_guard *g, uint32_t n)
{
	g->earned = MIN(g->earned + n, H2_CONTROL_EARNED_MAX);
}

void h2_guard_earn(struct h2_guard *g)
{
	guard_earn(g, H2_CONTROL_EARNED);
}

static bool guard_is_skipped(const struct h2_guard *g, uint32_t id)
{
	for (uint32_t i = 0; i < g->n_skipped; i++)
		if (id >= g->skipped[i].first && id <= g->skipped[i].last)
			return true;
	return false;
}

/* Only clients open streams here, with odd ids; nghttp2 refuses even ones. */
static void guard_open(struct h2_guard *g, const struct frame_header *f)
{
	uint32_t next = g->highest_id ? g->highest_id + 2 : 1;
	uint32_t id = f->stream_id;

	if (id % 2 == 0 || id <= g->highest_id)
		return;
	if (id > next) {
		if (g->n_skipped == H2_SKIPPED_MAX) {
			g->n_skipped--;
			memmove(&g->skipped[0], &g->skipped[1],
			        g->n_skipped * sizeof g->skipped[0]);
		}
		g->skipped[g->n_skipped++] = (struct h2_skipped){ next, id - 2 };
	}
	g->highest_id = id;
	/* The end of its body may be a frame of its own: empty DATA or trailers. */
	if (!(f->flags & NGHTTP2_FLAG_END_STREAM))
		guard_earn(g, 1);
}

/* Is this a frame that anybody gains from, so that it costs nothing? */
static bool guard_is_useful(const struct h2_guard *g, const struct frame_header *f)
{
	switch (f->type) {
	case NGHTTP2_HEADERS: /* trailers, and headers of a closed stream, are not */
		return f->stream_id > g->highest_id;
	case NGHTTP2_DATA:
		return f->length;
	case NGHTTP2_CONTINUATION:
		return f->length >= H2_CONTINUATION_LEAST;
	case NGHTTP2_RST_STREAM: /* has a budget of its own */
		return true;
	default:
		return false;
	}
}

static bool guard_is_ended(const struct h2_guard *g, uint32_t id)
{
	uint32_t n = MIN(g->n_ended, H2_ENDED_KEPT);

	for (uint32_t i = 0; i < n; i++)
		if (g->ended[i] == id)
			return true;
	return false;
}

static uint32_t guard_on_request_frame(struct h2_guard *g, const struct frame_header *f)
{
	if (f->stream_id <= g->highest_id && guard_is_ended(g, f->stream_id))
		return NGHTTP2_STREAM_CLOSED;
	if (f->type == NGHTTP2_HEADERS)
		guard_open(g, f);
	if (f->flags & NGHTTP2_FLAG_END_STREAM && f->stream_id <= g->highest_id)
		g->ended[g->n_ended++ % H2_ENDED_KEPT] = f->stream_id;
	return NGHTTP2_NO_ERROR;
}

static uint32_t guard_on_reset(struct h2_guard *g, const struct frame_header *f, uint64_t now_ms)
{
	if (f->stream_id <= g->highest_id)
		g->ended[g->n_ended++ % H2_ENDED_KEPT] = f->stream_id;
	return h2_guard_charge_reset(g, now_ms) ? NGHTTP2_NO_ERROR : NGHTTP2_ENHANCE_YOUR_CALM;
}

static uint32_t guard_on_stream_frame(struct h2_guard *g, const struct frame_header *f,
                                      uint64_t now_ms)
{
	switch (f->type) {
	case NGHTTP2_HEADERS:
	case NGHTTP2_DATA:
	case NGHTTP2_RST_STREAM:
	case NGHTTP2_WINDOW_UPDATE:
		if (guard_is_skipped(g, f->stream_id))
			return NGHTTP2_PROTOCOL_ERROR;
		break;
	default:
		return NGHTTP2_NO_ERROR;
	}
	if (f->type == NGHTTP2_RST_STREAM)
		return guard_on_reset(g, f, now_ms);
	if (f->type == NGHTTP2_WINDOW_UPDATE)
		return NGHTTP2_NO_ERROR;
	return guard_on_request_frame(g, f);
}

static uint32_t guard_on_frame(struct h2_guard *g, const struct frame_header *f, uint64_t now_ms)
{
	if (!guard_is_useful(g, f) && !h2_guard_charge_control(g, now_ms))
		return NGHTTP2_ENHANCE_YOUR_CALM;

	if (f->type == NGHTTP2_HEADERS)
		g->n_continuations = 0;
	if (f->type == NGHTTP2_CONTINUATION && ++g->n_continuations > H2_CONTINUATIONS_MAX)
		return NGHTTP2_ENHANCE_YOUR_CALM;
	if (f->type == NGHTTP2_HEADERS || f->type == NGHTTP2_CONTINUATION)
		g->in_block = !(f->flags & NGHTTP2_FLAG_END_HEADERS);
	g->in_data = f->type == NGHTTP2_DATA;
	g->payload_left = f->length;

	return guard_on_stream_frame(g, f, now_ms);
}

static struct frame_header frame_header_of(const uint8_t h[H2_FRAME_HEADER])
{
	return (struct frame_header){
		.length = (uint32_t)h[0] << 16 | (uint32_t)h[1] << 8 | h[2],
		.type = h[3],
		.flags = h[4],
		.stream_id =
			((uint32_t)h[5] << 24 | (uint32_t)h[6] << 16 | (uint32_t)h[7] << 8 | h[8]) &
			0x7fffffffu,
	};
}

size_t h2_guard_input(struct h2_guard *g, const uint8_t *data, size_t len, uint64_t now_ms,
                      uint32_t *out_error)
{
	size_t at = MIN((size_t)g->magic_left, len);

	g->magic_left -= (uint8_t)at;
	while (at < len) {
		struct frame_header f;
		uint32_t error;
		size_t n;

		if (g->payload_left) {
			n = MIN((size_t)g->payload_left, len - at);
			g->payload_left -= (uint32_t)n;
			at += n;
			continue;
		}
		if (!g->n_header && !g->in_block)
			g->n_begun++;
		n = MIN(H2_FRAME_HEADER - (size_t)g->n_header, len - at);
		memcpy(g->header + g->n_header, data + at, n);
		g->n_header += (uint8_t)n;
		if (g->n_header == H2_FRAME_HEADER) {
			f = frame_header_of(g->header);
			g->n_header = 0;
			error = guard_on_frame(g, &f, now_ms);
			if (error) {
				*out_error = error;
				return at;
			}
		}
		at += n;
	}
	return len;
}

bool h2_guard_is_waiting(const struct h2_guard *g)
{
	return g->magic_left || g->n_header || g->in_block || (g->payload_left && !g->in_data);
}
