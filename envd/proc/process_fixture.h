/*
 * For tests with real processes: a loop, a registry, a user database with ourselves in it, and a
 * client that starts a command and notes what it is told.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "host/environ.h"
#include "host/user.h"
#include "loop/loop.h"
#include "proc/process.h"
#include "proc/registry.h"

#define CLIENT_OUTPUT_MAX (64u * 1024u * 1024u)

struct process_fixture {
	void *loop_fixture;
	struct loop *loop;
	struct registry registry;
	bool is_registry_closed;
	struct environ_store globals;
	struct user_db users;
	char *dir; /* a temporary directory, the home of "me" */
	char *passwd;
	char *group;
};

struct client {
	struct process_fixture *fixture;
	struct process *process; /* valid until has_ended */
	struct process_starter starter;
	struct subscriber sub;
	struct buf out[OUTPUT_PTY + 1]; /* by enum output_stream */
	unsigned n_chunks;
	size_t chunk_max; /* the longest */
	unsigned takes;   /* chunks before it says "wait"; 0: no end */
	bool has_started, is_refused, has_ended;
	bool is_settled; /* ended or refused */
	struct err e;
	struct process_exit exit;
};

/* What a test varies. Zeroed: /bin/sh -c script in the home of "me", stdin from /dev/null. */
struct client_options {
	const char *script;
	const char *cmd; /* instead of the shell */
	const char *const *args;
	size_t n_args;
	const struct environ_pair *envs;
	size_t n_envs;
	const char *cwd;
	const char *tag;
	const char *user; /* NULL: "me" */
	bool has_stdin_pipe;
	const struct spec_terminal *terminal;
	uint64_t lifetime_ms;
	struct rlimit nofile; /* zero: ours */
	struct cgroup *cgroup;
};

int process_fixture_setup(void **state);
int process_fixture_teardown(void **state);

/* A resolved launch, or NULL with e. */
struct spec *process_fixture_spec(struct process_fixture *f, const struct client_options *options,
                                  struct err *e);

/* Starts and subscribes; a refusal at once sets is_settled and e. */
void client_start(struct process_fixture *f, struct client *c,
                  const struct client_options *options);
void client_wait(struct client *c); /* until is_settled */
void client_wait_started(struct client *c);
void client_wait_output(struct client *c, const char *text); /* until stdout or terminal holds it */
void client_init_output(struct client *c);                   /* client_start does it */
void client_deinit(struct client *c);

/* Starts, waits for the end, and returns stdout; NUL terminated, the client's. */
const char *client_run(struct process_fixture *f, struct client *c,
                       const struct client_options *options);
const char *client_stdout(struct client *c);
const char *client_stderr(struct client *c);
const char *client_tty(struct client *c);

/* Turns the loop until the registry holds no process any more. */
void process_fixture_wait_empty(struct process_fixture *f);
