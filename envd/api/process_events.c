#include "api/process_events.h"

#include <signal.h>
#include <stdio.h>

#include "process/process.pb-c.h"

/* Their macros would hide the members of messages. */
#undef stdout
#undef stderr

static bool send_event(struct call *call, Process__ProcessEvent *event)
{
	Process__StartResponse response = PROCESS__START_RESPONSE__INIT;

	response.event = event;
	return call_send(call, &response.base);
}

bool process_events_send_start(struct call *call, pid_t pid)
{
	Process__ProcessEvent__StartEvent start = PROCESS__PROCESS_EVENT__START_EVENT__INIT;
	Process__ProcessEvent event = PROCESS__PROCESS_EVENT__INIT;

	start.pid = (uint32_t)pid;
	event.event_case = PROCESS__PROCESS_EVENT__EVENT_START;
	event.start = &start;
	return send_event(call, &event);
}

bool process_events_send_data(struct call *call, enum output_stream stream, const uint8_t *data,
                              size_t len)
{
	Process__ProcessEvent__DataEvent out = PROCESS__PROCESS_EVENT__DATA_EVENT__INIT;
	Process__ProcessEvent event = PROCESS__PROCESS_EVENT__INIT;
	/* The encoder only reads; the generated member is not const. */
	ProtobufCBinaryData bytes = { .len = len, .data = (uint8_t *)(uintptr_t)data };

	switch (stream) {
	case OUTPUT_STDOUT:
		out.output_case = PROCESS__PROCESS_EVENT__DATA_EVENT__OUTPUT_STDOUT;
		out.stdout = bytes;
		break;
	case OUTPUT_STDERR:
		out.output_case = PROCESS__PROCESS_EVENT__DATA_EVENT__OUTPUT_STDERR;
		out.stderr = bytes;
		break;
	case OUTPUT_PTY:
		out.output_case = PROCESS__PROCESS_EVENT__DATA_EVENT__OUTPUT_PTY;
		out.pty = bytes;
		break;
	}
	event.event_case = PROCESS__PROCESS_EVENT__EVENT_DATA;
	event.data = &out;
	return send_event(call, &event);
}

bool process_events_send_keepalive(struct call *call)
{
	Process__ProcessEvent__KeepAlive keepalive = PROCESS__PROCESS_EVENT__KEEP_ALIVE__INIT;
	Process__ProcessEvent event = PROCESS__PROCESS_EVENT__INIT;

	event.event_case = PROCESS__PROCESS_EVENT__EVENT_KEEPALIVE;
	event.keepalive = &keepalive;
	return send_event(call, &event);
}

static const char *const signal_names[] = {
	[SIGHUP] = "hangup",
	[SIGINT] = "interrupt",
	[SIGQUIT] = "quit",
	[SIGILL] = "illegal instruction",
	[SIGTRAP] = "trace/breakpoint trap",
	[SIGABRT] = "aborted",
	[SIGBUS] = "bus error",
	[SIGFPE] = "floating point exception",
	[SIGKILL] = "killed",
	[SIGUSR1] = "user defined signal 1",
	[SIGSEGV] = "segmentation fault",
	[SIGUSR2] = "user defined signal 2",
	[SIGPIPE] = "broken pipe",
	[SIGALRM] = "alarm clock",
	[SIGTERM] = "terminated",
	[SIGSTKFLT] = "stack fault",
	[SIGXCPU] = "CPU time limit exceeded",
	[SIGXFSZ] = "file size limit exceeded",
	[SIGVTALRM] = "virtual timer expired",
	[SIGPROF] = "profiling timer expired",
	[SIGIO] = "I/O possible",
	[SIGPWR] = "power failure",
	[SIGSYS] = "bad system call",
};

void process_events_status(const struct process_exit *exit, char out_status[PROCESS_STATUS_MAX])
{
	const char *core = exit->is_core_dumped ? " (core dumped)" : "";
	size_t signum = (size_t)exit->signal;

	if (exit->signal == 0)
		(void)snprintf(out_status, PROCESS_STATUS_MAX, "exit status %d", exit->code);
	else if (signum < ARRAY_SIZE(signal_names) && signal_names[signum])
		(void)snprintf(out_status, PROCESS_STATUS_MAX, "signal: %s%s", signal_names[signum],
		               core);
	else
		(void)snprintf(out_status, PROCESS_STATUS_MAX, "signal: signal %d%s", exit->signal,
		               core);
}

void process_events_finish(struct call **call, const struct process_exit *exit)
{
	char status[PROCESS_STATUS_MAX], deadline[] = "context deadline exceeded";
	Process__ProcessEvent__EndEvent end;
	Process__ProcessEvent event = PROCESS__PROCESS_EVENT__INIT;
	Process__StartResponse response = PROCESS__START_RESPONSE__INIT;
	bool is_success = exit->signal == 0 && exit->code == 0;

	process_events_status(exit, status);
	process__process_event__end_event__init(&end);
	end.exit_code = exit->code;
	end.exited = exit->signal == 0;
	end.status = status;
	if (!is_success || exit->is_timed_out) {
		end._error_case = PROCESS__PROCESS_EVENT__END_EVENT___ERROR_ERROR;
		end.error = is_success ? deadline : status;
	}
	event.event_case = PROCESS__PROCESS_EVENT__EVENT_END;
	event.end = &end;
	response.event = &event;
	call_finish(call, &response.base);
}
