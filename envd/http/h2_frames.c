/*
 * What nghttp2 tells us of a connection, turned into calls on streams. Nothing is decided here;
 * nothing but submit functions is called on the session, as its documentation demands.
 */
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/mem.h"
#include "http/h2_session.h"

/* Bytes of a response's header block or trailers: error details travel there. */
#define H2_SEND_HEADER_MAX (2u * HTTP_HEADER_MAX)

/*
 * nghttp2's own limits are only a second line behind h2_guard.c, which counts whole frames;
 * nghttp2 counts a CONTINUATION once for each of the nine pieces its header may arrive in.
 */
#define H2_LIBRARY_CONTINUATIONS (9u * (H2_CONTINUATIONS_MAX + 1))
#define H2_LIBRARY_RESETS_BURST  (2u * H2_RESETS_BURST)
#define H2_LIBRARY_RESETS_PER_S  (2u * H2_RESETS_PER_S)

static struct h2_stream *stream_of(nghttp2_session *session, int32_t id)
{
	return id ? nghttp2_session_get_stream_user_data(session, id) : NULL;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
	struct h2 *h = data;
	struct h2_stream *s;

	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	s = h2_stream_new(h, frame->hd.stream_id);
	if (!s)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, s);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *data)
{
	struct h2_stream *s = stream_of(session, frame->hd.stream_id);
	struct span n = { (const char *)name, name_len };
	struct span v = { (const char *)value, value_len };

	UNUSED(flags);
	UNUSED(data);
	if (!s)
		return 0;
	if (s->request.now != H2_REQUEST_HEAD) {
		h2_request_add_trailer(s, n, v);
	} else if (!h2_request_add(s, n, v)) {
		h2_stream_reset(s, NGHTTP2_ENHANCE_YOUR_CALM);
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	return 0;
}

/* Without this nghttp2 drops fields with forbidden bytes and keeps the request (RFC 9113 8.2.1). */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_len, const uint8_t *value,
                             size_t value_len, uint8_t flags, void *data)
{
	UNUSED(session);
	UNUSED(frame);
	UNUSED(name);
	UNUSED(name_len);
	UNUSED(value);
	UNUSED(value_len);
	UNUSED(flags);
	UNUSED(data);
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void on_headers(struct h2_stream *s, const nghttp2_frame *frame)
{
	bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	if (!s)
		return;
	if (s->request.now == H2_REQUEST_HEAD)
		h2_request_complete(s, !ends);
	else if (ends)
		h2_stream_on_request_end(s);
}

static void on_data_frame(struct h2 *h, struct h2_stream *s, const nghttp2_frame *frame)
{
	bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	/* Nothing but padding: the guard has taken it for bytes. */
	if (frame->hd.length > 0 && frame->hd.length == frame->data.padlen && !ends &&
	    !h2_guard_charge_control(&h->guard, loop_now_ms(h->loop)))
		h2_fail(h, NGHTTP2_ENHANCE_YOUR_CALM);
	if (s && ends)
		h2_stream_on_request_end(s);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
	struct h2_stream *s = stream_of(session, frame->hd.stream_id);
	struct h2 *h = data;

	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		on_headers(s, frame);
		break;
	case NGHTTP2_DATA:
		on_data_frame(h, s, frame);
		break;
	case NGHTTP2_SETTINGS:
		h->settled = true;
		break;
	case NGHTTP2_PING:
		if (frame->hd.flags & NGHTTP2_FLAG_ACK)
			h2_drain_last(h);
		break;
	default:
		break;
	}
	return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                         size_t len, void *data)
{
	struct h2_stream *s = stream_of(session, id);
	struct h2 *h = data;

	UNUSED(flags);
	if (s)
		h2_stream_on_data(s, bytes, len);
	else
		h2_check(h, nghttp2_session_consume(session, id, len));
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error_code, void *data)
{
	struct h2_stream *s = stream_of(session, id);

	UNUSED(error_code);
	UNUSED(data);
	if (!s)
		return 0;
	nghttp2_session_set_stream_user_data(session, id, NULL);
	h2_stream_closed(s);
	return 0;
}

/* Resets that our own handlers asked for are nobody's fault. */
static void on_reset_sent(struct h2 *h, const struct h2_stream *s, uint32_t error_code)
{
	if (error_code == NGHTTP2_NO_ERROR || (s && s->response.now == H2_RESPONSE_ABORTED))
		return;
	if (!h2_guard_charge_reset(&h->guard, loop_now_ms(h->loop)))
		h2_fail(h, NGHTTP2_ENHANCE_YOUR_CALM);
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
	struct h2_stream *s = stream_of(session, frame->hd.stream_id);
	struct h2 *h = data;

	switch (frame->hd.type) {
	case NGHTTP2_DATA:
		h2_guard_earn(&h->guard);
		__attribute__((fallthrough));
	case NGHTTP2_HEADERS:
		if (s && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
			h2_stream_linger(s);
		break;
	case NGHTTP2_RST_STREAM:
		on_reset_sent(h, s, frame->rst_stream.error_code);
		break;
	default:
		break;
	}
	return 0;
}

/* A response that cannot be framed (its fields are too large) would hang. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error,
                             void *data)
{
	struct h2_stream *s = stream_of(session, frame->hd.stream_id);

	UNUSED(error);
	UNUSED(data);
	if (s && frame->hd.type == NGHTTP2_HEADERS)
		h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
	return 0;
}

static void *mem_malloc(size_t size, void *data)
{
	UNUSED(data);
	return try_malloc(size);
}

static void *mem_calloc(size_t n, size_t size, void *data)
{
	UNUSED(data);
	return try_calloc(n, size);
}

static void *mem_realloc(void *p, size_t size, void *data)
{
	UNUSED(data);
	return try_realloc(p, size);
}

static void mem_free(void *p, void *data)
{
	UNUSED(data);
	free(p);
}

/* Made once for all connections; they live as long as the daemon. */
static const nghttp2_session_callbacks *frames_callbacks(void)
{
	static nghttp2_session_callbacks *cbs;

	if (cbs || nghttp2_session_callbacks_new(&cbs) < 0)
		return cbs;
	nghttp2_session_callbacks_set_on_begin_headers_callback(cbs, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cbs, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(cbs, on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cbs, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cbs, on_data_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(cbs, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(cbs, on_frame_send);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(cbs, on_frame_not_send);
	return cbs;
}

static const nghttp2_option *frames_options(void)
{
	static nghttp2_option *options;

	if (options || nghttp2_option_new(&options) < 0)
		return options;
	nghttp2_option_set_no_auto_window_update(options, 1);
	nghttp2_option_set_no_closed_streams(options, 1); /* h2_guard.c remembers what matters */
	nghttp2_option_set_max_outbound_ack(options, H2_ACKS_MAX);
	nghttp2_option_set_max_send_header_block_length(options, H2_SEND_HEADER_MAX);
	nghttp2_option_set_max_continuations(options, H2_LIBRARY_CONTINUATIONS);
	nghttp2_option_set_stream_reset_rate_limit(options, H2_LIBRARY_RESETS_BURST,
	                                           H2_LIBRARY_RESETS_PER_S);
	return options;
}

static int frames_submit_preface(nghttp2_session *session)
{
	static const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_STREAMS_MAX },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, EXCHANGE_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_HEADER_MAX },
	};
	int rc =
		nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, ARRAY_SIZE(settings));

	if (rc < 0)
		return rc;
	return nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
	                                             H2_CONNECTION_WINDOW);
}

int h2_frames_new_session(nghttp2_session **out_session, struct h2 *h)
{
	static nghttp2_mem mem = {
		.malloc = mem_malloc,
		.free = mem_free,
		.calloc = mem_calloc,
		.realloc = mem_realloc,
	};
	const nghttp2_session_callbacks *callbacks = frames_callbacks();
	const nghttp2_option *options = frames_options();
	nghttp2_session *session;
	int rc;

	if (!callbacks || !options)
		return NGHTTP2_ERR_NOMEM;
	rc = nghttp2_session_server_new3(&session, callbacks, h, options, &mem);
	if (rc < 0)
		return rc;
	rc = frames_submit_preface(session);
	if (rc < 0) {
		nghttp2_session_del(session);
		return rc;
	}
	*out_session = session;
	return 0;
}
