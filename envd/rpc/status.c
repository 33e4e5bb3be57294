#include "rpc/status.h"

#include <stddef.h>

struct status_row {
	const char *connect;
	int http;
	int grpc;
};

static const struct status_row rows[ERR_KINDS] = {
	[ERR_NONE] = { "ok", 200, 0 },
	[ERR_CANCELED] = { "canceled", 499, 1 },
	[ERR_UNKNOWN] = { "unknown", 500, 2 },
	[ERR_INVALID] = { "invalid_argument", 400, 3 },
	[ERR_DEADLINE] = { "deadline_exceeded", 504, 4 },
	[ERR_NOT_FOUND] = { "not_found", 404, 5 },
	[ERR_EXISTS] = { "already_exists", 409, 6 },
	[ERR_PERMISSION] = { "permission_denied", 403, 7 },
	[ERR_LIMIT] = { "resource_exhausted", 429, 8 },
	[ERR_PRECONDITION] = { "failed_precondition", 400, 9 },
	[ERR_ABORTED] = { "aborted", 409, 10 },
	[ERR_RANGE] = { "out_of_range", 400, 11 },
	[ERR_UNIMPLEMENTED] = { "unimplemented", 501, 12 },
	[ERR_INTERNAL] = { "internal", 500, 13 },
	[ERR_UNAVAILABLE] = { "unavailable", 503, 14 },
	[ERR_DATA_LOSS] = { "data_loss", 500, 15 },
	[ERR_UNAUTHENTICATED] = { "unauthenticated", 401, 16 },
};

static const struct status_row *status_row(enum err_kind kind)
{
	ASSERT((unsigned)kind < ARRAY_SIZE(rows));
	return &rows[kind];
}

const char *status_connect_code(enum err_kind kind)
{
	return status_row(kind)->connect;
}

int status_http(enum err_kind kind)
{
	return status_row(kind)->http;
}

int status_grpc(enum err_kind kind)
{
	return status_row(kind)->grpc;
}

enum err_kind status_of_grpc(int code)
{
	for (unsigned kind = 0; kind < ARRAY_SIZE(rows); kind++) {
		if (rows[kind].grpc == code)
			return (enum err_kind)kind;
	}
	return ERR_UNKNOWN;
}
