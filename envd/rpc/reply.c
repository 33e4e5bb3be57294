/*
 * The output half of a call, as far as all protocols share it: metadata, the one encode buffer,
 * frames.
 */
#include <string.h>

#include "base/base64.h"
#include "http/coding.h"
#include "rpc/envelope.h"
#include "rpc/protocol.h"
#include "rpc/status.h"

/* Bytes that the encode buffers keep between messages: 64 KiB of process output as JSON fits, and
 * buffers double. */
#define REPLY_BUF_KEEP (128u * 1024u)

/* There is one loop thread; see reply_buf. */
static struct buf plain_buf;
static struct buf gzip_buf;

void reply_init(struct rpc_reply *r, struct exchange *x, const struct rpc_protocol *protocol)
{
	*r = (struct rpc_reply){ .x = x, .protocol = protocol, .codec = CODEC_JSON };
	r->last_detail = &r->details;
	arena_init(&r->arena, RPC_METADATA_MAX, NULL, 0);
}

void reply_deinit(struct rpc_reply *r)
{
	if (r->x)
		exchange_abort(&r->x);
	arena_deinit(&r->arena);
}

/* A copy in the arena of a and b, one after the other, and a NUL. */
static bool reply_copy(struct rpc_reply *r, struct span a, struct span b, struct span *out_copy)
{
	char *at = arena_alloc(&r->arena, a.len + b.len + 1);

	if (!at) {
		r->overflowed = true;
		return false;
	}
	if (a.len > 0)
		memcpy(at, a.at, a.len);
	if (b.len > 0)
		memcpy(at + a.len, b.at, b.len);
	at[a.len + b.len] = '\0';
	*out_copy = (struct span){ at, a.len + b.len };
	return true;
}

static void reply_add(struct rpc_reply *r, struct metadata *to, struct span prefix,
                      struct span name, struct span value)
{
	struct metadata_node *node = NULL;
	struct http_field field;

	if (r->n_metadata < RPC_METADATA_FIELDS_MAX)
		node = arena_calloc(&r->arena, sizeof *node);
	if (!node)
		r->overflowed = true;
	if (!node || !reply_copy(r, prefix, name, &field.name) ||
	    !reply_copy(r, value, (struct span){ 0 }, &field.value))
		return;
	node->field = field;
	if (to->last)
		to->last->next = node;
	else
		to->first = node;
	to->last = node;
	r->n_metadata++;
}

void reply_add_header(struct rpc_reply *r, struct span name, struct span value)
{
	reply_add(r, &r->headers, (struct span){ 0 }, name, value);
}

void reply_add_trailer(struct rpc_reply *r, struct span name, struct span value)
{
	struct span prefix = span_of(r->protocol->trailer_prefix);

	reply_add(r, prefix.len ? &r->headers : &r->trailers, prefix, name, value);
}

void reply_add_detail(struct rpc_reply *r, struct span type_url, struct span value)
{
	struct detail_node *node = arena_calloc(&r->arena, sizeof *node);

	if (!node)
		r->overflowed = true;
	if (!node || !reply_copy(r, type_url, (struct span){ 0 }, &node->type_url) ||
	    !reply_copy(r, value, (struct span){ 0 }, &node->value))
		return;
	*r->last_detail = node;
	r->last_detail = &node->next;
}

enum err_kind reply_finish(struct rpc_reply *r, const ProtobufCMessage *message, struct err *e)
{
	enum err_kind kind;

	if (r->overflowed)
		(void)!err_set(e, ERR_LIMIT, "response metadata does not fit into %u bytes",
		               RPC_METADATA_MAX);
	exchange_hold(r->x);
	r->protocol->finish(r, e->kind == ERR_NONE ? message : NULL, e);
	ASSERT(!r->x);
	kind = e->kind;
	err_clear(e);
	return kind;
}

static bool send_piece(struct rpc_reply *r, struct answer *a, size_t len)
{
	struct iovec piece = { (void *)(uintptr_t)answer_rest(a).at, len }; /* is only read */

	answer_take(a, len);
	return exchange_send(r->x, &piece, 1);
}

/* All but the last piece, which is sent together with the end. */
static enum reply_progress send_pieces(struct rpc_reply *r, struct answer *a)
{
	size_t n_sent = 0;

	while (answer_rest(a).len > REPLY_PIECE) {
		if (n_sent >= REPLY_TURN_MAX)
			return REPLY_GOES_ON;
		n_sent += REPLY_PIECE;
		if (!send_piece(r, a, REPLY_PIECE))
			return REPLY_WAITS;
	}
	return REPLY_DONE;
}

enum reply_progress reply_send_answer(struct rpc_reply *r, struct answer *a,
                                      enum err_kind *out_kind)
{
	CLEANUP(err_clear) struct err e = { 0 };
	enum reply_progress progress;

	if (!r->overflowed) {
		if (!r->begun)
			r->protocol->begin(r, answer_rest(a).len);
		progress = send_pieces(r, a);
		if (progress != REPLY_DONE)
			return progress;
		exchange_hold(r->x);
		(void)send_piece(r, a, answer_rest(a).len);
	}
	*out_kind = reply_finish(r, NULL, &e);
	return REPLY_DONE;
}

void fields_add(struct field_list *list, const char *name, struct span value)
{
	ASSERT(list->n < ARRAY_SIZE(list->at));
	list->at[list->n++] = (struct http_field){ span_of(name), value };
}

void fields_add_metadata(struct field_list *list, const struct metadata *m)
{
	for (const struct metadata_node *node = m->first; node; node = node->next) {
		ASSERT(list->n < ARRAY_SIZE(list->at));
		list->at[list->n++] = node->field;
	}
}

void reply_head(const struct rpc_reply *r, struct field_list *list)
{
	fields_add(list, "Content-Type", r->content_type);
	r->protocol->head(r, list);
	if (r->unbuffered)
		fields_add(list, "X-Accel-Buffering", SPAN("no"));
	fields_add_metadata(list, &r->headers);
}

void reply_begin(struct rpc_reply *r)
{
	struct field_list list;

	list.n = 0;
	reply_head(r, &list);
	exchange_begin(r->x, 200, list.at, list.n, -1);
	r->begun = true;
}

void reply_begin_frames(struct rpc_reply *r, size_t len)
{
	UNUSED(len);
	reply_begin(r);
}

static struct buf *shared_buf(struct buf *b, size_t head)
{
	if (!b->max)
		buf_init(b, RPC_SEND_MAX);
	buf_reset(b, REPLY_BUF_KEEP);
	if (head > 0 && !buf_extend(b, head))
		ASSERT(buf_error(b));
	return b;
}

struct buf *reply_buf(size_t head)
{
	return shared_buf(&plain_buf, head);
}

int reply_seal(const struct rpc_reply *r, size_t head, struct span *out_bytes, struct err *e)
{
	struct buf *b = &plain_buf;

	if (r->gzip && !buf_error(b)) {
		b = shared_buf(&gzip_buf, head);
		if (!buf_error(b) &&
		    gzip_compress(b, plain_buf.data + head, plain_buf.len - head) < 0)
			return err_set(e, ERR_LIMIT, "compress: no memory");
	}
	if (buf_error(b))
		return err_set(e, ERR_LIMIT, "message does not fit into memory");
	*out_bytes = (struct span){ (const char *)b->data, b->len };
	return 0;
}

int reply_encode(const struct rpc_reply *r, const ProtobufCMessage *message, size_t head,
                 struct span *out_bytes, struct err *e)
{
	struct buf *b = reply_buf(head);

	if (!buf_error(b) && codec_encode(r->codec, message, b, e) < 0) {
		err_wrap(e, "marshal message");
		e->kind = ERR_INTERNAL;
		return -1;
	}
	return reply_seal(r, head, out_bytes, e);
}

static bool send_sealed(struct rpc_reply *r, uint8_t flags, struct span frame)
{
	uint8_t *header = (uint8_t *)(uintptr_t)frame.at; /* ours: see reply_buf */
	struct iovec piece = { header, frame.len };

	if (r->gzip)
		flags |= ENVELOPE_COMPRESSED;
	envelope_put_header(header, flags, (uint32_t)(frame.len - ENVELOPE_HEADER));
	if (!r->begun)
		reply_begin(r);
	return exchange_send(r->x, &piece, 1);
}

int reply_send_message(struct rpc_reply *r, const ProtobufCMessage *message, bool *out_more,
                       struct err *e)
{
	struct span frame = { 0 };

	if (reply_encode(r, message, ENVELOPE_HEADER, &frame, e) < 0)
		return -1;
	*out_more = send_sealed(r, 0, frame);
	return 0;
}

void reply_finish_frame(struct rpc_reply *r, uint8_t flags)
{
	CLEANUP(err_clear) struct err e = { 0 };
	struct span frame = { 0 };

	if (reply_seal(r, ENVELOPE_HEADER, &frame, &e) < 0) {
		exchange_abort(&r->x);
		return;
	}
	(void)send_sealed(r, flags, frame);
	exchange_finish(&r->x, NULL, 0);
}

static void put_base64(struct buf *out, struct span value)
{
	size_t len = out->len;
	uint8_t *at = buf_extend(out, BASE64_SIZE(value.len));

	if (at)
		buf_truncate(out, len + base64_encode_unpadded((char *)at, value.at, value.len));
}

static void put_json_string(struct buf *out, struct span s)
{
	buf_append_byte(out, '"');
	json_append_string(out, s.at, s.len, true);
	buf_append_byte(out, '"');
}

/* "type.googleapis.com/a.B" to "a.B". */
static struct span type_name(struct span url)
{
	const char *slash = url.len ? memrchr(url.at, '/', url.len) : NULL;

	if (!slash)
		return url;
	return (struct span){ slash + 1, url.len - (size_t)(slash + 1 - url.at) };
}

void reply_put_error_json(const struct rpc_reply *r, const struct err *e, struct buf *out)
{
	const char *before = ",\"details\":[";

	buf_appendf(out, "{\"code\":\"%s\"", status_connect_code(e->kind));
	if (err_text(e)[0] != '\0') {
		buf_append_text(out, ",\"message\":");
		put_json_string(out, span_of(err_text(e)));
	}
	for (const struct detail_node *d = r->details; d; d = d->next) {
		buf_append_text(out, before);
		buf_append_text(out, "{\"type\":");
		put_json_string(out, type_name(d->type_url));
		buf_append_text(out, ",\"value\":\"");
		put_base64(out, d->value);
		buf_append_text(out, "\"}");
		before = ",";
	}
	buf_append_text(out, r->details ? "]}" : "}");
}
