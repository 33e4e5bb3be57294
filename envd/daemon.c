#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/api.h"
#include "api/filesystem_api.h"
#include "api/process_api.h"
#include "base/log.h"
#include "base/state.h"
#include "build_info.h"
#include "host/cgroup.h"
#include "host/environ.h"
#include "http/server.h"
#include "loop/job.h"
#include "loop/loop.h"

#define RUN_DIR      "/run/e2b" /* tmpfs in a guest (control.md 13) */
#define SANDBOX_FILE RUN_DIR "/.E2B_SANDBOX"

/* When the thread pool is made, if nobody needed it before: after the first answers, which threads
 * would delay by milliseconds. */
#define POOL_OPEN_MS 1000u

enum daemon_state { DAEMON_STARTING, DAEMON_RUNNING, DAEMON_DRAINING, DAEMON_CLOSING, DAEMON_DONE };

static const struct state_rule daemon_rules[] = {
	[DAEMON_STARTING] = { "starting", BIT(DAEMON_RUNNING) | BIT(DAEMON_CLOSING) },
	[DAEMON_RUNNING] = { "running", BIT(DAEMON_DRAINING) },
	[DAEMON_DRAINING] = { "draining", BIT(DAEMON_CLOSING) },
	[DAEMON_CLOSING] = { "closing", BIT(DAEMON_DONE) },
	[DAEMON_DONE] = { "done", 0 },
};

static const int end_signals[] = { SIGTERM, SIGINT };

struct daemon {
	const struct config *config;
	struct state state;
	struct loop loop;
	struct environ_store environ;
	struct cgroups cgroups;
	struct process_service *process;
	struct filesystem_service *filesystem;
	struct api api;
	struct server *server;
	uv_signal_t signals[ARRAY_SIZE(end_signals)];
	struct timer drain; /* its deadline */
	struct timer pool;  /* its threads are not made yet */
};

/* Tells processes in the guest where they are. A guest without it still works. */
static void write_sandbox_file(const struct config *config)
{
	const char *text = config->is_not_fc ? "false" : "true";
	CLEANUP(close_fdp) int fd = -1;

	(void)mkdir("/run", 0755); /* a bare container may lack it */
	if (mkdir(RUN_DIR, 0755) < 0 && errno != EEXIST) {
		dprintf(STDERR_FILENO, "error creating directory %s: %s, ignoring\n", RUN_DIR,
		        errno_text(errno));
		return;
	}
	fd = open(SANDBOX_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0444);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		dprintf(STDERR_FILENO, "error writing %s: %s, ignoring\n", SANDBOX_FILE,
		        errno_text(errno));
}

/* A guest without a cgroup tree still works; -no-cgroups is an answer, not a fault. */
static void set_up_cgroups(struct daemon *d)
{
	CLEANUP(err_clear) struct err e = { 0 };
	CLEANUP(buf_deinit) struct buf skipped = { 0 };

	if (d->config->no_cgroups)
		return;
	buf_init(&skipped, ERR_TEXT_MAX);
	if (cgroups_set_up(&d->cgroups, d->config->cgroup_root, &skipped, &e) < 0)
		dprintf(STDERR_FILENO, "cgroups: %s, ignoring: processes are not placed\n",
		        err_text(&e));
	else if (skipped.len > 0)
		dprintf(STDERR_FILENO, "cgroups: cannot set %.*s, ignoring\n", (int)skipped.len,
		        (const char *)skipped.data);
}

static void on_server_closed(void *ctx)
{
	struct daemon *d = ctx;

	d->server = NULL;
	process_service_close(d->process);
	filesystem_service_close(d->filesystem);
	for (size_t i = 0; i < ARRAY_SIZE(end_signals); i++) {
		uv_close((uv_handle_t *)&d->signals[i], NULL);
		signal(end_signals[i], SIG_IGN); /* libuv left its default: death, not status 0 */
	}
	state_move(&d->state, DAEMON_DONE);
	loop_stop(&d->loop);
}

static void daemon_close(struct daemon *d)
{
	state_move(&d->state, DAEMON_CLOSING);
	timer_stop(&d->loop.timers, &d->drain);
	timer_stop(&d->loop.timers, &d->pool);
	server_close(d->server, on_server_closed, d);
}

static void on_drained(void *ctx)
{
	daemon_close(ctx);
}

static void on_drain_due(struct timer *timer)
{
	daemon_close(CONTAINER_OF(timer, struct daemon, drain));
}

static void on_pool_due(struct timer *timer)
{
	job_open_pool(&CONTAINER_OF(timer, struct daemon, pool)->loop);
}

static void on_end_signal(uv_signal_t *handle, int signum)
{
	struct daemon *d = handle->data;

	log_event(LOG_INFO, "envd", "asked to end", log_int("signal", signum));
	if (d->state.now == DAEMON_DRAINING) {
		daemon_close(d);
	} else if (d->state.now == DAEMON_RUNNING) {
		state_move(&d->state, DAEMON_DRAINING);
		timer_start(&d->loop.timers, &d->drain, DAEMON_DRAIN_MS);
		server_set_on_drained(d->server, on_drained, d);
		server_drain(d->server);
	}
}

/* Each stream is a descriptor or four. Children get the limit that we were started with. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int listen_all(struct daemon *d, struct err *e)
{
	char everywhere[sizeof("tcp::65535")];

	for (unsigned i = 0; i < d->config->n_listen; i++)
		if (server_listen(d->server, d->config->listen[i], e) < 0)
			return -1;
	if (d->config->n_listen > 0)
		return 0;
	(void)snprintf(everywhere, sizeof(everywhere), "tcp::%" PRIu16, d->config->port);
	return server_listen(d->server, everywhere, e);
}

static void daemon_init(struct daemon *d, const struct config *config)
{
	int r = loop_init(&d->loop);

	ASSERT(r == 0);
	d->config = config;
	d->drain.on_due = on_drain_due;
	d->pool.on_due = on_pool_due;
	state_init(&d->state, daemon_rules, ARRAY_SIZE(daemon_rules), DAEMON_STARTING, "daemon",
	           (uint64_t)getpid());
	environ_init(&d->environ);
	environ_set_internal(&d->environ, "E2B_SANDBOX", config->is_not_fc ? "false" : "true");
	cgroups_init(&d->cgroups);
	d->process = process_service_new(&d->loop, &d->environ, &d->api.defaults, &d->cgroups);
	raise_descriptor_limit();
	d->filesystem = filesystem_service_new(&d->loop, &d->api.defaults);
	api_init(&d->api, &d->loop, &d->environ, d->process, d->filesystem);
	d->api.is_closed = config->resume_handover;
	d->server = server_new(&d->loop, api_on_request, &d->api);
	for (size_t i = 0; i < ARRAY_SIZE(end_signals); i++) {
		uv_signal_init(&d->loop.uv, &d->signals[i]);
		d->signals[i].data = d;
		uv_signal_start(&d->signals[i], on_end_signal, end_signals[i]);
	}
}

static void daemon_deinit(struct daemon *d)
{
	loop_deinit(&d->loop);
	api_deinit(&d->api);
	cgroups_deinit(&d->cgroups);
	environ_deinit(&d->environ);
}

int daemon_run(const struct config *config)
{
	CLEANUP(err_clear) struct err e = { 0 };
	struct daemon d = { 0 };
	int status = 0;

	log_open(config->verbose || config->trace ? STDOUT_FILENO : -1,
	         config->trace ? LOG_TRACE : LOG_DEBUG);
	write_sandbox_file(config);
	daemon_init(&d, config);
	if (listen_all(&d, &e) < 0) {
		dprintf(STDERR_FILENO, "server stopped: %s\n", err_text(&e));
		status = 1;
		daemon_close(&d);
	} else {
		set_up_cgroups(&d); /* a second daemon, which cannot listen, leaves them alone */
		state_move(&d.state, DAEMON_RUNNING);
		log_event(LOG_INFO, "envd", "listening", log_int("port", server_port(d.server)),
		          log_str("version", ENVD_VERSION));
		timer_start(&d.loop.timers, &d.pool, POOL_OPEN_MS);
	}
	loop_run(&d.loop);
	if (!loop_run_out(&d.loop, DAEMON_END_MS)) {
		log_event(LOG_WARNING, "envd", "a job does not end, ending without it");
		_exit(status); /* exit would wait for its thread */
	}
	daemon_deinit(&d);
	return status;
}
