/*
 * The first byte of an input chooses the type of the message that the rest is.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/macros.h"
#include "rpc/codec.h"
#include "tests/support/proto/codec_types.h"

static inline const ProtobufCMessageDescriptor *fuzz_type(uint8_t choice)
{
	static const struct codec_types types = { codec_test_list, ARRAY_SIZE(codec_test_list) };

	codec_set_types(&types);
	return codec_test_list[choice % ARRAY_SIZE(codec_test_list)];
}

struct fuzz_codec {
	struct arena arena;
	struct buf out;
	struct err e;
};

static inline void fuzz_codec_init(struct fuzz_codec *f)
{
	*f = (struct fuzz_codec){ 0 };
	arena_init(&f->arena, CODEC_MESSAGE_MEMORY_MAX, NULL, 0);
	buf_init(&f->out, CODEC_MESSAGE_MEMORY_MAX);
}

static inline void fuzz_codec_deinit(struct fuzz_codec *f)
{
	arena_deinit(&f->arena);
	buf_deinit(&f->out);
	err_clear(&f->e);
}

/* The message, or NULL. */
static inline ProtobufCMessage *fuzz_decode(struct fuzz_codec *f, enum codec codec,
                                            const ProtobufCMessageDescriptor *type,
                                            const void *data, size_t len)
{
	ProtobufCMessage *message = NULL;

	(void)codec_decode(codec, type, data, len, &f->arena, &message, &f->e);
	return message;
}

/* Whether it can be said in that codec; then it is in f->out. */
static inline bool fuzz_encode(struct fuzz_codec *f, enum codec codec,
                               const ProtobufCMessage *message)
{
	const bool said = codec_encode(codec, message, &f->out, &f->e) == 0;

	ASSERT(buf_error(&f->out) == 0);
	return said;
}

/* What was written is read, and written the same once more. */
static inline void fuzz_repeats(enum codec codec, const ProtobufCMessageDescriptor *type,
                                const struct buf *written)
{
	ProtobufCMessage *message;
	struct fuzz_codec f;

	fuzz_codec_init(&f);
	message = fuzz_decode(&f, codec, type, written->data ? written->data : (uint8_t *)"",
	                      written->len);
	ASSERT(message);
	ASSERT(fuzz_encode(&f, codec, message));
	ASSERT(f.out.len == written->len);
	if (f.out.data && written->data)
		ASSERT(memcmp(f.out.data, written->data, written->len) == 0);
	fuzz_codec_deinit(&f);
}
