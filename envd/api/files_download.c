/*
 * One job looks the user up, finds the file, opens it, and reads all of it if it is small; then the
 * answer is decided on the loop, and given at once or handed to a transfer.
 *
 *     request ──▶ pool: user, path, coding, open ──▶ refused, answered, files_parts.h or files_pieces.h
 */
#include "api/files_download.h"

#include <errno.h>
#include <stdlib.h>

#include "api/files_answer.h"
#include "api/files_parts.h"
#include "api/files_pieces.h"
#include "api/files_request.h"
#include "api/rest.h"
#include "base/buf.h"
#include "base/mem.h"
#include "fs/file_source.h"
#include "http/accept.h"
#include "http/byteranges.h"
#include "http/deflater.h"
#include "http/file.h"
#include "loop/job.h"

/* Bytes of a small file as gzip, which may be a little more than the file, or of parts of it with what
 * stands around each. */
#define DOWNLOAD_BODY_MAX                                                                          \
	(2u * FILE_SOURCE_WHOLE_MAX + (RANGES_MAX + 1u) * (unsigned)BYTERANGES_HEAD_MAX)

struct download {
	struct job job;
	/* Not for work. */
	struct api *api;
	struct exchange *x;
	/* Lent to work. */
	struct files_request request;
	struct accept_coding accepted;
	bool is_conditional;
	/* Its result. */
	int status; /* 0, or of the refusal */
	struct err e;
	bool is_coding_chosen; /* the answer depends on Accept-Encoding */
	char *path;            /* resolved */
	struct file_source source;
	struct deflater *deflater; /* for a file that is not small */
	struct buf packed;         /* a small file as gzip */
	char boundary[BYTERANGES_BOUNDARY_LEN + 1];
};

/* ---- on the pool ---- */

static int refuse(struct download *d, int status, const char *why)
{
	(void)err_set(&d->e, ERR_INVALID, "%s", why);
	return status;
}

static int resolve(struct download *d)
{
	const char *path = d->request.path ? d->request.path : "";

	if (requester_path(&d->request.requester, path, &d->path, &d->e) == 0)
		return 0;
	(void)err_wrap(&d->e, "error expanding and resolving path '%s'", path);
	return 400;
}

static int choose_coding(struct download *d)
{
	if (d->accepted.best == CODING_NONE)
		return refuse(d, 406,
		              "error parsing Accept-Encoding: no acceptable encoding "
		              "found, supported: [gzip]");
	d->is_coding_chosen = true;
	if (!d->is_conditional)
		return 0;
	if (!d->accepted.identity)
		return refuse(d, 406,
		              "identity encoding not acceptable for Range or conditional "
		              "request");
	d->accepted.best = CODING_IDENTITY;
	return 0;
}

static int compress_whole(struct download *d)
{
	struct span in = { (const char *)d->source.head, d->source.head_len };
	size_t room = deflater_bound(d->deflater, in.len);
	uint8_t *out;

	buf_init(&d->packed, DOWNLOAD_BODY_MAX);
	out = buf_extend(&d->packed, room);
	if (!out)
		return refuse(d, 503, "no memory to compress");
	buf_truncate(&d->packed, deflater_run(d->deflater, &in, true, out, room));
	ASSERT(deflater_is_over(d->deflater));
	return 0;
}

static int compress(struct download *d)
{
	d->deflater = deflater_new(d->source.size);
	if (!d->deflater)
		return refuse(d, 503, "no memory to compress");
	return d->source.kind == FILE_SOURCE_WHOLE ? compress_whole(d) : 0;
}

/* In the order of files_http.md 1. Returns 0 or the status of a refusal. */
static int open_file(struct download *d)
{
	mode_t mode;
	int status;

	if (files_find_user(&d->request.requester, &d->e) < 0)
		return 401;
	status = resolve(d);
	if (status != 0)
		return status;
	if (file_source_check(d->path, &mode, &d->e) < 0)
		return rest_status(d->e.kind);
	status = choose_coding(d);
	if (status != 0)
		return status;
	if (file_source_open(&d->source, d->path, mode, &d->e) < 0)
		return rest_status(d->e.kind);
	if (d->accepted.best == CODING_GZIP)
		return compress(d);
	if (d->is_conditional)
		byteranges_draw_boundary(d->boundary);
	return 0;
}

static void download_work(struct job *job)
{
	struct download *d = CONTAINER_OF(job, struct download, job);

	d->status = open_file(d);
}

/* ---- on the loop ---- */

static void download_free(struct download *d)
{
	if (d->source.fd >= 0) /* what closing it waits for, a job waits for */
		http_file_unref(http_file_new(d->api->loop, TAKE_FD(d->source.fd)));
	file_source_close(&d->source);
	deflater_free(d->deflater);
	files_request_deinit(&d->request);
	err_clear(&d->e);
	free(d->path);
	buf_deinit(&d->packed);
	free(d);
}

/* What is in memory of the parts, framed. */
static void join_parts(const struct files_answer *a, const struct file_source *s, struct buf *out)
{
	char head[BYTERANGES_HEAD_MAX];

	for (size_t i = 0; i <= a->parts.n; i++) {
		buf_append(out, head, byteranges_head(&a->together, i, head).len);
		if (i < a->parts.n)
			buf_append(out, s->head + a->parts.list[i].start,
			           (size_t)a->parts.list[i].len);
	}
}

static struct span buf_span(const struct buf *b)
{
	return (struct span){ (const char *)b->data, b->len };
}

static void answer_whole(struct download *d, const struct files_answer *a)
{
	const struct file_source *s = &d->source;
	CLEANUP(buf_deinit) struct buf joined = { 0 };
	struct span body = { (const char *)s->head, s->head_len };

	if (d->accepted.best == CODING_GZIP) {
		body = buf_span(&d->packed);
	} else if (a->parts.n == 1) {
		body.at += a->parts.list[0].start;
		body.len = (size_t)a->parts.list[0].len;
	} else if (a->parts.n > 1) {
		buf_init(&joined, DOWNLOAD_BODY_MAX);
		join_parts(a, s, &joined);
		if (buf_error(&joined)) {
			exchange_abort(&d->x);
			return;
		}
		body = buf_span(&joined);
	}
	exchange_answer(&d->x, a->status, a->fields, a->n_fields, body);
}

static void send_parts(struct download *d, const struct files_answer *a, struct http_file *file)
{
	const struct range all = { 0, d->source.size };

	files_parts_send(&d->api->downloads, &d->x, file, a->parts.n > 0 ? a->parts.list : &all,
	                 MAX(a->parts.n, 1u), &a->together, d->path);
}

static bool deflates_too_much(const struct download *d)
{
	return d->source.kind != FILE_SOURCE_WHOLE && d->deflater &&
	       d->api->downloads.n_deflating >= FILES_DEFLATING_MAX;
}

static bool is_too_much(const struct download *d)
{
	return d->api->downloads.n_transfers >= FILES_TRANSFERS_MAX || deflates_too_much(d);
}

/* Nearly every client takes gzip and needs none. */
static void relieve(struct download *d)
{
	if (!d->accepted.identity || !deflates_too_much(d))
		return;
	deflater_free(TAKE_PTR(d->deflater));
	d->accepted.best = CODING_IDENTITY;
}

static void answer_large(struct download *d, const struct files_answer *a)
{
	struct http_file *file;

	if (is_too_much(d)) {
		rest_error(&d->x, 503, "too many downloads at once");
		return;
	}
	file = http_file_new(d->api->loop, TAKE_FD(d->source.fd));
	exchange_begin(d->x, a->status, a->fields, a->n_fields, a->length);
	if (a->length >= 0)
		send_parts(d, a, file);
	else
		files_pieces_send(d->api->loop, &d->api->downloads, &d->x, file, &d->source,
		                  TAKE_PTR(d->deflater), d->path);
	http_file_unref(file);
}

static void answer(struct download *d)
{
	const struct file_source *s = &d->source;
	const struct files_content content = {
		.x = d->x,
		.asked_path = d->request.path ? d->request.path : "",
		.path = d->path,
		.coding = d->accepted.best,
		.size = s->size,
		.modified = s->modified,
		.beginning = { (const char *)s->head, s->head_len },
		.boundary = d->boundary,
	};
	struct files_answer a;

	files_answer_init(&a, &content);
	if (!a.has_content)
		exchange_answer(&d->x, a.status, a.fields, a.n_fields, a.text);
	else if (s->kind == FILE_SOURCE_WHOLE)
		answer_whole(d, &a);
	else
		answer_large(d, &a);
}

static void download_done(struct job *job)
{
	struct download *d = CONTAINER_OF(job, struct download, job);

	if (d->x->stopped) {
		exchange_abort(&d->x);
		download_free(d);
		return;
	}
	if (d->is_coding_chosen)
		exchange_set_field(d->x, "Vary", SPAN("Origin, Accept-Encoding"));
	if (d->status != 0) {
		rest_error(&d->x, d->status, err_text(&d->e));
	} else {
		relieve(d);
		answer(d);
	}
	download_free(d);
}

/* It is given back in download_done, which comes in any case. */
static void download_on_stop(struct exchange *x)
{
	struct download *d = x->data;

	job_cancel(&d->job);
}

static const struct exchange_ops download_ops = { .on_stop = download_on_stop };

void files_get(struct api *api, struct exchange **x)
{
	const struct http_field *accept = exchange_field(*x, "accept-encoding");
	struct files_request request;
	struct download *d;

	if (files_request_init(&request, api, x, FILES_READ) < 0)
		return;
	d = xcalloc(1, sizeof *d);
	d->api = api;
	d->request = request;
	d->source.fd = -1;
	d->accepted = accept_coding_choose(accept ? accept->value : SPAN(""));
	d->is_conditional = files_answer_is_conditional(*x);
	d->x = TAKE_PTR(*x);
	exchange_own(d->x, &download_ops, d);
	job_start(api->loop, &d->job, download_work, download_done);
}
