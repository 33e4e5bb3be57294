#include "api/init_api.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "build_info.h"
#include "host/clock.h"
#include "host/environ.h"

#define NS_PER_MS 1000000ll

/* What the body says; spans and values lie in it. */
struct init_request {
	bool has_timestamp;
	int64_t timestamp_ns;
	bool has_token;
	struct span token;
	bool has_variables;
	struct environ_pair *variables; /* owned; the texts are the body's */
	size_t n_variables;
	struct span user;
	struct span workdir;
};

/* A body on its way in, and the answer it will get. */
struct init_call {
	struct api *api;
	struct exchange *x;
	char *body; /* with JSON_PADDING behind it */
	size_t len, size;
	uint64_t received_ms; /* when its last byte came */
};

static void call_free(struct init_call *c)
{
	if (c->body)
		secret_wipe(c->body, c->size);
	free(c->body);
	free(c);
}

/* --- the body as JSON: each reader returns -1 on a wrong type or value ------------------------ */

static int read_timestamp(struct init_request *r, const struct json *value)
{
	struct span text = json_string(value);

	if (json_type(value) == JSON_NULL)
		return 0;
	if (json_type(value) != JSON_STRING ||
	    clock_parse_rfc3339(text.at, text.len, &r->timestamp_ns) < 0)
		return -1;
	r->has_timestamp = true;
	return 0;
}

/* Escapes are refused: the reference takes the token's bytes from the text as they are. */
static int read_token(struct init_request *r, const struct json *value)
{
	if (json_type(value) == JSON_NULL)
		return 0;
	if (json_type(value) != JSON_STRING || json_string(value).len == 0 ||
	    json_string_was_escaped(value))
		return -1;
	r->has_token = true;
	r->token = json_string(value);
	return 0;
}

/* A repeated object adds to the one before. A NUL would end the variable for every process. */
static int read_variables(struct init_request *r, const struct json *value)
{
	struct json_iter it;
	struct span key;

	if (json_type(value) == JSON_NULL)
		return 0;
	if (json_type(value) != JSON_OBJECT)
		return -1;
	r->has_variables = true;
	r->variables = xrealloc(r->variables,
	                        (r->n_variables + json_count(value) + 1) * sizeof(*r->variables));
	for (value = json_first(&it, value, &key); value; value = json_next(&it, &key)) {
		struct span text = json_type(value) == JSON_NULL ? SPAN("") : json_string(value);

		if ((json_type(value) != JSON_STRING && json_type(value) != JSON_NULL) ||
		    memchr(text.at, 0, text.len) || memchr(key.at, 0, key.len))
			return -1;
		r->variables[r->n_variables++] =
			(struct environ_pair){ .name = key.at, .value = text.at };
	}
	return 0;
}

static int read_text(struct span *text, const struct json *value)
{
	if (json_type(value) == JSON_NULL)
		return 0;
	if (json_type(value) != JSON_STRING ||
	    memchr(json_string(value).at, 0, json_string(value).len))
		return -1;
	*text = json_string(value);
	return 0;
}

static int read_user(struct init_request *r, const struct json *value)
{
	return read_text(&r->user, value);
}

static int read_workdir(struct init_request *r, const struct json *value)
{
	return read_text(&r->workdir, value);
}

/* Names match in any case; others are skipped (control.md 3.1). */
static const struct {
	const char *name;
	int (*read)(struct init_request *r, const struct json *value);
} members[] = {
	{ "timestamp", read_timestamp },    { "accessToken", read_token },
	{ "envVars", read_variables },      { "defaultUser", read_user },
	{ "defaultWorkdir", read_workdir },
};

static int read_members(struct init_request *r, const struct json *root)
{
	struct json_iter it;
	struct span key;

	if (json_type(root) == JSON_NULL)
		return 0;
	if (json_type(root) != JSON_OBJECT)
		return -1;
	for (const struct json *v = json_first(&it, root, &key); v; v = json_next(&it, &key)) {
		for (size_t i = 0; i < ARRAY_SIZE(members); i++)
			if (span_equal_nocase(key, members[i].name) && members[i].read(r, v) < 0)
				return -1;
	}
	return 0;
}

/* --- applying it ----------------------------------------------------------------------------- */

static void apply_clock(const struct init_request *r, int64_t target_ns)
{
	int set;

	if (!r->has_timestamp)
		return;
	set = clock_correct(target_ns);
	if (set < 0)
		log_event_limited(LOG_WARNING, "envd", "cannot set the clock, ignoring",
		                  log_str("error", errno_text(-set)));
	else if (set > 0)
		log_event_limited(LOG_INFO, "envd", "clock set");
}

static int apply_variables(struct api *api, const struct init_request *r, struct err *e)
{
	if (!r->has_variables)
		return 0;
	if (environ_replace_user(api->environ, r->variables, r->n_variables, e) < 0)
		return -1;
	log_event_limited(LOG_DEBUG, "envd", "environment replaced",
	                  log_int("variables", (int64_t)r->n_variables));
	return 0;
}

static int apply_token(struct api *api, const struct init_request *r, struct err *e)
{
	int rc = 0;

	if (r->has_token)
		rc = secret_set(&api->token, r->token);
	else
		secret_clear(&api->token);
	return rc < 0 ? err_sys(e, -rc, "cannot keep the access token") : 0;
}

static void replace_text(char **text, struct span value)
{
	if (value.len == 0)
		return;
	free(*text);
	*text = xstrndup(value.at, value.len);
}

/* In the order of control.md 3.4; the first that fails ends it, what was applied stays. */
static int apply(struct api *api, const struct init_request *r, int64_t target_ns, struct err *e)
{
	apply_clock(r, target_ns);
	if (apply_variables(api, r, e) < 0 || apply_token(api, r, e) < 0)
		return -1;
	replace_text(&api->defaults.user, r->user);
	replace_text(&api->defaults.workdir, r->workdir);
	if (r->has_timestamp)
		api->last_timestamp_ns = target_ns;
	return 0;
}

/* NULL: authorised (control.md 3.3). */
static const char *why_unauthorized(const struct api *api, const struct init_request *r)
{
	if (!secret_is_set(&api->token) || (r->has_token && secret_equals(&api->token, r->token)))
		return NULL;
	return r->has_token ? "access token validation failed"
	                    : "access token reset not authorized";
}

static void answer_text(struct init_call *c, int status, const char *text)
{
	const struct http_field type = HTTP_FIELD("Content-Type", "text/plain; charset=utf-8");

	exchange_answer(&c->x, status, &type, 1, span_of(text));
}

/* How much later than its last byte the request is served, by which its time is corrected. */
static void tell_correction(struct init_call *c, int64_t late_ms)
{
	char text[sizeof("-9223372036854775808")];
	int n = snprintf(text, sizeof(text), "%" PRId64, late_ms);

	log_event_limited(LOG_INFO, "envd", "init timestamp corrected",
	                  log_int("clock_correction", late_ms));
	exchange_add_field(c->x, "X-Envd-Init-Clock-Correction", (struct span){ text, (size_t)n });
}

static void serve(struct init_call *c, const struct init_request *r)
{
	const struct http_field no_store = HTTP_FIELD("Cache-Control", "no-store");
	CLEANUP(err_clear) struct err e = { 0 };
	const char *refused = why_unauthorized(c->api, r);
	int64_t late_ms = (int64_t)(loop_now_ms(c->api->loop) - c->received_ms);
	int64_t target_ns = r->timestamp_ns + late_ms * NS_PER_MS;

	if (refused) {
		answer_text(c, 401, refused);
		return;
	}
	if (r->has_timestamp)
		tell_correction(c, late_ms);
	if (r->has_timestamp && target_ns < c->api->last_timestamp_ns) {
		log_event_limited(LOG_INFO, "envd",
		                  "an older /init came late, its data is skipped");
	} else if (apply(c->api, r, target_ns, &e) < 0) {
		answer_text(c, 400, err_text(&e));
		return;
	}
	/* Only now: the token is in place, so opening the gate opens it to its holder. */
	c->api->is_closed = false;
	exchange_answer(&c->x, 204, &no_store, 1, SPAN(""));
}

static void on_body_complete(struct init_call *c)
{
	struct init_request request = { 0 };
	struct json_doc *doc = xmalloc(sizeof(*doc));

	json_init(doc);
	if (c->len > 0 && (json_parse(doc, c->body, c->len, JSON_REPAIR) < 0 ||
	                   read_members(&request, doc->root) < 0))
		exchange_answer(&c->x, 400, NULL, 0, SPAN(""));
	else
		serve(c, &request);
	free(request.variables);
	json_deinit(doc);
	secret_wipe(doc, sizeof(*doc));
	free(doc);
}

/* --- the body on its way in -------------------------------------------------------------------- */

/* Room for more bytes; the old place is wiped. False at INIT_BODY_MAX. */
static bool make_room(struct init_call *c, size_t more)
{
	size_t need = c->len + more + JSON_PADDING, size = MAX(c->size * 2, need);
	char *body;

	if (c->len + more > INIT_BODY_MAX)
		return false;
	if (need <= c->size)
		return true;
	body = try_malloc(size);
	if (!body)
		return false;
	if (c->body) {
		memcpy(body, c->body, c->len);
		secret_wipe(c->body, c->size);
		free(c->body);
	}
	c->body = body;
	c->size = size;
	return true;
}

static void refuse_large(struct init_call *c)
{
	exchange_answer(&c->x, 413, NULL, 0, SPAN(""));
	call_free(c);
}

static void on_body(struct exchange *x, const uint8_t *data, size_t len)
{
	struct init_call *c = x->data;

	if (!make_room(c, len)) {
		refuse_large(c);
		return;
	}
	memcpy(c->body + c->len, data, len);
	c->len += len;
	exchange_consumed(x, len);
}

static void on_body_end(struct exchange *x, enum exchange_body_end how)
{
	struct init_call *c = x->data;

	c->received_ms = loop_now_ms(c->api->loop);
	if (how == EXCHANGE_BODY_COMPLETE)
		on_body_complete(c);
	else
		exchange_answer(&c->x, 400, NULL, 0, SPAN(""));
	call_free(c);
}

static void on_stop(struct exchange *x)
{
	struct init_call *c = x->data;

	exchange_abort(&c->x);
	call_free(c);
}

void init_post(struct api *api, struct exchange **x)
{
	static const struct exchange_ops ops = {
		.on_body = on_body,
		.on_body_end = on_body_end,
		.on_stop = on_stop,
	};
	struct init_call *c = xcalloc(1, sizeof(*c));
	int64_t length = (*x)->request.content_length;

	c->api = api;
	c->x = TAKE_PTR(*x);
	exchange_own(c->x, &ops, c);
	exchange_add_field(c->x, "X-Envd-Version", SPAN(ENVD_VERSION));
	if (length > (int64_t)INIT_BODY_MAX) {
		refuse_large(c);
		return;
	}
	/* A known length gets its room at once, so that no half of a token is copied about. */
	if (length > 0 && !make_room(c, (size_t)length)) {
		refuse_large(c);
		return;
	}
	exchange_read(c->x);
}
