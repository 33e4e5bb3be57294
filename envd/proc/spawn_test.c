/*
 * What the child is when its program begins, and how a launch that cannot be is told: real children
 * of this test, which runs as root in CI and as anybody elsewhere.
 */
#include "proc/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "proc/process_fixture.h"
#include "tests/support/cgroup_root.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

#define SCRIPT(text) (&(struct client_options){ .script = (text) })

static const struct spec_terminal terminal = { .cols = 65536 + 80, .rows = 24 };

#define TERMINAL(text) (&(struct client_options){ .script = (text), .terminal = &terminal })

static void expect_stdout(struct process_fixture *f, const struct client_options *options,
                          const char *text)
{
	struct client c;

	assert_string_equal(client_run(f, &c, options), text);
	assert_string_equal(client_stderr(&c), "");
	assert_int_equal(c.exit.code, 0);
	client_deinit(&c);
}

static void expect_tty(struct process_fixture *f, const struct client_options *options, int code,
                       const char *text)
{
	struct client c;

	(void)client_run(f, &c, options);
	assert_string_equal(client_tty(&c), text);
	assert_int_equal(c.exit.code, code);
	client_deinit(&c);
}

static void expect_refused(struct process_fixture *f, const struct client_options *options,
                           enum err_kind kind, const char *text)
{
	struct client c;

	client_start(f, &c, options);
	client_wait(&c);
	assert_false(c.has_started);
	assert_string_equal(err_text(&c.e), text);
	assert_int_equal(c.e.kind, kind);
	client_deinit(&c);
}

static void expect_exit(struct process_fixture *f, const struct client_options *options, int code,
                        const char *stderr_text)
{
	struct client c;

	(void)client_run(f, &c, options);
	assert_true(c.has_started);
	assert_int_equal(c.exit.code, code);
	assert_string_equal(client_stderr(&c), stderr_text);
	client_deinit(&c);
}

static void skip_unless_root(void)
{
	if (geteuid() != 0)
		skip();
}

static void test_spawn_child_has_three_descriptors(void **state)
{
	const char *const args[] = { "/proc/self/fd" };

	/* 3 is the directory that ls itself reads. */
	expect_stdout(*state, &(struct client_options){ .cmd = "ls", .args = args, .n_args = 1 },
	              "0\n1\n2\n3\n");
}

static void test_spawn_child_leads_its_own_session_and_group(void **state)
{
	expect_stdout(*state,
	              SCRIPT("read -r line </proc/self/stat; set -- ${line##*)}; "
	                     "read -r mine </proc/$$/stat; set -- $$ ${mine##*)}; "
	                     "[ $1 = $4 ] && [ $1 = $5 ] && echo leads"),
	              "leads\n");
}

static void test_spawn_child_has_default_signals_and_an_empty_mask(void **state)
{
	/* The first signal of the C library's own, which only the kernel lets us ignore. */
	const unsigned long ignored[8] = { (unsigned long)SIG_IGN };
	const int own_signal = 32;
	unsigned long before[8];
	struct client c;
	char *at;
	sigset_t set, old;

	assert_int_equal(syscall(SYS_rt_sigaction, own_signal, ignored, before, 8), 0);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGUSR2, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, &set, &old);
	(void)client_run(
		*state, &c,
		&(struct client_options){ .cmd = "cat",
	                                  .args = (const char *const[]){ "/proc/self/status" },
	                                  .n_args = 1 });
	at = strstr(client_stdout(&c), "SigBlk:");
	assert_non_null(at);
	assert_memory_equal(at, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000", 49);
	client_deinit(&c);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)signal(SIGUSR2, SIG_DFL);
	assert_int_equal(syscall(SYS_rt_sigaction, own_signal, before, NULL, 8), 0);
	sigprocmask(SIG_BLOCK, NULL, &set);
	assert_false(sigismember(&set, SIGTERM)); /* ours is as before */
}

static void test_spawn_child_has_its_own_descriptor_limit(void **state)
{
	struct client_options options = { .script = "ulimit -Sn" };

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &options.nofile), 0);
	options.nofile.rlim_cur = 123;
	expect_stdout(*state, &options, "123\n");
}

/* A cgroup tree of its own, or NULL where there is none and the test skips. */
static char *own_cgroups(struct cgroups *c)
{
	CLEANUP(buf_deinit) struct buf skipped = { 0 };
	CLEANUP(err_clear) struct err e = { 0 };
	char *root = cgroup_root_new();

	cgroups_init(c);
	if (root)
		assert_int_equal(cgroups_set_up(c, root, &skipped, &e), 0);
	return root;
}

/* Runs a script in the cgroup "user" of such a tree after that was treated. */
static void run_in_cgroup(struct process_fixture *f, const char *script,
                          void (*treat)(const char *root), struct client *c)
{
	struct client_options options = { .script = script };
	struct cgroups cgroups;
	struct err e = { 0 };
	char *root = own_cgroups(&cgroups);

	if (!root)
		skip();
	assert_int_equal(cgroups_admit(&cgroups, CGROUP_USER, &options.cgroup, &e), 0);
	treat(root);
	(void)client_run(f, c, &options);
	assert_int_equal(c->exit.code, 0);
	process_fixture_wait_empty(f);
	cgroups_deinit(&cgroups);
	cgroup_root_free(root);
}

static void remove_user(const char *root)
{
	char *path = temp_dir_path(root, "user");

	assert_int_equal(rmdir(path), 0);
	free(path);
}

/* A cgroup of threads takes no processes. */
static void spoil_user(const char *root)
{
	cgroup_root_write(root, "user/cgroup.type", "threaded");
}

/* The fork that ThreadSanitizer can follow knows no cgroups. */
#if !defined(__SANITIZE_THREAD__)
static void leave_alone(const char *root)
{
	(void)root;
}

static void test_spawn_child_is_in_its_cgroup_from_its_first_moment(void **state)
{
	struct client c;

	run_in_cgroup(*state, "cat /proc/$$/cgroup", leave_alone, &c);
	assert_non_null(strstr(client_stdout(&c), "/user\n"));
	client_deinit(&c);
}

/* Frozen between the question and the fork, by somebody else. */
static void test_spawn_child_in_a_frozen_cgroup_waits_alone(void **state)
{
	struct client_options options = { .script = "echo runs" };
	struct cgroups cgroups;
	struct client c;
	struct err e = { 0 };
	char *root = own_cgroups(&cgroups);

	if (!root)
		skip();
	assert_int_equal(cgroups_admit(&cgroups, CGROUP_USER, &options.cgroup, &e), 0);
	cgroup_root_write(root, "user/cgroup.freeze", "1");
	client_start(*state, &c, &options);
	cgroup_root_wait(root, "user/cgroup.events", "populated 1\nfrozen 1\n");
	expect_stdout(*state, SCRIPT("echo others run"), "others run\n");
	assert_false(c.has_started || c.is_settled);
	cgroup_root_write(root, "user/cgroup.freeze", "0");
	client_wait(&c);
	assert_string_equal(client_stdout(&c), "runs\n");
	client_deinit(&c);
	process_fixture_wait_empty(*state);
	cgroups_deinit(&cgroups);
	cgroup_root_free(root);
}
#endif

static void test_spawn_child_runs_although_its_cgroup_was_removed(void **state)
{
	struct client c;

	run_in_cgroup(*state, "echo runs", remove_user, &c);
	assert_string_equal(client_stdout(&c), "runs\n");
	client_deinit(&c);
}

static void test_spawn_child_runs_although_its_cgroup_takes_no_processes(void **state)
{
	struct client c;

	run_in_cgroup(*state, "echo runs", spoil_user, &c);
	assert_string_equal(client_stdout(&c), "runs\n");
	client_deinit(&c);
}

static void test_spawn_child_has_oom_score_and_nice_of_its_own(void **state)
{
	int before = getpriority(PRIO_PROCESS, 0);

	expect_stdout(*state, SCRIPT("cat /proc/$$/oom_score_adj"), "100\n");
	skip_unless_root();
	assert_int_equal(setpriority(PRIO_PROCESS, 0, before + 1), 0);
	expect_stdout(*state, SCRIPT("read -r s </proc/$$/stat; set -- ${s##*)}; echo ${17}"),
	              "0\n");
	assert_int_equal(setpriority(PRIO_PROCESS, 0, before), 0);
}

static void test_spawn_child_has_the_identity_and_groups_of_its_user(void **state)
{
	struct process_fixture *f = *state;

	skip_unless_root();
	assert_int_equal(chmod(f->dir, 0755), 0);
	expect_stdout(f,
	              &(struct client_options){ .script = "id -u; id -g; id -G; grep -E '^[UG]id' "
	                                                  "/proc/$$/status; cd; pwd",
	                                        .user = "other",
	                                        .cwd = "/",
	                                        .envs = &(struct environ_pair){ "HOME", "/" },
	                                        .n_envs = 1 },
	              "12345\n23456\n23456 34567 34568\n"
	              "Uid:\t12345\t12345\t12345\t12345\nGid:\t23456\t23456\t23456\t23456\n/\n");
}

static void test_spawn_missing_command_is_status_127_with_a_line(void **state)
{
	expect_exit(*state, &(struct client_options){ .cmd = "no-such-command" }, 127,
	            "exec: no-such-command: not found\n");
	expect_exit(*state, &(struct client_options){ .cmd = "/no/such/command" }, 127,
	            "exec: /no/such/command: not found\n");
	expect_exit(*state, &(struct client_options){ .cmd = "" }, 127, "exec: : not found\n");
	expect_exit(*state, &(struct client_options){ .cmd = "-la" }, 127,
	            "exec: -la: not found\n");
	expect_exit(*state, &(struct client_options){ .cmd = "/etc/passwd/x" }, 127,
	            "exec: /etc/passwd/x: not found\n");
}

static void test_spawn_directory_of_path_that_is_closed_hides_what_is_in_it(void **state)
{
	struct process_fixture *f = *state;
	char *closed = temp_dir_path(f->dir, "closed");
	char *file, path[600];
	struct environ_pair env = { "PATH", path };
	struct client_options options = {
		.cmd = "tool", .envs = &env, .n_envs = 1, .user = "other", .cwd = "/"
	};

	skip_unless_root();
	assert_int_equal(chmod(f->dir, 0755), 0);
	assert_int_equal(mkdir(closed, 0700), 0);
	file = temp_dir_file(closed, "tool", "", 0755);
	(void)snprintf(path, sizeof path, "%s:/bin", closed);
	expect_exit(f, &options, 127, "exec: tool: not found\n");
	free(file);
	free(closed);
}

static void test_spawn_command_that_is_not_executable_is_status_126(void **state)
{
	struct process_fixture *f = *state;
	char *file = temp_dir_file(f->dir, "plain", "echo no\n", 0644);
	struct environ_pair path = { "PATH", f->dir };

	expect_exit(f, &(struct client_options){ .cmd = "./plain" }, 126,
	            "exec: ./plain: permission denied\n");
	expect_exit(f, &(struct client_options){ .cmd = "plain", .envs = &path, .n_envs = 1 }, 126,
	            "exec: plain: permission denied\n");
	expect_exit(f, &(struct client_options){ .cmd = "/" }, 126, "exec: /: permission denied\n");
	free(file);
}

static void test_spawn_name_too_long_for_any_directory_is_status_126(void **state)
{
	CLEANUP(freep) char *name = xmalloc(5001);
	struct client c;

	memset(name, 'n', 5000);
	name[5000] = '\0';
	(void)client_run(*state, &c, &(struct client_options){ .cmd = name });
	assert_int_equal(c.exit.code, 126);
	client_deinit(&c);
}

static void test_spawn_script_without_interpreter_runs_in_the_shell(void **state)
{
	struct process_fixture *f = *state;
	char *file = temp_dir_file(f->dir, "script", "echo \"$0|$1|$2|$#\"\n", 0755);
	const char *const args[] = { "a b", "" };
	struct environ_pair path = { "PATH", f->dir };
	char expected[600];

	expect_stdout(f, &(struct client_options){ .cmd = "./script", .args = args, .n_args = 2 },
	              "./script|a b||2\n");
	(void)snprintf(expected, sizeof expected, "%s|a b||2\n", file);
	expect_stdout(
		f,
		&(struct client_options){
			.cmd = "script", .args = args, .n_args = 2, .envs = &path, .n_envs = 1 },
		expected);
	free(file);
}

static void test_spawn_searches_the_childs_path(void **state)
{
	struct process_fixture *f = *state;
	char *file = temp_dir_file(f->dir, "tool", "#!/bin/sh\necho \"found $0\"\n", 0755);
	char path[600], expected[600];
	struct environ_pair env = { "PATH", path };
	struct client_options options = { .cmd = "tool", .envs = &env, .n_envs = 1 };

	(void)snprintf(path, sizeof path, "/nonexistent:/etc/passwd:%s:/bin", f->dir);
	(void)snprintf(expected, sizeof expected, "found %s\n", file);
	expect_stdout(f, &options, expected);
	/* An empty entry is the working directory. */
	(void)snprintf(path, sizeof path, "/nonexistent::/bin");
	expect_stdout(f, &options, "found tool\n");
	path[0] = '\0';
	expect_stdout(f, &options, "found tool\n");
	free(file);
}

/* Around the length that no path may have: the kernel refuses the shorter ones, we the longer ones. */
static void test_spawn_directory_of_path_that_is_too_long_is_passed_over(void **state)
{
	char path[2 * PATH_MAX];
	struct environ_pair env = { "PATH", path };
	const char *const args[] = { "x" };
	struct client_options options = {
		.cmd = "echo", .args = args, .n_args = 1, .envs = &env, .n_envs = 1
	};

	for (size_t len = PATH_MAX - 8; len < PATH_MAX + 4; len++) {
		memset(path, '/', len);
		(void)snprintf(path + len, sizeof path - len, ":/bin");
		path[len - 1] = 'x';
		expect_stdout(*state, &options, "x\n");
	}
}

static void test_spawn_argv0_is_the_command_as_given(void **state)
{
	const char *const args[] = { "-c", "cat /proc/$$/cmdline | tr '\\0' '|'" };

	expect_stdout(*state, &(struct client_options){ .cmd = "sh", .args = args, .n_args = 2 },
	              "sh|-c|cat /proc/$$/cmdline | tr '\\0' '|'|");
}

static void test_spawn_working_directory_problems_refuse_the_start(void **state)
{
	struct process_fixture *f = *state;
	char *file = temp_dir_file(f->dir, "file", "", 0644);
	char text[600];

	expect_refused(f, &(struct client_options){ .cmd = "ls", .cwd = "/no/such/dir" },
	               ERR_INVALID, "cwd '/no/such/dir' does not exist");
	expect_refused(
		f, &(struct client_options){ .cmd = "ls", .cwd = "~x" }, ERR_INVALID,
		"failed to expand path '~x' for user 'me': cannot expand user-specific home dir");
	expect_refused(f, &(struct client_options){ .cmd = "ls", .cwd = file }, ERR_INVALID,
	               "error starting process 'ls': fork/exec /bin/sh: not a directory");
	(void)snprintf(text, sizeof text,
	               "error starting process 'ls': fork/exec /bin/sh: permission denied");
	free(file);
	skip_unless_root();
	assert_int_equal(chmod(f->dir, 0700), 0);
	expect_refused(f, &(struct client_options){ .cmd = "ls", .user = "other" }, ERR_INVALID,
	               text);
}

static void test_spawn_directory_that_vanishes_before_the_fork_refuses_the_start(void **state)
{
	struct process_fixture *f = *state;
	char *dir = temp_dir_path(f->dir, "gone");
	CLEANUP(err_clear) struct err e = { 0 };
	struct spawn_failure failure;
	struct child child;
	struct spec *spec;

	assert_int_equal(mkdir(dir, 0755), 0);
	spec = process_fixture_spec(f, &(struct client_options){ .cmd = "ls", .cwd = dir }, &e);
	assert_non_null(spec);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(spawn(spec, &child, &failure), 0);
	while (read(child.error_fd, &failure, sizeof failure) < 0)
		assert_int_equal(errno, EAGAIN);
	assert_int_equal(failure.stage, SPAWN_CHDIR);
	assert_int_equal(spawn_refuse(spec, &failure, &e), -1);
	assert_string_equal(
		err_text(&e),
		"error starting process 'ls': fork/exec /bin/sh: no such file or directory");
	assert_int_equal(waitpid(child.pid, NULL, 0), child.pid);
	child_deinit(&child);
	spec_free(spec);
	free(dir);
}

static void test_spawn_too_many_arguments_refuse_the_start(void **state)
{
	const size_t len = 300 * 1024; /* above the kernel's 128 KiB for one string */
	CLEANUP(freep) char *arg = xmalloc(len + 1);
	const char *const args[] = { arg };
	struct client c;

	memset(arg, 'a', len);
	arg[len] = '\0';
	client_start(*state, &c,
	             &(struct client_options){ .cmd = "true", .args = args, .n_args = 1 });
	client_wait(&c);
	assert_true(c.is_refused);
	assert_int_equal(c.e.kind, ERR_INVALID);
	assert_memory_equal(err_text(&c.e), "error starting process 'true aaaa", 33);
	assert_non_null(strstr(err_text(&c.e), "': fork/exec /bin/sh: argument list too long"));
	client_deinit(&c);
}

static void test_spawn_terminal_controls_the_childs_session(void **state)
{
	expect_tty(*state,
	           TERMINAL("[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && : </dev/tty && echo three; "
	                    "read -r s </proc/$$/stat; set -- $$ ${s##*)}; "
	                    "[ $1 = $4 ] && [ $1 = $5 ] && [ $1 = $7 ] && echo leads"),
	           0, "three\r\nleads\r\n");
}

static void test_spawn_terminal_has_its_size_before_the_child_runs(void **state)
{
	static const struct spec_terminal none = { 0, 0 };

	expect_tty(*state, TERMINAL("stty size"), 0, "24 80\r\n");
	expect_tty(*state, &(struct client_options){ .script = "stty size", .terminal = &none }, 0,
	           "0 0\r\n");
}

static void test_spawn_terminal_is_all_a_child_inherits(void **state)
{
	const char *const args[] = { "/proc/self/fd" };

	expect_tty(*state,
	           &(struct client_options){
			   .cmd = "ls", .args = args, .n_args = 1, .terminal = &terminal },
	           0, "0  1  2  3\r\n");
}

static void test_spawn_terminal_belongs_to_its_user_and_to_group_tty(void **state)
{
	struct process_fixture *f = *state;
	struct client_options options = { .script = "stat -c '%u %g %a' $(tty); : <>$(tty)",
		                          .user = "other",
		                          .cwd = "/",
		                          .terminal = &terminal };

	skip_unless_root();
	expect_tty(f, &options, 0, "12345 45678 620\r\n");
	f->users.group = "/dev/null"; /* which is no file of groups: there is none then */
	options.script = "stat -c '%u %a' $(tty)";
	expect_tty(f, &options, 0, "12345 620\r\n");
}

static void test_spawn_missing_command_is_told_on_the_terminal(void **state)
{
	expect_tty(*state, &(struct client_options){ .cmd = "no-such", .terminal = &terminal }, 127,
	           "exec: no-such: not found\r\n");
}

static void test_spawn_terminal_that_cannot_be_started_has_a_text_of_its_own(void **state)
{
	struct process_fixture *f = *state;
	char *file = temp_dir_file(f->dir, "file", "", 0644);
	unsigned n_fds = test_fd_count();
	char text[600];

	(void)snprintf(text, sizeof text,
	               "error starting pty with command 'ls' in dir '%s' with '65616' cols and "
	               "'24' rows: fork/exec /bin/sh: not a directory",
	               file);
	for (unsigned i = 0; i < 50; i++)
		expect_refused(
			f,
			&(struct client_options){ .cmd = "ls", .cwd = file, .terminal = &terminal },
			ERR_INVALID, text);
	process_fixture_wait_empty(f);
	assert_int_equal(test_fd_count(), n_fds);
	free(file);
}

/* Mounts this on /dev/pts, seen by nobody else; returns the way back. Skips where it may not. */
static int enter_other_devpts(const char *type, const char *options)
{
	int back = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);

	assert_true(back >= 0);
	if (unshare(CLONE_NEWNS) < 0) {
		close(back);
		skip();
	}
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount(type, "/dev/pts", type, 0, options), 0);
	return back;
}

static void leave_other_devpts(int back)
{
	assert_int_equal(setns(back, CLONE_NEWNS), 0);
	close(back);
}

static void test_spawn_without_a_free_terminal_is_a_limit(void **state)
{
	int back = enter_other_devpts("devpts", "newinstance,max=1"), only;
	struct client c;

	only = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(only >= 0);
	client_start(*state, &c, TERMINAL("true"));
	assert_true(c.is_settled);
	assert_int_equal(c.e.kind, ERR_LIMIT);
	assert_non_null(strstr(err_text(&c.e), "rows: open /dev/ptmx: no space left on device"));
	client_deinit(&c);
	close(only);
	expect_tty(*state, TERMINAL("tty"), 0, "/dev/pts/0\r\n");
	leave_other_devpts(back);
}

static void test_spawn_without_terminals_is_told_clearly(void **state)
{
	int back = enter_other_devpts("tmpfs", "");
	struct client c;

	client_start(*state, &c, TERMINAL("true"));
	assert_true(c.is_settled);
	assert_int_equal(c.e.kind, ERR_INVALID);
	assert_non_null(strstr(err_text(&c.e), "rows: open /dev/ptmx: no such device"));
	client_deinit(&c);
	leave_other_devpts(back);
}

static void test_spawn_without_descriptors_is_a_limit_and_leaves_nothing(void **state)
{
	struct process_fixture *f = *state;
	struct rlimit old, low;
	unsigned n_fds = test_fd_count();

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	/* Each step of the way to the fork runs out once, with pipes and with a terminal. */
	for (unsigned spare = 0; spare <= 19; spare++) {
		CLEANUP(err_clear) struct err e = { 0 };
		struct spec *spec =
			process_fixture_spec(f, spare % 2 ? TERMINAL("true") : SCRIPT("true"), &e);
		struct spawn_failure failure;
		struct child child;
		int rc;

		low = (struct rlimit){ n_fds - 1 + spare / 2, old.rlim_max };
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
		rc = spawn(spec, &child, &failure);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		if (rc == 0) {
			assert_int_equal(waitpid(child.pid, NULL, 0), child.pid);
			child_deinit(&child);
		} else {
			(void)spawn_refuse(spec, &failure, &e);
			assert_int_equal(e.kind, ERR_LIMIT);
		}
		spec_free(spec);
		assert_int_equal(test_fd_count(), n_fds);
	}
}

struct failure_row {
	enum spawn_stage stage;
	int error;
	enum err_kind kind;
	const char *text;
};

/* "a b" in the root directory. */
static void expect_failures(struct process_fixture *f, const struct spec_terminal *on,
                            const struct failure_row *rows, size_t n)
{
	const char *const args[] = { "b" };
	CLEANUP(err_clear) struct err e = { 0 };
	struct spec *spec = process_fixture_spec(
		f,
		&(struct client_options){
			.cmd = "a", .args = args, .n_args = 1, .cwd = "/", .terminal = on },
		&e);

	assert_non_null(spec);
	for (size_t i = 0; i < n; i++) {
		struct spawn_failure failure = { rows[i].stage, rows[i].error };

		assert_int_equal(spawn_refuse(spec, &failure, &e), -1);
		assert_int_equal(e.kind, rows[i].kind);
		assert_string_equal(err_text(&e), rows[i].text);
	}
	spec_free(spec);
}

static void test_spawn_failures_have_the_codes_of_the_table(void **state)
{
	static const struct failure_row rows[] = {
		{ SPAWN_STDIO, EMFILE, ERR_LIMIT,
		  "error creating stdio pipes for command 'a b': too many open files" },
		{ SPAWN_STDIO, EIO, ERR_INTERNAL,
		  "error creating stdio pipes for command 'a b': input/output error" },
		{ SPAWN_FORK, EAGAIN, ERR_LIMIT,
		  "error starting process 'a b': fork/exec /bin/sh: resource temporarily "
		  "unavailable" },
		{ SPAWN_FORK, ENOMEM, ERR_LIMIT,
		  "error starting process 'a b': fork/exec /bin/sh: cannot allocate memory" },
		{ SPAWN_CHDIR, EACCES, ERR_INVALID,
		  "error starting process 'a b': fork/exec /bin/sh: permission denied" },
		{ SPAWN_IDENTITY, EPERM, ERR_INVALID,
		  "error starting process 'a b': fork/exec /bin/sh: operation not permitted" },
		{ SPAWN_EXEC, ENFILE, ERR_LIMIT,
		  "error starting process 'a b': fork/exec /bin/sh: too many open files in "
		  "system" },
	};

	expect_failures(*state, NULL, rows, ARRAY_SIZE(rows));
}

#define PTY_TEXT                                                                                   \
	"error starting pty with command 'a b' in dir '/' with '65616' cols and '24' rows: "

static void test_spawn_failures_with_a_terminal_have_its_text_and_the_same_codes(void **state)
{
	static const struct failure_row rows[] = {
		{ SPAWN_STDIO, ENOSPC, ERR_LIMIT,
		  PTY_TEXT "open /dev/ptmx: no space left on device" },
		{ SPAWN_STDIO, EMFILE, ERR_LIMIT, PTY_TEXT "open /dev/ptmx: too many open files" },
		{ SPAWN_STDIO, ENOENT, ERR_INVALID,
		  PTY_TEXT "open /dev/ptmx: no such file or directory" },
		{ SPAWN_FORK, EAGAIN, ERR_LIMIT,
		  PTY_TEXT "fork/exec /bin/sh: resource temporarily unavailable" },
		{ SPAWN_CHDIR, EACCES, ERR_INVALID,
		  PTY_TEXT "fork/exec /bin/sh: permission denied" },
	};

	expect_failures(*state, &terminal, rows, ARRAY_SIZE(rows));
}

#define TEST(name)                                                                                 \
	cmocka_unit_test_setup_teardown(name, process_fixture_setup, process_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_spawn_child_has_three_descriptors),
		TEST(test_spawn_child_leads_its_own_session_and_group),
		TEST(test_spawn_child_has_default_signals_and_an_empty_mask),
		TEST(test_spawn_child_has_its_own_descriptor_limit),
#if !defined(__SANITIZE_THREAD__)
		TEST(test_spawn_child_is_in_its_cgroup_from_its_first_moment),
		TEST(test_spawn_child_in_a_frozen_cgroup_waits_alone),
#endif
		TEST(test_spawn_child_runs_although_its_cgroup_was_removed),
		TEST(test_spawn_child_runs_although_its_cgroup_takes_no_processes),
		TEST(test_spawn_child_has_oom_score_and_nice_of_its_own),
		TEST(test_spawn_child_has_the_identity_and_groups_of_its_user),
		TEST(test_spawn_missing_command_is_status_127_with_a_line),
		TEST(test_spawn_directory_of_path_that_is_closed_hides_what_is_in_it),
		TEST(test_spawn_command_that_is_not_executable_is_status_126),
		TEST(test_spawn_name_too_long_for_any_directory_is_status_126),
		TEST(test_spawn_script_without_interpreter_runs_in_the_shell),
		TEST(test_spawn_searches_the_childs_path),
		TEST(test_spawn_directory_of_path_that_is_too_long_is_passed_over),
		TEST(test_spawn_argv0_is_the_command_as_given),
		TEST(test_spawn_working_directory_problems_refuse_the_start),
		TEST(test_spawn_directory_that_vanishes_before_the_fork_refuses_the_start),
		TEST(test_spawn_too_many_arguments_refuse_the_start),
		TEST(test_spawn_terminal_controls_the_childs_session),
		TEST(test_spawn_terminal_has_its_size_before_the_child_runs),
		TEST(test_spawn_terminal_is_all_a_child_inherits),
		TEST(test_spawn_terminal_belongs_to_its_user_and_to_group_tty),
		TEST(test_spawn_missing_command_is_told_on_the_terminal),
		TEST(test_spawn_terminal_that_cannot_be_started_has_a_text_of_its_own),
		TEST(test_spawn_without_a_free_terminal_is_a_limit),
		TEST(test_spawn_without_terminals_is_told_clearly),
		TEST(test_spawn_without_descriptors_is_a_limit_and_leaves_nothing),
		TEST(test_spawn_failures_have_the_codes_of_the_table),
		TEST(test_spawn_failures_with_a_terminal_have_its_text_and_the_same_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
