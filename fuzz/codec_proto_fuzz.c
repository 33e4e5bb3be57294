/*
 * Protobuf from a stranger. What is read can be said again, and protobuf-c understands it the same
 * way; where JSON has words for it, JSON says it too.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "fuzz/codec_types.h"

static void protobuf_c_agrees(const ProtobufCMessageDescriptor *type, const struct buf *written)
{
	ProtobufCMessage *message =
		protobuf_c_message_unpack(type, NULL, written->len, written->data);
	uint8_t *again = xmalloc(written->len);

	ASSERT(message);
	ASSERT(protobuf_c_message_get_packed_size(message) == written->len);
	ASSERT(protobuf_c_message_pack(message, again) == written->len);
	ASSERT(written->len == 0 || memcmp(again, written->data, written->len) == 0);
	free(again);
	protobuf_c_message_free_unpacked(message, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const ProtobufCMessageDescriptor *type;
	ProtobufCMessage *message;
	struct fuzz_codec f;

	if (size == 0)
		return 0;
	type = fuzz_type(data[0]);
	fuzz_codec_init(&f);
	message = fuzz_decode(&f, CODEC_PROTO, type, data + 1, size - 1);
	if (message) {
		ASSERT(fuzz_encode(&f, CODEC_PROTO, message));
		fuzz_repeats(CODEC_PROTO, type, &f.out);
		protobuf_c_agrees(type, &f.out);
		buf_reset(&f.out, SIZE_MAX);
		if (fuzz_encode(&f, CODEC_JSON, message))
			fuzz_repeats(CODEC_JSON, type, &f.out);
	}
	fuzz_codec_deinit(&f);
	return 0;
}
