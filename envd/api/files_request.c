#include "api/files_request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/rest.h"
#include "base/buf.h"
#include "base/mem.h"
#include "host/clock.h"
#include "http/query.h"

#define NS_PER_S 1000000000ll

/* Bytes of decoded pairs that need no allocation: a long path and a signature. */
#define QUERY_ROOM 1024u

#define SIGNATURE_PREFIX "v1_"

/* ---- the query ---- */

enum { PARAM_PATH, PARAM_USERNAME, PARAM_SIGNATURE, PARAM_EXPIRATION, N_PARAMS };

/* In the order in which the first that is wrong is told. */
static const char *const param_names[N_PARAMS] = {
	[PARAM_PATH] = "path",
	[PARAM_USERNAME] = "username",
	[PARAM_SIGNATURE] = "signature",
	[PARAM_EXPIRATION] = "signature_expiration",
};

struct param {
	struct span value;
	unsigned n; /* how often it stands there */
};

static int collect(struct param params[N_PARAMS], struct span query, struct arena *memory,
                   struct err *e)
{
	struct query_pair pair;
	bool is_full = false;

	while (query_next(&query, memory, &pair, &is_full)) {
		for (size_t i = 0; i < N_PARAMS; i++) {
			if (span_equal(pair.name, param_names[i]) && params[i].n++ == 0)
				params[i].value = pair.value;
		}
	}
	return is_full ? err_set(e, ERR_INVALID, "too many query parameters") : 0;
}

static int refuse_param(size_t i, struct err *e)
{
	return err_set(e, ERR_INVALID,
	               "Invalid format for parameter %s: multiple values for single value "
	               "parameter '%s'",
	               param_names[i], param_names[i]);
}

static int read_expiration(struct files_query *q, const struct param *param, struct err *e)
{
	int r;

	if (!q->has_expiration)
		return 0;
	r = parse_i64(param->value, &q->expires_s);
	if (r == 0)
		return 0;
	return err_set(e, ERR_INVALID,
	               "Invalid format for parameter signature_expiration: error binding string "
	               "parameter: strconv.ParseInt: parsing \"%s\": %s",
	               param->value.at, r == -ERANGE ? "value out of range" : "invalid syntax");
}

int files_query_parse(struct files_query *q, struct span query, struct arena *memory, struct err *e)
{
	struct param params[N_PARAMS] = { 0 };

	if (collect(params, query, memory, e) < 0)
		return -1;
	for (size_t i = 0; i < N_PARAMS; i++)
		if (params[i].n > 1)
			return refuse_param(i, e);
	*q = (struct files_query){
		.path = params[PARAM_PATH].value,
		.username = params[PARAM_USERNAME].value,
		.signature = params[PARAM_SIGNATURE].value,
		.has_path = params[PARAM_PATH].n > 0,
		.has_username = params[PARAM_USERNAME].n > 0,
		.has_signature = params[PARAM_SIGNATURE].n > 0,
		.has_expiration = params[PARAM_EXPIRATION].n > 0,
	};
	return read_expiration(q, &params[PARAM_EXPIRATION], e);
}

/* ---- the right ---- */

static bool signature_is_right(const struct files_query *q, enum files_operation operation,
                               const struct secret *token)
{
	const struct span before[] = {
		q->path,
		operation == FILES_READ ? SPAN(":read:") : SPAN(":write:"),
		q->username,
		SPAN(":"),
	};
	char behind[sizeof(":-9223372036854775808")] = "";
	char expected[sizeof(SIGNATURE_PREFIX) - 1 + SECRET_SIGNATURE_SIZE] = SIGNATURE_PREFIX;

	if (q->has_expiration)
		(void)snprintf(behind, sizeof behind, ":%" PRId64, q->expires_s);
	secret_sign(token, before, ARRAY_SIZE(before), span_of(behind),
	            expected + strlen(SIGNATURE_PREFIX));
	return q->signature.len == strlen(expected) &&
	       secret_same(q->signature.at, expected, q->signature.len);
}

const char *files_query_refusal(const struct files_query *q, enum files_operation operation,
                                const struct secret *token, struct span sent, int64_t now_s)
{
	if (!secret_is_set(token))
		return NULL;
	if (sent.len > 0)
		return secret_equals(token, sent) ? NULL
		                                  : "access token present in header but does not "
		                                    "match";
	if (!q->has_signature)
		return "missing signature query parameter";
	if (!signature_is_right(q, operation, token))
		return "invalid signature";
	if (q->has_expiration && q->expires_s < now_s)
		return "signature is already expired";
	return NULL;
}

/* ---- the user ---- */

int files_name_user(struct requester *r, const struct defaults *defaults, const char *name,
                    struct err *e)
{
	if (requester_init(r, &user_db_system, name, defaults->user, defaults->workdir, e) == 0)
		return 0;
	return err_set(e, ERR_INVALID, "username not provided");
}

int files_find_user(struct requester *r, struct err *e)
{
	if (user_find(r->users, r->name, &r->user, e) == 0)
		return 0;
	return err_wrap(e, "error looking up user '%s'", r->name);
}

/* ---- all of it ---- */

static const char *refusal_of(const struct api *api, const struct exchange *x,
                              const struct files_query *q, enum files_operation operation)
{
	const struct http_field *sent = exchange_field(x, "x-access-token");

	return files_query_refusal(q, operation, &api->token, sent ? sent->value : SPAN(""),
	                           clock_wall_ns() / NS_PER_S);
}

/* No name of a file or a user holds a NUL, and neither may be taken for its first part. */
static bool has_nul(struct span s)
{
	return s.len > 0 && memchr(s.at, '\0', s.len);
}

static int take_query(struct files_request *r, const struct api *api, const struct files_query *q,
                      struct err *e)
{
	if (has_nul(q->path) || has_nul(q->username))
		return err_set(e, ERR_INVALID, "%s contains a NUL byte",
		               has_nul(q->path) ? "path" : "username");
	if (files_name_user(&r->requester, &api->defaults, q->has_username ? q->username.at : NULL,
	                    e) < 0)
		return -1;
	if (q->has_path)
		r->path = xstrndup(q->path.at, q->path.len);
	return 0;
}

static void refuse_binding(struct exchange **x, const struct err *e)
{
	struct buf text;

	buf_init(&text, ERR_TEXT_MAX + 1);
	buf_append_text(&text, err_text(e));
	buf_append(&text, "\n", sizeof "\n"); /* with its NUL */
	rest_text(x, 400, text.data ? (const char *)text.data : "");
	buf_deinit(&text);
}

int files_request_init(struct files_request *r, struct api *api, struct exchange **x,
                       enum files_operation operation)
{
	CLEANUP(err_clear) struct err e = { 0 };
	CLEANUP(arena_deinit) struct arena memory;
	_Alignas(16) char room[QUERY_ROOM];
	struct files_query q = { 0 };
	const char *refusal;

	*r = (struct files_request){ 0 };
	arena_init(&memory, FILES_QUERY_MEMORY_MAX, room, sizeof room);
	if (files_query_parse(&q, (*x)->request.query, &memory, &e) < 0) {
		refuse_binding(x, &e);
		return -1;
	}
	refusal = refusal_of(api, *x, &q, operation);
	if (refusal) {
		rest_error(x, 401, refusal);
		return -1;
	}
	if (take_query(r, api, &q, &e) < 0) {
		rest_error(x, 400, err_text(&e));
		return -1;
	}
	return 0;
}

void files_request_deinit(struct files_request *r)
{
	free(r->path);
	requester_deinit(&r->requester);
	*r = (struct files_request){ 0 };
}
