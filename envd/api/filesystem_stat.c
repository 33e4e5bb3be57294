/*
 * Stat: what there is to say about a path.
 */
#include "api/filesystem_handlers.h"
#include "api/filesystem_job.h"

static int stat_work(struct file_job *j, struct err *e)
{
	Filesystem__StatResponse response = FILESYSTEM__STAT_RESPONSE__INIT;

	response.entry = file_job_entry(j, j->path, e);
	if (!response.entry)
		return -1;
	return answer_put(j->answer, &response.base, e);
}

void filesystem_handle_stat(struct call *call, const ProtobufCMessage *message)
{
	const Filesystem__StatRequest *rq = (const Filesystem__StatRequest *)message;
	const struct file_request request = { .work = stat_work, .path = rq->path };

	file_job_start(call, &request);
}
