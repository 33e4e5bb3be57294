/*
 * Writing a message that is nothing but a list, element by element.
 */
#include "base/macros.h"
#include "rpc/codec_internal.h"
#include "rpc/codec_text.h"

static const ProtobufCFieldDescriptor *list_field(const struct codec_list *list)
{
	const ProtobufCFieldDescriptor *field = &list->type->fields[0];

	ASSERT(list->type->n_fields == 1);
	ASSERT(field->label == PROTOBUF_C_LABEL_REPEATED);
	ASSERT(field->type == PROTOBUF_C_TYPE_MESSAGE);
	return field;
}

static void json_before_element(const struct codec_list *list, struct buf *out)
{
	if (list->n > 0) {
		buf_append_byte(out, ',');
		return;
	}
	text_append_member(out, '{', list_field(list)->name);
	buf_append_byte(out, '[');
}

int codec_list_add(struct codec_list *list, const ProtobufCMessage *element, struct buf *out,
                   struct err *e)
{
	const size_t start = out->len;

	if (list->codec == CODEC_PROTO) {
		codec_proto_encode_member(list_field(list)->id, element, out);
	} else {
		json_before_element(list, out);
		if (codec_json_write(element, out, e) < 0) {
			buf_truncate(out, start);
			return -1;
		}
	}
	list->n++;
	return 0;
}

void codec_list_end(const struct codec_list *list, struct buf *out)
{
	if (list->codec == CODEC_JSON)
		buf_append_text(out, list->n > 0 ? "]}" : "{}");
}
