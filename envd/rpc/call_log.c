#include "rpc/call_log.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "rpc/call.h"
#include "rpc/status.h"

/* Bytes of each text; our services' are shorter, a stranger's is cut. */
#define CALL_LOG_TEXT_MAX 128u

static enum log_level level_of(enum err_kind kind)
{
	if (kind == ERR_NONE || kind == ERR_CANCELED)
		return LOG_INFO;
	return kind == ERR_DEADLINE ? LOG_WARNING : LOG_ERROR;
}

static const char *ending_of(enum rpc_kind kind)
{
	if (kind & RPC_SERVER_STREAM)
		return " (server stream end)";
	return kind & RPC_CLIENT_STREAM ? " (client stream end)" : "";
}

/* The package of "/process.Process/SendSignal" is the logger; the message is "Process sendSignal". */
static void call_log_line(enum log_level level, const struct rpc_method *method,
                          const struct log_field *fields)
{
	const char *package = method->path + 1;
	const char *name = strrchr(method->path, '/') + 1;
	const char *dot = memrchr(package, '.', (size_t)(name - package));
	const char *service = dot ? dot + 1 : package;
	char logger[CALL_LOG_TEXT_MAX], message[CALL_LOG_TEXT_MAX];

	(void)snprintf(logger, sizeof logger, "%.*s", (int)strcspn(package, "./"), package);
	(void)snprintf(message, sizeof message, "%.*s %c%s%s", (int)strcspn(service, "/"), service,
	               tolower((unsigned char)name[0]), name + 1, ending_of(method->kind));
	log_write_limited(level, logger, message, fields);
}

void call_log(const struct rpc_method *method, bool is_get, uint64_t id, enum err_kind kind)
{
	enum log_level level = level_of(kind);
	char request[CALL_LOG_TEXT_MAX], number[sizeof "18446744073709551615"];
	struct log_field fields[] = {
		log_str("method", request),
		log_str("operation_id", number),
		log_str("error", status_connect_code(kind)),
		log_int("error_code", status_grpc(kind)),
		{ 0 },
	};

	if (!log_wants(level))
		return;
	if (kind == ERR_NONE)
		fields[2] = (struct log_field){ 0 };
	(void)snprintf(request, sizeof request, "%s %s", is_get ? "GET" : "POST", method->path);
	(void)snprintf(number, sizeof number, "%" PRIu64, id);
	call_log_line(level, method, fields);
}
