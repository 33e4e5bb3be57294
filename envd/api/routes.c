#include "api/routes.h"

#include <stdlib.h>
#include <string.h>

#include "api/control_api.h"
#include "api/files_compose.h"
#include "api/files_download.h"
#include "api/files_upload.h"
#include "api/filesystem_api.h"
#include "api/init_api.h"
#include "api/process_api.h"
#include "api/rest.h"
#include "rpc/service.h"

#define ROUTE_HANDLERS_MAX 2u

typedef void rest_handler(struct api *api, struct exchange **x);

struct route {
	const char *path;
	struct {
		enum method method;
		rest_handler *handle;
	} handlers[ROUTE_HANDLERS_MAX]; /* in the order of the Allow lines */
	uint32_t open;                  /* BIT(method): needs no access token, checks for itself */
	uint32_t early; /* BIT(method): served before the first /init after a live upgrade */
};

static const struct route routes[] = {
	{ "/health", { { METHOD_GET, health_get } }, BIT(METHOD_GET), BIT(METHOD_GET) },
	{ "/metrics", { { METHOD_GET, metrics_get } }, 0, 0 },
	{ "/envs", { { METHOD_GET, envs_get } }, 0, 0 },
	{ "/files",
	  { { METHOD_GET, files_get }, { METHOD_POST, files_post } },
	  BIT(METHOD_GET) | BIT(METHOD_POST),
	  0 },
	{ "/files/compose", { { METHOD_POST, files_compose_post } }, 0, 0 },
	{ "/init", { { METHOD_POST, init_post } }, BIT(METHOD_POST), BIT(METHOD_POST) },
};

static const char *const method_names[] = {
	[METHOD_CONNECT] = "CONNECT", [METHOD_DELETE] = "DELETE",   [METHOD_GET] = "GET",
	[METHOD_HEAD] = "HEAD",       [METHOD_OPTIONS] = "OPTIONS", [METHOD_PATCH] = "PATCH",
	[METHOD_POST] = "POST",       [METHOD_PUT] = "PUT",         [METHOD_TRACE] = "TRACE",
};

enum method method_parse(struct span name)
{
	for (size_t i = 1; i < ARRAY_SIZE(method_names); i++)
		if (span_equal(name, method_names[i]))
			return (enum method)i;
	return METHOD_OTHER;
}

static const struct route *find_route(struct span path)
{
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++)
		if (span_equal(path, routes[i].path))
			return &routes[i];
	return NULL;
}

static const struct rpc_method *find_rpc(const struct api *api, struct span path,
                                         void **out_service)
{
	const struct {
		const struct rpc_method *methods;
		size_t n;
		void *service;
	} services[] = {
		{ process_methods, process_n_methods, api->process },
		{ filesystem_methods, filesystem_n_methods, api->filesystem },
	};

	for (size_t s = 0; s < ARRAY_SIZE(services); s++) {
		for (size_t i = 0; i < services[s].n; i++) {
			if (!span_equal(path, services[s].methods[i].path))
				continue;
			*out_service = services[s].service;
			return &services[s].methods[i];
		}
	}
	return NULL;
}

bool routes_is_open(enum method method, struct span path)
{
	const struct route *route = find_route(path);

	return route && route->open & BIT(method);
}

bool routes_is_early(enum method method, struct span path)
{
	const struct route *route = find_route(path);

	return route && route->early & BIT(method);
}

void session_free(void *session)
{
	struct session *s = session;

	if (!s)
		return;
	free(s->user_name);
	free(s);
}

static void refuse_method(struct exchange **x, const struct route *route)
{
	struct http_field allow[ROUTE_HANDLERS_MAX];
	size_t n = 0;

	for (; route && n < ROUTE_HANDLERS_MAX && route->handlers[n].handle; n++)
		allow[n] = (struct http_field){ SPAN("Allow"),
			                        span_of(method_names[route->handlers[n].method]) };
	exchange_answer(x, 405, allow, n, SPAN(""));
}

static void serve_route(struct api *api, struct exchange **x, const struct route *route,
                        enum method method)
{
	for (size_t i = 0; i < ROUTE_HANDLERS_MAX && route->handlers[i].handle; i++) {
		if (route->handlers[i].method == method) {
			route->handlers[i].handle(api, x);
			return;
		}
	}
	refuse_method(x, route);
}

void routes_serve(struct api *api, struct exchange **x, struct session *session)
{
	enum method method = method_parse((*x)->request.method);
	struct span path = (*x)->request.path;
	const struct route *route = find_route(path);
	void *service = NULL;
	const struct rpc_method *rpc = route ? NULL : find_rpc(api, path, &service);

	if (method == METHOD_OTHER) {
		refuse_method(x, NULL);
	} else if (route) {
		serve_route(api, x, route, method);
	} else if (rpc) {
		rpc_serve(api->loop, x, rpc, service, TAKE_PTR(session), session_free);
	} else {
		rest_text(x, 404, "404 page not found\n");
	}
	session_free(session);
}
