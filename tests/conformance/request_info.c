#include "tests/conformance/request_info.h"

#include <string.h>

#include "base/buf.h"
#include "rpc/codec.h"

#define PACKED_MAX (64u * 1024u * 1024u) /* bytes of a packed message */

Google__Protobuf__Any *any_of(const ProtobufCMessage *message, struct arena *arena)
{
	CLEANUP(err_clear) struct err e = { 0 };
	CLEANUP(buf_deinit) struct buf packed = { 0 };
	const char *name = message->descriptor->name;
	Google__Protobuf__Any *any = arena_calloc(arena, sizeof *any);
	size_t url_len = strlen(ANY_PREFIX) + strlen(name);

	buf_init(&packed, PACKED_MAX);
	if (!any || codec_encode(CODEC_PROTO, message, &packed, &e) < 0 || buf_error(&packed))
		return NULL;
	google__protobuf__any__init(any);
	any->type_url = arena_calloc(arena, url_len + 1);
	any->value.data = arena_alloc(arena, packed.len + 1);
	if (!any->type_url || !any->value.data)
		return NULL;
	memcpy(any->type_url, ANY_PREFIX, strlen(ANY_PREFIX));
	memcpy(any->type_url + strlen(ANY_PREFIX), name, strlen(name));
	any->value.len = packed.len;
	if (packed.len > 0)
		memcpy(any->value.data, packed.data, packed.len);
	return any;
}

/* A list of headers that grows by one name or by one value of a known name. */
struct header_list {
	MESSAGE(Header) * *at;
	size_t n;
	size_t max;
	struct arena *arena;
};

static int headers_init(struct header_list *list, size_t max, struct arena *arena)
{
	*list = (struct header_list){ .max = max, .arena = arena };
	list->at = arena_calloc(arena, (max + 1) * sizeof *list->at);
	return list->at ? 0 : -1;
}

static MESSAGE(Header) * headers_find(struct header_list *list, struct span name)
{
	for (size_t i = 0; i < list->n; i++) {
		if (span_equal(name, list->at[i]->name))
			return list->at[i];
	}
	return NULL;
}

static int headers_add(struct header_list *list, struct span name, struct span value)
{
	MESSAGE(Header) *header = headers_find(list, name);

	if (!header) {
		ASSERT(list->n < list->max);
		header = arena_calloc(list->arena, sizeof *header);
		if (!header)
			return -1;
		connectrpc__conformance__v1__header__init(header);
		header->name = arena_strndup(list->arena, name.at, name.len);
		/* Room for all that may come: these lists are short. */
		header->value = arena_calloc(list->arena, list->max * sizeof *header->value);
		if (!header->name || !header->value)
			return -1;
		list->at[list->n++] = header;
	}
	header->value[header->n_value] = arena_strndup(list->arena, value.at, value.len);
	return header->value[header->n_value++] ? 0 : -1;
}

static int add_fields(MESSAGE(ConformancePayload__RequestInfo) * info,
                      const struct http_request *request, struct arena *arena)
{
	struct header_list list;

	if (headers_init(&list, request->n_fields, arena) < 0)
		return -1;
	for (size_t i = 0; i < request->n_fields; i++) {
		if (headers_add(&list, request->fields[i].name, request->fields[i].value) < 0)
			return -1;
	}
	info->request_headers = list.at;
	info->n_request_headers = list.n;
	return 0;
}

static int add_query(MESSAGE(ConformancePayload__RequestInfo) * info, struct span query,
                     struct arena *arena)
{
	enum { PARAMETERS_MAX = 16 }; /* Connect GET has five */
	MESSAGE(ConformancePayload__ConnectGetInfo) *get = arena_calloc(arena, sizeof *get);
	CLEANUP(buf_deinit) struct buf value = { 0 };
	struct header_list list;
	struct span pair;

	buf_init(&value, PACKED_MAX);
	if (!get || headers_init(&list, PARAMETERS_MAX, arena) < 0)
		return -1;
	connectrpc__conformance__v1__conformance_payload__connect_get_info__init(get);
	for (unsigned n = 0; n < PARAMETERS_MAX && span_next(&query, "&", &pair); n++) {
		const char *equals = memchr(pair.at, '=', pair.len);
		size_t len = equals ? (size_t)(equals - pair.at) : pair.len;

		buf_reset(&value, SIZE_MAX);
		if (equals &&
		    percent_decode(&value, (struct span){ equals + 1, pair.len - len - 1 }) < 0)
			continue;
		if (headers_add(&list, (struct span){ pair.at, len },
		                (struct span){ (char *)value.data, value.len }) < 0)
			return -1;
	}
	get->query_params = list.at;
	get->n_query_params = list.n;
	info->connect_get_info = get;
	return 0;
}

MESSAGE(ConformancePayload__RequestInfo) *
	request_info_of(const struct call *call, struct arena *arena)
{
	MESSAGE(ConformancePayload__RequestInfo) *info = arena_calloc(arena, sizeof *info);
	const struct http_request *request = call_request(call);

	if (!info)
		return NULL;
	connectrpc__conformance__v1__conformance_payload__request_info__init(info);
	if (add_fields(info, request, arena) < 0)
		return NULL;
	if (call_is_get(call) && add_query(info, request->query, arena) < 0)
		return NULL;
	if (call_timeout_ms(call) >= 0) {
		info->_timeout_ms_case =
			CONNECTRPC__CONFORMANCE__V1__CONFORMANCE_PAYLOAD__REQUEST_INFO___TIMEOUT_MS_TIMEOUT_MS;
		info->timeout_ms = call_timeout_ms(call);
	}
	return info;
}
