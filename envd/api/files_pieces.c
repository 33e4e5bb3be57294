#include "api/files_pieces.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/state.h"
#include "loop/job.h"

/*
 *     reading ──job done──▶ sending ──taken──▶ reading ...
 *        └────────── over, peer gone, file broken ─┴──▶ freed
 */
enum { PIECES_READING, PIECES_SENDING };

static const struct state_rule pieces_rules[] = {
	[PIECES_READING] = { "reading", BIT(PIECES_SENDING) },
	[PIECES_SENDING] = { "sending", BIT(PIECES_READING) },
};

struct files_pieces {
	struct job job;
	/* The loop's. */
	struct loop *loop;
	struct files_load *load;
	struct exchange *x;
	struct http_file *file;
	struct state state;
	char *path;
	/* The job's while it runs. */
	int fd; /* the file's */
	uint8_t *head;
	struct deflater *deflater; /* NULL: as it is */
	int64_t left;              /* bytes to be read; -1: as many as come */
	struct span in;            /* read, not yet used */
	bool is_read;              /* all of it */
	/* Its result. */
	int error;       /* negative errno */
	struct span out; /* to be sent */
	uint8_t in_memory[FILES_PIECE];
	uint8_t out_memory[]; /* FILES_PIECE if there is a deflater */
};

/* ---- on the pool ---- */

/* The next of the file, if the last is used up. */
static void pieces_read(struct files_pieces *p)
{
	size_t want = p->left < 0 ? FILES_PIECE : (size_t)MIN(p->left, (int64_t)FILES_PIECE);
	ptrdiff_t n;

	if (p->in.len > 0 || p->is_read)
		return;
	n = file_source_read(p->fd, p->in_memory, want);
	if (n < 0 || (p->left >= 0 && (size_t)n < want)) {
		p->error = n < 0 ? (int)n : -ENODATA; /* it has shrunk */
		return;
	}
	p->in = (struct span){ (const char *)p->in_memory, (size_t)n };
	p->left -= p->left < 0 ? 0 : n;
	p->is_read = p->left < 0 ? (size_t)n < want : p->left == 0;
}

static void pieces_deflate(struct files_pieces *p)
{
	size_t len = 0;
	unsigned n = 0;

	while (n++ < FILES_READS_MAX && len < FILES_PIECE && !deflater_is_over(p->deflater)) {
		pieces_read(p);
		if (p->error < 0)
			return;
		len += deflater_run(p->deflater, &p->in, p->is_read, p->out_memory + len,
		                    FILES_PIECE - len);
	}
	p->out = (struct span){ (const char *)p->out_memory, len };
}

static void pieces_work(struct job *job)
{
	struct files_pieces *p = CONTAINER_OF(job, struct files_pieces, job);

	if (p->deflater) {
		pieces_deflate(p);
		return;
	}
	pieces_read(p);
	p->out = p->in;
	p->in = (struct span){ 0 };
}

/* ---- on the loop ---- */

static bool pieces_are_over(const struct files_pieces *p)
{
	return p->deflater ? deflater_is_over(p->deflater) : p->is_read;
}

/* The exchange has been given back. */
static void pieces_free(struct files_pieces *p)
{
	p->load->n_transfers--;
	p->load->n_deflating -= p->deflater ? 1 : 0;
	deflater_free(p->deflater);
	http_file_unref(p->file);
	free(p->head);
	free(p->path);
	free(p);
}

static void pieces_give_up(struct files_pieces *p)
{
	exchange_abort(&p->x);
	pieces_free(p);
}

static void pieces_done(struct job *job);

/* What there was has been sent. */
static void pieces_go_on(struct files_pieces *p)
{
	if (pieces_are_over(p)) {
		exchange_finish(&p->x, NULL, 0);
		pieces_free(p);
		return;
	}
	state_move(&p->state, PIECES_READING);
	job_start(p->loop, &p->job, pieces_work, pieces_done);
}

static void pieces_done(struct job *job)
{
	struct files_pieces *p = CONTAINER_OF(job, struct files_pieces, job);
	struct iovec piece = { (void *)(uintptr_t)p->out.at, p->out.len };

	if (p->error < 0)
		log_event_limited(LOG_WARNING, "files", "a download was broken off",
		                  log_str("path", p->path),
		                  log_str("error", errno_text(-p->error)));
	if (p->x->stopped || p->error < 0) {
		pieces_give_up(p);
		return;
	}
	state_move(&p->state, PIECES_SENDING);
	if (exchange_send(p->x, &piece, 1))
		pieces_go_on(p);
}

static void pieces_on_proceed(struct exchange *x)
{
	pieces_go_on(x->data);
}

/* A job that runs is waited for. */
static void pieces_on_stop(struct exchange *x)
{
	struct files_pieces *p = x->data;

	if (p->state.now == PIECES_SENDING)
		pieces_give_up(p);
	else
		job_cancel(&p->job);
}

static const struct exchange_ops pieces_ops = {
	.on_proceed = pieces_on_proceed,
	.on_stop = pieces_on_stop,
};

void files_pieces_send(struct loop *loop, struct files_load *load, struct exchange **x,
                       struct http_file *file, struct file_source *source,
                       struct deflater *deflater, const char *path)
{
	struct files_pieces *p = xcalloc(1, sizeof *p + (deflater ? FILES_PIECE : 0));

	p->loop = loop;
	p->load = load;
	p->x = TAKE_PTR(*x);
	p->file = http_file_ref(file);
	p->path = xstrdup(path);
	p->fd = http_file_fd(file);
	p->deflater = deflater;
	p->left = source->size;
	if (source->kind == FILE_SOURCE_STREAM) {
		p->in = (struct span){ (const char *)source->head, source->head_len };
		p->head = TAKE_PTR(source->head);
	}
	state_init(&p->state, pieces_rules, ARRAY_SIZE(pieces_rules), PIECES_READING,
	           "files pieces", (uint64_t)p->fd);
	load->n_transfers++;
	load->n_deflating += deflater ? 1 : 0;
	exchange_own(p->x, &pieces_ops, p);
	job_start(loop, &p->job, pieces_work, pieces_done);
}
