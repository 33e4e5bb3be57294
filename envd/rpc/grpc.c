/*
 * gRPC and gRPC-Web: the same frames, the status in HTTP trailers or in a last frame.
 *
 * An error before the first message is trailers-only: one header block. HTTP/1 has no such thing,
 * so gRPC over it gets an empty chunked body and trailers, as from the reference. Own header fields
 * of the handler stay apart from trailers, which trailers-only cannot do.
 * Source: gRPC over HTTP/2, "PROTOCOL-WEB"; wire.md 5.4.
 */
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "rpc/envelope.h"
#include "rpc/negotiate.h"
#include "rpc/protocol.h"
#include "rpc/status.h"

#define GRPC_TYPE_URL "type.googleapis.com/"

/* Bytes of the status fields: an error's text, every byte escaped, and all details. */
#define GRPC_STATUS_MAX (4u * ERR_TEXT_MAX + 2u * RPC_METADATA_MAX)

/* Protobuf tags of google.rpc.Status and google.protobuf.Any: field number << 3 | wire type. */
enum {
	STATUS_CODE = 1 << 3 | 0,
	STATUS_MESSAGE = 2 << 3 | 2,
	STATUS_DETAILS = 3 << 3 | 2,
	ANY_TYPE_URL = 1 << 3 | 2,
	ANY_VALUE = 2 << 3 | 2,
};

/* The three status fields; the texts live in its buffers. */
struct grpc_status {
	char code[4];
	struct buf message;
	struct buf details;
};

static void add_own_fields(const struct rpc_reply *r, struct field_list *list)
{
	if (r->is_refusal)
		return;
	fields_add(list, "Grpc-Accept-Encoding", SPAN(RPC_COMPRESSIONS));
	if (r->gzip)
		fields_add(list, "Grpc-Encoding", SPAN(RPC_COMPRESSIONS));
}

static void put_varint(struct buf *out, size_t n)
{
	for (; n >= 0x80; n >>= 7)
		buf_append_byte(out, (uint8_t)(n | 0x80));
	buf_append_byte(out, (uint8_t)n);
}

static size_t varint_size(size_t n)
{
	size_t size = 1;

	for (; n >= 0x80; n >>= 7)
		size++;
	return size;
}

static size_t field_size(size_t len)
{
	return 1 + varint_size(len) + len;
}

static void put_bytes(struct buf *out, uint8_t tag, const void *data, size_t len)
{
	buf_append_byte(out, tag);
	put_varint(out, len);
	if (len > 0)
		buf_append(out, data, len);
}

/* google.rpc.Status */
static void put_status(struct buf *out, const struct rpc_reply *r, const struct err *e)
{
	struct buf text;

	buf_init(&text, 3 * ERR_TEXT_MAX);
	utf8_append_repaired(&text, err_text(e), strlen(err_text(e)));
	buf_append_byte(out, STATUS_CODE);
	put_varint(out, (size_t)status_grpc(e->kind));
	put_bytes(out, STATUS_MESSAGE, text.data, text.len);
	for (const struct detail_node *d = r->details; d; d = d->next) {
		bool is_url = memchr(d->type_url.at, '/', d->type_url.len) != NULL;
		size_t prefix = is_url ? 0 : strlen(GRPC_TYPE_URL);

		buf_append_byte(out, STATUS_DETAILS);
		put_varint(out, field_size(prefix + d->type_url.len) + field_size(d->value.len));
		buf_append_byte(out, ANY_TYPE_URL);
		put_varint(out, prefix + d->type_url.len);
		buf_append(out, GRPC_TYPE_URL, prefix);
		buf_append(out, d->type_url.at, d->type_url.len);
		put_bytes(out, ANY_VALUE, d->value.at, d->value.len);
	}
	buf_deinit(&text);
}

/* Grpc-Message: everything but printable ASCII, and '%', becomes %XX. */
static void put_percent(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text < ' ' || *text > '~' || *text == '%')
			buf_appendf(out, "%%%02X", (unsigned)(uint8_t)*text);
		else
			buf_append_byte(out, (uint8_t)*text);
	}
}

static void put_details(struct buf *out, const struct rpc_reply *r, const struct err *e)
{
	struct buf raw;
	uint8_t *at;

	buf_init(&raw, GRPC_STATUS_MAX);
	put_status(&raw, r, e);
	if (!buf_error(&raw)) {
		at = buf_extend(out, BASE64_SIZE(raw.len));
		if (at)
			buf_truncate(out, base64_encode_unpadded((char *)at, raw.data, raw.len));
	}
	buf_deinit(&raw);
}

static void status_deinit(struct grpc_status *s)
{
	buf_deinit(&s->message);
	buf_deinit(&s->details);
}

/* What no memory is found for is left out: the code always fits. */
static void status_init(struct grpc_status *s, const struct rpc_reply *r, const struct err *e)
{
	buf_init(&s->message, GRPC_STATUS_MAX);
	buf_init(&s->details, GRPC_STATUS_MAX);
	(void)snprintf(s->code, sizeof s->code, "%d", status_grpc(e->kind));
	if (e->kind == ERR_NONE)
		return;
	put_percent(&s->message, err_text(e));
	if (r->details)
		put_details(&s->details, r, e);
}

static struct span buf_span(const struct buf *b)
{
	return (struct span){ (const char *)b->data, b->len };
}

static void add_status(struct field_list *list, const struct grpc_status *s, bool is_error)
{
	fields_add(list, "Grpc-Status", span_of(s->code));
	if (is_error)
		fields_add(list, "Grpc-Message", buf_span(&s->message));
	if (s->details.len > 0)
		fields_add(list, "Grpc-Status-Details-Bin", buf_span(&s->details));
}

static void answer_trailers_only(struct rpc_reply *r, const struct err *e)
{
	CLEANUP(status_deinit) struct grpc_status status;
	struct field_list list;

	status_init(&status, r, e);
	list.n = 0;
	reply_head(r, &list);
	fields_add_metadata(&list, &r->trailers);
	add_status(&list, &status, e->kind != ERR_NONE);
	exchange_answer(&r->x, 200, list.at, list.n, (struct span){ 0 });
}

static void finish_with_trailers(struct rpc_reply *r, const struct err *e)
{
	CLEANUP(status_deinit) struct grpc_status status;
	struct field_list list;

	if (!r->begun)
		reply_begin(r);
	status_init(&status, r, e);
	list.n = 0;
	add_status(&list, &status, e->kind != ERR_NONE);
	fields_add_metadata(&list, &r->trailers);
	exchange_finish(&r->x, list.at, list.n);
}

static void grpc_finish(struct rpc_reply *r, const ProtobufCMessage *message, struct err *e)
{
	bool is_http2 = r->x->request.version >= HTTP_2;
	bool more;

	if (message)
		(void)!reply_send_message(r, message, &more, e);
	if (e->kind != ERR_NONE && !r->begun && !r->headers.first && is_http2)
		answer_trailers_only(r, e);
	else
		finish_with_trailers(r, e);
}

/* HTTP/1 wants trailers announced. */
static void grpc_head(const struct rpc_reply *r, struct field_list *list)
{
	add_own_fields(r, list);
	if (r->x->request.version >= HTTP_2)
		return;
	fields_add(list, "Trailer", SPAN("Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin"));
	for (const struct metadata_node *node = r->trailers.first; node; node = node->next)
		fields_add(list, "Trailer", node->field.name);
}

const struct rpc_protocol grpc = {
	.name = "grpc",
	.enveloped = true,
	.encoding_field = "grpc-encoding",
	.accept_field = "grpc-accept-encoding",
	.timeout_field = "grpc-timeout",
	.parse_timeout = timeout_parse_grpc,
	.head = grpc_head,
	.begin = reply_begin_frames,
	.send = reply_send_message,
	.finish = grpc_finish,
};

/* --- gRPC-Web --------------------------------------------------------------------------------- */

/* "name: value\r\n", the name in lower case. */
static void put_trailer(struct buf *out, struct http_field field)
{
	for (size_t i = 0; i < field.name.len; i++) {
		char c = field.name.at[i];

		buf_append_byte(out, (uint8_t)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c));
	}
	buf_append_text(out, ": ");
	for (size_t i = 0; i < field.value.len; i++) {
		char c = field.value.at[i];

		buf_append_byte(out, (uint8_t)(c == '\r' || c == '\n' ? ' ' : c));
	}
	buf_append_text(out, "\r\n");
}

static void web_finish(struct rpc_reply *r, const ProtobufCMessage *message, struct err *e)
{
	CLEANUP(status_deinit) struct grpc_status status = { 0 };
	struct field_list list;
	struct buf *b;
	bool more;

	if (message)
		(void)!reply_send_message(r, message, &more, e);
	if (!r->begun && !r->headers.first) {
		answer_trailers_only(r, e);
		return;
	}
	status_init(&status, r, e);
	list.n = 0;
	add_status(&list, &status, e->kind != ERR_NONE);
	fields_add_metadata(&list, &r->trailers);
	b = reply_buf(ENVELOPE_HEADER);
	for (size_t i = 0; i < list.n; i++)
		put_trailer(b, list.at[i]);
	reply_finish_frame(r, ENVELOPE_TRAILERS_GRPC_WEB);
}

const struct rpc_protocol grpc_web = {
	.name = "grpc-web",
	.enveloped = true,
	.end_flag = ENVELOPE_TRAILERS_GRPC_WEB,
	.encoding_field = "grpc-encoding",
	.accept_field = "grpc-accept-encoding",
	.timeout_field = "grpc-timeout",
	.parse_timeout = timeout_parse_grpc,
	.head = add_own_fields,
	.begin = reply_begin_frames,
	.send = reply_send_message,
	.finish = web_finish,
};
