/*
 * What the codec's tests share: texts and messages in, texts and bytes out.
 */
#pragma once

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/mem.h"
#include "rpc/codec.h"
#include "tests/support/proto/codec_types.h"
#include "tests/support/test.h"

struct codec_fixture {
	struct arena arena;
	struct buf out;
	struct err e;
};

static inline int fixture_setup(void **state)
{
	static const struct codec_types types = { codec_test_list, ARRAY_SIZE(codec_test_list) };
	struct codec_fixture *f = xcalloc(1, sizeof *f);

	codec_set_types(&types);
	arena_init(&f->arena, CODEC_MESSAGE_MEMORY_MAX, NULL, 0);
	buf_init(&f->out, CODEC_MESSAGE_MEMORY_MAX);
	*state = f;
	return 0;
}

static inline int fixture_teardown(void **state)
{
	struct codec_fixture *f = *state;

	mem_fail_nth(0);
	arena_deinit(&f->arena);
	buf_deinit(&f->out);
	err_clear(&f->e);
	free(f);
	return 0;
}

/* The message, or NULL and f->e. Exactly len bytes, so that ASan sees a read beyond them. */
static inline ProtobufCMessage *decode_bytes(struct codec_fixture *f, enum codec codec,
                                             const ProtobufCMessageDescriptor *type,
                                             const void *data, size_t len)
{
	ProtobufCMessage *message = NULL;
	uint8_t *exact = xmalloc(len);
	int rc;

	if (len > 0)
		memcpy(exact, data, len);
	arena_reset(&f->arena);
	err_clear(&f->e);
	rc = codec_decode(codec, type, exact, len, &f->arena, &message, &f->e);
	free(exact);
	assert_int_equal(rc < 0, message == NULL);
	assert_int_equal(rc < 0, f->e.kind != ERR_NONE);
	return message;
}

static inline ProtobufCMessage *
decode_json(struct codec_fixture *f, const ProtobufCMessageDescriptor *type, const char *text)
{
	return decode_bytes(f, CODEC_JSON, type, text, strlen(text));
}

/* The message as text, NULL if it cannot be said. */
static inline const char *encode_json(struct codec_fixture *f, const ProtobufCMessage *message)
{
	buf_reset(&f->out, SIZE_MAX);
	err_clear(&f->e);
	if (codec_encode(CODEC_JSON, message, &f->out, &f->e) < 0) {
		assert_int_equal(f->out.len, 0);
		return NULL;
	}
	buf_append_byte(&f->out, '\0');
	assert_int_equal(buf_error(&f->out), 0);
	return (const char *)f->out.data;
}

static inline void encode_proto(struct codec_fixture *f, const ProtobufCMessage *message)
{
	buf_reset(&f->out, SIZE_MAX);
	assert_int_equal(codec_encode(CODEC_PROTO, message, &f->out, &f->e), 0);
	assert_int_equal(buf_error(&f->out), 0);
}
