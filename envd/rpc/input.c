#include "rpc/input.h"

#include <errno.h>

#include "http/coding.h"

/* Bytes of a promised body that are reserved before they arrive. */
#define INPUT_RESERVE_MAX 65536u

static const struct state_rule input_rules[] = {
	[INPUT_READING] = { "reading",
	                    BIT(INPUT_AFTER_END) | BIT(INPUT_ENDED) | BIT(INPUT_CLOSED) },
	[INPUT_AFTER_END] = { "after-end", BIT(INPUT_ENDED) | BIT(INPUT_CLOSED) },
	[INPUT_ENDED] = { "ended", BIT(INPUT_CLOSED) },
	[INPUT_CLOSED] = { "closed", 0 },
};

static size_t input_total; /* bytes charged by all inputs; loop thread */

/* For an unfinished message that is to become so large. */
static int charge(struct rpc_input *in, size_t size, struct err *e)
{
	size_t due = size > INPUT_FREE_MAX ? size - INPUT_FREE_MAX : 0;

	if (due <= in->charged)
		return 0;
	if (due - in->charged > INPUT_TOTAL_MAX - input_total)
		return err_set(e, ERR_LIMIT,
		               "too many bytes of unfinished messages, at most %u at once",
		               INPUT_TOTAL_MAX);
	input_total += due - in->charged;
	in->charged = due;
	return 0;
}

static void discharge(struct rpc_input *in)
{
	input_total -= in->charged;
	in->charged = 0;
}

void input_init(struct rpc_input *in, const struct input_form *form, void *first, size_t first_size)
{
	*in = (struct rpc_input){ .form = *form };
	state_init(&in->state, input_rules, ARRAY_SIZE(input_rules), INPUT_READING, "input", 0);
	envelope_init(&in->frame, form->message_max);
	buf_init(&in->waiting, EXCHANGE_WINDOW);
	arena_init(&in->arena, CODEC_MESSAGE_MEMORY_MAX, first, first_size);
}

void input_deinit(struct rpc_input *in)
{
	discharge(in);
	envelope_deinit(&in->frame);
	buf_deinit(&in->waiting);
	arena_deinit(&in->arena);
}

void input_push(struct rpc_input *in, const uint8_t *data, size_t len)
{
	if (in->state.now == INPUT_CLOSED) {
		in->credit += len;
		return;
	}
	in->fresh = data;
	in->n_fresh = len;
}

void input_keep(struct rpc_input *in)
{
	if (in->n_fresh > 0) {
		buf_consume(&in->waiting, in->waiting_at);
		in->waiting_at = 0;
		/* A failure sticks, and input_next reports it. */
		buf_append(&in->waiting, in->fresh, in->n_fresh);
	}
	in->fresh = NULL;
	in->n_fresh = 0;
}

void input_end(struct rpc_input *in, enum exchange_body_end how)
{
	in->body_ended = true;
	in->how = how;
}

void input_close(struct rpc_input *in)
{
	if (in->state.now == INPUT_CLOSED)
		return;
	state_move(&in->state, INPUT_CLOSED);
	in->credit += in->waiting.len - in->waiting_at + in->n_fresh;
	in->waiting_at = 0;
	in->fresh = NULL;
	in->n_fresh = 0;
	buf_reset(&in->waiting, 0);
	buf_reset(&in->frame.payload, 0);
	discharge(in);
}

size_t input_take_credit(struct rpc_input *in)
{
	size_t credit = in->credit;

	in->credit = 0;
	return credit;
}

void input_drop_message(struct rpc_input *in)
{
	arena_reset(&in->arena);
}

/* The next bytes in order; 0 if there are none. */
static size_t peek(const struct rpc_input *in, const uint8_t **out_data)
{
	if (in->waiting_at < in->waiting.len) {
		*out_data = in->waiting.data + in->waiting_at;
		return in->waiting.len - in->waiting_at;
	}
	*out_data = in->fresh;
	return in->n_fresh;
}

static void take(struct rpc_input *in, size_t len)
{
	in->credit += len;
	if (in->waiting_at < in->waiting.len) {
		in->waiting_at += len;
		if (in->waiting_at == in->waiting.len) {
			buf_reset(&in->waiting, 0);
			in->waiting_at = 0;
		}
		return;
	}
	in->fresh += len;
	in->n_fresh -= len;
}

static int decompress(const struct rpc_input *in, struct buf *out, struct err *e)
{
	const struct buf *payload = &in->frame.payload;

	switch (gzip_decompress(out, payload->data, payload->len)) {
	case 0:
		return 0;
	case -ENOBUFS:
		return err_set(e, ERR_LIMIT, "message is larger than configured max %zu",
		               in->form.message_max);
	case -ENOMEM:
		return err_set(e, ERR_LIMIT, "decompress: no memory");
	default:
		return err_set(e, ERR_INVALID, "decompress: gzip: invalid data");
	}
}

/* Never NULL, so that an empty one is an address too. */
static const uint8_t *bytes_of(const struct buf *b)
{
	static const uint8_t nothing;

	return b->data ? b->data : &nothing;
}

static int decode(struct rpc_input *in, const struct buf *data, ProtobufCMessage **out_message,
                  struct err *e)
{
	arena_reset(&in->arena);
	if (data->len == 0 && in->form.codec == CODEC_JSON && !in->form.protocol->enveloped)
		return err_set(e, ERR_INVALID,
		               "unmarshal message: zero-length payload is not a valid JSON object");
	/* An empty frame is the default message in either codec. */
	if (codec_decode(data->len ? in->form.codec : CODEC_PROTO, in->form.type, bytes_of(data),
	                 data->len, &in->arena, out_message, e) < 0)
		return err_wrap(e, "unmarshal message");
	return 0;
}

/* The payload that is complete, decompressed if need be. */
static int decode_payload(struct rpc_input *in, bool is_compressed, ProtobufCMessage **out_message,
                          struct err *e)
{
	CLEANUP(buf_deinit) struct buf plain = { 0 };

	if (!is_compressed || in->frame.payload.len == 0)
		return decode(in, &in->frame.payload, out_message, e);
	buf_init(&plain, in->form.message_max);
	if (decompress(in, &plain, e) < 0)
		return -1;
	return decode(in, &plain, out_message, e);
}

static void end_json_init(ProtobufCMessage *message);

/* Any JSON object will do: an empty message type skips all its fields as unknown. */
static const ProtobufCMessageDescriptor end_json = {
	.magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
	.name = "EndStreamMessage",
	.short_name = "EndStreamMessage",
	.c_name = "EndStreamMessage",
	.package_name = "",
	.sizeof_message = sizeof(ProtobufCMessage),
	.message_init = end_json_init,
};

static void end_json_init(ProtobufCMessage *message)
{
	*message = (ProtobufCMessage){ .descriptor = &end_json };
}

/* In memory of its own: the message before it is still in use. */
static int check_end_json(struct rpc_input *in, bool is_compressed, struct err *e)
{
	CLEANUP(arena_deinit) struct arena arena = { 0 };
	CLEANUP(buf_deinit) struct buf plain = { 0 };
	const struct buf *data = &in->frame.payload;
	ProtobufCMessage *message;

	buf_init(&plain, in->form.message_max);
	if (is_compressed && data->len > 0) {
		if (decompress(in, &plain, e) < 0)
			return -1;
		data = &plain;
	}
	arena_init(&arena, CODEC_MESSAGE_MEMORY_MAX, NULL, 0);
	if (codec_decode(CODEC_JSON, &end_json, bytes_of(data), data->len, &arena, &message, e) <
	    0) {
		err_wrap(e, "unmarshal end stream message");
		e->kind = ERR_INTERNAL;
		return -1;
	}
	return 0;
}

/* Decides what the complete frame is. */
static enum input_found take_frame(struct rpc_input *in, ProtobufCMessage **out_message,
                                   struct err *e)
{
	uint8_t flags = envelope_flags(&in->frame);
	bool is_compressed = flags & ENVELOPE_COMPRESSED;
	enum input_found found = INPUT_FOUND_MESSAGE;
	int rc = 0;

	if (is_compressed && !in->form.gzip) {
		rc = err_set(e, ERR_INTERNAL,
		             "protocol error: sent compressed message without compression support");
	} else if (flags & in->form.protocol->end_flag) {
		found = INPUT_FOUND_NOTHING;
		state_move(&in->state, INPUT_AFTER_END);
		if (in->form.protocol->end_is_json)
			rc = check_end_json(in, is_compressed, e);
	} else if (flags & ~ENVELOPE_COMPRESSED) {
		rc = err_set(e, ERR_INTERNAL, "protocol error: invalid envelope flags %u", flags);
	} else {
		rc = decode_payload(in, is_compressed, out_message, e);
	}
	envelope_next(&in->frame);
	discharge(in);
	return rc < 0 ? INPUT_FOUND_ERROR : found;
}

/* The body is over and nothing of it waits: an error, or 0. */
static int check_body_end(const struct rpc_input *in, struct err *e)
{
	switch (in->how) {
	case EXCHANGE_BODY_CUT:
		return err_set(e, ERR_CANCELED, "unexpected EOF");
	case EXCHANGE_BODY_MALFORMED:
		return err_set(e, ERR_UNKNOWN, "read message: malformed body");
	default:
		return envelope_finish(&in->frame, e);
	}
}

static enum input_found next_frame(struct rpc_input *in, ProtobufCMessage **out_message,
                                   struct err *e)
{
	const uint8_t *data;
	size_t len;

	while ((len = peek(in, &data)) > 0) {
		ptrdiff_t n;

		if (charge(in, in->frame.payload.len + len, e) < 0)
			return INPUT_FOUND_ERROR;
		n = envelope_feed(&in->frame, data, len, e);
		if (n < 0)
			return INPUT_FOUND_ERROR;
		take(in, (size_t)n);
		if (envelope_is_complete(&in->frame))
			return take_frame(in, out_message, e);
	}
	if (!in->body_ended)
		return INPUT_FOUND_NOTHING;
	if (check_body_end(in, e) < 0)
		return INPUT_FOUND_ERROR;
	state_move(&in->state, INPUT_ENDED);
	return INPUT_FOUND_END;
}

/* Nothing may follow the end frame but the end. */
static enum input_found after_end(struct rpc_input *in, struct err *e)
{
	const uint8_t *data;
	size_t len;

	while ((len = peek(in, &data)) > 0) {
		in->n_extra += len;
		take(in, len);
	}
	if (!in->body_ended && in->n_extra <= RPC_EXTRA_MAX)
		return INPUT_FOUND_NOTHING;
	if (in->n_extra > 0) {
		(void)!err_set(e, ERR_INTERNAL,
		               "corrupt response: %zu extra bytes after end of stream",
		               in->n_extra);
		return INPUT_FOUND_ERROR;
	}
	if (check_body_end(in, e) < 0)
		return INPUT_FOUND_ERROR;
	state_move(&in->state, INPUT_ENDED);
	return INPUT_FOUND_END;
}

static int too_large(const struct rpc_input *in, struct err *e)
{
	if (in->form.body_length < 0)
		return err_set(e, ERR_LIMIT, "message is larger than configured max %zu",
		               in->form.message_max);
	return err_set(e, ERR_LIMIT, "message size %lld is larger than configured max %zu",
	               (long long)in->form.body_length, in->form.message_max);
}

int input_check_length(const struct rpc_input *in, struct err *e)
{
	if (in->form.protocol->enveloped || in->form.body_length <= 0 ||
	    (uint64_t)in->form.body_length <= in->form.message_max)
		return 0;
	return too_large(in, e);
}

/* The whole body is one message. */
static enum input_found next_body(struct rpc_input *in, ProtobufCMessage **out_message,
                                  struct err *e)
{
	struct buf *body = &in->frame.payload;
	const uint8_t *data;
	size_t len;
	int rc;

	while ((len = peek(in, &data)) > 0) {
		if (charge(in, body->len + len, e) < 0)
			return INPUT_FOUND_ERROR;
		if (body->len == 0 && in->form.body_length > 0)
			(void)!buf_reserve(body,
			                   MIN((size_t)in->form.body_length, INPUT_RESERVE_MAX));
		buf_append(body, data, len);
		take(in, len);
	}
	if (buf_error(body)) {
		if (buf_error(body) == -ENOBUFS)
			(void)!too_large(in, e);
		else
			(void)!err_set(e, ERR_LIMIT, "no memory for the message");
		return INPUT_FOUND_ERROR;
	}
	if (!in->body_ended)
		return INPUT_FOUND_NOTHING;
	if (check_body_end(in, e) < 0)
		return INPUT_FOUND_ERROR;
	rc = decode_payload(in, in->form.gzip, out_message, e);
	buf_reset(body, 0);
	discharge(in);
	state_move(&in->state, INPUT_ENDED);
	return rc < 0 ? INPUT_FOUND_ERROR : INPUT_FOUND_MESSAGE;
}

enum input_found input_next(struct rpc_input *in, ProtobufCMessage **out_message, struct err *e)
{
	enum input_found found = INPUT_FOUND_NOTHING;

	if (buf_error(&in->waiting)) {
		(void)!err_set(e, ERR_LIMIT, "no memory for the request");
		input_close(in);
		return INPUT_FOUND_ERROR;
	}
	if (in->state.now == INPUT_READING)
		found = in->form.protocol->enveloped ? next_frame(in, out_message, e)
		                                     : next_body(in, out_message, e);
	else if (in->state.now == INPUT_ENDED)
		found = INPUT_FOUND_END;
	/* take_frame may have come here with a NOTHING of its own. */
	if (found == INPUT_FOUND_NOTHING && in->state.now == INPUT_AFTER_END)
		found = after_end(in, e);
	if (found == INPUT_FOUND_ERROR)
		input_close(in);
	return found;
}
