/*
 * JSON from a stranger. What is read can be said again in both codings, and says the same.
 */
#include "fuzz/codec_types.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const ProtobufCMessageDescriptor *type;
	ProtobufCMessage *message;
	struct fuzz_codec f;

	if (size == 0)
		return 0;
	type = fuzz_type(data[0]);
	fuzz_codec_init(&f);
	message = fuzz_decode(&f, CODEC_JSON, type, data + 1, size - 1);
	if (message) {
		ASSERT(fuzz_encode(&f, CODEC_JSON, message));
		fuzz_repeats(CODEC_JSON, type, &f.out);
		buf_reset(&f.out, SIZE_MAX);
		ASSERT(fuzz_encode(&f, CODEC_PROTO, message));
		fuzz_repeats(CODEC_PROTO, type, &f.out);
	}
	fuzz_codec_deinit(&f);
	return 0;
}
