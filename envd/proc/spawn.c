/*
 * The parent half makes the pipes and forks with all signals blocked, so that no handler of ours
 * ever runs in the child. The child half (from child_run down to the end of its section) runs
 * between fork and exec of a threaded program: it makes system calls and touches memory that was
 * prepared for it, nothing else. Identity calls are raw, because the C library's broadcast them to
 * threads that do not exist in the child.
 */
#include "proc/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

/* uapi/linux/ioprio.h, which old kernel headers lack. */
#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_BEST_EFFORT (2 << 13)
#define IOPRIO_LEVEL       4 /* the middle of eight, what a process has that asked for nothing */

/* Before daemons and before us, when memory runs out (process.md 3.3). */
#define OOM_SCORE_ADJ "100"

#define TERMINAL_MODE 0620 /* its user reads and writes, group tty writes */

#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND      127

/* The child's ends. */
struct child_fds {
	int stdio[3]; /* a terminal is the first only */
	int error;
};

/* ---------------------------------------------------------------- the child */

static void child_write(int fd, const char *s)
{
	ssize_t rc = write(fd, s, strlen(s));

	UNUSED(rc); /* nobody is left to tell */
}

static _Noreturn void child_refuse(const struct child_fds *fds, enum spawn_stage stage, int error)
{
	struct spawn_failure failure = { .stage = stage, .error = error };
	ssize_t rc = write(fds->error, &failure, sizeof failure); /* far below PIPE_BUF: whole */

	UNUSED(rc);
	_exit(EXIT_NOT_FOUND);
}

#define KERNEL_SIGSET_SIZE 8u /* bytes */

/* Past the C library, which keeps its own signals from us: whoever started us may ignore them. */
static void child_reset_signals(void)
{
	static const unsigned long
		by_default[8]; /* the kernel's struct sigaction, all of it zero */

	for (int i = 1; i < NSIG; i++)
		(void)syscall(SYS_rt_sigaction, i, by_default, NULL, KERNEL_SIGSET_SIZE);
}

/* All best effort, and while still root: a process with the wrong priority is better than none. */
static void child_set_priorities(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		child_write(fd, OOM_SCORE_ADJ);
		close(fd);
	}
	(void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_BEST_EFFORT | IOPRIO_LEVEL);
	(void)setpriority(PRIO_PROCESS, 0, 0);
}

static void child_set_stdio(const struct spec *spec, const struct child_fds *fds)
{
	if (spec->has_terminal && ioctl(fds->stdio[0], TIOCSCTTY, 0) < 0)
		child_refuse(fds, SPAWN_IDENTITY, errno);
	for (int i = 0; i < 3; i++) {
		if (dup2(fds->stdio[spec->has_terminal ? 0 : i], i) < 0)
			child_refuse(fds, SPAWN_IDENTITY, errno);
	}
}

/* Without privilege only our own identity can be had, and there is nothing to set. */
static void child_set_identity(const struct spec *spec, const struct child_fds *fds)
{
	const struct user *user = &spec->user;

	(void)syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &spec->nofile, NULL);
	if (geteuid() != 0 && geteuid() == user->uid && getegid() == user->gid)
		return;
	if (syscall(SYS_setgroups, user->n_groups, user->groups) < 0 ||
	    syscall(SYS_setresgid, user->gid, user->gid, user->gid) < 0 ||
	    syscall(SYS_setresuid, user->uid, user->uid, user->uid) < 0)
		child_refuse(fds, SPAWN_IDENTITY, errno);
}

static void child_set_pwd(const struct spec *spec)
{
	static char pwd[sizeof "PWD=" + PATH_MAX]; /* the daemon's own copy is never touched */
	size_t prefix = sizeof "PWD=" - 1;

	if (!spec->sets_pwd)
		return;
	memcpy(pwd, "PWD=", prefix);
	/* "(unreachable)" and failure: better no PWD than a wrong one. */
	if (syscall(SYS_getcwd, pwd + prefix, PATH_MAX) >= 0 && pwd[prefix] == '/')
		spec->envp[spec->n_envp] = pwd;
}

/* One candidate, as execvp does it; returns only on failure. */
static void child_exec(const struct spec *spec, char *file)
{
	execve(file, spec->argv, spec->envp);
	if (errno != ENOEXEC)
		return;
	spec->sh_argv[1] = file;
	execve(spec->sh_argv[0], spec->sh_argv, spec->envp);
}

/* Whether the search goes on behind this error (execvp's list). */
static bool is_absent(int error)
{
	return error == ENOENT || error == ENOTDIR || error == EACCES || error == ESTALE ||
	       error == ENODEV || error == ETIMEDOUT || error == ENAMETOOLONG;
}

/* The command in the directory that is the first len bytes of dir; none is the working directory.
 * Returns the errno of exec. */
static int child_exec_in(const struct spec *spec, const char *dir, size_t len, bool *is_denied)
{
	static char file[PATH_MAX]; /* the daemon's own copy is never touched */
	size_t size = strlen(spec->argv[0]) + 1, at = len;
	int error;

	if (len + 1 + size > sizeof file)
		return ENAMETOOLONG; /* what the kernel would say */
	memcpy(file, dir, len);
	if (len > 0)
		file[at++] = '/';
	memcpy(file + at, spec->argv[0], size);
	child_exec(spec, file);
	error = errno;
	/* A directory that may not be searched does not make a missing command exist. */
	if (error == EACCES && access(file, F_OK) == 0)
		*is_denied = true;
	return error;
}

/* Returns the errno that stands for the whole search. */
static int child_search(const struct spec *spec)
{
	const char *dir = spec->path;
	bool is_denied = false;

	for (;;) {
		size_t len = strcspn(dir, ":");
		int error = child_exec_in(spec, dir, len, &is_denied);

		if (!is_absent(error))
			return error;
		if (dir[len] == '\0')
			return is_denied ? EACCES : ENOENT;
		dir += len + 1;
	}
}

static bool is_shortage(int error)
{
	return error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE ||
	       error == ENOSPC;
}

/*
 * SDKs and people know a missing command by status 127, not by a failed call. The error pipe closes
 * first: nobody reads stderr before, and a long name fills it. So do our other copies of the daemon's
 * descriptors, or a child that waits here would not notice that its reader is gone.
 */
static _Noreturn void child_exec_failed(const struct spec *spec, const struct child_fds *fds,
                                        int error)
{
	bool is_missing = error == ENOENT || error == ENOTDIR;

	if (error == E2BIG || is_shortage(error))
		child_refuse(fds, SPAWN_EXEC, error);
	close(fds->error);
	(void)syscall(SYS_close_range, 3u, ~0u, 0u);
	child_write(STDERR_FILENO, "exec: ");
	child_write(STDERR_FILENO, spec->argv[0]);
	child_write(STDERR_FILENO, ": ");
	child_write(STDERR_FILENO, is_missing ? "not found" : errno_text(error));
	child_write(STDERR_FILENO, "\n");
	_exit(is_missing ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

static _Noreturn void child_run(const struct spec *spec, const struct child_fds *fds)
{
	sigset_t none;
	int error;

	child_reset_signals();
	(void)setsid(); /* fails only for a group leader, which a new process is not */
	child_set_priorities();
	child_set_stdio(spec, fds);
	child_set_identity(spec, fds);
	if (chdir(spec->cwd) < 0)
		child_refuse(fds, SPAWN_CHDIR, errno);
	child_set_pwd(spec);
	/* Ours are close-on-exec anyway; this is for what the daemon itself was started with. */
	(void)syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);

	if (spec->path) {
		error = child_search(spec);
	} else {
		child_exec(spec, spec->argv[0]);
		error = errno;
	}
	child_exec_failed(spec, fds, error);
}

/* ---------------------------------------------------------------- the parent */

/* Above stdio, so that the child's dup2 cannot overwrite it. Takes fd; -1 with errno, as its maker. */
static int fd_lift(int fd)
{
	int high, error;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	error = errno;
	close(fd);
	errno = error;
	return high;
}

static int fd_set_nonblocking(int fd)
{
	return fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

/* What is open after a failure belongs to the caller, as after success. */
static int pipe_open(int *out_read, int *out_write)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	*out_read = fd_lift(fds[0]);
	*out_write = fd_lift(fds[1]);
	return *out_read < 0 || *out_write < 0 ? -EMFILE : 0;
}

static void child_fds_close(struct child_fds *fds)
{
	for (int i = 0; i < 3; i++)
		close_fdp(&fds->stdio[i]);
	close_fdp(&fds->error);
}

static int stdin_open(enum spec_stdin kind, struct child *child, struct child_fds *fds)
{
	int rc;

	if (kind == SPEC_STDIN_PIPE) {
		rc = pipe_open(&fds->stdio[0], &child->stdin_fd);
		return rc < 0 ? rc : fd_set_nonblocking(child->stdin_fd);
	}
	fds->stdio[0] = fd_lift(open("/dev/null", O_RDONLY | O_CLOEXEC));
	return fds->stdio[0] < 0 ? -errno : 0;
}

static int output_open(int *out_ours, int *out_theirs)
{
	int rc = pipe_open(out_ours, out_theirs);

	return rc < 0 ? rc : fd_set_nonblocking(*out_ours);
}

/* devpts makes it ours; its user must be able to open it by name (process.md 3.7). */
static void terminal_give(const struct spec *spec, int slave)
{
	if (geteuid() != 0)
		return; /* the user can only be ourselves */
	if (fchown(slave, spec->user.uid, spec->tty_gid) < 0 || fchmod(slave, TERMINAL_MODE) < 0)
		log_event_limited(LOG_WARNING, "process", "terminal keeps its owner, ignoring",
		                  log_str("error", errno_text(errno)));
}

static int terminal_open(const struct spec *spec, struct child *child, struct child_fds *fds)
{
	const struct winsize size = { .ws_col = (uint16_t)spec->terminal.cols,
		                      .ws_row = (uint16_t)spec->terminal.rows };
	int unlocked = 0;

	child->tty_fd = fd_lift(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
	if (child->tty_fd < 0 || ioctl(child->tty_fd, TIOCSPTLCK, &unlocked) < 0 ||
	    ioctl(child->tty_fd, TIOCSWINSZ, &size) < 0)
		return -errno;
	/* By its master, not by a name that may lead to another mount of devpts. */
	fds->stdio[0] = fd_lift(ioctl(child->tty_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
	if (fds->stdio[0] < 0)
		return -errno;
	terminal_give(spec, fds->stdio[0]);
	return 0;
}

static int pipes_open(const struct spec *spec, struct child *child, struct child_fds *fds)
{
	int rc = stdin_open(spec->stdin_kind, child, fds);

	if (rc == 0)
		rc = output_open(&child->stdout_fd, &fds->stdio[1]);
	if (rc == 0)
		rc = output_open(&child->stderr_fd, &fds->stdio[2]);
	return rc;
}

static int stdio_open(const struct spec *spec, struct child *child, struct child_fds *fds)
{
	int rc =
		spec->has_terminal ? terminal_open(spec, child, fds) : pipes_open(spec, child, fds);

	return rc < 0 ? rc : output_open(&child->error_fd, &fds->error);
}

/* Like fork, with a pidfd and a cgroup. The kernel copies everything (no CLONE_VM, no CLONE_VFORK):
 * an exec that hangs on a dead file system must not hang us. */
static pid_t fork_clone3(const struct cgroup *cgroup, int *out_pidfd)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)out_pidfd,
		.exit_signal = SIGCHLD,
	};

	if (cgroup) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)cgroup->dir_fd;
	}
	return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

/* For sandboxes whose filter refuses clone3; the cgroup is then not ours to choose. */
static pid_t fork_plain(int *out_pidfd)
{
	pid_t pid = fork();

	if (pid <= 0)
		return pid;
	*out_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (*out_pidfd < 0) {
		int error = errno;

		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		errno = error;
		return -1;
	}
	return pid;
}

#if defined(__SANITIZE_THREAD__)
#define CLONE3_WORKS false /* the sanitizer must see the fork, it locks its state around it */
#else
#define CLONE3_WORKS true
#endif

/* Better in the daemon's cgroup than not at all; a shortage may be the cgroup's own limit, and stays. */
static pid_t fork_into(struct cgroup *cgroup, int *out_pidfd)
{
	pid_t pid = fork_clone3(cgroup, out_pidfd);

	if (pid >= 0 || !cgroup || is_shortage(errno))
		return pid;
	cgroup_missed(cgroup, errno);
	return fork_clone3(NULL, out_pidfd);
}

static pid_t fork_child(const struct spec *spec, int *out_pidfd)
{
	static bool clone3_works = CLONE3_WORKS; /* loop thread only */
	pid_t pid;

	if (clone3_works) {
		pid = fork_into(spec->cgroup, out_pidfd);
		if (pid >= 0 || (errno != ENOSYS && errno != EPERM))
			return pid;
		clone3_works = false;
	}
	return fork_plain(out_pidfd);
}

int spawn(const struct spec *spec, struct child *out_child, struct spawn_failure *out_failure)
{
	struct child_fds fds = { .stdio = { -1, -1, -1 }, .error = -1 };
	struct child child = CHILD_NONE;
	sigset_t all, old;
	int rc = stdio_open(spec, &child, &fds);

	if (rc < 0) {
		*out_failure = (struct spawn_failure){ SPAWN_STDIO, -rc };
	} else {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		child.pid = fork_child(spec, &child.pidfd);
		if (child.pid == 0)
			child_run(spec, &fds);
		*out_failure = (struct spawn_failure){ SPAWN_FORK, errno };
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	child_fds_close(&fds);
	if (child.pid < 0) {
		child_deinit(&child);
		return -1;
	}
	*out_child = child;
	return 0;
}

void child_deinit(struct child *child)
{
	close_fdp(&child->pidfd);
	close_fdp(&child->error_fd);
	close_fdp(&child->stdin_fd);
	close_fdp(&child->stdout_fd);
	close_fdp(&child->stderr_fd);
	close_fdp(&child->tty_fd);
}

int spawn_refuse(const struct spec *spec, const struct spawn_failure *failure, struct err *e)
{
	CLEANUP(buf_deinit) struct buf cause = { 0 };
	const char *text = errno_text(failure->error);
	enum err_kind kind = is_shortage(failure->error) ? ERR_LIMIT : ERR_INVALID;

	buf_init(&cause, ERR_TEXT_MAX / 2);
	if (failure->stage == SPAWN_STDIO && !spec->has_terminal) {
		process_config_append_command(spec->config, &cause);
		return err_set(e, kind == ERR_LIMIT ? kind : ERR_INTERNAL,
		               "error creating stdio pipes for command '%.*s': %s", (int)cause.len,
		               cause.data ? (const char *)cause.data : "", text);
	}
	/* What the reference says, whose launch begins with a shell: clients match these texts. */
	buf_appendf(&cause, "%s: %s",
	            failure->stage == SPAWN_STDIO ? "open /dev/ptmx" : "fork/exec /bin/sh", text);
	buf_append_byte(&cause, '\0');
	return spec_refuse(spec, kind, (const char *)cause.data, e);
}
