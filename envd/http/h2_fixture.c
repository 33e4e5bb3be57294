#include "http/h2_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/mem.h"
#include "http/conn.h"
#include "http/limits.h"
#include "loop/job.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

#define PEER_HEADER_MAX (8u * HTTP_HEADER_MAX) /* a client may try more than we take */

/* ---- the server's side ---- */

static void handler_on_body(struct exchange *x, const uint8_t *data, size_t len)
{
	struct peer_handler *h = x->data;
	size_t room = h->n_body < PEER_BODY_KEPT ? PEER_BODY_KEPT - h->n_body : 0;

	memcpy(h->body + MIN(h->n_body, (size_t)PEER_BODY_KEPT - 1), data, MIN(len, room));
	h->n_body += len;
	h->unconsumed += len;
	if (h->consume) {
		exchange_consumed(x, h->unconsumed);
		h->unconsumed = 0;
	}
}

static void handler_on_body_end(struct exchange *x, enum exchange_body_end how)
{
	struct peer_handler *h = x->data;

	assert_false(h->body_ended);
	assert_int_equal(how, EXCHANGE_BODY_COMPLETE);
	h->body_ended = true;
}

static void handler_on_proceed(struct exchange *x)
{
	struct peer_handler *h = x->data;

	h->n_proceeds++;
}

static void handler_on_file_sent(struct exchange *x, int error)
{
	struct peer_handler *h = x->data;

	h->n_files_sent++;
	h->file_error = error;
}

static void handler_on_stop(struct exchange *x)
{
	struct peer_handler *h = x->data;

	assert_false(h->stopped);
	h->stopped = true;
	if (h->stop_once)
		exchange_abort(&h->x);
}

static const struct exchange_ops handler_ops = {
	.on_body = handler_on_body,
	.on_body_end = handler_on_body_end,
	.on_proceed = handler_on_proceed,
	.on_file_sent = handler_on_file_sent,
	.on_stop = handler_on_stop,
};

static void keep_text(char *to, size_t size, struct span text)
{
	size_t n = MIN(text.len, size - 1);

	memcpy(to, text.at, n);
	to[n] = '\0';
}

static void peer_on_request(void *ctx, struct exchange *x)
{
	struct h2_peer *p = ctx;
	struct peer_handler *h;

	if (span_equal(x->request.path, "/hello")) {
		exchange_answer(&x, 200, NULL, 0, SPAN("hello\n"));
		return;
	}
	assert_true(p->n_handlers < PEER_HANDLERS_MAX);
	h = &p->handlers[p->n_handlers++];
	*h = (struct peer_handler){ .peer = p, .x = x, .stop_once = true, .consume = true };
	keep_text(h->path, sizeof h->path, x->request.path);
	keep_text(h->query, sizeof h->query, x->request.query);
	keep_text(h->host, sizeof h->host, x->request.host);
	keep_text(h->method, sizeof h->method, x->request.method);
	h->n_fields = x->request.n_fields;
	h->content_length = x->request.content_length;
	h->has_body = x->request.has_body;
	h->expects_continue = x->request.expects_continue;
	exchange_own(x, &handler_ops, h);
}

static void peer_on_server_closed(void *ctx)
{
	struct h2_peer *p = ctx;

	p->server_closed = true;
}

/* ---- frames, whoever reads them ---- */

static uint32_t u32_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void peer_on_frame(struct h2_peer *p)
{
	uint8_t type = p->header[3];

	p->n_frames[MIN(type, 15)]++;
	if (type == NGHTTP2_GOAWAY) {
		p->goaway = true;
		p->n_goaways++;
		p->goaway_last = u32_at(p->payload);
		p->goaway_code = u32_at(p->payload + 4);
	} else if (type == NGHTTP2_RST_STREAM) {
		p->rst_id = u32_at(p->header + 5);
		p->rst_code = u32_at(p->payload);
	}
}

static void peer_look(struct h2_peer *p, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (p->n_header < sizeof p->header) {
			p->header[p->n_header++] = data[i];
			p->payload_left = u32_at(p->header) >> 8;
			p->n_payload = 0;
		} else {
			if (p->n_payload < sizeof p->payload)
				p->payload[p->n_payload++] = data[i];
			p->payload_left--;
		}
		if (p->n_header == sizeof p->header && !p->payload_left) {
			peer_on_frame(p);
			p->n_header = 0;
		}
	}
}

/* ---- nghttp2's client ---- */

struct peer_stream *peer_stream(struct h2_peer *p, int32_t id)
{
	size_t i = (size_t)(id - 1) / 2;

	assert_true(id > 0 && i < PEER_STREAMS_MAX);
	return &p->streams[i];
}

static int client_on_header(nghttp2_session *session, const nghttp2_frame *frame,
                            const uint8_t *name, size_t name_len, const uint8_t *value,
                            size_t value_len, uint8_t flags, void *data)
{
	struct peer_stream *s = peer_stream(data, frame->hd.stream_id);
	struct span n = { (const char *)name, name_len };
	struct span v = { (const char *)value, value_len };

	int64_t status;

	UNUSED(session);
	UNUSED(flags);
	s->n_fields++;
	if (span_equal(n, ":status") && parse_i64(v, &status) == 0)
		s->status = (int)status;
	else if (s->status >= 200 && frame->headers.cat == NGHTTP2_HCAT_HEADERS)
		s->n_trailers++;
	else if (span_equal(n, "content-length"))
		keep_text(s->length, sizeof s->length, v);
	return 0;
}

static int client_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
	struct peer_stream *s;

	UNUSED(session);
	if (!frame->hd.stream_id)
		return 0;
	s = peer_stream(data, frame->hd.stream_id);
	if (frame->hd.type == NGHTTP2_HEADERS && s->status / 100 == 1)
		s->n_informational++;
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		s->ended = true;
	if (frame->hd.type == NGHTTP2_RST_STREAM) {
		s->reset = true;
		s->reset_code = frame->rst_stream.error_code;
	}
	return 0;
}

static int client_on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                          size_t len, void *user)
{
	struct peer_stream *s = peer_stream(user, id);

	UNUSED(session);
	UNUSED(flags);
	if (s->body_bytes < PEER_BODY_KEPT)
		memcpy(s->body + s->body_bytes, data, MIN(len, PEER_BODY_KEPT - s->body_bytes));
	s->body_bytes += len;
	return 0;
}

static int client_on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
	UNUSED(session);
	UNUSED(code);
	peer_stream(user, id)->closed = true;
	return 0;
}

static ssize_t client_on_pull(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                              uint32_t *flags, nghttp2_data_source *source, void *user)
{
	size_t *left = source->ptr;
	size_t n = MIN(room, *left);

	UNUSED(session);
	UNUSED(id);
	UNUSED(user);
	memset(to, 'u', n);
	*left -= n;
	if (!*left)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static ssize_t client_on_pull_never(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                                    uint32_t *flags, nghttp2_data_source *source, void *user)
{
	UNUSED(session);
	UNUSED(id);
	UNUSED(to);
	UNUSED(room);
	UNUSED(flags);
	UNUSED(source);
	UNUSED(user);
	return NGHTTP2_ERR_DEFERRED;
}

void peer_begin(struct h2_peer *p)
{
	nghttp2_session_callbacks *cbs;
	nghttp2_option *option;

	assert_int_equal(nghttp2_option_new(&option), 0);
	nghttp2_option_set_max_send_header_block_length(option, PEER_HEADER_MAX);
	assert_int_equal(nghttp2_session_callbacks_new(&cbs), 0);
	nghttp2_session_callbacks_set_on_header_callback(cbs, client_on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cbs, client_on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cbs, client_on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cbs, client_on_close);
	assert_int_equal(nghttp2_session_client_new2(&p->session, cbs, p, option), 0);
	nghttp2_session_callbacks_del(cbs);
	nghttp2_option_del(option);
	assert_int_equal(nghttp2_submit_settings(p->session, NGHTTP2_FLAG_NONE, NULL, 0), 0);
	peer_run(p);
}

static nghttp2_nv client_nv(const char *name, struct span value)
{
	return (nghttp2_nv){
		.name = (uint8_t *)(uintptr_t)name,
		.namelen = strlen(name),
		.value = (uint8_t *)(uintptr_t)value.at,
		.valuelen = value.len,
	};
}

static int32_t client_submit(struct h2_peer *p, const char *method, const char *path,
                             const struct http_field *fields, size_t n,
                             const nghttp2_data_provider *body)
{
	nghttp2_nv *nv = xcalloc(4 + n, sizeof *nv);
	int32_t id;

	nv[0] = client_nv(":method", span_of(method));
	nv[1] = client_nv(":scheme", SPAN("http"));
	nv[2] = client_nv(":authority", SPAN("localhost"));
	nv[3] = client_nv(":path", span_of(path));
	for (size_t i = 0; i < n; i++)
		nv[4 + i] = client_nv(fields[i].name.at, fields[i].value);
	id = nghttp2_submit_request(p->session, NULL, nv, 4 + n, body, NULL);
	free(nv);
	assert_true(id > 0);
	return id;
}

int32_t peer_request(struct h2_peer *p, const char *method, const char *path,
                     const struct http_field *fields, size_t n, bool has_body)
{
	nghttp2_data_provider never = { .read_callback = client_on_pull_never };

	return client_submit(p, method, path, fields, n, has_body ? &never : NULL);
}

int32_t peer_get(struct h2_peer *p, const char *path)
{
	return peer_request(p, "GET", path, NULL, 0, false);
}

int32_t peer_upload(struct h2_peer *p, const char *path, size_t bytes)
{
	nghttp2_data_provider body = { .source.ptr = &p->upload_left,
		                       .read_callback = client_on_pull };

	p->upload_left = bytes;
	return client_submit(p, "POST", path, NULL, 0, &body);
}

/* ---- bytes ---- */

static bool peer_flush_session(struct h2_peer *p)
{
	bool moved = false;
	const uint8_t *data;
	ssize_t n;

	while (p->session && p->fd >= 0 && (n = nghttp2_session_mem_send(p->session, &data)) > 0) {
		peer_write(p, data, (size_t)n);
		moved = true;
	}
	return moved;
}

static bool peer_read(struct h2_peer *p)
{
	uint8_t data[16384];
	ssize_t n;

	if (!p->reads || p->fd < 0 || p->eof)
		return false;
	n = recv(p->fd, data, sizeof data, MSG_DONTWAIT);
	if (n <= 0) {
		p->eof = n == 0 || errno != EAGAIN;
		return false;
	}
	peer_look(p, data, (size_t)n);
	if (p->session)
		assert_int_equal(nghttp2_session_mem_recv(p->session, data, (size_t)n), n);
	return true;
}

void peer_run(struct h2_peer *p)
{
	unsigned still = 0;

	while (still < 4) {
		bool moved = peer_flush_session(p);

		loop_fixture_turn(p->loop, 2);
		moved |= peer_read(p);
		if (job_count(p->loop) > 0) {
			loop_fixture_run_jobs(p->loop);
			moved = true;
		}
		still = moved ? 0 : still + 1;
	}
}

void peer_write(struct h2_peer *p, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		size_t piece = p->slice ? MIN(len, (size_t)p->slice) : len;
		ssize_t n = send(p->fd, at, piece, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN) /* the server has had enough */
			return;
		loop_fixture_turn(p->loop, 1);
		if (n < 0) {
			peer_read(p);
			continue;
		}
		at += n;
		len -= (size_t)n;
	}
}

void peer_begin_raw(struct h2_peer *p)
{
	peer_write(p, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
	peer_frame(p, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
	peer_frame(p, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
	peer_run(p);
}

void peer_frame(struct h2_peer *p, uint8_t type, uint8_t flags, uint32_t id, const void *payload,
                size_t len)
{
	uint8_t frame[9 + 16384] = {
		(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,       type,        flags,
		(uint8_t)(id >> 24),  (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id,
	};

	assert_true(len <= 16384);
	if (len)
		memcpy(frame + 9, payload, len);
	peer_write(p, frame, 9 + len);
}

void peer_raw_get(struct h2_peer *p, uint32_t id, const char *path, uint8_t flags)
{
	/* :method GET, :scheme http, :authority and :path as literals (RFC 7541 A, 6.2.2) */
	uint8_t block[128] = { 0x82, 0x86, 0x01, 1, 'h', 0x04, (uint8_t)strlen(path) };

	memcpy(block + 7, path, strlen(path));
	peer_frame(p, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | flags, id, block,
	           7 + strlen(path));
}

void peer_pass_ms(struct h2_peer *p, uint64_t ms)
{
	timers_advance(&p->loop->timers, loop_now_ms(p->loop) + ms);
	peer_run(p);
}

void peer_hang_up(struct h2_peer *p)
{
	close(TAKE_FD(p->fd));
	peer_run(p);
}

/* ---- life ---- */

void peer_connect(struct h2_peer *p)
{
	int fds[2];

	if (p->fd >= 0)
		close(p->fd);
	nghttp2_session_del(p->session);
	p->session = NULL;
	p->eof = p->goaway = false;
	p->n_header = 0;
	memset(p->streams, 0, sizeof p->streams);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	p->fd = fds[0];
	assert_non_null(conn_new(p->server, fds[1]));
}

struct peer_fixture {
	void *loop;
	struct h2_peer peer;
};

int peer_setup(void **state)
{
	struct peer_fixture *f = xcalloc(1, sizeof *f);

	loop_fixture_setup(&f->loop);
	f->peer.loop = loop_fixture_loop(&f->loop);
	f->peer.fd = -1;
	f->peer.reads = true;
	f->peer.server = server_new(f->peer.loop, peer_on_request, &f->peer);
	peer_connect(&f->peer);
	*state = f;
	return 0;
}

struct h2_peer *peer_of(void **state)
{
	struct peer_fixture *f = *state;

	return &f->peer;
}

/* The server ends first: owners are told, and what they still own is given back after it. */
int peer_teardown(void **state)
{
	struct peer_fixture *f = *state;
	struct h2_peer *p = &f->peer;

	server_close(p->server, peer_on_server_closed, p);
	loop_fixture_run_until(p->loop, &p->server_closed);
	for (size_t i = 0; i < p->n_handlers; i++)
		if (p->handlers[i].x)
			exchange_abort(&p->handlers[i].x);
	if (p->fd >= 0)
		close(p->fd);
	nghttp2_session_del(p->session);
	loop_fixture_teardown(&f->loop);
	free(f);
	return 0;
}
