/*
 * Connect: the stream of a process that somebody else has started, or the end of one that has ended.
 */
#include "api/process_handlers.h"

#include "api/process_api.h"
#include "api/process_events.h"
#include "api/process_selector.h"
#include "api/process_watch.h"
#include "process/process.pb-c.h"

/*
 * A process is live until its end is retained and told, in one turn of the loop (registry.h): there is
 * no gap between the two, and an end is never looked for while a newer owner of the number lives.
 *
 * call  taken on success
 */
static int connect_selected(struct registry *registry, struct selector selector, struct call **call,
                            struct err *e)
{
	struct process *p = registry_find(registry, selector, e);
	const struct ended *ended = p ? NULL : registry_find_ended(registry, selector);

	call_drop_message(*call); /* the tag was the last of it, and the stream may live long */
	if (p)
		return process_watch_live(p, call, e);
	if (!ended)
		return -1;
	err_clear(e);
	(void)process_events_send_start(*call, ended->pid);
	process_events_finish(call, &ended->exit);
	return 0;
}

void process_handle_connect(struct call *call, const ProtobufCMessage *message)
{
	const Process__ConnectRequest *rq = (const Process__ConnectRequest *)message;
	struct process_service *service = call_service(call);
	struct selector selector = { 0 };
	struct err e = { 0 };
	int rc = process_selector_parse(rq->process, &selector, &e);

	if (rc == 0)
		rc = connect_selected(&service->registry, selector, &call, &e);
	if (rc < 0)
		call_fail(&call, &e);
}
