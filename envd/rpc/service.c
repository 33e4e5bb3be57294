#include "rpc/service.h"

#include <errno.h>
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "http/limits.h"
#include "rpc/negotiate.h"
#include "rpc/protocol.h"

#define ACCEPT_POST_MAX 1024u /* bytes of the list of all content types; it has some 330 */

static struct span field_value(const struct exchange *x, const char *name)
{
	const struct http_field *f = exchange_field(x, name);

	return f ? span_trim(f->value) : (struct span){ 0 };
}

static bool is_get(const struct exchange *x)
{
	return span_equal(x->request.method, "GET");
}

/* --- refusals that are no RPC errors ------------------------------------------------------------ */

static void answer_empty(struct exchange **x, int status, const char *name, struct span value)
{
	struct http_field field = { span_of(name), value };

	exchange_answer(x, status, &field, name ? 1 : 0, (struct span){ 0 });
}

static void refuse_type(struct exchange **x, const struct rpc_method *method)
{
	CLEANUP(buf_deinit) struct buf list = { 0 };

	buf_init(&list, ACCEPT_POST_MAX);
	content_type_list(method->kind, &list);
	answer_empty(x, 415, "Accept-Post", (struct span){ (const char *)list.data, list.len });
}

/* --- Connect GET -------------------------------------------------------------------------------- */

/* Decodes %XX and '+'; a broken escape drops the value, as the reference does. */
static int query_decode(struct span value, struct buf *out)
{
	while (value.len > 0) {
		const char *plus = memchr(value.at, '+', value.len);
		size_t len = plus ? (size_t)(plus - value.at) : value.len;

		if (percent_decode(out, (struct span){ value.at, len }) < 0)
			return -EINVAL;
		if (!plus)
			break;
		buf_append_byte(out, ' ');
		value.at += len + 1;
		value.len -= len + 1;
	}
	return buf_error(out);
}

/* The first parameter of that name, decoded into out; false if there is none. */
static bool query_find(const struct exchange *x, const char *name, struct buf *out)
{
	struct span rest = x->request.query;
	struct span pair;
	size_t n = strlen(name);

	while (span_next(&rest, "&", &pair)) {
		if (pair.len <= n || memcmp(pair.at, name, n) != 0 || pair.at[n] != '=' ||
		    memchr(pair.at, ';', pair.len))
			continue;
		buf_reset(out, SIZE_MAX);
		if (query_decode((struct span){ pair.at + n + 1, pair.len - n - 1 }, out) == 0)
			return true;
	}
	buf_reset(out, SIZE_MAX);
	return false;
}

static struct span buf_span(const struct buf *b)
{
	return (struct span){ (const char *)b->data, b->len };
}

static int check_get_version(const struct exchange *x, struct buf *scratch, struct err *e)
{
	if (query_find(x, "connect", scratch) && scratch->len > 0 &&
	    !span_equal(buf_span(scratch), "v1"))
		return err_set(e, ERR_INVALID, "connect must be \"v1\": got \"%.*s\"",
		               (int)MIN(scratch->len, 256), (const char *)scratch->data);
	return 0;
}

/* The message of the query, as the body of a POST would be. */
static int get_message(const struct exchange *x, struct buf *message, struct err *e)
{
	CLEANUP(buf_deinit) struct buf flag = { 0 };
	ptrdiff_t n;

	buf_init(&flag, HTTP_HEADER_MAX);
	if (!query_find(x, "message", message))
		return err_set(e, ERR_INVALID, "missing message parameter");
	if (!query_find(x, "base64", &flag) || !span_equal(buf_span(&flag), "1"))
		return 0;
	n = message->len ? base64_decode(message->data, (const char *)message->data, message->len)
	                 : 0;
	if (n < 0)
		return err_set(e, ERR_INVALID, "read message: illegal base64 data");
	buf_truncate(message, (size_t)n);
	return 0;
}

/* --- negotiation -------------------------------------------------------------------------------- */

static int check_version(const struct exchange *x, const struct rpc_protocol *protocol,
                         struct err *e)
{
	struct span version = field_value(x, "connect-protocol-version");

	if (protocol != &connect_unary && protocol != &connect_stream)
		return 0;
	if (version.len > 0 && !span_equal(version, "1"))
		return err_set(e, ERR_INVALID,
		               "Connect-Protocol-Version must be \"1\": got \"%.*s\"",
		               (int)MIN(version.len, 256), version.at);
	return 0;
}

/* Compression, version, time-out: the first error is the answer, in the reference's order. */
static int negotiate(struct call_setup *setup, struct err *e)
{
	CLEANUP(buf_deinit) struct buf scratch = { 0 };
	const struct rpc_protocol *protocol = setup->type->protocol;
	const struct exchange *x = setup->x;
	struct span sent = field_value(x, protocol->encoding_field);
	struct span timeout = field_value(x, protocol->timeout_field);

	buf_init(&scratch, HTTP_HEADER_MAX);
	if (setup->is_get) {
		(void)query_find(x, "compression", &scratch);
		sent = buf_span(&scratch);
	}
	if (negotiate_compression(sent, field_value(x, protocol->accept_field),
	                          &setup->request_gzip, &setup->response_gzip, e) < 0)
		return -1;
	if (setup->is_get ? check_get_version(x, &scratch, e) < 0
	                  : check_version(x, protocol, e) < 0)
		return -1;
	return protocol->parse_timeout(timeout, &setup->timeout_ms, e);
}

/* Negotiation failed: an RPC error without a call. */
static void refuse_call(struct call_setup *setup, struct err *e)
{
	struct rpc_reply reply;

	reply_init(&reply, TAKE_PTR(setup->x), setup->type->protocol);
	reply.content_type = span_of(setup->type->text);
	reply.is_get = setup->is_get;
	reply.unbuffered = setup->method->kind == RPC_SERVER_STREAM;
	(void)reply_finish(&reply, NULL, e);
	reply_deinit(&reply);
}

/* Takes the exchange if the request is no RPC of this method. */
static const struct content_type *find_type(struct exchange **x, const struct rpc_method *method)
{
	CLEANUP(buf_deinit) struct buf encoding = { 0 };
	const struct http_request *request = &(*x)->request;
	const struct content_type *type = NULL;
	bool may_get = method->no_side_effects && method->kind == RPC_UNARY;
	bool may_bidi = method->options && method->options->bidi_over_http1;

	if (method->kind == RPC_BIDI_STREAM && request->version < HTTP_2 && !may_bidi) {
		answer_empty(x, 505, NULL, (struct span){ 0 });
		return NULL;
	}
	if (is_get(*x) && may_get) {
		buf_init(&encoding, HTTP_HEADER_MAX);
		/* Over HTTP/2 an empty body may have no length: it is not waited for. */
		if (request->content_length <= 0 && query_find(*x, "encoding", &encoding))
			type = content_type_of_get(buf_span(&encoding));
	} else if (!span_equal(request->method, "POST")) {
		answer_empty(x, 405, "Allow", may_get ? SPAN("GET, POST") : SPAN("POST"));
		return NULL;
	} else {
		type = content_type_find(field_value(*x, "content-type"));
	}
	if (type && (type->kinds & BIT(method->kind)))
		return type;
	refuse_type(x, method);
	return NULL;
}

void rpc_serve(struct loop *loop, struct exchange **x, const struct rpc_method *method,
               void *service, void *session, void (*free_session)(void *session))
{
	CLEANUP(err_clear) struct err e = { 0 };
	CLEANUP(buf_deinit) struct buf message = { 0 };
	struct call_setup setup = {
		.method = method,
		.service = service,
		.session = session,
		.free_session = session ? free_session : NULL,
	};

	setup.type = find_type(x, method);
	if (setup.type) {
		setup.x = TAKE_PTR(*x);
		setup.is_get = is_get(setup.x);
		buf_init(&message, HTTP_HEADER_MAX);
		if (negotiate(&setup, &e) == 0 &&
		    (!setup.is_get || get_message(setup.x, &message, &e) == 0)) {
			setup.body = buf_span(&message);
			call_start(loop, &setup);
			return;
		}
		refuse_call(&setup, &e);
	}
	if (setup.free_session)
		setup.free_session(session);
}

/* --- before there is a call --------------------------------------------------------------------- */

static bool has_prefix(struct span s, struct span prefix)
{
	return s.len >= prefix.len &&
	       span_equal_nocase((struct span){ s.at, prefix.len }, prefix.at);
}

/* By the look of the content type, known or not. */
static const struct rpc_protocol *guess_protocol(const struct exchange *x, struct span type)
{
	CLEANUP(err_clear) struct err e = { 0 };
	struct span rest;

	if (!span_equal(x->request.method, "POST"))
		return &connect_unary;
	if (has_prefix(type, SPAN("application/connect+")))
		return check_version(x, &connect_stream, &e) == 0 ? &connect_stream
		                                                  : &connect_unary;
	if (has_prefix(type, SPAN("application/grpc-web")))
		return &grpc_web;
	if (!has_prefix(type, SPAN("application/grpc")))
		return &connect_unary;
	rest = (struct span){ type.at + 16, type.len - 16 };
	return rest.len == 0 || rest.at[0] == '+' || rest.at[0] == ';' ? &grpc : &connect_unary;
}

void rpc_refuse(struct exchange **x, struct err *e)
{
	struct span value = field_value(*x, "content-type");
	const struct content_type *known = content_type_find(value);
	struct rpc_reply reply;

	reply_init(&reply, *x, guess_protocol(*x, value));
	*x = NULL;
	reply.content_type = known ? span_of(known->text) : value;
	reply.is_refusal = true;
	(void)reply_finish(&reply, NULL, e);
	reply_deinit(&reply);
}
