#include "api/access.h"

#include <stdlib.h>
#include <string.h>

#include "api/rest.h"
#include "api/routes.h"
#include "base/base64.h"
#include "base/buf.h"
#include "base/mem.h"

/* Bytes of a path with escapes that could still be one of ours: each escaped, with room. */
#define ESCAPED_PATH_MAX 256u

typedef bool route_right(enum method method, struct span path);

/* The gate looks at the decoded path, unlike the router (wire.md 4). */
static bool has_right(const struct exchange *x, route_right *right)
{
	enum method method = method_parse(x->request.method);
	struct buf decoded;
	bool is_granted;

	if (!memchr(x->request.path.at, '%', x->request.path.len))
		return right(method, x->request.path);
	buf_init(&decoded, ESCAPED_PATH_MAX);
	is_granted = percent_decode(&decoded, x->request.path) == 0 &&
	             right(method, (struct span){ (const char *)decoded.data, decoded.len });
	buf_deinit(&decoded);
	return is_granted;
}

bool access_refuses(const struct api *api, struct exchange **x)
{
	const struct http_field *sent;

	if (!secret_is_set(&api->token)) {
		if (!api->is_closed || has_right(*x, routes_is_early))
			return false;
		rest_error(x, 401, "envd not initialized");
		return true;
	}
	sent = exchange_field(*x, "x-access-token");
	if ((sent && secret_equals(&api->token, sent->value)) || has_right(*x, routes_is_open))
		return false;
	rest_error(x, 401,
	           "unauthorized access, please provide a valid access token or method signing if "
	           "supported");
	return true;
}

char *access_basic_user(const struct exchange *x)
{
	const struct http_field *field = exchange_field(x, "authorization");
	struct span scheme, coded;
	CLEANUP(freep) char *text = NULL;
	ptrdiff_t len;
	char *colon;

	if (!field || field->value.len < sizeof("Basic"))
		return NULL;
	scheme = (struct span){ field->value.at, sizeof("Basic ") - 1 };
	if (!span_equal_nocase(scheme, "Basic "))
		return NULL;
	coded = (struct span){ scheme.at + scheme.len, field->value.len - scheme.len };
	/* Bounded by the header block, which has been received. */
	text = try_malloc(coded.len + 4);
	if (!text)
		return NULL;
	len = base64_decode_strict(text, coded.at, coded.len);
	if (len < 0)
		return NULL;
	colon = memchr(text, ':', (size_t)len);
	if (!colon)
		return NULL;
	/* A NUL would make another name of it. No name has a line break. */
	for (char *at = text; at < colon; at++)
		if (*at == '\0')
			*at = '\n';
	return xstrndup(text, (size_t)(colon - text));
}
