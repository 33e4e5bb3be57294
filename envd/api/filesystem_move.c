/*
 * Move. A copy across file systems ends when its client has gone: the source is whole then, and nothing
 * is left of the copy.
 */
#include "api/filesystem_handlers.h"
#include "api/filesystem_job.h"
#include "fs/move.h"

static int move_work(struct file_job *j, struct err *e)
{
	Filesystem__MoveResponse response = FILESYSTEM__MOVE_RESPONSE__INIT;
	const struct move move = {
		.source = j->path,
		.destination = j->other_path,
		.uid = j->who.user.uid,
		.gid = j->who.user.gid,
		.is_abandoned = &j->is_abandoned,
	};

	if (move_path(&move, e) < 0)
		return -1;
	response.entry = file_job_entry(j, j->other_path, e);
	if (!response.entry)
		return -1;
	return answer_put(j->answer, &response.base, e);
}

void filesystem_handle_move(struct call *call, const ProtobufCMessage *message)
{
	const Filesystem__MoveRequest *rq = (const Filesystem__MoveRequest *)message;
	const struct file_request request = {
		.work = move_work,
		.path = rq->source,
		.other_path = rq->destination,
	};

	file_job_start(call, &request);
}
