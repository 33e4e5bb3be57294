#include "proc/process_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

static char *fixture_passwd(const char *dir)
{
	char text[1024];

	(void)snprintf(text, sizeof text,
	               "root:x:0:0::/root:/bin/sh\n"
	               "me:x:%u:%u::%s:/bin/sh\n"
	               "other:x:12345:23456::%s:/bin/sh\n",
	               (unsigned)getuid(), (unsigned)getgid(), dir, dir);
	return temp_dir_file(dir, "passwd", text, 0644);
}

int process_fixture_setup(void **state)
{
	struct process_fixture *f = xcalloc(1, sizeof *f);

	assert_int_equal(loop_fixture_setup(&f->loop_fixture), 0);
	f->loop = loop_fixture_loop(&f->loop_fixture);
	f->dir = temp_dir_new();
	f->passwd = fixture_passwd(f->dir);
	f->group = temp_dir_file(f->dir, "group",
	                         "tty:x:45678:\na:x:34567:other\nb:x:34568:x,other\n", 0644);
	f->users = (struct user_db){ f->passwd, f->group };
	(void)signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	assert_int_equal(registry_init(&f->registry, f->loop, false), 0);
	*state = f;
	return 0;
}

static void fixture_on_registry_closed(struct registry *r)
{
	CONTAINER_OF(r, struct process_fixture, registry)->is_registry_closed = true;
}

int process_fixture_teardown(void **state)
{
	struct process_fixture *f = *state;

	registry_close(&f->registry, fixture_on_registry_closed);
	loop_fixture_run_until(f->loop, &f->is_registry_closed);
	environ_deinit(&f->globals);
	free(f->passwd);
	free(f->group);
	temp_dir_free(f->dir);
	(void)loop_fixture_teardown(&f->loop_fixture);
	free(f);
	return 0;
}

static struct process_config *fixture_config(const struct client_options *o, struct err *e)
{
	const char *const sh_args[] = { "-c", o->script };
	struct process_config src = {
		.cmd = o->cmd ? o->cmd : "/bin/sh",
		.args = o->cmd ? o->args : sh_args,
		.n_args = o->cmd ? o->n_args : ARRAY_SIZE(sh_args),
		.envs = o->envs,
		.n_envs = o->n_envs,
		.cwd = o->cwd,
		.tag = o->tag,
	};

	return process_config_new(&src, e);
}

struct spec *process_fixture_spec(struct process_fixture *f, const struct client_options *o,
                                  struct err *e)
{
	struct process_config *config = fixture_config(o, e);
	struct spec *spec = NULL;
	struct spec_options options = {
		.users = &f->users,
		.user = o->user ? o->user : "me",
		.default_user = "",
		.globals = &f->globals,
		.stdin_kind = o->has_stdin_pipe ? SPEC_STDIN_PIPE : SPEC_STDIN_NULL,
		.terminal = o->terminal,
		.nofile = o->nofile,
		.lifetime_end_ms = o->lifetime_ms ? loop_now_ms(f->loop) + o->lifetime_ms : 0,
	};

	if (!config)
		return NULL;
	if (options.nofile.rlim_max == 0)
		assert_int_equal(getrlimit(RLIMIT_NOFILE, &options.nofile), 0);
	if (spec_new(&config, &options, &spec, e) < 0) {
		process_config_unref(config);
		return NULL;
	}
	if (spec_resolve(spec, e) < 0) {
		spec_free(spec);
		return NULL;
	}
	spec->cgroup = o->cgroup;
	return spec;
}

static bool client_on_chunk(struct subscriber *sub, enum output_stream stream, const uint8_t *data,
                            size_t len)
{
	struct client *c = CONTAINER_OF(sub, struct client, sub);

	buf_append(&c->out[stream], data, len);
	c->n_chunks++;
	c->chunk_max = MAX(c->chunk_max, len);
	return c->takes == 0 || --c->takes > 0;
}

static void client_on_end(struct subscriber *sub, struct err *why)
{
	struct client *c = CONTAINER_OF(sub, struct client, sub);

	assert_false(c->is_settled);
	c->exit = c->process->exit;
	c->process = NULL;
	c->has_ended = true;
	c->is_settled = true;
	if (why)
		err_move(&c->e, why);
}

static const struct subscriber_ops client_ops = { client_on_chunk, client_on_end };

static void client_on_started(struct process_starter *starter)
{
	struct client *c = CONTAINER_OF(starter, struct client, starter);

	assert_false(c->has_started);
	c->has_started = true;
}

static void client_on_refused(struct process_starter *starter, struct err *e)
{
	struct client *c = CONTAINER_OF(starter, struct client, starter);

	assert_false(c->is_settled);
	output_unsubscribe(&c->sub);
	c->process = NULL;
	c->is_refused = true;
	c->is_settled = true;
	err_move(&c->e, e);
}

void client_init_output(struct client *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(c->out); i++)
		buf_init(&c->out[i], CLIENT_OUTPUT_MAX);
}

void client_start(struct process_fixture *f, struct client *c, const struct client_options *options)
{
	struct spec *spec;

	*c = (struct client){ .fixture = f, .sub.ops = &client_ops };
	c->starter = (struct process_starter){ client_on_started, client_on_refused };
	client_init_output(c);
	spec = process_fixture_spec(f, options, &c->e);
	if (spec)
		c->process = process_start(&f->registry, &spec, &c->starter, &c->e);
	spec_free(spec);
	if (!c->process) {
		c->is_settled = true;
		return;
	}
	assert_int_equal(output_subscribe(&c->process->output, &c->sub, &c->e), 0);
}

void client_wait(struct client *c)
{
	loop_fixture_run_until(c->fixture->loop, &c->is_settled);
}

void client_wait_started(struct client *c)
{
	loop_fixture_run_until(c->fixture->loop, &c->has_started);
}

static const char *client_text(struct buf *b)
{
	assert_int_equal(buf_reserve(b, 1), 0);
	b->data[b->len] = '\0';
	return (const char *)b->data;
}

const char *client_stdout(struct client *c)
{
	return client_text(&c->out[OUTPUT_STDOUT]);
}

const char *client_stderr(struct client *c)
{
	return client_text(&c->out[OUTPUT_STDERR]);
}

const char *client_tty(struct client *c)
{
	return client_text(&c->out[OUTPUT_PTY]);
}

struct awaited {
	struct client *client;
	const char *text;
};

static bool text_is_missing(void *arg)
{
	struct awaited *a = arg;

	return !strstr(client_stdout(a->client), a->text) &&
	       !strstr(client_tty(a->client), a->text);
}

void client_wait_output(struct client *c, const char *text)
{
	struct awaited a = { c, text };

	loop_fixture_run_while(c->fixture->loop, text_is_missing, &a);
}

const char *client_run(struct process_fixture *f, struct client *c,
                       const struct client_options *options)
{
	client_start(f, c, options);
	client_wait(c);
	return client_stdout(c);
}

void client_deinit(struct client *c)
{
	if (c->process)
		process_forget_starter(c->process);
	output_unsubscribe(&c->sub);
	for (size_t i = 0; i < ARRAY_SIZE(c->out); i++)
		buf_deinit(&c->out[i]);
	err_clear(&c->e);
}

static bool registry_is_busy(void *arg)
{
	return ((struct registry *)arg)->n_processes > 0;
}

void process_fixture_wait_empty(struct process_fixture *f)
{
	loop_fixture_run_while(f->loop, registry_is_busy, &f->registry);
}
