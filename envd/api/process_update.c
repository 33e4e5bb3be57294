/*
 * Update: the size of a terminal, which is all of a process that can be changed.
 */
#include "api/process_handlers.h"

#include "api/process_api.h"
#include "api/process_selector.h"
#include "process/process.pb-c.h"

/* Without a terminal in it the request changes nothing, whatever the process (process.md 9). */
static int update(struct process_service *service, const Process__UpdateRequest *rq, struct err *e)
{
	struct process *p = process_selector_find(&service->registry, rq->process, e);
	const Process__PTY__Size *size;

	if (!p)
		return -1;
	if (rq->_pty_case != PROCESS__UPDATE_REQUEST___PTY_PTY)
		return 0;
	size = rq->pty->size;
	return process_resize(p, size ? size->cols : 0, size ? size->rows : 0, e);
}

void process_handle_update(struct call *call, const ProtobufCMessage *message)
{
	Process__UpdateResponse response = PROCESS__UPDATE_RESPONSE__INIT;
	struct err e = { 0 };

	if (update(call_service(call), (const Process__UpdateRequest *)message, &e) < 0)
		call_fail(&call, &e);
	else
		call_finish(&call, &response.base);
}
