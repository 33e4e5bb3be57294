#include "api/filesystem_legacy.h"

#define LEGACY_AGENT "connect-python"

bool legacy_is_client(const struct call *call)
{
	const struct http_request *request = call_request(call);

	for (size_t i = 0; i < request->n_fields; i++) {
		if (span_equal(request->fields[i].name, "user-agent"))
			return span_equal(request->fields[i].value, LEGACY_AGENT);
	}
	return false;
}

void legacy_mark(struct call *call)
{
	call_add_header(call, SPAN("X-E2B-Legacy-SDK"), SPAN("true"));
}

void legacy_reduce_entry(Filesystem__EntryInfo *info)
{
	Filesystem__EntryInfo reduced = FILESYSTEM__ENTRY_INFO__INIT;

	reduced.name = info->name;
	reduced.type = info->type;
	reduced.path = info->path;
	*info = reduced;
}

void legacy_reduce_event(Filesystem__FilesystemEvent *event)
{
	Filesystem__FilesystemEvent reduced = FILESYSTEM__FILESYSTEM_EVENT__INIT;

	reduced.name = event->name;
	reduced.type = event->type;
	*event = reduced;
}
