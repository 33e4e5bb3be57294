/*
 * ListDir: the entries of a directory, encoded one by one, so that they are never in memory together.
 */
#include "api/filesystem_handlers.h"
#include "api/filesystem_job.h"
#include "fs/listing.h"

static int list_on_entry(void *ctx, const struct entry *entry, struct err *e)
{
	struct file_job *j = ctx;
	const Filesystem__EntryInfo *info = file_job_message(j, entry, e);

	return info ? answer_add(j->answer, &info->base, e) : -1;
}

static int list_work(struct file_job *j, struct err *e)
{
	const struct listing listing = {
		.path = j->path,
		.depth = j->depth,
		.owners = &j->owners,
		.is_abandoned = &j->is_abandoned,
		.on_entry = list_on_entry,
		.ctx = j,
	};

	return listing_walk(&listing, e);
}

void filesystem_handle_list_dir(struct call *call, const ProtobufCMessage *message)
{
	const Filesystem__ListDirRequest *rq = (const Filesystem__ListDirRequest *)message;
	const struct file_request request = {
		.work = list_work,
		.path = rq->path,
		.depth = rq->depth,
	};

	file_job_start(call, &request);
}
