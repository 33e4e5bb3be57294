/*
 * What one HTTP/2 peer may do before its connection ends: a look at each frame header before
 * nghttp2 sees it. Pure: no session, no socket, time is an argument.
 *
 * Four things are kept here, because the library does them partly or not at all:
 *   - budgets for frames that cost us something and bring nobody anything (resets, pings,
 *     settings, priorities, window updates, small continuations, empty DATA, unknown types)
 *   - stream ids that a client skipped and may never use (RFC 9113 5.1.1). Skipped ids are
 *     remembered, not used ones: late frames on a stream that was open once are always legal here
 *   - the latest streams that the client has ended and may not go on with
 *   - whether the peer is in the middle of something that has to arrive within HTTP_HEADER_MS
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Streams that a client gives up, and streams that it makes us reset (CVE-2023-44487,
 * CVE-2025-8671): each costs a request and earns nothing. 1,000 is far above what an agent cancels
 * in one go, 50 a second above what it cancels in the long run.
 */
#define H2_RESETS_BURST 1000u
#define H2_RESETS_PER_S 50u

/* Control frames (see above). A handshake needs five, a keep-alive one every few seconds. */
#define H2_CONTROL_BURST 1000u
#define H2_CONTROL_PER_S 100u

/*
 * Control frames earned by one DATA frame of ours: a client answers it with a window update for
 * the stream and one for the connection, and some add a ping to measure the bandwidth.
 */
#define H2_CONTROL_EARNED     3u
#define H2_CONTROL_EARNED_MAX 100000u /* kept at most: answers to 500 MB in flight */

/* Frames of one header block after the first. HTTP_HEADER_MAX fills 65 frames of 16 KiB. */
#define H2_CONTINUATIONS_MAX 70u

/* Bytes that make a CONTINUATION more than a control frame: clients fill all but the last. */
#define H2_CONTINUATION_LEAST 1024u

/*
 * Streams remembered that the client has ended itself, by END_STREAM or RST_STREAM; HEADERS or DATA
 * on one of them is no race but an error (RFC 9113 5.1). nghttp2 would keep a thousand whole
 * streams of each connection for this, 300 kB.
 */
#define H2_ENDED_KEPT 32u

/* Ranges of skipped ids remembered. Clients skip none; beyond it the oldest is forgotten. */
#define H2_SKIPPED_MAX 16u

struct h2_budget {
	uint32_t left;
	uint64_t filled_ms;
};

struct h2_skipped {
	uint32_t first, last; /* stream ids, both never opened */
};

struct h2_guard {
	struct h2_budget resets;
	struct h2_budget control;
	uint32_t earned;

	uint32_t highest_id; /* opened by the peer */
	uint32_t n_skipped;
	struct h2_skipped skipped[H2_SKIPPED_MAX];
	uint32_t n_ended; /* ever; the latest are in ended[] */
	uint32_t ended[H2_ENDED_KEPT];

	uint8_t magic_left; /* bytes of the preface still to come           */
	uint8_t n_header;   /* bytes of a frame header that are here        */
	uint8_t header[9];
	uint32_t payload_left;
	uint32_t n_begun; /* things the peer has begun; waiting for another one is a new wait */
	uint32_t n_continuations;
	bool in_block; /* between HEADERS and the end of its header block */
	bool in_data;  /* the payload that is arriving is DATA            */
};

/* opened_id: the highest stream that is open already (1 after an upgrade), else 0. */
void h2_guard_init(struct h2_guard *g, uint32_t opened_id, uint64_t now_ms);

/*
 * Looks at input that nghttp2 has not seen yet. Returns how many bytes of it are fine; if that is
 * less than len, *out_error is the HTTP/2 error code to end the connection with.
 */
size_t h2_guard_input(struct h2_guard *g, const uint8_t *data, size_t len, uint64_t now_ms,
                      uint32_t *out_error);

/* The peer has begun a preface, a frame header, a control frame or a header block. */
bool h2_guard_is_waiting(const struct h2_guard *g);

/* False: over budget, end the connection with ENHANCE_YOUR_CALM. */
bool h2_guard_charge_reset(struct h2_guard *g, uint64_t now_ms);
bool h2_guard_charge_control(struct h2_guard *g, uint64_t now_ms);

void h2_guard_earn(struct h2_guard *g); /* we sent a DATA frame */
