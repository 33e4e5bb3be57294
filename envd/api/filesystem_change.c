/*
 * MakeDir and Remove. Both go on to their end when the client has gone, as in the reference: what it
 * asked for is then done all the same, and not half done.
 */
#include "api/filesystem_handlers.h"
#include "api/filesystem_job.h"
#include "fs/make_dir.h"
#include "fs/remove.h"

static int make_dir_work(struct file_job *j, struct err *e)
{
	Filesystem__MakeDirResponse response = FILESYSTEM__MAKE_DIR_RESPONSE__INIT;

	if (make_dir(j->path, j->who.user.uid, j->who.user.gid, e) < 0)
		return -1;
	response.entry = file_job_entry(j, j->path, e);
	if (!response.entry)
		return -1;
	return answer_put(j->answer, &response.base, e);
}

void filesystem_handle_make_dir(struct call *call, const ProtobufCMessage *message)
{
	const Filesystem__MakeDirRequest *rq = (const Filesystem__MakeDirRequest *)message;
	const struct file_request request = { .work = make_dir_work, .path = rq->path };

	file_job_start(call, &request);
}

static int remove_work(struct file_job *j, struct err *e)
{
	Filesystem__RemoveResponse response = FILESYSTEM__REMOVE_RESPONSE__INIT;

	if (remove_tree(j->path, e) < 0)
		return err_wrap(e, "error removing file or directory");
	return answer_put(j->answer, &response.base, e);
}

void filesystem_handle_remove(struct call *call, const ProtobufCMessage *message)
{
	const Filesystem__RemoveRequest *rq = (const Filesystem__RemoveRequest *)message;
	const struct file_request request = { .work = remove_work, .path = rq->path };

	file_job_start(call, &request);
}
