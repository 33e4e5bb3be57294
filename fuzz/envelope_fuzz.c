/*
 * The request body of a streaming call, in pieces of a size the input chooses: frames, compression,
 * end frames, and the messages inside. Whatever the pieces, the same is found.
 *
 *     byte 0   bits 0-1 protocol, bit 2 gzip, bits 3-7 size of the pieces less one
 *     byte 1   bits 0-1 how the body ends
 *     rest     the body
 */
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "echo_test.pb-c.h"
#include "rpc/input.h"

#define MESSAGE_MAX 65536u /* bytes; small, so that the limit is met and there is no job */

struct outcome {
	unsigned n_messages;
	size_t text_bytes;
	enum err_kind error;
	const char *text; /* of the latest message */
	size_t text_len;
};

/* A message lives until the next one: the end frame leaves it alone. */
static void keep(struct outcome *o, const ProtobufCMessage *message)
{
	o->n_messages++;
	o->text = ((const Test__Echo *)message)->text;
	o->text_len = strlen(o->text);
	o->text_bytes += o->text_len;
}

/* Asks until there is nothing more. False: the conversation is over. */
static bool pull(struct rpc_input *in, struct outcome *o)
{
	CLEANUP(err_clear) struct err e = { 0 };
	ProtobufCMessage *message;

	for (;;) {
		switch (input_next(in, &message, &e)) {
		case INPUT_FOUND_NOTHING:
			return true;
		case INPUT_FOUND_MESSAGE:
			keep(o, message);
			break;
		case INPUT_FOUND_END:
			ASSERT(!o->text || strlen(o->text) == o->text_len);
			return false;
		case INPUT_FOUND_ERROR:
			ASSERT(e.kind != ERR_NONE);
			o->error = e.kind;
			return false;
		}
	}
}

static struct outcome run(const struct input_form *form, enum exchange_body_end how, size_t piece,
                          const uint8_t *data, size_t size)
{
	static char first[1024];
	struct outcome o = { 0 };
	struct rpc_input in;
	size_t credit = 0;
	size_t at = 0;
	bool goes_on = true;

	input_init(&in, NULL, form, first, sizeof first);
	while (goes_on && at < size) {
		size_t n = MIN(piece, size - at);

		input_push(&in, data + at, n);
		/* Every other piece waits. */
		if ((at / piece) % 2 == 1 || at + n == size)
			goes_on = pull(&in, &o);
		input_keep(&in);
		at += n;
		credit += input_take_credit(&in);
		ASSERT(credit <= at);
	}
	input_end(&in, how);
	if (goes_on)
		(void)pull(&in, &o);
	input_deinit(&in);
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct rpc_protocol *const protocols[] = { &connect_stream, &grpc, &grpc_web,
		                                                &connect_unary };
	struct input_form form = { .type = &test__echo__descriptor,
		                   .message_max = MESSAGE_MAX,
		                   .body_length = -1 };
	struct outcome whole, pieces;
	enum exchange_body_end how;

	if (size < 2 || size > EXCHANGE_WINDOW)
		return 0;
	form.protocol = protocols[data[0] & 3];
	form.codec = form.protocol == &connect_stream ? CODEC_JSON : CODEC_PROTO;
	form.gzip = data[0] & 4;
	how = (enum exchange_body_end)((data[1] & 3) % 3);
	whole = run(&form, how, size, data + 2, size - 2);
	pieces = run(&form, how, (data[0] >> 3) + 1, data + 2, size - 2);
	ASSERT(whole.n_messages == pieces.n_messages);
	ASSERT(whole.text_bytes == pieces.text_bytes);
	ASSERT(whole.error == pieces.error);
	return 0;
}
