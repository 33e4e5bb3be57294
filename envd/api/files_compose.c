/*
 * The body is gathered on the loop; one job reads it and does all the rest.
 *
 *     reading ──▶ waiting ──▶ working ──▶ answered, or dropped when nobody listens any more
 *
 *     reading   its body comes
 *     waiting   for another composition to end, up to FILES_COMPOSE_WAIT_MS
 *     working   on the pool; the job ends soon when it is abandoned
 *
 * From reading and waiting it ends at once, from working when the job has.
 */
#include "api/files_compose.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "api/files_compose_body.h"
#include "api/files_request.h"
#include "api/rest.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/state.h"
#include "fs/compose.h"
#include "loop/job.h"
#include "rpc/charge.h"

/* Bytes of memory that a byte of the body takes: itself, and what JSON makes of it (base/json.h). */
#define COMPOSE_BODY_COST 4u

/* Bytes: a path and its last part, each byte of which may be six in JSON. */
#define COMPOSE_ANSWER_MAX 65536u

enum compose_state { COMPOSE_READING, COMPOSE_WAITING, COMPOSE_WORKING };

static const struct state_rule compose_rules[] = {
	[COMPOSE_READING] = { "reading", BIT(COMPOSE_WAITING) | BIT(COMPOSE_WORKING) },
	[COMPOSE_WAITING] = { "waiting", BIT(COMPOSE_WORKING) },
	[COMPOSE_WORKING] = { "working", 0 },
};

struct files_compose {
	struct job job;
	/* The loop's. */
	struct list waiting;
	struct api *api;
	struct exchange *x;
	struct state state;
	struct charge charge;
	struct timer turn;     /* while it waits */
	struct timer patience; /* once the client has hung up */
	/* Both sides'. */
	atomic_bool is_abandoned;
	/* Lent to work. */
	struct buf body;
	const char *cut; /* why the body is not complete */
	struct defaults defaults;
	/* Its result. */
	int rc;
	struct err e;
	struct buf answer;
};

/* ---- on the pool ---- */

/* Any failure is the client's: a name that is not there. */
static int find_user(struct requester *who, struct err *e)
{
	if (files_find_user(who, e) == 0)
		return 0;
	e->kind = ERR_UNAUTHENTICATED;
	return -1;
}

static int add_source(struct compose *compose, const struct requester *who, const char *shown,
                      struct err *e)
{
	CLEANUP(freep) char *path = NULL;

	if (requester_path(who, shown, &path, e) < 0)
		return err_wrap(e, "error resolving source path \"%s\"", shown);
	return compose_add(compose, path, shown, e);
}

static int add_sources(struct compose *compose, const struct requester *who,
                       const struct json *sources, struct err *e)
{
	struct json_iter it;
	struct span none;

	for (const struct json *v = json_first(&it, sources, &none); v; v = json_next(&it, &none))
		if (add_source(compose, who, json_string(v).at, e) < 0)
			return -1;
	return 0;
}

static void write_answer(struct buf *b, const char *path)
{
	const char *name = strrchr(path, '/') + 1;

	buf_append_text(b, "{\"name\":\"");
	json_append_string(b, name, strlen(name), true);
	buf_append_text(b, "\",\"path\":\"");
	json_append_string(b, path, strlen(path), true);
	buf_append_text(b, "\",\"type\":\"file\"}\n");
}

static int compose_for(struct files_compose *c, const struct compose_body *body,
                       const struct requester *who, struct err *e)
{
	CLEANUP(freep) char *path = NULL;
	CLEANUP(compose_deinit)
	struct compose compose = {
		.uid = who->user.uid,
		.gid = who->user.gid,
		.is_abandoned = &c->is_abandoned,
	};

	if (requester_path(who, body->destination, &path, e) < 0)
		return err_wrap(e, "error resolving destination path");
	compose.destination = path;
	if (add_sources(&compose, who, body->sources, e) < 0 || compose_run(&compose, e) < 0)
		return -1;
	write_answer(&c->answer, path);
	return buf_error(&c->answer) ? err_set(e, ERR_UNAVAILABLE, "out of memory") : 0;
}

/* In the order of files_http.md 5. */
static int run(struct files_compose *c, struct err *e)
{
	CLEANUP(compose_body_deinit) struct compose_body body;
	CLEANUP(requester_deinit) struct requester who = { 0 };

	json_init(&body.doc);
	if (c->cut)
		return err_set(e, ERR_INVALID, "invalid request body: %s", c->cut);
	if (compose_body_parse(&body, (char *)c->body.data, c->body.len - JSON_PADDING, e) < 0 ||
	    files_name_user(&who, &c->defaults, body.username, e) < 0 || find_user(&who, e) < 0)
		return -1;
	return compose_for(c, &body, &who, e);
}

static void compose_work(struct job *job)
{
	struct files_compose *c = CONTAINER_OF(job, struct files_compose, job);

	c->rc = run(c, &c->e);
}

/* ---- the end ---- */

static void compose_free(struct files_compose *c)
{
	timer_stop(&c->api->loop->timers, &c->turn);
	timer_stop(&c->api->loop->timers, &c->patience);
	list_remove(&c->waiting);
	charge_release(&c->charge);
	buf_deinit(&c->body);
	buf_deinit(&c->answer);
	free(c->defaults.user);
	free(c->defaults.workdir);
	err_clear(&c->e);
	free(c);
}

static void answer(struct files_compose *c)
{
	const struct http_field type = HTTP_FIELD("Content-Type", "application/json");

	if (c->x->stopped)
		exchange_abort(&c->x);
	else if (c->rc < 0)
		rest_error(&c->x, rest_status(c->e.kind), err_text(&c->e));
	else
		exchange_answer(&c->x, 200, &type, 1,
		                (struct span){ (const char *)c->answer.data, c->answer.len });
}

static void compose_begin(struct files_compose *c);

static void compose_done(struct job *job)
{
	struct files_compose *c = CONTAINER_OF(job, struct files_compose, job);
	struct files_composes *all = &c->api->composes;
	struct list *next;

	answer(c);
	compose_free(c);
	all->n_working--;
	next = list_take_first(&all->waiting);
	if (next)
		compose_begin(CONTAINER_OF(next, struct files_compose, waiting));
}

/* ---- the way to it ---- */

static void compose_begin(struct files_compose *c)
{
	state_move(&c->state, COMPOSE_WORKING);
	timer_stop(&c->api->loop->timers, &c->turn);
	c->api->composes.n_working++;
	job_start(c->api->loop, &c->job, compose_work, compose_done);
}

static void compose_queue(struct files_compose *c)
{
	struct files_composes *all = &c->api->composes;

	if (!all->waiting.next)
		list_init(&all->waiting);
	if (all->n_working < FILES_COMPOSES_MAX) {
		compose_begin(c);
		return;
	}
	state_move(&c->state, COMPOSE_WAITING);
	list_append(&all->waiting, &c->waiting);
	timer_start(&c->api->loop->timers, &c->turn, FILES_COMPOSE_WAIT_MS);
}

static void refuse(struct files_compose *c, int status, const char *why)
{
	rest_error(&c->x, status, why);
	compose_free(c);
}

static void on_turn_due(struct timer *timer)
{
	refuse(CONTAINER_OF(timer, struct files_compose, turn), 503,
	       "too many compositions at once");
}

static void refuse_large(struct files_compose *c)
{
	refuse(c, 413, "request body is too large");
}

/* Room for more bytes and the padding. False: it is refused, and gone. */
static bool make_room(struct files_compose *c, size_t more)
{
	CLEANUP(err_clear) struct err e = { 0 };
	const size_t len = c->body.len + more;

	if (len > COMPOSE_BODY_MAX) {
		refuse_large(c);
		return false;
	}
	if (charge_raise(&c->charge, len * COMPOSE_BODY_COST, &e) < 0) {
		refuse(c, 503, err_text(&e));
		return false;
	}
	if (buf_reserve(&c->body, more + JSON_PADDING) < 0) {
		refuse(c, 503, "out of memory");
		return false;
	}
	return true;
}

static void on_body(struct exchange *x, const uint8_t *data, size_t len)
{
	struct files_compose *c = x->data;

	if (!make_room(c, len))
		return;
	buf_append(&c->body, data, len);
	exchange_consumed(x, len);
}

static void on_body_end(struct exchange *x, enum exchange_body_end how)
{
	static const char padding[JSON_PADDING];
	struct files_compose *c = x->data;

	c->cut = exchange_cut_text(how);
	if (!make_room(c, 0))
		return;
	buf_append(&c->body, padding, sizeof padding);
	compose_queue(c);
}

static void on_patience_due(struct timer *timer)
{
	struct files_compose *c = CONTAINER_OF(timer, struct files_compose, patience);

	atomic_store(&c->is_abandoned, true);
}

static void on_hangup(struct exchange *x)
{
	struct files_compose *c = x->data;

	timer_start(&c->api->loop->timers, &c->patience, FILES_COMPOSE_HANGUP_MS);
}

/* While it works the exchange is given back in compose_done, which comes in any case. */
static void on_stop(struct exchange *x)
{
	struct files_compose *c = x->data;

	if (c->state.now == COMPOSE_WORKING) {
		atomic_store(&c->is_abandoned, true);
		job_cancel(&c->job);
		return;
	}
	exchange_abort(&c->x);
	compose_free(c);
}

static struct files_compose *compose_new(struct api *api, struct exchange *x)
{
	static uint64_t n_composes;
	struct files_compose *c = xcalloc(1, sizeof *c);

	c->api = api;
	c->x = x;
	c->turn.on_due = on_turn_due;
	c->patience.on_due = on_patience_due;
	state_init(&c->state, compose_rules, ARRAY_SIZE(compose_rules), COMPOSE_READING, "compose",
	           ++n_composes);
	buf_init(&c->body, COMPOSE_BODY_MAX + JSON_PADDING);
	buf_init(&c->answer, COMPOSE_ANSWER_MAX);
	c->defaults.user = xstrdup(api->defaults.user);
	c->defaults.workdir = api->defaults.workdir ? xstrdup(api->defaults.workdir) : NULL;
	return c;
}

void files_compose_post(struct api *api, struct exchange **x)
{
	static const struct exchange_ops ops = {
		.on_body = on_body,
		.on_body_end = on_body_end,
		.on_stop = on_stop,
		.on_hangup = on_hangup,
	};
	struct files_compose *c = compose_new(api, TAKE_PTR(*x));

	exchange_own(c->x, &ops, c);
	if (c->x->hung_up)
		on_hangup(c->x);
	if (c->x->request.content_length > (int64_t)COMPOSE_BODY_MAX)
		refuse_large(c);
	else
		exchange_read(c->x);
}
