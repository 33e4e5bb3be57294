#include "rpc/input.h"

#include <errno.h>

/* Bytes of a promised body that are reserved before they arrive. */
#define INPUT_RESERVE_MAX 65536u

static const struct state_rule input_rules[] = {
	[INPUT_READING] = { "reading", BIT(INPUT_DECODING) | BIT(INPUT_AFTER_END) |
	                                       BIT(INPUT_ENDED) | BIT(INPUT_CLOSED) },
	[INPUT_DECODING] = { "decoding",
	                     BIT(INPUT_READING) | BIT(INPUT_ENDED) | BIT(INPUT_CLOSED) },
	[INPUT_AFTER_END] = { "after-end", BIT(INPUT_ENDED) | BIT(INPUT_CLOSED) },
	[INPUT_ENDED] = { "ended", BIT(INPUT_CLOSED) },
	[INPUT_CLOSED] = { "closed", 0 },
};

void input_init(struct rpc_input *in, struct loop *loop, const struct input_form *form, void *first,
                size_t first_size)
{
	*in = (struct rpc_input){ .loop = loop, .form = *form };
	state_init(&in->state, input_rules, ARRAY_SIZE(input_rules), INPUT_READING, "input", 0);
	envelope_init(&in->frame, form->message_max);
	buf_init(&in->waiting, EXCHANGE_WINDOW);
	arena_init(&in->arena, CODEC_MESSAGE_MEMORY_MAX, first, first_size);
}

void input_deinit(struct rpc_input *in)
{
	charge_release(&in->charge);
	decode_job_free(TAKE_PTR(in->decode));
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
	if (in->state.now == INPUT_DECODING)
		decode_job_free(TAKE_PTR(in->decode));
	state_move(&in->state, INPUT_CLOSED);
	in->credit += in->waiting.len - in->waiting_at + in->n_fresh;
	in->waiting_at = 0;
	in->fresh = NULL;
	in->n_fresh = 0;
	buf_reset(&in->waiting, 0);
	buf_reset(&in->frame.payload, 0);
	charge_release(&in->charge);
}

size_t input_take_credit(struct rpc_input *in)
{
	size_t credit = in->credit;

	in->credit = 0;
	return credit;
}

void input_drop_message(struct rpc_input *in)
{
	/* The one before it has been dropped. */
	if (in->state.now == INPUT_DECODING)
		return;
	arena_reset(&in->arena);
	decode_job_free(TAKE_PTR(in->decode));
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

static void on_decoded(void *data)
{
	struct rpc_input *in = data;

	in->on_decoded(in);
}

/* The complete payload: its message, or NOTHING, when a job is to have it. */
static enum input_found take_payload(struct rpc_input *in, bool is_compressed,
                                     ProtobufCMessage **out_message, struct err *e)
{
	const struct decode_form form = {
		.type = in->form.type,
		.codec = in->form.codec,
		.enveloped = in->form.protocol->enveloped,
		.is_compressed = is_compressed,
		.message_max = in->form.message_max,
	};
	struct buf *payload = &in->frame.payload;
	int rc;

	input_drop_message(in);
	rc = decode_try(&form, payload, &in->arena, out_message, e);
	if (rc != 0)
		return rc < 0 ? INPUT_FOUND_ERROR : INPUT_FOUND_MESSAGE;
	in->decode = decode_job_start(in->loop, &form, payload, &in->charge, on_decoded, in);
	if (!in->decode) {
		(void)!err_set(e, ERR_LIMIT, "no memory for the message");
		return INPUT_FOUND_ERROR;
	}
	state_move(&in->state, INPUT_DECODING);
	return INPUT_FOUND_NOTHING;
}

static enum input_found take_decoded(struct rpc_input *in, ProtobufCMessage **out_message,
                                     struct err *e)
{
	if (!decode_job_is_done(in->decode))
		return INPUT_FOUND_NOTHING;
	if (decode_job_take(in->decode, out_message, e) < 0)
		return INPUT_FOUND_ERROR;
	state_move(&in->state, in->form.protocol->enveloped ? INPUT_READING : INPUT_ENDED);
	return INPUT_FOUND_MESSAGE;
}

/* Decides what the complete frame is. */
static enum input_found take_frame(struct rpc_input *in, ProtobufCMessage **out_message,
                                   struct err *e)
{
	uint8_t flags = envelope_flags(&in->frame);
	bool is_compressed = flags & ENVELOPE_COMPRESSED;
	enum input_found found = INPUT_FOUND_ERROR;

	if (is_compressed && !in->form.gzip) {
		(void)!err_set(
			e, ERR_INTERNAL,
			"protocol error: sent compressed message without compression support");
	} else if (flags & in->form.protocol->end_flag) {
		state_move(&in->state, INPUT_AFTER_END);
		if (!in->form.protocol->end_is_json ||
		    decode_end(&in->frame.payload, is_compressed, e) == 0)
			found = INPUT_FOUND_NOTHING;
	} else if (flags & ~ENVELOPE_COMPRESSED) {
		(void)!err_set(e, ERR_INTERNAL, "protocol error: invalid envelope flags %u", flags);
	} else {
		found = take_payload(in, is_compressed, out_message, e);
	}
	envelope_next(&in->frame);
	charge_release(&in->charge);
	return found;
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

		if (charge_raise(&in->charge, in->frame.payload.len + len, e) < 0)
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
	enum input_found found;
	const uint8_t *data;
	size_t len;

	while ((len = peek(in, &data)) > 0) {
		if (charge_raise(&in->charge, body->len + len, e) < 0)
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
	found = take_payload(in, in->form.gzip, out_message, e);
	buf_reset(body, 0);
	charge_release(&in->charge);
	if (found == INPUT_FOUND_MESSAGE)
		state_move(&in->state, INPUT_ENDED);
	return found;
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
	else if (in->state.now == INPUT_DECODING)
		found = take_decoded(in, out_message, e);
	else if (in->state.now == INPUT_ENDED)
		found = INPUT_FOUND_END;
	/* take_frame may have come here with a NOTHING of its own. */
	if (found == INPUT_FOUND_NOTHING && in->state.now == INPUT_AFTER_END)
		found = after_end(in, e);
	if (found == INPUT_FOUND_ERROR)
		input_close(in);
	return found;
}
