/*
 * SendSignal.
 */
#include "api/process_handlers.h"

#include <signal.h>

#include "api/process_api.h"
#include "api/process_selector.h"
#include "process/process.pb-c.h"

/* What SendSignal sends, and to whom when the client does not say: a killed shell must not leave
 * its children behind, a terminated one may want to end them itself (process.md 10). */
static int signal_of(const Process__SendSignalRequest *rq, int *out_signum,
                     enum process_scope *out_scope, struct err *e)
{
	switch ((int)rq->signal) {
	case PROCESS__SIGNAL__SIGNAL_SIGKILL:
		*out_signum = SIGKILL;
		*out_scope = PROCESS_GROUP;
		return 0;
	case PROCESS__SIGNAL__SIGNAL_SIGTERM:
		*out_signum = SIGTERM;
		*out_scope = rq->descendants ? PROCESS_GROUP : PROCESS_LEADER;
		return 0;
	case PROCESS__SIGNAL__SIGNAL_UNSPECIFIED:
		return err_set(e, ERR_UNIMPLEMENTED, "invalid signal: SIGNAL_UNSPECIFIED");
	default:
		return err_set(e, ERR_UNIMPLEMENTED, "invalid signal: %d", (int)rq->signal);
	}
}

static int signal_send(struct process_service *service, const Process__SendSignalRequest *rq,
                       struct err *e)
{
	enum process_scope scope = PROCESS_LEADER;
	struct process *p;
	int signum = 0;

	p = process_selector_find(&service->registry, rq->process, e);
	if (!p || signal_of(rq, &signum, &scope, e) < 0)
		return -1;
	return process_signal(p, signum, scope, e);
}

void process_handle_send_signal(struct call *call, const ProtobufCMessage *message)
{
	Process__SendSignalResponse response = PROCESS__SEND_SIGNAL_RESPONSE__INIT;
	struct err e = { 0 };

	if (signal_send(call_service(call), (const Process__SendSignalRequest *)message, &e) < 0)
		call_fail(&call, &e);
	else
		call_finish(&call, &response.base);
}
