#include "http/file_send.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <uv.h>

#include "base/macros.h"
#include "base/mem.h"
#include "loop/job.h"

/* Bytes of one call: so often it looks at the time. */
#define FILE_SEND_STEP (1024u * 1024u)

/* Bytes copied at a time from a file system that cannot send pages. */
#define FILE_SEND_COPY 16384u

struct file_send {
	struct job job;
	struct loop *loop;
	file_send_fn *on_stopped; /* NULL: nobody listens any more */
	void *owner;
	bool is_going;
	/* The job's while it runs. */
	int socket;
	struct http_file *file;
	int fd; /* the file's */
	off_t offset;
	int64_t left;
	bool copies; /* the file system cannot send pages */
	enum file_send_state state;
	int error;
};

/* ---- on the pool ---- */

static bool file_send_is_peers_error(int errnum)
{
	return errnum == EPIPE || errnum == ECONNRESET || errnum == ECONNABORTED ||
	       errnum == ETIMEDOUT || errnum == ENOTCONN || errnum == EHOSTUNREACH ||
	       errnum == ENETUNREACH || errnum == EHOSTDOWN || errnum == ENETDOWN;
}

static ssize_t file_send_copy(struct file_send *s)
{
	char piece[FILE_SEND_COPY];
	size_t want = (size_t)MIN(s->left, (int64_t)sizeof piece);
	ssize_t n = pread(s->fd, piece, want, s->offset);

	if (n > 0)
		n = send(s->socket, piece, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		s->offset += n;
	return n;
}

/* As sendfile. */
static ssize_t file_send_some(struct file_send *s)
{
	ssize_t n;

	if (s->copies)
		return file_send_copy(s);
	n = sendfile(s->socket, s->fd, &s->offset, (size_t)MIN(s->left, (int64_t)FILE_SEND_STEP));
	if (n >= 0 || errno != EINVAL)
		return n;
	s->copies = true;
	return file_send_copy(s);
}

static bool file_send_waits_in_vain(const struct file_send *s)
{
	struct pollfd room = { .fd = s->socket, .events = POLLOUT };
	unsigned waited_ms = 0;

	do {
		if (poll(&room, 1, FILE_SEND_LOOK_MS) != 0)
			return false;
		waited_ms += FILE_SEND_LOOK_MS;
	} while (waited_ms < FILE_SEND_PATIENCE_MS && !job_others_wait(&s->job));
	return true;
}

static enum file_send_state file_send_run(struct file_send *s)
{
	uint64_t until_ns = uv_hrtime() + FILE_SEND_MS * UINT64_C(1000000);

	while (s->left > 0) {
		ssize_t n = file_send_some(s);

		if (n > 0) {
			s->left -= n;
		} else if (n == 0) {
			s->error = -ENODATA;
			return FILE_SEND_FILE_BROKEN;
		} else if (errno == EAGAIN) {
			if (file_send_waits_in_vain(s))
				return FILE_SEND_FULL;
		} else if (errno != EINTR) {
			s->error = -errno;
			return file_send_is_peers_error(errno) ? FILE_SEND_PEER_BROKEN
			                                       : FILE_SEND_FILE_BROKEN;
		}
		if (s->left > 0 && uv_hrtime() >= until_ns && job_others_wait(&s->job))
			return FILE_SEND_INTERRUPTED;
	}
	return FILE_SEND_DONE;
}

static void file_send_work(struct job *job)
{
	struct file_send *s = CONTAINER_OF(job, struct file_send, job);

	s->state = file_send_run(s);
}

/* ---- on the loop ---- */

static void file_send_delete(struct file_send *s)
{
	close_fdp(&s->socket);
	http_file_unref(s->file);
	free(s);
}

static void file_send_done(struct job *job)
{
	struct file_send *s = CONTAINER_OF(job, struct file_send, job);

	s->is_going = false;
	if (s->on_stopped)
		s->on_stopped(s->owner, s->state, s->error); /* may free s */
	else
		file_send_delete(s);
}

struct file_send *file_send_new(struct loop *loop, int socket, struct http_file *file,
                                int64_t offset, int64_t len, file_send_fn *on_stopped, void *owner)
{
	struct file_send *s = xcalloc(1, sizeof *s);

	s->loop = loop;
	s->on_stopped = on_stopped;
	s->owner = owner;
	s->socket = socket;
	s->file = http_file_ref(file);
	s->fd = http_file_fd(file);
	s->offset = offset;
	s->left = len;
	return s;
}

void file_send_free(struct file_send *s)
{
	if (!s)
		return;
	s->on_stopped = NULL;
	if (!s->is_going) {
		file_send_delete(s);
		return;
	}
	(void)shutdown(s->socket,
	               SHUT_RDWR); /* fails when the peer is gone, which serves as well */
	job_cancel(&s->job);
}

void file_send_go(struct file_send *s)
{
	if (s->is_going)
		return;
	s->is_going = true;
	job_start(s->loop, &s->job, file_send_work, file_send_done);
}

bool file_send_is_going(const struct file_send *s)
{
	return s->is_going;
}
