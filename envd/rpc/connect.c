/*
 * The Connect protocol's two ways to answer. Source: Connect protocol specification; wire.md 5.1
 * to 5.3; captures in clients.md.
 */
#include <stdio.h>

#include "rpc/envelope.h"
#include "rpc/negotiate.h"
#include "rpc/protocol.h"
#include "rpc/status.h"

#define CONNECT_CODE_ONLY_MAX 48u /* bytes of {"code":"..."} with the longest code */

/* --- unary ------------------------------------------------------------------------------------ */

static void unary_head(const struct rpc_reply *r, struct field_list *list)
{
	if (r->is_refusal)
		return;
	fields_add(list, "Accept-Encoding", SPAN(RPC_COMPRESSIONS));
	if (r->is_get)
		fields_add(list, "Vary", SPAN("Accept-Encoding"));
}

static void unary_answer_error(struct rpc_reply *r, const struct err *e)
{
	struct field_list list;
	struct buf *b = reply_buf(0);
	char code[CONNECT_CODE_ONLY_MAX];
	struct span body;

	reply_put_error_json(r, e, b);
	body = (struct span){ (const char *)b->data, b->len };
	if (buf_error(b)) {
		(void)snprintf(code, sizeof code, "{\"code\":\"%s\"}",
		               status_connect_code(e->kind));
		body = span_of(code);
	}
	r->content_type = SPAN("application/json");
	list.n = 0;
	reply_head(r, &list);
	exchange_answer(&r->x, status_http(e->kind), list.at, list.n, body);
}

static void unary_success_head(const struct rpc_reply *r, struct field_list *list)
{
	list->n = 0;
	reply_head(r, list);
	if (r->gzip)
		fields_add(list, "Content-Encoding", SPAN(RPC_COMPRESSIONS));
}

static void unary_begin(struct rpc_reply *r, size_t len)
{
	struct field_list list;

	unary_success_head(r, &list);
	exchange_begin(r->x, 200, list.at, list.n, (int64_t)len);
	r->begun = true;
}

static void unary_finish(struct rpc_reply *r, const ProtobufCMessage *message, struct err *e)
{
	struct field_list list;
	struct span body;

	if (r->begun) {
		exchange_finish(&r->x, NULL, 0);
		return;
	}
	if (e->kind != ERR_NONE || reply_encode(r, message, 0, &body, e) < 0) {
		unary_answer_error(r, e);
		return;
	}
	unary_success_head(r, &list);
	exchange_answer(&r->x, 200, list.at, list.n, body);
}

const struct rpc_protocol connect_unary = {
	.name = "connect",
	.encoding_field = "content-encoding",
	.accept_field = "accept-encoding",
	.timeout_field = "connect-timeout-ms",
	.parse_timeout = timeout_parse_connect,
	.trailer_prefix = "Trailer-",
	.head = unary_head,
	.begin = unary_begin,
	.finish = unary_finish,
};

/* --- streams ---------------------------------------------------------------------------------- */

static void stream_head(const struct rpc_reply *r, struct field_list *list)
{
	if (r->is_refusal)
		return;
	fields_add(list, "Connect-Accept-Encoding", SPAN(RPC_COMPRESSIONS));
	if (r->gzip)
		fields_add(list, "Connect-Content-Encoding", SPAN(RPC_COMPRESSIONS));
}

static bool is_same_name(const struct metadata_node *a, const struct metadata_node *b)
{
	return a->field.name.len == b->field.name.len &&
	       span_equal_nocase(a->field.name, b->field.name.at);
}

/* Whether an earlier node has the same name: its list has this value already. */
static bool is_listed(const struct metadata *m, const struct metadata_node *node)
{
	for (const struct metadata_node *at = m->first; at != node; at = at->next) {
		if (is_same_name(at, node))
			return true;
	}
	return false;
}

static void put_string(struct buf *out, const char *before, struct span s, const char *after)
{
	buf_append_text(out, before);
	json_append_string(out, s.at, s.len, true);
	buf_append_text(out, after);
}

/* "name":["value","value"],... */
static void put_metadata(const struct metadata *m, struct buf *out)
{
	const char *before = "\"";

	for (const struct metadata_node *node = m->first; node; node = node->next) {
		if (is_listed(m, node))
			continue;
		put_string(out, before, node->field.name, "\":[");
		put_string(out, "\"", node->field.value, "\"");
		for (const struct metadata_node *at = node->next; at; at = at->next) {
			if (is_same_name(at, node))
				put_string(out, ",\"", at->field.value, "\"");
		}
		buf_append_byte(out, ']');
		before = ",\"";
	}
}

static void put_end(const struct rpc_reply *r, const struct err *e, struct buf *out)
{
	bool has_error = e->kind != ERR_NONE;

	buf_append_byte(out, '{');
	if (has_error) {
		buf_append_text(out, "\"error\":");
		reply_put_error_json(r, e, out);
	}
	if (r->trailers.first) {
		buf_append_text(out, has_error ? ",\"metadata\":{" : "\"metadata\":{");
		put_metadata(&r->trailers, out);
		buf_append_byte(out, '}');
	}
	buf_append_byte(out, '}');
}

static void stream_finish(struct rpc_reply *r, const ProtobufCMessage *message, struct err *e)
{
	bool more;

	if (message)
		(void)!reply_send_message(r, message, &more, e);
	put_end(r, e, reply_buf(ENVELOPE_HEADER));
	reply_finish_frame(r, ENVELOPE_END_CONNECT);
}

const struct rpc_protocol connect_stream = {
	.name = "connect",
	.enveloped = true,
	.end_flag = ENVELOPE_END_CONNECT,
	.end_is_json = true,
	.encoding_field = "connect-content-encoding",
	.accept_field = "connect-accept-encoding",
	.timeout_field = "connect-timeout-ms",
	.parse_timeout = timeout_parse_connect,
	.head = stream_head,
	.begin = reply_begin_frames,
	.send = reply_send_message,
	.finish = stream_finish,
};
