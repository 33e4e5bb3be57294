#include "rpc/codec.h"

#include <string.h>

#include "base/macros.h"
#include "rpc/codec_internal.h"

static const struct codec_types *any_types;

void codec_set_types(const struct codec_types *types)
{
	any_types = types;
}

const ProtobufCMessageDescriptor *codec_find_type(struct span url)
{
	const char *slash = url.len > 0 ? memrchr(url.at, '/', url.len) : NULL;
	struct span name = url;

	if (slash) {
		name.at = slash + 1;
		name.len = (size_t)(url.at + url.len - name.at);
	}
	for (size_t i = 0; any_types && i < any_types->n; i++) {
		if (span_equal(name, any_types->types[i]->name))
			return any_types->types[i];
	}
	return NULL;
}

int codec_refuse_memory(struct err *e)
{
	return err_set(e, ERR_LIMIT, "message takes more memory than is allowed");
}

int codec_decode(enum codec codec, const ProtobufCMessageDescriptor *type, const uint8_t *data,
                 size_t len, struct arena *arena, ProtobufCMessage **out_message, struct err *e)
{
	if (codec == CODEC_PROTO)
		return codec_proto_decode(type, data, len, arena, out_message, e);
	return codec_json_read(type, data, len, arena, out_message, e);
}

int codec_encode(enum codec codec, const ProtobufCMessage *message, struct buf *out, struct err *e)
{
	const size_t start = out->len;

	if (codec == CODEC_PROTO) {
		codec_proto_encode(message, out);
		return 0;
	}
	if (codec_json_write(message, out, e) < 0) {
		buf_truncate(out, start);
		return -1;
	}
	return 0;
}
