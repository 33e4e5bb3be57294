/*
 * The loop thread brings the body's bytes into a window, jobs empty it. Never more than one job of an
 * upload runs: it opens, writes all there is, and when that was the end, closes. What comes meanwhile
 * is the next one's, so the faster the bytes come the more of them a job has; a small file, whose
 * bytes come with its head, is one job from its user to its answer. No thread ever waits for a client.
 *
 * A large body is diverted where that can be (exchange_divert): then jobs read it themselves, as long
 * as there is something. Each byte stays with one thread, which halves what it costs.
 *
 *   queued ──▶ idle ◀──▶ working ──▶ gone
 *
 *   queued    waits for another upload to end; nothing of the body is read
 *   idle      no job runs: there is nothing to do, or it is about to start
 *   working   a job runs
 *   gone      a job runs for nobody: the client has left, or its upload is refused already
 *
 * From queued and idle it ends at once, from the others when the job has.
 */
#include "api/files_upload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "api/api.h"
#include "api/files_body.h"
#include "api/files_request.h"
#include "api/rest.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/state.h"
#include "http/accept.h"
#include "loop/job.h"

/* Bytes that a job should have: half of what may be on its way, so that the other half comes while it
 * writes. */
#define UPLOAD_BATCH (EXCHANGE_WINDOW / 2)

/* Bytes of a body that is worth a descriptor of its own: what does not fit into the window. */
#define UPLOAD_DIVERT_MIN (EXCHANGE_WINDOW + 1)

/* Bytes that a job reads before others have a turn; and at a time: they are in the cache still when
 * they are written. */
#define UPLOAD_READ_TURN (4u * 1024u * 1024u)
#define UPLOAD_READ      65536u

enum upload_state { UPLOAD_QUEUED, UPLOAD_IDLE, UPLOAD_WORKING, UPLOAD_GONE };

static const struct state_rule upload_rules[] = {
	[UPLOAD_QUEUED] = { "queued", BIT(UPLOAD_IDLE) },
	[UPLOAD_IDLE] = { "idle", BIT(UPLOAD_WORKING) },
	[UPLOAD_WORKING] = { "working", BIT(UPLOAD_IDLE) | BIT(UPLOAD_GONE) },
	[UPLOAD_GONE] = { "gone", 0 },
};

/* Bytes on their way, in the order they came. What a job has been lent stays where it is. */
struct window {
	char *bytes;
	size_t size;
	size_t at, len;
};

enum { WINDOW_PIECES = 2 }; /* it goes round */

struct files_job {
	struct job job;
	struct files_body *body;
	bool opens;
	struct span input[WINDOW_PIECES];
	size_t n_input;
	int socket; /* to read from, at most left bytes; -1: not now */
	uint64_t left;
	bool closes;
	const char *cut; /* why the body is not complete */
	/* Its result. */
	int rc; /* as files_body_write */
	bool is_closed;
	size_t n_taken; /* of the input */
	size_t n_read;  /* from the socket */
	bool is_over;   /* which has ended, or failed */
	struct err e;
};

/* How the body comes. */
enum upload_way {
	WAY_WINDOW,   /* through the window; if it is large, only until it can be diverted */
	WAY_DIVERTED, /* jobs read it */
	WAY_BACK,     /* its end has been found, or an error: the connection looks at it */
};

struct files_upload {
	struct list waiting;
	struct api *api;
	struct exchange *x;
	struct state state;
	struct task wake;
	struct timer patience; /* while it is queued */
	struct window window;
	size_t n_came; /* bytes since upload_advance looked last */
	enum upload_way way;
	int socket; /* of a body that is diverted; or -1 */
	uint64_t left;
	bool is_readable;
	bool is_opened;
	bool is_ended; /* the last byte is in the window */
	const char *cut;
	bool has_more; /* the body has more to write of what it has taken */
	struct files_job work;
};

/* ---- the window ---- */

/* As large as the body, if that is said and small: then it all fits. */
static bool window_init(struct window *w, const struct http_request *request)
{
	w->size = EXCHANGE_WINDOW;
	if (!request->has_body || request->content_length == 0)
		w->size = 1;
	else if (request->content_length > 0)
		w->size = MIN((uint64_t)request->content_length, w->size);
	w->bytes = try_malloc(w->size);
	return w->bytes;
}

static void window_put(struct window *w, const void *data, size_t len)
{
	size_t end, first;

	if (w->len == 0)
		w->at = 0;
	ASSERT(len <= w->size - w->len);
	end = (w->at + w->len) % w->size;
	first = MIN(len, w->size - end);
	memcpy(w->bytes + end, data, first);
	memcpy(w->bytes, (const char *)data + first, len - first);
	w->len += len;
}

static size_t window_show(const struct window *w, struct span pieces[WINDOW_PIECES])
{
	size_t first = MIN(w->len, w->size - w->at);

	pieces[0] = (struct span){ w->bytes + w->at, first };
	pieces[1] = (struct span){ w->bytes, w->len - first };
	return w->len > first ? 2 : w->len > 0 ? 1 : 0;
}

static void window_take(struct window *w, size_t len)
{
	w->len -= len;
	if (len > 0)
		w->at = (w->at + len) % w->size;
}

/* ---- on the pool ---- */

static int job_write(struct files_job *j)
{
	for (size_t i = 0; i < j->n_input; i++) {
		size_t len = j->input[i].len;
		int rc = files_body_write(j->body, &j->input[i], &j->e);

		j->n_taken += len - j->input[i].len;
		if (rc != 0)
			return rc;
	}
	/* More of what was taken before. */
	return j->n_input > 0 ? 0 : files_body_write(j->body, &(struct span){ 0 }, &j->e);
}

/* As far as there is something to read; 0 or -1. */
static int job_read(struct files_job *j)
{
	char piece[UPLOAD_READ];
	size_t turn = 0;

	while (j->n_read < j->left && turn < UPLOAD_READ_TURN) {
		size_t room = (size_t)MIN(sizeof piece, j->left - j->n_read);
		ssize_t n = recv(j->socket, piece, room, MSG_DONTWAIT);
		struct span input = { piece, (size_t)MAX(n, 0) };
		int rc;

		if (n <= 0) {
			j->is_over = n == 0 || (errno != EAGAIN && errno != EINTR);
			return 0;
		}
		j->n_read += (size_t)n;
		turn += (size_t)n;
		/* What has become much more is enough for one turn. */
		while ((rc = files_body_write(j->body, &input, &j->e)) > 0)
			turn = UPLOAD_READ_TURN;
		if (rc < 0)
			return rc;
	}
	return 0;
}

static void job_work(struct job *job)
{
	struct files_job *j = CONTAINER_OF(job, struct files_job, job);

	j->rc = j->opens ? files_body_open(j->body, &j->e) : 0;
	if (j->rc == 0)
		j->rc = job_write(j);
	if (j->rc == 0 && j->socket >= 0) {
		j->rc = job_read(j);
		j->closes = j->n_read == j->left;
	}
	if (j->rc != 0 || !j->closes)
		return;
	j->rc = files_body_close(j->body, j->cut, &j->e);
	j->is_closed = j->rc == 0;
}

/* ---- the end ---- */

static void upload_free(struct files_upload *u)
{
	loop_undefer(&u->wake);
	timer_stop(&u->api->loop->timers, &u->patience);
	list_remove(&u->waiting);
	files_body_free(u->work.body);
	err_clear(&u->work.e);
	close_fdp(&u->socket);
	free(u->window.bytes);
	free(u);
}

static void upload_begin(struct files_upload *u);

/* Gives its place to the one that waits longest. */
static void upload_leave(struct files_upload *u)
{
	struct files_uploads *all = &u->api->uploads;
	struct list *next;

	if (u->state.now == UPLOAD_QUEUED)
		return;
	all->n_reading--;
	/* More than one where there is no memory to begin with. */
	while (all->n_reading < FILES_UPLOADS_MAX && (next = list_take_first(&all->waiting)))
		upload_begin(CONTAINER_OF(next, struct files_upload, waiting));
}

static void upload_end(struct files_upload *u)
{
	upload_leave(u);
	upload_free(u);
}

static void upload_refuse(struct files_upload *u, const char *why)
{
	rest_error(&u->x, 503, why);
	upload_end(u);
}

static void upload_answer(struct files_upload *u)
{
	const struct http_field type = HTTP_FIELD("Content-Type", "application/json");

	if (u->work.rc < 0)
		rest_error(&u->x, rest_status(u->work.e.kind), err_text(&u->work.e));
	else
		exchange_answer(&u->x, 200, &type, 1, files_body_answer(u->work.body));
	upload_end(u);
}

/* ---- from job to job ---- */

static void upload_take_read(struct files_upload *u)
{
	const struct files_job *j = &u->work;
	bool more = j->rc >= 0 && !j->is_over;

	u->is_readable = false;
	u->left -= j->n_read;
	if (!more) {
		u->way = WAY_BACK;
		close_fdp(&u->socket);
	}
	exchange_diverted(u->x, j->n_read, more);
}

/* Once all that was read before is in the window. */
static void upload_divert(struct files_upload *u)
{
	if (u->way != WAY_WINDOW || u->is_ended || u->x->request.content_length < UPLOAD_DIVERT_MIN)
		return;
	u->socket = exchange_divert(u->x, &u->left);
	if (u->socket >= 0)
		u->way = WAY_DIVERTED;
}

static void job_done(struct job *job)
{
	struct files_upload *u =
		CONTAINER_OF(CONTAINER_OF(job, struct files_job, job), struct files_upload, work);

	if (u->state.now == UPLOAD_GONE) {
		upload_end(u);
		return;
	}
	if (u->work.socket >= 0)
		upload_take_read(u);
	if (u->work.rc < 0 || u->work.is_closed) {
		upload_answer(u);
		return;
	}
	state_move(&u->state, UPLOAD_IDLE);
	u->has_more = u->work.rc > 0;
	window_take(&u->window, u->work.n_taken);
	exchange_consumed(u->x, u->work.n_taken);
	/* Where the client waits for leave to send, it has it now, and not before. */
	exchange_read(u->x);
	loop_defer(u->api->loop, &u->wake);
}

static void upload_start_job(struct files_upload *u)
{
	struct files_job *j = &u->work;

	j->opens = !u->is_opened;
	j->n_input = window_show(&u->window, j->input);
	j->socket = u->is_readable ? u->socket : -1;
	j->left = u->left;
	j->closes = u->is_ended;
	j->cut = u->cut;
	j->n_taken = j->n_read = 0;
	j->is_over = false;
	u->is_opened = true;
	state_move(&u->state, UPLOAD_WORKING);
	job_start(u->api->loop, &j->job, job_work, job_done);
}

/* Whether it is worth waiting for what the next turn of the loop brings: a job costs as much as
 * some ten kilobytes. Where the last turn brought nothing, the next will not either. */
static bool upload_grows(struct files_upload *u)
{
	bool grew = u->n_came > 0;

	u->n_came = 0;
	return grew && u->window.len < UPLOAD_BATCH;
}

/* All decisions. Behind what this turn of the loop brings, so that a job has all of it. */
static void upload_advance(struct task *task)
{
	struct files_upload *u = CONTAINER_OF(task, struct files_upload, wake);
	bool is_due = !u->is_opened || u->has_more || u->is_ended || u->is_readable;

	if (u->state.now == UPLOAD_GONE)
		return;
	upload_divert(u);
	if (u->state.now != UPLOAD_IDLE)
		return;
	if (!is_due && upload_grows(u))
		loop_defer(u->api->loop, &u->wake);
	else if (is_due || u->window.len > 0)
		upload_start_job(u);
}

static void upload_begin(struct files_upload *u)
{
	if (!window_init(&u->window, &u->x->request)) {
		upload_refuse(u, "out of memory");
		return;
	}
	state_move(&u->state, UPLOAD_IDLE);
	u->api->uploads.n_reading++;
	timer_stop(&u->api->loop->timers, &u->patience);
	if (!u->x->request.expects_continue)
		exchange_read(u->x);
	loop_defer(u->api->loop, &u->wake);
}

/* ---- what the exchange tells ---- */

static void on_body(struct exchange *x, const uint8_t *data, size_t len)
{
	struct files_upload *u = x->data;

	window_put(&u->window, data, len);
	u->n_came += len;
	loop_defer(u->api->loop, &u->wake);
}

static void on_body_end(struct exchange *x, enum exchange_body_end how)
{
	struct files_upload *u = x->data;

	u->is_ended = true;
	u->cut = exchange_cut_text(how);
	loop_defer(u->api->loop, &u->wake);
}

static void on_readable(struct exchange *x)
{
	struct files_upload *u = x->data;

	u->is_readable = true;
	loop_defer(u->api->loop, &u->wake);
}

static void on_stop(struct exchange *x)
{
	struct files_upload *u = x->data;

	exchange_abort(&u->x);
	if (u->state.now == UPLOAD_WORKING) {
		state_move(&u->state, UPLOAD_GONE);
		job_cancel(&u->work.job);
	} else {
		upload_end(u);
	}
}

/* ---- the request ---- */

static void on_patience_due(struct timer *timer)
{
	upload_refuse(CONTAINER_OF(timer, struct files_upload, patience),
	              "too many uploads at once");
}

static struct files_upload *upload_new(struct api *api, struct files_request *request,
                                       struct exchange *x)
{
	static uint64_t n_uploads;
	struct files_upload *u = xcalloc(1, sizeof *u);

	u->api = api;
	u->socket = -1;
	u->wake.run = upload_advance;
	u->patience.on_due = on_patience_due;
	state_init(&u->state, upload_rules, ARRAY_SIZE(upload_rules), UPLOAD_QUEUED, "upload",
	           ++n_uploads);
	u->work.body = files_body_new(request, x);
	if (!u->work.body) {
		upload_free(u);
		return NULL;
	}
	return u;
}

/* Before anything is looked up: what is coded as we cannot read it. */
static bool refuses_coding(struct exchange **x)
{
	const struct http_field *field = exchange_field(*x, "content-encoding");
	struct buf text;

	if (!field || content_coding_parse(field->value) != CODING_NONE)
		return false;
	buf_init(&text, ERR_TEXT_MAX);
	buf_appendf(&text,
	            "error decompressing request body: unsupported Content-Encoding: %.*s, "
	            "supported: [gzip]",
	            (int)field->value.len, field->value.at);
	buf_append_byte(&text, '\0');
	rest_error(x, 400, buf_error(&text) ? "unsupported Content-Encoding" : (char *)text.data);
	buf_deinit(&text);
	return true;
}

static void upload_queue(struct files_upload *u)
{
	struct files_uploads *all = &u->api->uploads;

	if (!all->waiting.next)
		list_init(&all->waiting);
	if (all->n_reading < FILES_UPLOADS_MAX) {
		upload_begin(u);
		return;
	}
	list_append(&all->waiting, &u->waiting);
	timer_start(&u->api->loop->timers, &u->patience, FILES_UPLOAD_WAIT_MS);
}

void files_post(struct api *api, struct exchange **x)
{
	static const struct exchange_ops ops = {
		.on_body = on_body,
		.on_body_end = on_body_end,
		.on_stop = on_stop,
		.on_readable = on_readable,
	};
	struct files_request request;
	struct files_upload *u;

	if (files_request_init(&request, api, x, FILES_WRITE) < 0)
		return;
	u = refuses_coding(x) ? NULL : upload_new(api, &request, *x);
	files_request_deinit(&request);
	if (!*x)
		return;
	if (!u) {
		rest_error(x, 503, "out of memory");
		return;
	}
	u->x = TAKE_PTR(*x);
	exchange_own(u->x, &ops, u);
	upload_queue(u);
}
