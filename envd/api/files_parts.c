#include "api/files_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

struct files_parts {
	struct files_load *load;
	struct exchange *x;
	struct http_file *file;
	struct byteranges together; /* parts are ours */
	char *path;
	size_t at; /* the part that is being sent */
	struct range parts[];
};

/* The exchange has been given back. */
static void parts_free(struct files_parts *p)
{
	http_file_unref(p->file);
	p->load->n_transfers--;
	free(p->path);
	free(p);
}

static void parts_give_up(struct files_parts *p)
{
	exchange_abort(&p->x);
	parts_free(p);
}

/* What stands before this part, or behind the last one. */
static void parts_send_head(struct files_parts *p)
{
	char text[BYTERANGES_HEAD_MAX];
	struct iovec piece = { text, 0 };

	if (p->together.n_parts == 1)
		return;
	piece.iov_len = byteranges_head(&p->together, p->at, text).len;
	(void)exchange_send(p->x, &piece, 1); /* so little need not wait */
}

static void parts_go_on(struct files_parts *p)
{
	parts_send_head(p);
	if (p->at < p->together.n_parts) {
		exchange_send_file(p->x, p->file, p->parts[p->at].start, p->parts[p->at].len);
		return;
	}
	exchange_finish(&p->x, NULL, 0);
	parts_free(p);
}

static void parts_on_file_sent(struct exchange *x, int error)
{
	struct files_parts *p = x->data;

	if (error < 0) {
		log_event_limited(LOG_WARNING, "files", "a download was broken off",
		                  log_str("path", p->path), log_str("error", errno_text(-error)));
		parts_give_up(p);
		return;
	}
	p->at++;
	parts_go_on(p);
}

/* Heads of parts may ask to wait, the files behind them do so in any case. */
static void parts_on_proceed(struct exchange *x)
{
	UNUSED(x);
}

static void parts_on_stop(struct exchange *x)
{
	parts_give_up(x->data);
}

static const struct exchange_ops parts_ops = {
	.on_proceed = parts_on_proceed,
	.on_file_sent = parts_on_file_sent,
	.on_stop = parts_on_stop,
};

void files_parts_send(struct files_load *load, struct exchange **x, struct http_file *file,
                      const struct range *parts, size_t n, const struct byteranges *together,
                      const char *path)
{
	struct files_parts *p = xcalloc(1, sizeof *p + n * sizeof *parts);

	p->load = load;
	p->x = TAKE_PTR(*x);
	p->file = http_file_ref(file);
	p->path = xstrdup(path);
	memcpy(p->parts, parts, n * sizeof *parts);
	if (n > 1)
		p->together = *together;
	p->together.parts = p->parts;
	p->together.n_parts = n;
	load->n_transfers++;
	exchange_own(p->x, &parts_ops, p);
	parts_go_on(p);
}
