/*
 * A unary call of the Filesystem service as a job: on the pool its user is looked up, its paths are
 * resolved, the method does its work and encodes its answer; on the loop the answer is given.
 *
 *     request ──▶ pool: user, paths, work, answer ──▶ sent, or dropped when nobody listens any more
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/macros.h"
#include "filesystem/filesystem.pb-c.h"
#include "fs/entry.h"
#include "host/owners.h"
#include "host/requester.h"
#include "loop/job.h"
#include "rpc/answer.h"
#include "rpc/call.h"

/* Bytes of all jobs that wait for the pool or run on it: the paths that their requests name, and what
 * they are resolved to. With short paths these are some 16,000 calls at once. */
#define FILE_JOB_BYTES_MAX (64u * 1024u * 1024u)

/* Bytes of what is said of one file: its strings and metadata, whose values have no other limit. What
 * exceeds them is left out of the metadata. */
#define FILE_JOB_ENTRY_MAX (1024u * 1024u)
#define FILE_JOB_FIRST     1024u /* of them within the job: enough for most */

/* As much again for the message, which has no more pairs of metadata than the entry. */
#define FILE_JOB_MESSAGE_MAX FILE_JOB_ENTRY_MAX

struct file_job;
struct filesystem_service;

/* On the pool; what it has to say is in j->answer, not sealed. -1 with e. */
typedef int file_work(struct file_job *j, struct err *e);

struct file_request {
	file_work *work;
	const char *path;
	const char *other_path; /* NULL: there is none */
	uint32_t depth;
};

struct file_job {
	/* The loop's. */
	struct job job;
	struct filesystem_service *service;
	struct call *call;
	size_t n_bytes; /* charged to the service */
	/* Both sides'. */
	atomic_bool is_abandoned; /* nobody waits for the answer: what can stop may stop */
	/* The work's. */
	file_work *work;
	struct requester who;
	char *path, *other_path; /* as the client named them, then resolved */
	uint32_t depth;
	bool is_legacy; /* see filesystem_legacy.h */
	struct owners owners;
	struct answer *answer;
	struct entry entry; /* in entry_memory */
	struct arena entry_memory;
	struct arena message_memory;
	char first[2][FILE_JOB_FIRST];
	/* Its result. */
	int rc;
	struct err e;
};

/*
 * For jobs of other shapes: whose request it is, for requester_deinit in any case; and bytes that are
 * charged to FILE_JOB_BYTES_MAX, for the caller to give back, or ERR_LIMIT. Loop thread.
 */
int file_job_requester(const struct call *call, struct requester *out_who,
                       struct err *e) MUST_CHECK;
int file_job_charge(struct filesystem_service *service, size_t bytes, struct err *e) MUST_CHECK;

/* Takes the right to answer; the request is copied. Loop thread. */
void file_job_start(struct call *call, const struct file_request *request);

/*
 * What there is to say about a path: the message lives until the next. For work.
 *
 * errors  ERR_NOT_FOUND, ERR_INTERNAL with the texts of filesystem.md 3, Stat
 */
Filesystem__EntryInfo *file_job_entry(struct file_job *j, const char *path,
                                      struct err *e) MUST_CHECK;

/* The same for an entry that was read already. */
Filesystem__EntryInfo *file_job_message(struct file_job *j, const struct entry *entry,
                                        struct err *e) MUST_CHECK;
