/*
 * One process from start to end: real shells, and a clock that the test moves where time matters.
 */
#include "proc/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "proc/process_fixture.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

#define SCRIPT(text) (&(struct client_options){ .script = (text) })

static const struct spec_terminal terminal = { .cols = 80, .rows = 24 };

#define TERMINAL(text) (&(struct client_options){ .script = (text), .terminal = &terminal })

static void advance_clock(struct process_fixture *f, uint64_t ms)
{
	timers_advance(&f->loop->timers, loop_now_ms(f->loop) + ms);
}

static bool is_not_draining(void *arg)
{
	const struct client *c = arg;

	return c->process && c->process->state.now != PROCESS_DRAINING;
}

static void client_wait_draining(struct client *c)
{
	loop_fixture_run_while(c->fixture->loop, is_not_draining, c);
	assert_false(c->has_ended);
}

static void expect_signal(struct client *c, int signum, enum process_scope scope)
{
	CLEANUP(err_clear) struct err e = { 0 };

	assert_int_equal(process_signal(c->process, signum, scope, &e), 0);
}

static void expect_stdin_closes(struct client *c)
{
	CLEANUP(err_clear) struct err e = { 0 };

	assert_int_equal(process_close_stdin(c->process, &e), 0);
}

static void test_process_output_of_both_streams_comes_before_the_end(void **state)
{
	struct client c;

	(void)client_run(*state, &c, SCRIPT("printf out; printf err >&2; exit 3"));
	assert_string_equal(client_stdout(&c), "out");
	assert_string_equal(client_stderr(&c), "err");
	assert_int_equal(c.exit.code, 3);
	assert_int_equal(c.exit.signal, 0);
	client_deinit(&c);
}

static void test_process_that_ends_at_once_is_started_first(void **state)
{
	for (unsigned i = 0; i < 50; i++) {
		struct client c;

		(void)client_run(*state, &c, &(struct client_options){ .cmd = "true" });
		assert_true(c.has_started);
		assert_int_equal(c.exit.code, 0);
		client_deinit(&c);
	}
}

static void test_process_killed_by_a_signal_says_which(void **state)
{
	struct client c;

	(void)client_run(*state, &c, SCRIPT("kill -USR1 $$"));
	assert_int_equal(c.exit.code, -1);
	assert_int_equal(c.exit.signal, SIGUSR1);
	client_deinit(&c);
}

static void test_process_reads_end_of_file_from_null_and_waits_on_a_pipe(void **state)
{
	struct client c;

	(void)client_run(*state, &c, SCRIPT("read x || exit 1"));
	assert_int_equal(c.exit.code, 1);
	client_deinit(&c);

	client_start(
		*state, &c,
		&(struct client_options){ .script = "echo up; read x", .has_stdin_pipe = true });
	client_wait_output(&c, "up");
	assert_true(c.process->stdin_io.open);
	expect_signal(&c, SIGKILL, PROCESS_GROUP);
	client_wait(&c);
	client_deinit(&c);
}

static void test_process_large_output_is_complete_in_chunks_of_a_read(void **state)
{
	struct client c;

	(void)client_run(*state, &c, SCRIPT("head -c 10000000 /dev/zero"));
	assert_int_equal(c.out[OUTPUT_STDOUT].len, 10000000);
	assert_true(c.chunk_max <= PROCESS_READ_MAX);
	client_deinit(&c);
}

static void test_process_without_subscriber_is_not_blocked(void **state)
{
	struct process_fixture *f = *state;
	struct client c;

	client_start(f, &c, SCRIPT("head -c 10000000 /dev/zero; exit 5"));
	client_deinit(&c);
	process_fixture_wait_empty(f);
	assert_int_equal(f->registry.n_ended, 1);
}

static void test_process_slow_reader_stops_it_and_gets_every_byte(void **state)
{
	struct process_fixture *f = *state;
	struct client c;

	client_start(f, &c, SCRIPT("head -c 1000000 /dev/zero; echo end"));
	c.takes = 1;
	while (!c.is_settled) {
		loop_fixture_turn(f->loop, 3);
		assert_true(c.n_chunks <= 1 || !c.sub.output || c.sub.is_ready ||
		            c.process->output.is_paused);
		c.takes = 1;
		subscriber_proceed(&c.sub);
	}
	assert_int_equal(c.out[OUTPUT_STDOUT].len, 1000004);
	client_deinit(&c);
}

static void test_process_end_waits_for_a_reader_that_is_behind_in_the_pipe(void **state)
{
	struct process_fixture *f = *state;
	struct client c;

	/* A grandchild keeps the pipe open, so only the count of owed bytes ends it. */
	client_start(f, &c, SCRIPT("sleep 100 & head -c 60000 /dev/zero"));
	c.takes = 1;
	client_wait_draining(&c);
	advance_clock(f, PROCESS_DRAIN_MS);
	advance_clock(f, 2 * PROCESS_DRAIN_MS);
	assert_false(c.has_ended);
	c.takes = 0;
	subscriber_proceed(&c.sub);
	client_wait(&c);
	assert_int_equal(c.out[OUTPUT_STDOUT].len, 60000);
	client_deinit(&c);
	(void)kill(-f->registry.ended[0].pid, SIGKILL);
	process_fixture_wait_empty(f);
}

static void test_process_end_comes_after_silence_though_a_descendant_holds_the_pipe(void **state)
{
	struct process_fixture *f = *state;
	struct client c;

	client_start(f, &c, SCRIPT("sleep 100 & echo done"));
	client_wait_draining(&c);
	loop_fixture_turn(f->loop, 5);
	advance_clock(f, PROCESS_SILENT_MS - 50);
	assert_false(c.has_ended);
	advance_clock(f, PROCESS_SILENT_MS);
	assert_true(c.has_ended);
	assert_string_equal(client_stdout(&c), "done\n");
	/* Its pipe is still read, and it goes when the descendant does. */
	assert_int_equal(f->registry.n_processes, 1);
	(void)kill(-f->registry.ended[0].pid, SIGKILL);
	process_fixture_wait_empty(f);
	client_deinit(&c);
}

static void test_process_end_comes_after_the_drain_though_a_descendant_keeps_talking(void **state)
{
	struct process_fixture *f = *state;
	struct client c;

	client_start(f, &c, SCRIPT("(while :; do echo x; sleep 0.01; done) & echo done"));
	client_wait_draining(&c);
	advance_clock(f, PROCESS_DRAIN_MS - 100);
	loop_fixture_turn(f->loop, 5);
	advance_clock(f, PROCESS_DRAIN_MS);
	client_wait(&c);
	assert_non_null(strstr(client_stdout(&c), "done\n"));
	(void)kill(-f->registry.ended[0].pid, SIGKILL);
	process_fixture_wait_empty(f);
	client_deinit(&c);
}

static void test_process_that_closes_its_output_and_lives_on_ends_when_it_exits(void **state)
{
	struct process_fixture *f = *state;
	struct client c;

	client_start(f, &c,
	             &(struct client_options){ .script = "echo up; exec >&- 2>&-; read x; exit 4",
	                                       .has_stdin_pipe = true });
	client_wait_output(&c, "up");
	loop_fixture_turn(f->loop, 5);
	assert_false(c.is_settled);
	assert_int_equal(c.process->state.now, PROCESS_RUNNING);
	expect_stdin_closes(&c);
	client_wait(&c);
	assert_int_equal(c.exit.code, 4);
	client_deinit(&c);
}

static void test_process_kill_of_the_group_ends_it_at_once_with_its_children(void **state)
{
	struct process_fixture *f = *state;
	struct client c;

	client_start(f, &c, SCRIPT("sleep 100 & echo up; wait"));
	client_wait_output(&c, "up");
	expect_signal(&c, SIGKILL, PROCESS_GROUP);
	client_wait(&c);
	assert_int_equal(c.exit.signal, SIGKILL);
	process_fixture_wait_empty(f); /* all pipes closed: the child has gone with it */
	client_deinit(&c);
}

static void test_process_term_of_the_leader_spares_children_and_does_not_wait_for_them(void **state)
{
	struct process_fixture *f = *state;
	struct client c;
	pid_t pid;

	client_start(f, &c, SCRIPT("sleep 100 & echo up; wait"));
	client_wait_output(&c, "up");
	pid = c.process->pid;
	expect_signal(&c, SIGTERM, PROCESS_LEADER);
	client_wait(&c); /* no clock is moved: nothing waits for silence */
	assert_int_equal(c.exit.signal, SIGTERM);
	assert_int_equal(f->registry.n_processes, 1);
	assert_int_equal(kill(-pid, SIGKILL), 0); /* the child was there */
	process_fixture_wait_empty(f);
	client_deinit(&c);
}

static void test_process_signal_to_one_that_has_exited_is_not_found(void **state)
{
	struct process_fixture *f = *state;
	CLEANUP(err_clear) struct err e = { 0 };
	struct client c;

	client_start(f, &c, SCRIPT("sleep 100 & echo up"));
	client_wait_draining(&c);
	assert_int_equal(process_signal(c.process, SIGKILL, PROCESS_GROUP, &e), -1);
	assert_int_equal(e.kind, ERR_NOT_FOUND);
	(void)kill(-c.process->pid, SIGKILL);
	client_wait(&c);
	client_deinit(&c);
}

static void test_process_lifetime_kills_the_group(void **state)
{
	struct process_fixture *f = *state;
	struct client c;

	client_start(f, &c,
	             &(struct client_options){ .script = "sleep 100 & echo up; wait",
	                                       .lifetime_ms = 60000 });
	client_wait_output(&c, "up");
	advance_clock(f, 59000);
	loop_fixture_turn(f->loop, 3);
	assert_false(c.is_settled);
	advance_clock(f, 60000);
	client_wait(&c);
	assert_int_equal(c.exit.signal, SIGKILL);
	assert_true(c.exit.is_timed_out);
	process_fixture_wait_empty(f);
	client_deinit(&c);
}

static void test_process_lifetime_that_ends_right_after_the_fork_kills_it(void **state)
{
	struct process_fixture *f = *state;

	for (unsigned i = 0; i < 20; i++) {
		struct client c;

		client_start(
			f, &c,
			&(struct client_options){ .script = "sleep 100", .lifetime_ms = 60000 });
		advance_clock(f, 60000);
		client_wait(&c);
		assert_int_equal(c.exit.signal, SIGKILL);
		client_deinit(&c);
	}
	process_fixture_wait_empty(f);
}

static void test_process_lifetime_that_is_over_starts_nothing(void **state)
{
	struct process_fixture *f = *state;
	CLEANUP(err_clear) struct err e = { 0 };
	struct spec *spec = process_fixture_spec(f, SCRIPT("true"), &e);

	spec->lifetime_end_ms = loop_now_ms(f->loop);
	assert_null(process_start(&f->registry, &spec, NULL, &e));
	assert_int_equal(e.kind, ERR_DEADLINE);
	assert_int_equal(f->registry.n_processes, 0);
	spec_free(spec);
}

static void test_process_whose_starter_left_lives_on(void **state)
{
	struct process_fixture *f = *state;
	char *mark = temp_dir_path(f->dir, "mark");
	struct client c;

	client_start(f, &c, SCRIPT("echo done >mark"));
	client_deinit(&c); /* before the start is decided */
	process_fixture_wait_empty(f);
	assert_int_equal(access(mark, F_OK), 0);
	free(mark);
}

static void test_process_refused_after_its_starter_left_is_cleaned_up(void **state)
{
	struct process_fixture *f = *state;
	char *file = temp_dir_file(f->dir, "file", "", 0644);
	struct client c;

	client_start(f, &c, &(struct client_options){ .cmd = "true", .cwd = file });
	client_deinit(&c);
	process_fixture_wait_empty(f);
	free(file);
}

static void test_process_refused_starts_leave_no_descriptor(void **state)
{
	struct process_fixture *f = *state;
	char *file = temp_dir_file(f->dir, "file", "", 0644);
	unsigned n_fds = test_fd_count();

	for (unsigned i = 0; i < 50; i++) {
		struct client c;

		client_start(f, &c,
		             &(struct client_options){
				     .cmd = "true", .cwd = file, .lifetime_ms = 1000 });
		client_wait(&c);
		assert_true(c.is_refused);
		client_deinit(&c);
	}
	process_fixture_wait_empty(f);
	assert_int_equal(test_fd_count(), n_fds);
	assert_int_equal(f->registry.n_ended, 0);
	free(file);
}

/* Its message fills more than a pipe, which is not read before the start is decided. */
static void test_process_missing_command_with_a_long_name_ends_all_the_same(void **state)
{
	static char name[100 * 1024 + 1];
	struct client c;

	memset(name, 'x', sizeof name - 1);
	(void)client_run(*state, &c, &(struct client_options){ .cmd = name });
	assert_true(c.has_started);
	assert_int_equal(c.exit.code, 126); /* file name too long */
	assert_true(c.out[OUTPUT_STDERR].len > sizeof name);
	client_deinit(&c);
}

static void test_process_three_readers_of_different_speed_get_the_same(void **state)
{
	struct process_fixture *f = *state;
	struct client c;
	struct client more[2];
	CLEANUP(err_clear) struct err e = { 0 };

	client_start(f, &c,
	             SCRIPT("i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done"));
	for (unsigned i = 0; i < 2; i++) {
		more[i] = (struct client){
			.fixture = f, .process = c.process, .sub.ops = c.sub.ops, .takes = 1
		};
		client_init_output(&more[i]);
		assert_int_equal(output_subscribe(&c.process->output, &more[i].sub, &e), 0);
	}
	while (!c.is_settled || !more[0].is_settled || !more[1].is_settled) {
		uv_run(&f->loop->uv, UV_RUN_NOWAIT);
		more[0].takes = 1;
		subscriber_proceed(&more[0].sub);
		more[1].takes = 0;
		subscriber_proceed(&more[1].sub);
	}
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(more[i].out[0].len, c.out[0].len);
		assert_memory_equal(more[i].out[0].data, c.out[0].data, c.out[0].len);
		client_deinit(&more[i]);
	}
	client_deinit(&c);
}

static void test_process_many_at_once_end_without_a_trace(void **state)
{
	struct process_fixture *f = *state;
	struct client c[60];
	unsigned n_fds = test_fd_count();

	for (size_t i = 0; i < ARRAY_SIZE(c); i++)
		client_start(f, &c[i], SCRIPT("echo $$"));
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		client_wait(&c[i]);
		assert_int_equal(c[i].exit.code, 0);
		client_deinit(&c[i]);
	}
	process_fixture_wait_empty(f);
	assert_int_equal(test_fd_count(), n_fds);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

/* ---------------------------------------------------------------- input */

struct input {
	struct process_write write;
	uint8_t *data;
	size_t len;
	bool is_done;
	struct err e;
};

static void input_on_done(struct process_write *w, struct err *e)
{
	struct input *in = CONTAINER_OF(w, struct input, write);

	assert_false(in->is_done);
	in->is_done = true;
	if (e)
		err_move(&in->e, e);
}

/* Of bytes that any loss or change of order would show. */
static void input_init(struct input *in, size_t len)
{
	*in = (struct input){ .write.on_done = input_on_done, .len = len };
	in->data = xmalloc(len);
	for (size_t i = 0; i < len; i++)
		in->data[i] = (uint8_t)(i * 2654435761u >> 24);
}

static void input_deinit(struct input *in)
{
	process_cancel_write(&in->write);
	free(in->data);
	err_clear(&in->e);
}

static int input_write(struct input *in, struct client *c, enum process_channel channel)
{
	int rc = process_write(c->process, channel, &in->write, in->data, in->len, &in->e);

	in->is_done = rc != 0;
	return rc;
}

static void test_process_large_input_comes_back_whole_and_the_close_behind_it_ends_it(void **state)
{
	struct process_fixture *f = *state;
	struct input in;
	struct client c;

	input_init(&in, 16 * 1024 * 1024);
	client_start(f, &c, &(struct client_options){ .cmd = "cat", .has_stdin_pipe = true });
	client_wait_started(&c);
	assert_int_equal(input_write(&in, &c, PROCESS_STDIN), 0);
	expect_stdin_closes(&c);
	client_wait(&c);
	assert_true(in.is_done);
	assert_int_equal(in.e.kind, ERR_NONE);
	assert_int_equal(c.exit.code, 0);
	assert_int_equal(c.out[OUTPUT_STDOUT].len, in.len);
	assert_memory_equal(c.out[OUTPUT_STDOUT].data, in.data, in.len);
	assert_int_equal(f->registry.write_bytes, 0);
	input_deinit(&in);
	client_deinit(&c);
}

static void test_process_that_does_not_read_holds_up_nobody_else(void **state)
{
	struct process_fixture *f = *state;
	struct input stuck, in;
	struct client deaf, c;

	input_init(&stuck, 1024 * 1024);
	input_init(&in, 1024 * 1024);
	client_start(f, &deaf,
	             &(struct client_options){ .script = "sleep 100", .has_stdin_pipe = true });
	client_start(f, &c, &(struct client_options){ .cmd = "cat", .has_stdin_pipe = true });
	client_wait_started(&deaf);
	client_wait_started(&c);
	assert_int_equal(input_write(&stuck, &deaf, PROCESS_STDIN), 0);
	assert_int_equal(input_write(&in, &c, PROCESS_STDIN), 0);
	expect_stdin_closes(&c);
	client_wait(&c);
	assert_int_equal(c.out[OUTPUT_STDOUT].len, in.len);
	assert_false(stuck.is_done);
	/* Its end is the end of the wait. */
	expect_signal(&deaf, SIGKILL, PROCESS_GROUP);
	client_wait(&deaf);
	assert_true(stuck.is_done);
	assert_int_equal(stuck.e.kind, ERR_INTERNAL);
	assert_non_null(strstr(err_text(&stuck.e), "': write |1: broken pipe"));
	assert_int_equal(f->registry.write_bytes, 0);
	input_deinit(&stuck);
	input_deinit(&in);
	client_deinit(&c);
	client_deinit(&deaf);
}

/* A descendant still holds the other end, so the kernel would let the write wait. */
static void test_process_input_ends_with_the_leader(void **state)
{
	struct process_fixture *f = *state;
	char text[128];
	struct input in;
	struct client c;

	input_init(&in, 1024 * 1024);
	client_start(f, &c,
	             &(struct client_options){ .script = "sleep 100 <&0 & echo up; read x; exit",
	                                       .has_stdin_pipe = true });
	client_wait_output(&c, "up");
	in.data[0] = '\n';
	assert_int_equal(input_write(&in, &c, PROCESS_STDIN), 0);
	client_wait_draining(&c);
	assert_true(in.is_done);
	assert_non_null(strstr(err_text(&in.e), "': write |1: broken pipe"));
	(void)snprintf(text, sizeof text,
	               "error writing to stdin: error writing to stdin of process '%d': write |1: "
	               "file already closed",
	               (int)c.process->pid);
	assert_int_equal(input_write(&in, &c, PROCESS_STDIN), -1);
	assert_string_equal(err_text(&in.e), text);
	(void)kill(-c.process->pid, SIGKILL);
	client_wait(&c);
	input_deinit(&in);
	client_deinit(&c);
}

static void test_process_input_that_waits_when_the_daemon_ends_is_unavailable(void **state)
{
	struct process_fixture *f = *state;
	struct input in;
	struct client c;
	pid_t pid;

	input_init(&in, 1024 * 1024);
	client_start(f, &c,
	             &(struct client_options){ .script = "sleep 100", .has_stdin_pipe = true });
	client_wait_started(&c);
	pid = c.process->pid;
	assert_int_equal(input_write(&in, &c, PROCESS_STDIN), 0);
	process_abandon(c.process);
	assert_true(in.is_done);
	assert_int_equal(in.e.kind, ERR_UNAVAILABLE);
	assert_int_equal(c.e.kind, ERR_UNAVAILABLE);
	assert_int_equal(kill(-pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	process_fixture_wait_empty(f);
	input_deinit(&in);
	client_deinit(&c);
}

/* ---------------------------------------------------------------- terminals */

static void type(struct client *c, const char *text)
{
	CLEANUP(err_clear) struct err e = { 0 };
	struct process_write w = { 0 };

	assert_int_equal(
		process_write(c->process, PROCESS_TTY, &w, (const uint8_t *)text, strlen(text), &e),
		1);
}

static void test_process_with_a_terminal_says_all_on_it_and_reads_from_it(void **state)
{
	struct client c;

	client_start(*state, &c,
	             TERMINAL("stty -echo; echo up; echo err >&2; read x; echo got $x"));
	client_wait_output(&c, "up");
	type(&c, "word\n");
	client_wait(&c);
	assert_string_equal(client_tty(&c), "up\r\nerr\r\ngot word\r\n");
	assert_string_equal(client_stdout(&c), "");
	assert_string_equal(client_stderr(&c), "");
	assert_int_equal(c.exit.code, 0);
	client_deinit(&c);
}

static void test_process_terminal_output_is_complete_at_its_end(void **state)
{
	for (unsigned i = 0; i < 20; i++) {
		struct client c;

		(void)client_run(*state, &c, TERMINAL("stty -opost; head -c 100000 /dev/zero"));
		assert_int_equal(c.out[OUTPUT_PTY].len, 100000);
		client_deinit(&c);
	}
}

/* The kernel counts only a part of what it holds for a terminal. */
static void test_process_end_waits_for_a_reader_that_is_behind_in_the_terminal(void **state)
{
	struct process_fixture *f = *state;
	struct client c;

	client_start(
		f, &c,
		TERMINAL("stty -opost; sleep 100 & echo up; head -c 11000 /dev/zero; kill -9 $$"));
	c.takes = 1;
	client_wait_draining(&c);
	advance_clock(f, 2 * PROCESS_DRAIN_MS);
	assert_false(c.has_ended);
	c.takes = 0;
	subscriber_proceed(&c.sub);
	client_wait(&c);
	assert_int_equal(c.out[OUTPUT_PTY].len, 11003);
	client_deinit(&c);
	process_fixture_wait_empty(f);
}

static void test_process_terminal_hangs_up_with_the_end_though_a_job_holds_it(void **state)
{
	struct process_fixture *f = *state;
	struct client c;

	client_start(f, &c, TERMINAL("trap '' HUP; sleep 100 & echo done"));
	client_wait_draining(&c);
	loop_fixture_turn(f->loop, 5);
	assert_false(c.has_ended);
	advance_clock(f, PROCESS_SILENT_MS);
	client_wait(&c);
	assert_string_equal(client_tty(&c), "done\r\n");
	process_fixture_wait_empty(f);
	(void)kill(-f->registry.ended[0].pid, SIGKILL);
	client_deinit(&c);
}

/* A job in the foreground, in a group of its own, that holds the FIFO "life" as long as it lives. */
static int start_foreground_job(struct process_fixture *f, struct client *c, const char *job)
{
	char *fifo = temp_dir_path(f->dir, "life");
	char script[256];
	int fd;

	assert_int_equal(mkfifo(fifo, 0600), 0);
	fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	(void)snprintf(script, sizeof script,
	               "set -m; sh -c '%s echo pid $$. >&2; exec sleep 100' >life", job);
	client_start(f, c,
	             &(struct client_options){
			     .script = script, .terminal = &terminal, .lifetime_ms = 60000 });
	client_wait_output(c, ".");
	free(fifo);
	return fd;
}

/* Waits for the end of the job without a turn of the loop. */
static void expect_job_ends(int life_fd)
{
	struct pollfd life = { .fd = life_fd, .events = POLLIN };

	assert_int_equal(poll(&life, 1, LOOP_FIXTURE_WAIT_MS), 1);
	assert_true(life.revents & POLLHUP);
}

static void test_process_killed_hangs_up_on_its_foreground_job(void **state)
{
	struct process_fixture *f = *state;
	struct client c;
	int life = start_foreground_job(f, &c, "");

	expect_signal(&c, SIGKILL, PROCESS_GROUP);
	client_wait(&c); /* no clock is moved */
	assert_int_equal(c.exit.signal, SIGKILL);
	expect_job_ends(life);
	close(life);
	client_deinit(&c);
}

static void test_process_killed_beside_a_foreground_job_that_ignores_it_ends_at_once(void **state)
{
	struct process_fixture *f = *state;
	struct client c;
	int life = start_foreground_job(f, &c, "trap \"\" HUP;");
	const char *text = strstr(client_tty(&c), "pid ");
	pid_t pid;

	assert_non_null(text);
	pid = (pid_t)strtol(text + 4, NULL, 10);
	expect_signal(&c, SIGKILL, PROCESS_GROUP);
	client_wait(&c);
	process_fixture_wait_empty(f);
	assert_int_equal(kill(pid, SIGKILL), 0);
	expect_job_ends(life);
	close(life);
	client_deinit(&c);
}

static void test_process_lifetime_hangs_up_the_terminal(void **state)
{
	struct process_fixture *f = *state;
	struct client c;
	int life = start_foreground_job(f, &c, "");

	advance_clock(f, 60000);
	client_wait(&c);
	assert_int_equal(c.exit.signal, SIGKILL);
	assert_true(c.exit.is_timed_out);
	expect_job_ends(life);
	close(life);
	client_deinit(&c);
}

static void test_process_that_lets_go_of_its_terminal_lives_on(void **state)
{
	struct process_fixture *f = *state;
	char *fifo = temp_dir_path(f->dir, "fifo");
	struct client c;
	int fd;

	assert_int_equal(mkfifo(fifo, 0600), 0);
	client_start(f, &c,
	             TERMINAL("echo up; exec </dev/null >/dev/null 2>&1; read x <fifo; exit 7"));
	client_wait_output(&c, "up");
	while (c.process->n_streams > 0)
		loop_fixture_turn(f->loop, 1);
	loop_fixture_turn(f->loop, 5);
	assert_int_equal(c.process->state.now, PROCESS_RUNNING);
	fd = open(fifo, O_RDWR | O_CLOEXEC);
	assert_int_equal(write(fd, "x\n", 2), 2);
	client_wait(&c);
	assert_int_equal(c.exit.code, 7);
	assert_int_equal(c.exit.signal, 0);
	close(fd);
	free(fifo);
	client_deinit(&c);
}

static void test_process_resize_reaches_the_terminal_and_its_foreground(void **state)
{
	struct process_fixture *f = *state;
	CLEANUP(err_clear) struct err e = { 0 };
	struct client c;

	client_start(f, &c,
	             TERMINAL("stty size; trap 'stty size; exit' WINCH; echo up; "
	                      "while :; do read x; done"));
	client_wait_output(&c, "up");
	assert_int_equal(process_resize(c.process, 65536 + 132, 50, &e), 0);
	client_wait(&c);
	assert_string_equal(client_tty(&c), "24 80\r\nup\r\n50 132\r\n");
	client_deinit(&c);
}

static void test_process_with_a_terminal_refuses_what_only_a_pipe_can(void **state)
{
	struct process_fixture *f = *state;
	CLEANUP(err_clear) struct err e = { 0 };
	struct input in;
	struct client c;

	input_init(&in, 1);
	client_start(f, &c, TERMINAL("echo up; sleep 100"));
	client_wait_output(&c, "up");
	assert_int_equal(input_write(&in, &c, PROCESS_STDIN), -1);
	assert_int_equal(in.e.kind, ERR_INTERNAL);
	assert_int_equal(process_close_stdin(c.process, &e), -1);
	assert_int_equal(e.kind, ERR_UNKNOWN);
	expect_signal(&c, SIGKILL, PROCESS_GROUP);
	client_wait(&c);
	input_deinit(&in);
	client_deinit(&c);
}

static void test_process_terminals_in_numbers_leave_no_trace(void **state)
{
	struct process_fixture *f = *state;
	struct client c[60];
	unsigned n_fds = test_fd_count();

	for (size_t i = 0; i < ARRAY_SIZE(c); i++)
		client_start(f, &c[i], TERMINAL("echo $$; exit 3"));
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		client_wait(&c[i]);
		assert_int_equal(c[i].exit.code, 3);
		assert_non_null(strstr(client_tty(&c[i]), "\r\n"));
		client_deinit(&c[i]);
	}
	process_fixture_wait_empty(f);
	assert_int_equal(test_fd_count(), n_fds);
}

static void test_process_without_terminal_cannot_be_resized(void **state)
{
	struct process_fixture *f = *state;
	CLEANUP(err_clear) struct err e = { 0 };
	struct client c;

	client_start(f, &c, SCRIPT("sleep 100"));
	client_wait_started(&c);
	assert_int_equal(process_resize(c.process, 80, 24, &e), -1);
	assert_int_equal(e.kind, ERR_INTERNAL);
	assert_string_equal(err_text(&e), "error resizing tty: tty not assigned to process");
	expect_signal(&c, SIGKILL, PROCESS_GROUP);
	client_wait(&c);
	client_deinit(&c);
}

#define TEST(name)                                                                                 \
	cmocka_unit_test_setup_teardown(name, process_fixture_setup, process_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_process_output_of_both_streams_comes_before_the_end),
		TEST(test_process_that_ends_at_once_is_started_first),
		TEST(test_process_killed_by_a_signal_says_which),
		TEST(test_process_reads_end_of_file_from_null_and_waits_on_a_pipe),
		TEST(test_process_large_output_is_complete_in_chunks_of_a_read),
		TEST(test_process_without_subscriber_is_not_blocked),
		TEST(test_process_slow_reader_stops_it_and_gets_every_byte),
		TEST(test_process_end_waits_for_a_reader_that_is_behind_in_the_pipe),
		TEST(test_process_end_comes_after_silence_though_a_descendant_holds_the_pipe),
		TEST(test_process_end_comes_after_the_drain_though_a_descendant_keeps_talking),
		TEST(test_process_that_closes_its_output_and_lives_on_ends_when_it_exits),
		TEST(test_process_kill_of_the_group_ends_it_at_once_with_its_children),
		TEST(test_process_term_of_the_leader_spares_children_and_does_not_wait_for_them),
		TEST(test_process_signal_to_one_that_has_exited_is_not_found),
		TEST(test_process_lifetime_kills_the_group),
		TEST(test_process_lifetime_that_ends_right_after_the_fork_kills_it),
		TEST(test_process_lifetime_that_is_over_starts_nothing),
		TEST(test_process_whose_starter_left_lives_on),
		TEST(test_process_refused_after_its_starter_left_is_cleaned_up),
		TEST(test_process_refused_starts_leave_no_descriptor),
		TEST(test_process_missing_command_with_a_long_name_ends_all_the_same),
		TEST(test_process_three_readers_of_different_speed_get_the_same),
		TEST(test_process_many_at_once_end_without_a_trace),
		TEST(test_process_large_input_comes_back_whole_and_the_close_behind_it_ends_it),
		TEST(test_process_that_does_not_read_holds_up_nobody_else),
		TEST(test_process_input_ends_with_the_leader),
		TEST(test_process_input_that_waits_when_the_daemon_ends_is_unavailable),
		TEST(test_process_with_a_terminal_says_all_on_it_and_reads_from_it),
		TEST(test_process_terminal_output_is_complete_at_its_end),
		TEST(test_process_end_waits_for_a_reader_that_is_behind_in_the_terminal),
		TEST(test_process_terminal_hangs_up_with_the_end_though_a_job_holds_it),
		TEST(test_process_killed_hangs_up_on_its_foreground_job),
		TEST(test_process_lifetime_hangs_up_the_terminal),
		TEST(test_process_killed_beside_a_foreground_job_that_ignores_it_ends_at_once),
		TEST(test_process_that_lets_go_of_its_terminal_lives_on),
		TEST(test_process_resize_reaches_the_terminal_and_its_foreground),
		TEST(test_process_with_a_terminal_refuses_what_only_a_pipe_can),
		TEST(test_process_terminals_in_numbers_leave_no_trace),
		TEST(test_process_without_terminal_cannot_be_resized),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
