#include "proc/process.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "proc/registry.h"

/* What has happened, in any order. */
enum {
	FACT_DECIDED = BIT(0), /* the error pipe has closed */
	FACT_REAPED = BIT(1),
	FACT_OUTPUT_END = BIT(2), /* of all streams */
	FACT_SILENT = BIT(3),     /* nothing came for PROCESS_SILENT_MS after the leader */
	FACT_DRAINED = BIT(4),    /* PROCESS_DRAIN_MS are over */
	FACT_HURRY = BIT(5), /* a signal or the lifetime ended it: do not wait for descendants */
};

/* Bytes: more than the kernel holds for a terminal, which it does not count in one place. */
#define TERMINAL_HELD_MAX 65536u

static const struct state_rule process_rules[] = {
	[PROCESS_STARTING] = { "starting",
	                       BIT(PROCESS_RUNNING) | BIT(PROCESS_REFUSED) | BIT(PROCESS_CLOSED) },
	[PROCESS_RUNNING] = { "running", BIT(PROCESS_DRAINING) | BIT(PROCESS_CLOSED) },
	[PROCESS_DRAINING] = { "draining", BIT(PROCESS_ENDED) | BIT(PROCESS_CLOSED) },
	[PROCESS_ENDED] = { "ended", BIT(PROCESS_CLOSED) },
	[PROCESS_REFUSED] = { "refused", BIT(PROCESS_CLOSED) },
	[PROCESS_CLOSED] = { "closed", 0 },
};

static void process_advance(struct process *p);

static void process_learn(struct process *p, unsigned fact)
{
	p->facts |= fact;
	process_advance(p);
}

/* ---------------------------------------------------------------- the end of its life */

static void process_on_closed(struct owner *owner)
{
	struct process *p = CONTAINER_OF(owner, struct process, owner);
	struct registry *registry = p->registry;

	output_deinit(&p->output);
	process_config_unref(p->config);
	spec_free(p->spec);
	free(p);
	owner_drop(&registry->owner);
}

static void process_on_pid_poll_closed(uv_handle_t *handle)
{
	struct process *p = CONTAINER_OF(handle, struct process, pid_poll);

	owner_drop(&p->owner);
}

static void process_close_pid(struct process *p)
{
	if (p->has_pid_poll)
		uv_close((uv_handle_t *)&p->pid_poll, process_on_pid_poll_closed);
	p->has_pid_poll = false;
	close_fdp(&p->pidfd);
}

static bool process_has_terminal(const struct process *p)
{
	return p->writes.channel == PROCESS_TTY;
}

/* May free p: a last statement. */
static void process_close(struct process *p)
{
	struct timers *timers = &p->registry->loop->timers;

	registry_remove(p->registry, p);
	timer_stop(timers, &p->silent);
	timer_stop(timers, &p->drain);
	timer_stop(timers, &p->lifetime);
	loop_undefer(&p->settle);
	fdio_close(&p->error_io);
	fdio_close(&p->stdin_io);
	for (size_t i = 0; i < ARRAY_SIZE(p->streams); i++)
		fdio_close(&p->streams[i].io);
	process_close_pid(p);
	owner_close(&p->owner);
}

/* ---------------------------------------------------------------- facts */

/* Safe while the leader is not reaped: until then nobody else can have its number. The leader once
 * more by itself, because right after the fork it does not lead a group yet. */
static void process_kill(const struct process *p)
{
	if (p->facts & FACT_REAPED)
		return;
	(void)kill(-p->pid, SIGKILL);
	(void)kill(p->pid, SIGKILL);
}

/* Also an exit that nobody can tell us must end the process. */
static void process_set_exit(struct process *p, const siginfo_t *info)
{
	bool is_signal = info->si_code == CLD_KILLED || info->si_code == CLD_DUMPED;

	p->exit.code = is_signal ? -1 : info->si_status;
	p->exit.signal = is_signal ? info->si_status : 0;
	p->exit.is_core_dumped = info->si_code == CLD_DUMPED;
}

void process_reap(struct process *p)
{
	siginfo_t info = { 0 };

	if (p->facts & FACT_REAPED)
		return;
	if (waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG) < 0) {
		if (errno == EINTR)
			return;
		log_event(LOG_ERROR, "process", "exit status is lost, reporting 255",
		          log_int("pid", p->pid), log_str("error", errno_text(errno)));
		info.si_code = CLD_EXITED;
		info.si_status = 255;
	} else if (info.si_pid == 0) {
		return;
	}
	process_set_exit(p, &info);
	/* Before anything else is said about it: its number is free from now on. */
	timer_stop(&p->registry->loop->timers, &p->lifetime);
	process_close_pid(p);
	p->facts |= FACT_REAPED;
	write_queue_end(&p->writes, NULL);
	process_advance(p);
}

static void process_on_pid(uv_poll_t *poll, int status, int events)
{
	UNUSED(status);
	UNUSED(events);
	process_reap(CONTAINER_OF(poll, struct process, pid_poll));
}

static void process_on_error_data(struct fdio *io, const uint8_t *data, size_t len)
{
	struct process *p = CONTAINER_OF(io, struct process, error_io);
	uint8_t *failure = (uint8_t *)&p->failure;

	for (size_t i = 0; i < len && p->n_failure < sizeof p->failure; i++)
		failure[p->n_failure++] = data[i];
}

static void process_on_error_end(struct fdio *io, int error)
{
	struct process *p = CONTAINER_OF(io, struct process, error_io);

	UNUSED(error);
	fdio_close(io);
	process_learn(p, FACT_DECIDED);
}

static const struct fdio_ops process_error_ops = { .on_data = process_on_error_data,
	                                           .on_end = process_on_error_end };

static struct process *process_of(struct fdio *io)
{
	return CONTAINER_OF(io->owner, struct process, owner);
}

static void process_on_output(struct fdio *io, const uint8_t *data, size_t len)
{
	struct process_stream *stream = CONTAINER_OF(io, struct process_stream, io);
	struct process *p = process_of(io);

	p->n_bytes[stream->kind] += len;
	stream->owed -= MIN(stream->owed, len);
	output_append(&p->output, stream->kind, data, len);
	if (p->state.now != PROCESS_DRAINING)
		return;
	timer_start(&p->registry->loop->timers, &p->silent, PROCESS_SILENT_MS);
	process_advance(p);
}

/* A terminal stays open: the leader may have let go of it and live on, and would be hung up. */
static void process_on_output_end(struct fdio *io, int error)
{
	struct process *p = process_of(io);

	if (error < 0)
		log_event_limited(LOG_WARNING, "process",
		                  "reading output failed, ignoring the rest",
		                  log_int("pid", p->pid), log_str("error", errno_text(-error)));
	if (!process_has_terminal(p))
		fdio_close(io);
	if (--p->n_streams == 0)
		process_learn(p, FACT_OUTPUT_END);
}

static void process_on_writable(struct fdio *io)
{
	write_queue_proceed(&process_of(io)->writes);
}

static const struct fdio_ops process_pipe_ops = { .on_data = process_on_output,
	                                          .on_end = process_on_output_end };

static const struct fdio_ops process_stdin_ops = { .on_writable = process_on_writable };

static const struct fdio_ops process_tty_ops = { .on_data = process_on_output,
	                                         .on_end = process_on_output_end,
	                                         .on_writable = process_on_writable };

static void process_set_reading(struct output *o, bool reading)
{
	struct process *p = CONTAINER_OF(o, struct process, output);

	if (p->state.now == PROCESS_STARTING)
		return; /* process_run begins it */
	for (size_t i = 0; i < ARRAY_SIZE(p->streams); i++) {
		if (reading)
			fdio_resume(&p->streams[i].io);
		else
			fdio_pause(&p->streams[i].io);
	}
	if (reading && p->state.now == PROCESS_DRAINING)
		timer_start(&p->registry->loop->timers, &p->silent, PROCESS_SILENT_MS);
}

/* Not at once: we may be inside process_advance. */
static void process_on_output_idle(struct output *o)
{
	struct process *p = CONTAINER_OF(o, struct process, output);

	loop_defer(p->registry->loop, &p->settle);
}

static void process_on_settle(struct task *task)
{
	process_advance(CONTAINER_OF(task, struct process, settle));
}

/* Whether something that was written before the leader was reaped is still to be read. */
static bool process_is_owed(const struct process *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(p->streams); i++) {
		if (p->streams[i].owed > 0 && fdio_has_unread(&p->streams[i].io))
			return true;
	}
	return false;
}

/* A pause is not silence: the bytes are there, a reader is slow. The next byte or the resume starts
 * the clock again. */
static void process_on_silent(struct timer *timer)
{
	struct process *p = CONTAINER_OF(timer, struct process, silent);

	if (!p->output.is_paused && !process_is_owed(p))
		process_learn(p, FACT_SILENT);
}

static void process_on_drain(struct timer *timer)
{
	process_learn(CONTAINER_OF(timer, struct process, drain), FACT_DRAINED);
}

static void process_on_lifetime(struct timer *timer)
{
	struct process *p = CONTAINER_OF(timer, struct process, lifetime);

	p->exit.is_timed_out = true;
	p->facts |= FACT_HURRY;
	process_kill(p);
}

/* ---------------------------------------------------------------- decisions and their work */

static void process_run(struct process *p)
{
	struct process_starter *starter = TAKE_PTR(p->starter);

	p->config = TAKE_PTR(p->spec->config);
	spec_free(TAKE_PTR(p->spec));
	registry_claim(p->registry, p);
	log_event_limited(LOG_INFO, "process", "process started",
	                  log_str("event_type", "process_start"), log_int("pid", p->pid),
	                  log_str("cmd", p->config->cmd),
	                  log_str("tag", p->config->tag ? p->config->tag : ""));
	process_set_reading(&p->output, !p->output.is_paused);
	if (starter)
		starter->on_started(starter);
}

static void process_tell_refusal(struct process *p)
{
	struct process_starter *starter = TAKE_PTR(p->starter);
	CLEANUP(err_clear) struct err e = { 0 };

	(void)spawn_refuse(p->spec, &p->failure, &e);
	if (starter)
		starter->on_refused(starter, &e);
}

static void process_drain(struct process *p)
{
	struct timers *timers = &p->registry->loop->timers;

	for (size_t i = 0; i < ARRAY_SIZE(p->streams); i++)
		p->streams[i].owed = process_has_terminal(p) ? TERMINAL_HELD_MAX
		                                             : fdio_unread(&p->streams[i].io);
	if (p->facts & (FACT_HURRY | FACT_OUTPUT_END))
		return;
	timer_start(timers, &p->silent, PROCESS_SILENT_MS);
	timer_start(timers, &p->drain, PROCESS_DRAIN_MS);
}

static bool process_is_drained(const struct process *p)
{
	if (p->facts & FACT_OUTPUT_END)
		return true;
	return (p->facts & (FACT_SILENT | FACT_DRAINED | FACT_HURRY)) && !process_is_owed(p);
}

static void process_tell_end(struct process *p)
{
	struct timers *timers = &p->registry->loop->timers;

	timer_stop(timers, &p->silent);
	timer_stop(timers, &p->drain);
	log_event_limited(LOG_INFO, "process", "process ended",
	                  log_str("event_type", "process_end"), log_int("pid", p->pid),
	                  log_int("exit_code", p->exit.code), log_int("signal", p->exit.signal),
	                  log_int("stdout_bytes", (int64_t)p->n_bytes[OUTPUT_STDOUT]),
	                  log_int("stderr_bytes", (int64_t)p->n_bytes[OUTPUT_STDERR]),
	                  log_int("pty_bytes", (int64_t)p->n_bytes[OUTPUT_PTY]));
	if (process_has_terminal(p)) {
		fdio_close(&p->streams[0].io);
		p->facts |= FACT_OUTPUT_END;
	}
	/* Remembered before anybody sees the end, so that there is no gap for those who ask next. */
	registry_retain(p->registry, p);
	output_end(&p->output);
}

static void process_advance(struct process *p)
{
	for (;;) {
		switch ((enum process_state)p->state.now) {
		case PROCESS_STARTING:
			if (!(p->facts & FACT_DECIDED))
				return;
			if (p->n_failure == sizeof p->failure) {
				state_move(&p->state, PROCESS_REFUSED);
				process_tell_refusal(p);
			} else {
				state_move(&p->state, PROCESS_RUNNING);
				process_run(p);
			}
			continue;
		case PROCESS_REFUSED:
			if (!(p->facts & FACT_REAPED))
				return;
			state_move(&p->state, PROCESS_CLOSED);
			process_close(p);
			return;
		case PROCESS_RUNNING:
			if (!(p->facts & FACT_REAPED))
				return;
			state_move(&p->state, PROCESS_DRAINING);
			process_drain(p);
			continue;
		case PROCESS_DRAINING:
			if (!process_is_drained(p))
				return;
			state_move(&p->state, PROCESS_ENDED);
			process_tell_end(p);
			continue;
		case PROCESS_ENDED:
			if (!(p->facts & FACT_OUTPUT_END) || p->output.n_subscribers > 0)
				return;
			state_move(&p->state, PROCESS_CLOSED);
			process_close(p);
			return;
		case PROCESS_CLOSED:
			return;
		}
	}
}

/* ---------------------------------------------------------------- start */

static int process_open_stream(struct process *p, enum output_stream kind, int *fd, size_t read_max,
                               const struct fdio_ops *ops)
{
	struct process_stream *stream = &p->streams[p->n_streams++];

	stream->kind = kind;
	return fdio_open(&stream->io, p->registry->loop, &p->owner, fd, read_max, ops);
}

static int process_open_pipes(struct process *p, struct child *child)
{
	int rc = process_open_stream(p, OUTPUT_STDOUT, &child->stdout_fd, PROCESS_READ_MAX,
	                             &process_pipe_ops);

	if (rc == 0)
		rc = process_open_stream(p, OUTPUT_STDERR, &child->stderr_fd, PROCESS_READ_MAX,
		                         &process_pipe_ops);
	if (rc == 0 && child->stdin_fd >= 0)
		rc = fdio_open(&p->stdin_io, p->registry->loop, &p->owner, &child->stdin_fd,
		               PROCESS_READ_MAX, &process_stdin_ops);
	return rc;
}

static int process_open_handles(struct process *p, struct child *child)
{
	struct loop *loop = p->registry->loop;
	int rc = uv_poll_init(&loop->uv, &p->pid_poll, child->pidfd);

	if (rc < 0)
		return rc;
	owner_hold(&p->owner);
	p->has_pid_poll = true;
	p->pidfd = TAKE_FD(child->pidfd);
	rc = fdio_open(&p->error_io, loop, &p->owner, &child->error_fd, sizeof p->failure,
	               &process_error_ops);
	if (rc == 0 && process_has_terminal(p))
		rc = process_open_stream(p, OUTPUT_PTY, &child->tty_fd, PROCESS_READ_TTY_MAX,
		                         &process_tty_ops);
	else if (rc == 0)
		rc = process_open_pipes(p, child);
	if (rc == 0)
		rc = uv_poll_start(&p->pid_poll, UV_READABLE, process_on_pid);
	return rc;
}

static void process_init_writes(struct process *p, const struct child *child)
{
	size_t *total = &p->registry->write_bytes;

	if (child->tty_fd >= 0)
		write_queue_init(&p->writes, PROCESS_TTY, &p->streams[0].io, p->pid, total);
	else
		write_queue_init(&p->writes, PROCESS_STDIN,
		                 child->stdin_fd >= 0 ? &p->stdin_io : NULL, p->pid, total);
}

static struct process *process_new(struct registry *registry, const struct spec *spec,
                                   struct child *child)
{
	struct process *p = xcalloc(1, sizeof *p);

	owner_init(&p->owner, process_on_closed);
	owner_hold(&registry->owner);
	p->registry = registry;
	p->config_bytes = spec->config->n_bytes;
	p->pid = child->pid;
	p->pidfd = -1;
	process_init_writes(p, child);
	p->silent.on_due = process_on_silent;
	p->drain.on_due = process_on_drain;
	p->lifetime.on_due = process_on_lifetime;
	p->settle.run = process_on_settle;
	state_init(&p->state, process_rules, ARRAY_SIZE(process_rules), PROCESS_STARTING, "process",
	           (uint64_t)child->pid);
	output_init(&p->output, &registry->loop->timers, process_set_reading,
	            process_on_output_idle);
	registry_add(registry, p);
	return p;
}

static int process_check(const struct registry *registry, const struct spec *spec, struct err *e)
{
	if (registry->is_closing)
		return err_set(e, ERR_UNAVAILABLE, "the daemon is shutting down");
	if (registry->n_processes >= REGISTRY_PROCESSES_MAX ||
	    registry->config_bytes + spec->config->n_bytes > REGISTRY_CONFIG_MAX)
		return spec_refuse(spec, ERR_LIMIT, "too many processes", e);
	if (spec->lifetime_end_ms > 0 && spec->lifetime_end_ms <= loop_now_ms(registry->loop))
		return spec_refuse(spec, ERR_DEADLINE, "context deadline exceeded", e);
	return 0;
}

/* The child exists but we cannot watch it: it has not run anything of the client's yet, or not for
 * long, and a killed process is reaped in microseconds. */
static void process_undo(struct process *p)
{
	process_kill(p);
	(void)waitpid(p->pid, NULL, 0);
	p->facts |= FACT_REAPED;
	state_move(&p->state, PROCESS_CLOSED);
	process_close(p);
}

struct process *process_start(struct registry *registry, struct spec **spec,
                              struct process_starter *starter, struct err *e)
{
	struct spawn_failure failure;
	struct child child = CHILD_NONE;
	struct process *p;
	int rc;

	if (process_check(registry, *spec, e) < 0)
		return NULL;
	if (spawn(*spec, &child, &failure) < 0) {
		(void)spawn_refuse(*spec, &failure, e);
		return NULL;
	}
	p = process_new(registry, *spec, &child);
	rc = process_open_handles(p, &child);
	child_deinit(&child);
	if (rc < 0) {
		process_undo(p);
		(void)spawn_refuse(*spec, &(struct spawn_failure){ SPAWN_FORK, -rc }, e);
		return NULL;
	}
	p->spec = TAKE_PTR(*spec);
	p->starter = starter;
	fdio_resume(&p->error_io);
	if (p->spec->lifetime_end_ms > 0)
		timer_start(&registry->loop->timers, &p->lifetime,
		            p->spec->lifetime_end_ms - loop_now_ms(registry->loop));
	return p;
}

void process_forget_starter(struct process *p)
{
	p->starter = NULL;
}

/* ---------------------------------------------------------------- for others */

bool process_is_live(const struct process *p)
{
	return p->state.now == PROCESS_RUNNING || p->state.now == PROCESS_DRAINING;
}

bool process_has_pid(const struct process *p)
{
	return !(p->facts & FACT_REAPED);
}

/* Exited, though its exit has not been read yet. */
static bool process_has_exited(const struct process *p)
{
	siginfo_t info = { 0 };

	if (p->facts & FACT_REAPED)
		return true;
	return waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid != 0;
}

int process_signal(struct process *p, int signum, enum process_scope scope, struct err *e)
{
	int rc;

	if (process_has_exited(p))
		return err_set(e, ERR_NOT_FOUND, "process with pid %d not found", (int)p->pid);
	rc = scope == PROCESS_GROUP
	             ? kill(-p->pid, signum)
	             : (int)syscall(SYS_pidfd_send_signal, p->pidfd, signum, NULL, 0);
	if (rc < 0 && errno == ESRCH)
		return err_set(e, ERR_NOT_FOUND, "process with pid %d not found", (int)p->pid);
	if (rc < 0)
		return err_set(e, ERR_INTERNAL, "error sending signal: %s", errno_text(errno));
	p->facts |= FACT_HURRY;
	return 0;
}

int process_write(struct process *p, enum process_channel channel, struct process_write *w,
                  const uint8_t *data, size_t len, struct err *e)
{
	return write_queue_push(&p->writes, channel, w, data, len, e);
}

int process_close_stdin(struct process *p, struct err *e)
{
	return write_queue_close(&p->writes, e);
}

int process_resize(struct process *p, uint32_t cols, uint32_t rows, struct err *e)
{
	const struct winsize size = { .ws_col = (uint16_t)cols, .ws_row = (uint16_t)rows };

	if (!process_has_terminal(p))
		return err_set(e, ERR_INTERNAL, "error resizing tty: tty not assigned to process");
	if (ioctl(p->streams[0].io.fd, TIOCSWINSZ, &size) < 0)
		return err_set(e, ERR_INTERNAL, "error resizing tty: %s", errno_text(errno));
	return 0;
}

void process_abandon(struct process *p)
{
	struct process_starter *starter = TAKE_PTR(p->starter);
	CLEANUP(err_clear) struct err why = { 0 };
	CLEANUP(err_clear) struct err copy = { 0 };

	(void)err_set(&why, ERR_UNAVAILABLE, "the daemon is shutting down");
	(void)err_set(&copy, ERR_UNAVAILABLE, "the daemon is shutting down");
	if (starter)
		starter->on_refused(starter, &copy);
	write_queue_end(&p->writes, &why);
	output_abort(&p->output, &why);
	state_move(&p->state, PROCESS_CLOSED);
	process_close(p);
}
