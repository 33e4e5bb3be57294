#include "api/filesystem_pollers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "api/filesystem_api.h"
#include "api/filesystem_event.h"
#include "api/filesystem_handlers.h"
#include "api/filesystem_job.h"
#include "api/filesystem_legacy.h"
#include "api/filesystem_watch.h"
#include "base/mem.h"

#define ID_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789"
#define ID_RANDOM  20u                   /* letters behind the "w" */
#define ID_SIZE    (1u + ID_RANDOM + 1u) /* with a NUL */

struct poller {
	struct list link; /* in the service's, from when it is armed: nobody knew its id before */
	struct filesystem_service *service;
	struct watcher *watcher; /* NULL: events were lost after it had given them */
	struct call *creator;    /* until it is armed */
	struct list polls;
	char id[ID_SIZE];
};

/*
 * A GetWatcherEvents.
 *
 *     WAITING ──all until now is ready──▶ ENCODING ──▶ answered
 *        └── poller removed, watcher failed, client gone ──▶ answered, no event is taken
 */
struct poll {
	struct list link; /* in the poller's */
	struct poller *poller;
	struct filesystem_service *service;
	struct call *call;
	struct watcher_waiter waiter; /* WAITING while it does */
	bool is_legacy;
	/* ENCODING. */
	struct job job;
	struct list events; /* struct watch_event; the job only reads them */
	size_t n_events;
	size_t n_bytes; /* of the events, charged to the service */
	struct answer *answer;
	int rc;
	struct err e;
};

/* ---------------------------------------------------------------- polls */

static void poll_free(struct poll *p)
{
	struct filesystem_service *service = p->service;
	struct watch_event *event;

	LIST_FOR_EACH(&p->events, event, struct watch_event, item.link) {
		list_remove(&event->item.link);
		watch_event_free(event);
	}
	service->n_job_bytes -= p->n_bytes;
	watcher_unsettle(&p->waiter);
	list_remove(&p->link);
	answer_free(p->answer);
	err_clear(&p->e);
	free(p);
	owner_drop(&service->owner);
}

static int refuse_unknown(const char *id, struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, "watcher with id %s not found", id);
}

static int refuse_lost(struct err *e)
{
	return err_set(e, ERR_INTERNAL, "watcher error: " WATCH_OVERFLOW_TEXT);
}

static int encode(struct poll *p, struct err *e)
{
	struct filesystem_event room;
	struct watch_event *event;
	int rc = 0;

	filesystem_event_init(&room, p->is_legacy);
	LIST_FOR_EACH(&p->events, event, struct watch_event, item.link) {
		if (rc == 0)
			rc = answer_add(p->answer, &filesystem_event_message(&room, event)->base,
			                e);
	}
	filesystem_event_deinit(&room);
	return rc < 0 ? rc : answer_seal(p->answer, e);
}

static void poll_work(struct job *job)
{
	struct poll *p = CONTAINER_OF(job, struct poll, job);

	p->rc = encode(p, &p->e);
}

/* What was taken cannot be given back in its order: from here on it is not known what is missing. */
static void poller_lose(struct poller *poller)
{
	struct poll *p;

	LIST_FOR_EACH(&poller->polls, p, struct poll, link) {
		if (!p->waiter.watcher)
			continue;
		(void)refuse_lost(&p->e);
		call_fail(&p->call, &p->e);
		poll_free(p);
	}
	watcher_free(TAKE_PTR(poller->watcher));
}

static void poll_answer(struct poll *p)
{
	if (call_is_canceled(p->call)) {
		call_cancel(&p->call);
	} else if (p->rc < 0) {
		if (p->poller)
			poller_lose(p->poller);
		(void)refuse_lost(&p->e);
		call_fail(&p->call, &p->e);
	} else {
		if (p->is_legacy)
			legacy_mark(p->call);
		call_finish_encoded(&p->call, &p->answer);
	}
	poll_free(p);
}

static void poll_done(struct job *job)
{
	poll_answer(CONTAINER_OF(job, struct poll, job));
}

/* What others hold of FILE_JOB_BYTES_MAX the next poll gets; with none left, one event is too much. */
static int poll_take(struct poll *p, struct err *e)
{
	struct filesystem_service *service = p->service;
	struct watcher *w = p->poller->watcher;

	if (watcher_n_ready(w) > 0 && service->n_job_bytes >= FILE_JOB_BYTES_MAX)
		return err_set(e, ERR_LIMIT, "too many file operations at once");
	while (service->n_job_bytes < FILE_JOB_BYTES_MAX) {
		struct watch_event *event = watcher_take(w);

		if (!event)
			break;
		list_append(&p->events, &event->item.link);
		p->n_events++;
		p->n_bytes += event->n_bytes;
		service->n_job_bytes += event->n_bytes;
	}
	return 0;
}

static void poll_on_settled(struct watcher_waiter *waiter)
{
	struct poll *p = CONTAINER_OF(waiter, struct poll, waiter);
	const struct err *why = watcher_error(p->poller->watcher);

	if (why) {
		watch_refuse(&p->call, why);
		poll_free(p);
	} else if (poll_take(p, &p->e) < 0) {
		call_fail(&p->call, &p->e);
		poll_free(p);
	} else if (p->n_events > POLL_EVENTS_INLINE) {
		job_start(p->service->loop, &p->job, poll_work, poll_done);
	} else {
		p->rc = encode(p, &p->e);
		poll_answer(p);
	}
}

/* Events that were taken go with the call. */
static void poll_on_cancel(struct call *call, enum err_kind why)
{
	struct poll *p = call_data(call);

	UNUSED(why);
	if (!p->waiter.watcher) /* a job has them */
		return;
	call_cancel(&p->call);
	poll_free(p);
}

static const struct call_ops poll_call_ops = { .on_cancel = poll_on_cancel };

/* ---------------------------------------------------------------- pollers */

static void poller_free(struct poller *poller)
{
	struct poll *p;

	LIST_FOR_EACH(&poller->polls, p, struct poll, link) {
		p->poller = NULL;
		list_remove(&p->link);
		if (!p->waiter.watcher)
			continue;
		(void)refuse_unknown(poller->id, &p->e);
		call_fail(&p->call, &p->e);
		poll_free(p);
	}
	watcher_free(poller->watcher);
	list_remove(&poller->link);
	free(poller);
}

void pollers_free(struct filesystem_service *service)
{
	struct poller *poller;

	LIST_FOR_EACH(&service->pollers, poller, struct poller, link)
		poller_free(poller);
}

static struct poller *find_poller(struct filesystem_service *service, const char *id, struct err *e)
{
	struct poller *poller;

	LIST_FOR_EACH(&service->pollers, poller, struct poller, link) {
		if (strcmp(poller->id, id) == 0)
			return poller;
	}
	(void)refuse_unknown(id, e);
	return NULL;
}

static void poller_on_armed(struct watcher *w)
{
	Filesystem__CreateWatcherResponse response = FILESYSTEM__CREATE_WATCHER_RESPONSE__INIT;
	struct poller *poller = watcher_data(w);

	list_append(&poller->service->pollers, &poller->link);
	response.watcher_id = poller->id;
	if (legacy_is_client(poller->creator))
		legacy_mark(poller->creator);
	call_finish(&poller->creator, &response.base);
}

/* Those who poll hear of a later failure, each of them. */
static void poller_on_failed(struct watcher *w, const struct err *e)
{
	struct poller *poller = watcher_data(w);

	if (!poller->creator)
		return;
	watch_refuse(&poller->creator, e);
	poller_free(poller);
}

static const struct watcher_ops poller_watcher_ops = {
	.on_armed = poller_on_armed,
	.on_failed = poller_on_failed,
};

static void creator_on_cancel(struct call *call, enum err_kind why)
{
	struct poller *poller = call_data(call);

	UNUSED(why);
	call_cancel(&poller->creator);
	poller_free(poller);
}

static const struct call_ops creator_call_ops = { .on_cancel = creator_on_cancel };

/* Each letter with the same probability. */
static char random_letter(void)
{
	const unsigned n_letters = sizeof ID_LETTERS - 1;
	uint8_t byte;

	do {
		ssize_t n = getrandom(&byte, sizeof byte, 0);

		ASSERT(n == sizeof byte); /* so few bytes are never cut short */
	} while (byte >= 256 - 256 % n_letters);
	return ID_LETTERS[byte % n_letters];
}

static void make_id(char out_id[ID_SIZE])
{
	*out_id++ = 'w';
	for (unsigned i = 0; i < ID_RANDOM; i++)
		*out_id++ = random_letter();
	*out_id = '\0';
}

static void poller_begin(struct call *call, const struct watcher_options *options)
{
	struct filesystem_service *service = call_service(call);
	struct poller *poller = xcalloc(1, sizeof *poller);
	struct err e = { 0 };

	poller->service = service;
	list_init(&poller->polls);
	make_id(poller->id);
	poller->watcher = watcher_new(service->watches, options, &poller_watcher_ops, poller, &e);
	if (!poller->watcher) {
		call_fail(&call, &e);
		poller_free(poller);
		return;
	}
	call_set_ops(call, &creator_call_ops, poller);
	poller->creator = TAKE_PTR(call);
}

/* ---------------------------------------------------------------- handlers */

void filesystem_handle_create_watcher(struct call *call, const ProtobufCMessage *message)
{
	const Filesystem__CreateWatcherRequest *rq =
		(const Filesystem__CreateWatcherRequest *)message;
	const struct watcher_options wanted = {
		.path = rq->path,
		.is_recursive = rq->recursive,
		.wants_entries = rq->include_entry,
		.allows_network = rq->allow_network_mounts,
	};

	watch_prepare(call, &wanted, poller_begin);
}

void filesystem_handle_get_watcher_events(struct call *call, const ProtobufCMessage *message)
{
	const Filesystem__GetWatcherEventsRequest *rq =
		(const Filesystem__GetWatcherEventsRequest *)message;
	struct filesystem_service *service = call_service(call);
	struct err e = { 0 };
	struct poller *poller = find_poller(service, rq->watcher_id, &e);
	struct poll *p;

	if (!poller || !poller->watcher) {
		if (poller)
			(void)refuse_lost(&e);
		call_fail(&call, &e);
		return;
	}
	p = xcalloc(1, sizeof *p);
	p->service = service;
	owner_hold(&service->owner);
	p->poller = poller;
	list_append(&poller->polls, &p->link);
	list_init(&p->events);
	p->is_legacy = legacy_is_client(call);
	call_drop_message(call);
	p->answer = call_new_answer(call);
	call_set_ops(call, &poll_call_ops, p);
	p->call = TAKE_PTR(call);
	p->waiter.on_settled = poll_on_settled;
	watcher_settle(poller->watcher, &p->waiter);
}

void filesystem_handle_remove_watcher(struct call *call, const ProtobufCMessage *message)
{
	const Filesystem__RemoveWatcherRequest *rq =
		(const Filesystem__RemoveWatcherRequest *)message;
	Filesystem__RemoveWatcherResponse response = FILESYSTEM__REMOVE_WATCHER_RESPONSE__INIT;
	struct err e = { 0 };
	struct poller *poller = find_poller(call_service(call), rq->watcher_id, &e);

	if (!poller) {
		call_fail(&call, &e);
		return;
	}
	poller_free(poller);
	if (legacy_is_client(call))
		legacy_mark(call);
	call_finish(&call, &response.base);
}
