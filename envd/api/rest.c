#include "api/rest.h"

#include <string.h>

#include "base/buf.h"

/* Bytes of an error body: a path or a command may be quoted in it. */
#define REST_BODY_MAX (128u * 1024u)

static const struct http_field nosniff = HTTP_FIELD("X-Content-Type-Options", "nosniff");

void rest_error(struct exchange **x, int status, const char *message)
{
	const struct http_field fields[] = {
		HTTP_FIELD("Content-Type", "application/json; charset=utf-8"),
		nosniff,
	};
	struct buf body;

	buf_init(&body, REST_BODY_MAX);
	buf_appendf(&body, "{\"code\":%d,\"message\":\"", status);
	json_append_string(&body, message, strnlen(message, REST_BODY_MAX / 8), true);
	buf_append_text(&body, "\"}\n");
	exchange_answer(x, status, fields, ARRAY_SIZE(fields),
	                (struct span){ (const char *)body.data, body.len });
	buf_deinit(&body);
}

int rest_status(enum err_kind kind)
{
	switch (kind) {
	case ERR_INVALID:
		return 400;
	case ERR_UNAUTHENTICATED:
		return 401;
	case ERR_NOT_FOUND:
		return 404;
	case ERR_CANCELED:
		return 499;
	case ERR_UNAVAILABLE:
		return 503;
	case ERR_LIMIT:
		return 507;
	default:
		return 500;
	}
}

void rest_text(struct exchange **x, int status, const char *text)
{
	const struct http_field fields[] = {
		HTTP_FIELD("Content-Type", "text/plain; charset=utf-8"),
		nosniff,
	};

	exchange_answer(x, status, fields, ARRAY_SIZE(fields), span_of(text));
}

void rest_json(struct exchange **x, struct span body)
{
	const struct http_field fields[] = {
		HTTP_FIELD("Cache-Control", "no-store"),
		HTTP_FIELD("Content-Type", "application/json"),
	};

	exchange_answer(x, 200, fields, ARRAY_SIZE(fields), body);
}

void rest_empty(struct exchange **x, int status, bool no_store)
{
	const struct http_field field = HTTP_FIELD("Cache-Control", "no-store");

	exchange_answer(x, status, &field, no_store ? 1 : 0, SPAN(""));
}
