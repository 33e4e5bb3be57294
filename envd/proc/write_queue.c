#include "proc/write_queue.h"

#include <errno.h>
#include <limits.h>

static const struct state_rule write_queue_rules[] = {
	[WRITES_OPEN] = { "open", BIT(WRITES_CLOSING) | BIT(WRITES_CLOSED) | BIT(WRITES_ENDED) },
	[WRITES_CLOSING] = { "closing", BIT(WRITES_CLOSED) | BIT(WRITES_ENDED) },
	[WRITES_CLOSED] = { "closed", 0 },
	[WRITES_ENDED] = { "ended", 0 },
};

/* How the reference, and Go, name them: the field of the request and the file. */
static const struct {
	const char *name;
	const char *file;
	int gone; /* errno of a write that nobody can read any more */
} channels[] = {
	[PROCESS_STDIN] = { "stdin", "|1", EPIPE },
	[PROCESS_TTY] = { "tty", "/dev/ptmx", EIO },
};

void write_queue_init(struct write_queue *q, enum process_channel channel, struct fdio *io,
                      pid_t pid, size_t *total_bytes)
{
	*q = (struct write_queue){
		.channel = channel, .pid = pid, .io = io, .total_bytes = total_bytes
	};
	state_init(&q->state, write_queue_rules, ARRAY_SIZE(write_queue_rules),
	           io ? WRITES_OPEN : WRITES_CLOSED, "process input", (uint64_t)pid);
	list_init(&q->waiting);
}

/* ---------------------------------------------------------------- refusals */

static int refuse_channel(enum process_channel asked, struct err *e)
{
	if (asked == PROCESS_STDIN)
		return err_set(e, ERR_INTERNAL,
		               "error writing to stdin: tty assigned to process — input should be "
		               "written to the pty, not the stdin");
	return err_set(e, ERR_INTERNAL,
	               "error writing to tty: tty not assigned to process — input should be "
	               "written to the stdin, not the tty");
}

static int refuse_write(enum process_channel channel, pid_t pid, const char *cause, struct err *e)
{
	const char *name = channels[channel].name;

	return err_set(e, ERR_INTERNAL,
	               "error writing to %s: error writing to %s of process '%d': write %s: %s",
	               name, name, (int)pid, channels[channel].file, cause);
}

/* The reference has closed its files then. */
int write_queue_refuse_ended(enum process_channel channel, pid_t pid, struct err *e)
{
	return refuse_write(channel, pid, "file already closed", e);
}

static int check_state(const struct write_queue *q, struct err *e)
{
	switch ((enum write_queue_state)q->state.now) {
	case WRITES_OPEN:
		return 0;
	case WRITES_CLOSING:
	case WRITES_CLOSED:
		return err_set(e, ERR_INTERNAL,
		               "error writing to stdin: stdin not enabled or closed");
	case WRITES_ENDED:
		break;
	}
	return write_queue_refuse_ended(q->channel, q->pid, e);
}

static int check_limits(const struct write_queue *q, size_t len, struct err *e)
{
	const char *name = channels[q->channel].name;

	if (q->n_waiting == PROCESS_WRITES_MAX)
		return err_set(e, ERR_LIMIT,
		               "error writing to %s: %u writes wait for process '%d' already", name,
		               PROCESS_WRITES_MAX, (int)q->pid);
	if (*q->total_bytes >= PROCESS_WRITE_BYTES_MAX && (q->n_waiting > 0 || len > PIPE_BUF))
		return err_set(e, ERR_LIMIT,
		               "error writing to %s: too much input waits for processes that do "
		               "not read it",
		               name);
	return 0;
}

/* ---------------------------------------------------------------- waiting */

static void write_enter(struct write_queue *q, struct process_write *w)
{
	w->queue = q;
	list_append(&q->waiting, &w->link);
	q->n_waiting++;
	*q->total_bytes += w->len;
	fdio_await_writable(q->io);
}

static void write_leave(struct process_write *w)
{
	struct write_queue *q = TAKE_PTR(w->queue);

	list_remove(&w->link);
	q->n_waiting--;
	*q->total_bytes -= w->len;
}

static void write_shorten(struct write_queue *q, struct process_write *w, size_t n)
{
	w->data += n;
	w->len -= n;
	*q->total_bytes -= n;
}

/* A close that waited for writes happens behind the last. */
static void write_queue_settle(struct write_queue *q)
{
	if (q->state.now != WRITES_CLOSING || q->n_waiting > 0)
		return;
	state_move(&q->state, WRITES_CLOSED);
	fdio_close(q->io);
}

/* Calls out: a last statement. Each of told may be cancelled by the callback of another. */
static void writes_tell(struct list *told, const struct err *why)
{
	struct list *link;

	while ((link = list_take_first(told))) {
		struct process_write *w = CONTAINER_OF(link, struct process_write, link);
		CLEANUP(err_clear) struct err copy = { 0 };

		if (why)
			(void)err_set(&copy, why->kind, "%s", err_text(why));
		w->on_done(w, why ? &copy : NULL);
	}
}

static void write_queue_take_all(struct write_queue *q, struct list *out_writes)
{
	struct process_write *w;

	LIST_FOR_EACH(&q->waiting, w, struct process_write, link) {
		write_leave(w);
		list_append(out_writes, &w->link);
	}
}

/* ---------------------------------------------------------------- the verbs */

int write_queue_push(struct write_queue *q, enum process_channel channel, struct process_write *w,
                     const uint8_t *data, size_t len, struct err *e)
{
	ssize_t n = 0;

	if (channel != q->channel)
		return refuse_channel(channel, e);
	if (check_state(q, e) < 0)
		return -1;
	if (len == 0)
		return 1;
	if (check_limits(q, len, e) < 0)
		return -1;
	if (q->n_waiting == 0)
		n = fdio_write(q->io, data, MIN(len, PROCESS_WRITE_TURN_MAX));
	if (n < 0)
		return refuse_write(q->channel, q->pid, errno_text((int)-n), e);
	if ((size_t)n == len)
		return 1;
	w->data = data + n;
	w->len = len - (size_t)n;
	write_enter(q, w);
	return 0;
}

int write_queue_close(struct write_queue *q, struct err *e)
{
	if (q->channel == PROCESS_TTY)
		return err_set(e, ERR_UNKNOWN,
		               "error closing stdin: cannot close stdin for PTY process — send "
		               "Ctrl+D (0x04) instead");
	if (q->state.now != WRITES_OPEN)
		return 0;
	state_move(&q->state, WRITES_CLOSING);
	write_queue_settle(q);
	return 0;
}

void write_queue_proceed(struct write_queue *q)
{
	struct list written = LIST_INIT(written), failed = LIST_INIT(failed);
	CLEANUP(err_clear) struct err why = { 0 };
	size_t room = PROCESS_WRITE_TURN_MAX;
	struct process_write *w;
	ssize_t n = 1;

	while (n > 0 && room > 0 && (w = LIST_FIRST(&q->waiting, struct process_write, link))) {
		n = fdio_write(q->io, w->data, MIN(w->len, room));
		if (n <= 0)
			break;
		room -= (size_t)n;
		write_shorten(q, w, (size_t)n);
		if (w->len == 0) {
			write_leave(w);
			list_append(&written, &w->link);
		}
	}
	if (n < 0) {
		(void)refuse_write(q->channel, q->pid, errno_text((int)-n), &why);
		write_queue_take_all(q, &failed);
	}
	if (q->n_waiting > 0)
		fdio_await_writable(q->io);
	write_queue_settle(q);
	writes_tell(&written, NULL);
	writes_tell(&failed, &why);
}

void write_queue_end(struct write_queue *q, const struct err *why)
{
	struct list failed = LIST_INIT(failed);
	CLEANUP(err_clear) struct err gone = { 0 };

	if (q->state.now == WRITES_CLOSED || q->state.now == WRITES_ENDED)
		return;
	state_move(&q->state, WRITES_ENDED);
	if (q->channel == PROCESS_STDIN)
		fdio_close(q->io);
	write_queue_take_all(q, &failed);
	(void)refuse_write(q->channel, q->pid, errno_text(channels[q->channel].gone), &gone);
	writes_tell(&failed, why ? why : &gone);
}

void process_cancel_write(struct process_write *w)
{
	struct write_queue *q = w->queue;

	if (!q) {
		list_remove(&w->link);
		return;
	}
	write_leave(w);
	write_queue_settle(q);
}
