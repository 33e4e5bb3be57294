/*
 * What the client asked to run, as it said it: kept as long as the process is known, because List
 * shows it. One allocation, shared: the loop thread counts the references, and whoever has one may read
 * on any thread, because nothing else of it ever changes.
 */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/macros.h"
#include "host/environ.h"

/* Bytes of all strings and of a pointer to each: the kernel's absolute limit for arguments and
 * environment, three quarters of its 8 MiB default stack (execve(2)). */
#define PROCESS_CONFIG_MAX (6u * 1024u * 1024u)

struct process_config {
	const char *cmd;
	const char *const *args;
	size_t n_args;
	const struct environ_pair *envs;
	size_t n_envs;
	const char *cwd; /* NULL: absent, which differs from "" in List */
	const char *tag; /* NULL: absent */
	size_t n_bytes;  /* of the whole allocation */
	unsigned n_refs;
};

/*
 * A deep copy of src, whose members are borrowed for the call; with one reference.
 *
 * returns  NULL with e: ERR_INVALID "argument list too long" over PROCESS_CONFIG_MAX,
 *          ERR_LIMIT without memory
 */
struct process_config *process_config_new(const struct process_config *src,
                                          struct err *e) MUST_CHECK;
struct process_config *process_config_ref(struct process_config *config);
void process_config_unref(struct process_config *config); /* NULL is nothing */

/* Appends cmd and arguments, joined by single spaces, as far as b has room. */
void process_config_append_command(const struct process_config *config, struct buf *b);

/* Fails a start: "error starting process '<cmd args>': <cause>". Returns -1. */
int process_config_refuse(const struct process_config *config, enum err_kind kind,
                          const char *cause, struct err *e);
