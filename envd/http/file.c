#include "http/file.h"

#include <stdlib.h>

#include "base/macros.h"
#include "base/mem.h"
#include "loop/job.h"

struct http_file {
	struct job job;
	struct loop *loop;
	int fd;
	unsigned n_refs;
};

struct http_file *http_file_new(struct loop *loop, int fd)
{
	struct http_file *f = xcalloc(1, sizeof *f);

	f->loop = loop;
	f->fd = fd;
	f->n_refs = 1;
	return f;
}

struct http_file *http_file_ref(struct http_file *f)
{
	f->n_refs++;
	return f;
}

static void file_close_work(struct job *job)
{
	close_fdp(&CONTAINER_OF(job, struct http_file, job)->fd);
}

static void file_close_done(struct job *job)
{
	free(CONTAINER_OF(job, struct http_file, job));
}

void http_file_unref(struct http_file *f)
{
	if (!f)
		return;
	ASSERT(f->n_refs > 0);
	if (--f->n_refs == 0)
		job_start(f->loop, &f->job, file_close_work, file_close_done);
}

int http_file_fd(const struct http_file *f)
{
	return f->fd;
}
