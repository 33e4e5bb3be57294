#include "http/file_pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/mem.h"
#include "loop/job.h"

/* Bytes copied at a time from a file system that cannot splice. */
#define FILE_PIPE_COPY 16384u

enum { PIPE_OUT, PIPE_IN }; /* the ends, as pipe(2) has them */

struct file_pipe {
	struct job job;
	struct loop *loop;
	file_pipe_fn *on_filled; /* NULL: nobody listens any more */
	void *owner;
	bool is_filling;
	size_t filled; /* bytes to be read */
	/* The job's while it runs. */
	struct http_file *file;
	int fd; /* the file's */
	int ends[2];
	int64_t offset, left;
	size_t moved;
	int error;
};

/* ---- on the pool ---- */

static ssize_t file_pipe_copy(struct file_pipe *p, size_t want)
{
	char piece[FILE_PIPE_COPY];
	ssize_t n = pread(p->fd, piece, MIN(want, sizeof piece), p->offset);

	return n > 0 ? write(p->ends[PIPE_IN], piece, (size_t)n) : n;
}

static ssize_t file_pipe_move(struct file_pipe *p, size_t want)
{
	off_t offset = p->offset;
	ssize_t n = splice(p->fd, &offset, p->ends[PIPE_IN], NULL, want,
	                   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	return n < 0 && errno == EINVAL ? file_pipe_copy(p, want) : n;
}

/* As much as the pipe has room for. */
static void file_pipe_work(struct job *job)
{
	struct file_pipe *p = CONTAINER_OF(job, struct file_pipe, job);
	size_t want = (size_t)MIN(p->left, (int64_t)FILE_PIPE_SIZE);

	p->moved = 0;
	while (p->moved < want) {
		ssize_t n = file_pipe_move(p, want - p->moved);

		if (n <= 0) {
			if (p->moved == 0 || n == 0 || errno != EAGAIN)
				p->error = n == 0 ? -ENODATA : -errno;
			return;
		}
		p->moved += (size_t)n;
		p->offset += n;
		p->left -= n;
	}
}

/* ---- on the loop ---- */

static void file_pipe_delete(struct file_pipe *p)
{
	close_fdp(&p->ends[PIPE_OUT]);
	close_fdp(&p->ends[PIPE_IN]);
	http_file_unref(p->file);
	free(p);
}

static void file_pipe_done(struct job *job)
{
	struct file_pipe *p = CONTAINER_OF(job, struct file_pipe, job);

	p->is_filling = false;
	p->filled = p->moved;
	if (p->on_filled)
		p->on_filled(p->owner, p->error); /* may free p */
	else
		file_pipe_delete(p);
}

static void file_pipe_fill(struct file_pipe *p)
{
	p->is_filling = true;
	job_start(p->loop, &p->job, file_pipe_work, file_pipe_done);
}

struct file_pipe *file_pipe_new(struct loop *loop, struct http_file *file, int64_t offset,
                                int64_t len, file_pipe_fn *on_filled, void *owner)
{
	struct file_pipe *p;
	int ends[2];

	ASSERT(len > 0);
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return NULL;
	/* Where the kernel is mean with it, a smaller one does: the file goes out in more steps. */
	(void)fcntl(ends[PIPE_IN], F_SETPIPE_SZ, FILE_PIPE_SIZE);
	p = xcalloc(1, sizeof *p);
	p->loop = loop;
	p->on_filled = on_filled;
	p->owner = owner;
	p->file = http_file_ref(file);
	p->fd = http_file_fd(file);
	p->ends[PIPE_OUT] = ends[PIPE_OUT];
	p->ends[PIPE_IN] = ends[PIPE_IN];
	p->offset = offset;
	p->left = len;
	file_pipe_fill(p);
	return p;
}

void file_pipe_free(struct file_pipe *p)
{
	if (!p)
		return;
	p->on_filled = NULL;
	if (p->is_filling)
		job_cancel(&p->job);
	else
		file_pipe_delete(p);
}

ssize_t file_pipe_read(struct file_pipe *p, void *out, size_t room)
{
	ssize_t n;

	if (!file_pipe_has_some(p) || room == 0)
		return 0;
	n = read(p->ends[PIPE_OUT], out, MIN(room, p->filled));
	if (n <= 0)
		return n < 0 ? -errno : -EIO;
	p->filled -= (size_t)n;
	if (p->filled == 0 && p->left > 0)
		file_pipe_fill(p);
	return n;
}

bool file_pipe_has_some(const struct file_pipe *p)
{
	return !p->is_filling && p->filled > 0;
}

bool file_pipe_is_over(const struct file_pipe *p)
{
	return !p->is_filling && p->filled == 0 && p->left == 0;
}
