#include "api/filesystem_job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/filesystem_api.h"
#include "api/filesystem_entry.h"
#include "api/filesystem_legacy.h"
#include "api/session.h"
#include "base/mem.h"
#include "fs/entry.h"

/* ---------------------------------------------------------------- on the pool */

static int resolve(const struct requester *who, char **path, struct err *e)
{
	char *resolved;

	if (!*path)
		return 0;
	if (requester_path(who, *path, &resolved, e) < 0)
		return -1;
	free(*path);
	*path = resolved;
	return 0;
}

static int file_job_run(struct file_job *j, struct err *e)
{
	if (requester_find(&j->who, e) < 0 || resolve(&j->who, &j->path, e) < 0 ||
	    resolve(&j->who, &j->other_path, e) < 0 || j->work(j, e) < 0)
		return -1;
	return answer_seal(j->answer, e);
}

static void file_job_work(struct job *job)
{
	struct file_job *j = CONTAINER_OF(job, struct file_job, job);

	j->rc = file_job_run(j, &j->e);
}

static void refuse_entry(const char *path, int error, struct err *e)
{
	if (error == ENOENT)
		err_set(e, ERR_NOT_FOUND, "file not found: lstat %s: %s", path, errno_text(error));
	else
		err_set(e, ERR_INTERNAL, "error getting file info: lstat %s: %s", path,
		        errno_text(error));
}

Filesystem__EntryInfo *file_job_message(struct file_job *j, const struct entry *entry,
                                        struct err *e)
{
	Filesystem__EntryInfo *info;

	arena_reset(&j->message_memory);
	info = filesystem_entry_info(entry, &j->message_memory);
	if (!info)
		refuse_entry(entry->path, ENOMEM, e);
	else if (j->is_legacy)
		legacy_reduce_entry(info);
	return info;
}

Filesystem__EntryInfo *file_job_entry(struct file_job *j, const char *path, struct err *e)
{
	int rc;

	arena_reset(&j->entry_memory);
	rc = entry_read(path, &j->owners, &j->entry_memory, &j->entry);
	if (rc < 0) {
		refuse_entry(path, -rc, e);
		return NULL;
	}
	return file_job_message(j, &j->entry, e);
}

/* ---------------------------------------------------------------- on the loop */

static void file_job_free(struct file_job *j)
{
	struct filesystem_service *service = j->service;

	service->n_job_bytes -= j->n_bytes;
	requester_deinit(&j->who);
	free(j->path);
	free(j->other_path);
	owners_deinit(&j->owners);
	answer_free(j->answer);
	arena_deinit(&j->entry_memory);
	arena_deinit(&j->message_memory);
	err_clear(&j->e);
	free(j);
	owner_drop(&service->owner);
}

static void file_job_done(struct job *job)
{
	struct file_job *j = CONTAINER_OF(job, struct file_job, job);

	if (call_is_canceled(j->call)) {
		call_cancel(&j->call);
	} else if (j->rc < 0) {
		call_fail(&j->call, &j->e);
	} else {
		if (j->is_legacy)
			legacy_mark(j->call);
		call_finish_encoded(&j->call, &j->answer);
	}
	file_job_free(j);
}

/* What waits for a thread does not begin; what has begun stops where that leaves nothing half done. */
static void file_job_on_cancel(struct call *call, enum err_kind why)
{
	struct file_job *j = call_data(call);

	UNUSED(why);
	atomic_store(&j->is_abandoned, true);
	job_cancel(&j->job);
}

static const struct call_ops file_job_call_ops = { .on_cancel = file_job_on_cancel };

/* Each path as sent, resolved, and as work forms of it. */
static size_t cost(const struct file_request *request, const struct requester *who)
{
	size_t bytes = strlen(request->path);

	if (request->other_path)
		bytes += strlen(request->other_path);
	if (who->workdir)
		bytes += strlen(who->workdir);
	return sizeof(struct file_job) + 3 * bytes;
}

int file_job_charge(struct filesystem_service *service, size_t bytes, struct err *e)
{
	if (service->n_job_bytes + bytes > FILE_JOB_BYTES_MAX)
		return err_set(e, ERR_LIMIT, "too many file operations at once");
	service->n_job_bytes += bytes;
	return 0;
}

int file_job_requester(const struct call *call, struct requester *out_who, struct err *e)
{
	const struct filesystem_service *service = call_service(call);
	const struct session *session = call_session(call);

	return requester_init(out_who, service->users, session ? session->user_name : NULL,
	                      service->defaults->user, service->defaults->workdir, e);
}

void file_job_start(struct call *call, const struct file_request *request)
{
	struct filesystem_service *service = call_service(call);
	struct requester who = { 0 };
	struct file_job *j;
	struct err e = { 0 };

	if (file_job_requester(call, &who, &e) < 0 ||
	    file_job_charge(service, cost(request, &who), &e) < 0) {
		requester_deinit(&who);
		call_fail(&call, &e);
		return;
	}
	j = xcalloc(1, sizeof *j);
	j->service = service;
	owner_hold(&service->owner);
	j->n_bytes = cost(request, &who);
	j->work = request->work;
	j->who = who;
	j->path = xstrdup(request->path);
	j->other_path = request->other_path ? xstrdup(request->other_path) : NULL;
	j->depth = request->depth;
	j->is_legacy = legacy_is_client(call);
	j->owners.db = service->users;
	j->answer = call_new_answer(call);
	arena_init(&j->entry_memory, FILE_JOB_ENTRY_MAX, j->first[0], FILE_JOB_FIRST);
	arena_init(&j->message_memory, FILE_JOB_MESSAGE_MAX, j->first[1], FILE_JOB_FIRST);
	call_drop_message(call);
	call_set_ops(call, &file_job_call_ops, j);
	j->call = TAKE_PTR(call);
	job_start(service->loop, &j->job, file_job_work, file_job_done);
}
