/*
 * WatchDir: a stream of what happens in a directory, until the client leaves.
 *
 *     watcher armed ──▶ start event ──▶ events as the peer takes them, keepalives ──▶ the watcher fails
 *
 * A peer that does not take its events leaves them with the watcher, whose limits they reach
 * (fs/watch.h). Source: filesystem.md 4.4, wire.md 7 and 8.
 */
#include <stdlib.h>

#include "api/filesystem_api.h"
#include "api/filesystem_event.h"
#include "api/filesystem_handlers.h"
#include "api/filesystem_legacy.h"
#include "api/filesystem_watch.h"
#include "base/mem.h"

struct watch_stream {
	struct call *call;
	struct watcher *watcher;
	bool is_legacy;
	bool may_send; /* the watch is armed, and the peer takes more */
};

static void stream_free(struct watch_stream *s)
{
	watcher_free(s->watcher);
	free(s);
}

static bool send_start(struct call *call)
{
	Filesystem__WatchDirResponse__StartEvent start =
		FILESYSTEM__WATCH_DIR_RESPONSE__START_EVENT__INIT;
	Filesystem__WatchDirResponse response = FILESYSTEM__WATCH_DIR_RESPONSE__INIT;

	response.event_case = FILESYSTEM__WATCH_DIR_RESPONSE__EVENT_START;
	response.start = &start;
	return call_send(call, &response.base);
}

static bool send_event(struct call *call, Filesystem__FilesystemEvent *event)
{
	Filesystem__WatchDirResponse response = FILESYSTEM__WATCH_DIR_RESPONSE__INIT;

	response.event_case = FILESYSTEM__WATCH_DIR_RESPONSE__EVENT_FILESYSTEM;
	response.filesystem = event;
	return call_send(call, &response.base);
}

static bool send_keepalive(struct call *call)
{
	Filesystem__WatchDirResponse__KeepAlive keepalive =
		FILESYSTEM__WATCH_DIR_RESPONSE__KEEP_ALIVE__INIT;
	Filesystem__WatchDirResponse response = FILESYSTEM__WATCH_DIR_RESPONSE__INIT;

	response.event_case = FILESYSTEM__WATCH_DIR_RESPONSE__EVENT_KEEPALIVE;
	response.keepalive = &keepalive;
	return call_send(call, &response.base);
}

/* EXCHANGE_SEND_HIGH bytes at most: nothing of it goes out, and makes room, in this turn of the loop. */
static void stream_send(struct watch_stream *s)
{
	struct filesystem_event room;

	filesystem_event_init(&room, s->is_legacy);
	while (s->may_send) {
		struct watch_event *event = watcher_take(s->watcher);

		if (!event)
			break;
		s->may_send = send_event(s->call, filesystem_event_message(&room, event));
		watch_event_free(event);
	}
	filesystem_event_deinit(&room);
}

/* ---------------------------------------------------------------- what the watcher says */

static void stream_on_armed(struct watcher *w)
{
	struct watch_stream *s = watcher_data(w);

	call_start_keepalive(s->call, call_keepalive_ms(s->call));
	s->may_send = send_start(s->call);
}

static void stream_on_failed(struct watcher *w, const struct err *e)
{
	struct watch_stream *s = watcher_data(w);

	watch_refuse(&s->call, e);
	stream_free(s);
}

static void stream_on_ready(struct watcher *w)
{
	stream_send(watcher_data(w));
}

static const struct watcher_ops stream_watcher_ops = {
	.on_armed = stream_on_armed,
	.on_failed = stream_on_failed,
	.on_ready = stream_on_ready,
};

/* ---------------------------------------------------------------- what the call says */

static void stream_on_proceed(struct call *call)
{
	struct watch_stream *s = call_data(call);

	s->may_send = true;
	stream_send(s);
}

/* A client with events on their way needs no sign of life. */
static void stream_on_keepalive(struct call *call)
{
	struct watch_stream *s = call_data(call);

	if (s->may_send)
		s->may_send = send_keepalive(call);
}

static void stream_on_cancel(struct call *call, enum err_kind why)
{
	struct watch_stream *s = call_data(call);

	UNUSED(why);
	call_cancel(&s->call);
	stream_free(s);
}

static const struct call_ops stream_call_ops = {
	.on_proceed = stream_on_proceed,
	.on_cancel = stream_on_cancel,
	.on_keepalive = stream_on_keepalive,
};

/* ---------------------------------------------------------------- beginning */

static void stream_begin(struct call *call, const struct watcher_options *options)
{
	struct filesystem_service *service = call_service(call);
	struct watch_stream *s = xcalloc(1, sizeof *s);
	struct err e = { 0 };

	s->watcher = watcher_new(service->watches, options, &stream_watcher_ops, s, &e);
	if (!s->watcher) {
		call_fail(&call, &e);
		free(s);
		return;
	}
	s->is_legacy = legacy_is_client(call);
	call_set_ops(call, &stream_call_ops, s);
	s->call = TAKE_PTR(call);
}

void filesystem_handle_watch_dir(struct call *call, const ProtobufCMessage *message)
{
	const Filesystem__WatchDirRequest *rq = (const Filesystem__WatchDirRequest *)message;
	const struct watcher_options wanted = {
		.path = rq->path,
		.is_recursive = rq->recursive,
		.wants_entries = rq->include_entry,
		.allows_network = rq->allow_network_mounts,
	};

	if (legacy_is_client(call))
		legacy_mark(call);
	watch_prepare(call, &wanted, stream_begin);
}
