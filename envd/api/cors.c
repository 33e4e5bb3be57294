#include "api/cors.h"

#include <stdlib.h>

#include "api/routes.h"
#include "base/mem.h"

#define CORS_MAX_AGE_S "7200"

static const char exposed[] = "Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin, Location, "
			      "Cache-Control, X-Content-Type-Options";

/* Methods that a preflight grants; OPTIONS always counts as granted. */
#define CORS_METHODS                                                                               \
	(BIT(METHOD_HEAD) | BIT(METHOD_GET) | BIT(METHOD_POST) | BIT(METHOD_PUT) |                 \
	 BIT(METHOD_PATCH) | BIT(METHOD_DELETE) | BIT(METHOD_OPTIONS))

static struct span field_value(const struct exchange *x, const char *name)
{
	const struct http_field *field = exchange_field(x, name);

	return field ? field->value : SPAN("");
}

/* One line for each line received. */
static size_t echo_headers(const struct exchange *x, struct http_field *out)
{
	size_t n = 0;

	for (size_t i = 0; i < x->request.n_fields; i++) {
		const struct http_field *field = &x->request.fields[i];

		if (field->value.len > 0 &&
		    span_equal(field->name, "access-control-request-headers"))
			out[n++] = (struct http_field){ SPAN("Access-Control-Allow-Headers"),
				                        field->value };
	}
	return n;
}

static void answer_preflight(struct exchange **x, struct span method)
{
	/* Four fields of our own, and at most every field of the request echoed. */
	CLEANUP(freep)
	struct http_field *fields = xcalloc(4 + (*x)->request.n_fields, sizeof(*fields));
	size_t n = 0;

	fields[n++] = HTTP_FIELD("Vary", "Origin, Access-Control-Request-Method, "
	                                 "Access-Control-Request-Headers");
	if (field_value(*x, "origin").len > 0 && CORS_METHODS & BIT(method_parse(method))) {
		fields[n++] = HTTP_FIELD("Access-Control-Allow-Origin", "*");
		fields[n++] = (struct http_field){ SPAN("Access-Control-Allow-Methods"), method };
		n += echo_headers(*x, fields + n);
		fields[n++] = HTTP_FIELD("Access-Control-Max-Age", CORS_MAX_AGE_S);
	}
	exchange_answer(x, 204, fields, n, SPAN(""));
}

bool cors_apply(struct exchange **x)
{
	struct span method = field_value(*x, "access-control-request-method");

	if (method.len > 0 && span_equal((*x)->request.method, "OPTIONS")) {
		answer_preflight(x, method);
		return true;
	}
	exchange_add_field(*x, "Vary", SPAN("Origin"));
	if (exchange_field(*x, "origin")) {
		exchange_add_field(*x, "Access-Control-Allow-Origin", SPAN("*"));
		exchange_add_field(*x, "Access-Control-Expose-Headers",
		                   (struct span){ exposed, sizeof(exposed) - 1 });
	}
	return false;
}
