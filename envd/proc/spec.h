/*
 * A validated launch: everything that exec needs, resolved before the fork, so that the child has
 * nothing to decide and nothing to allocate. Made on the loop, resolved on the pool (it reads
 * /etc/passwd and looks at the working directory), used once by proc/spawn.c.
 *
 * Sources: process.md 3.1 (order of checks), 3.2 (cwd), 3.4 (credentials), 3.5 (environment).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/err.h"
#include "host/cgroup.h"
#include "host/environ.h"
#include "host/user.h"
#include "proc/config.h"

/* Bytes of one launch beside its config: the environment once more, as "name=value", global
 * variables and tables. */
#define SPEC_MEMORY_MAX (24u * 1024u * 1024u)

#define SPEC_FIRST 1024u /* bytes of it within the struct: enough for a usual launch */

enum spec_stdin {
	SPEC_STDIN_PIPE, /* stays open until it is closed or the process ends */
	SPEC_STDIN_NULL,
};

/* Characters; the low 16 bits count, 0 is allowed (process.md 3.7). */
struct spec_terminal {
	uint32_t cols, rows;
};

/* What the launch depends on beside the config. Borrowed for spec_new. */
struct spec_options {
	const struct user_db *users;
	const char *user;         /* NULL: the default user */
	const char *default_user; /* "" refuses */
	const char *workdir;      /* default working directory, or NULL */
	const struct environ_store *globals;
	enum spec_stdin stdin_kind;
	const struct spec_terminal *terminal; /* instead of pipes; NULL: none */
	struct rlimit nofile;     /* of the child: the limit the daemon was started with */
	uint64_t lifetime_end_ms; /* loop time of the SIGKILL; 0: none */
};

struct spec {
	struct process_config *config;
	enum spec_stdin stdin_kind;
	bool has_terminal; /* and then stdin_kind means nothing */
	struct spec_terminal terminal;
	struct rlimit nofile;
	uint64_t lifetime_end_ms;
	struct cgroup *cgroup; /* borrowed, where to run; NULL: where the daemon runs */

	/* spec_resolve's input, copied. */
	const struct user_db *users;
	char *user_name;
	bool user_is_default;
	char *workdir;
	struct environ_pair *globals;
	size_t n_globals;

	/* Its result. */
	struct user user;
	gid_t tty_gid; /* group of a terminal: `tty`; -1, which chown(2) leaves alone, without it */
	char *cwd;
	char **argv;    /* argv[0] is cmd as given */
	char **sh_argv; /* /bin/sh, a free slot, the arguments: for scripts without #! */
	char **envp;
	size_t n_envp;
	bool sets_pwd; /* the child adds PWD, for which envp has room; else the client has set it */
	const char *path; /* the child's PATH; NULL when cmd has a slash */

	struct arena memory;
	char first[SPEC_FIRST]; /* its first block */
};

/*
 * config  taken on success
 * returns 0, or -1 with e: ERR_UNAUTHENTICATED "no user specified", ERR_LIMIT
 * thread  loop
 */
int spec_new(struct process_config **config, const struct spec_options *options,
             struct spec **out_spec, struct err *e) MUST_CHECK;

/*
 * returns 0, or -1 with e:
 *           ERR_UNAUTHENTICATED  unknown user
 *           ERR_INVALID          the working directory does not exist, or is `~name`
 *           ERR_LIMIT            SPEC_MEMORY_MAX, no memory
 * thread  pool; blocks
 */
int spec_resolve(struct spec *spec, struct err *e) MUST_CHECK;

void spec_free(struct spec *spec);

/*
 * Fails the start: "error starting process '<cmd args>': <cause>", or what process.md 3.7 says where
 * a terminal was asked for, with the working directory as far as it is resolved. Returns -1.
 */
int spec_refuse(const struct spec *spec, enum err_kind kind, const char *cause, struct err *e);
