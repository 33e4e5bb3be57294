#include "proc/registry.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/mem.h"

#define ENDED_FIRST 16u /* slots of the first ring */

/* ---------------------------------------------------------------- retained ends */

static struct ended *ended_at(const struct registry *r, size_t i)
{
	return &r->ended[(r->ended_first + i) & (r->ended_cap - 1)];
}

static void ended_forget(struct ended *ended)
{
	free(TAKE_PTR(ended->tag));
	ended->pid = 0;
}

/* Drops what has been forgotten from the old end. */
static void ended_skip(struct registry *r)
{
	while (r->n_ended > 0 && ended_at(r, 0)->pid == 0) {
		r->ended_first = (r->ended_first + 1) & (r->ended_cap - 1);
		r->n_ended--;
	}
}

/* The ring goes when it is empty. */
static void ended_trim(struct registry *r)
{
	ended_skip(r);
	if (r->n_ended > 0)
		return;
	free(TAKE_PTR(r->ended));
	r->ended_first = 0;
	r->ended_cap = 0;
}

static void ended_schedule(struct registry *r, uint64_t now_ms)
{
	uint64_t until;

	if (r->n_ended == 0) {
		timer_stop(&r->loop->timers, &r->ended_timer);
		return;
	}
	until = ended_at(r, 0)->until_ms;
	timer_start(&r->loop->timers, &r->ended_timer, until > now_ms ? until - now_ms : 0);
}

static void registry_on_ended_due(struct timer *timer)
{
	struct registry *r = CONTAINER_OF(timer, struct registry, ended_timer);
	uint64_t now = MAX(timer->due_ms, loop_now_ms(r->loop));

	for (size_t i = 0; i < r->n_ended && ended_at(r, i)->until_ms <= now; i++)
		ended_forget(ended_at(r, i));
	ended_trim(r);
	ended_schedule(r, now);
}

/* Room for one more; the oldest makes it when the ring may not grow, and it may have been the last. */
static void ended_make_room(struct registry *r)
{
	size_t cap = MAX(r->ended_cap * 2, ENDED_FIRST);
	struct ended *ring;

	if (r->n_ended < r->ended_cap)
		return;
	if (r->ended_cap == REGISTRY_RETAIN_MAX) {
		ended_forget(ended_at(r, 0));
		ended_skip(r);
		return;
	}
	ring = xcalloc(cap, sizeof *ring);
	for (size_t i = 0; i < r->n_ended; i++)
		ring[i] = *ended_at(r, i);
	free(r->ended);
	r->ended = ring;
	r->ended_first = 0;
	r->ended_cap = cap;
}

static void ended_forget_pid(struct registry *r, pid_t pid)
{
	for (size_t i = 0; i < r->n_ended; i++) {
		if (ended_at(r, i)->pid == pid)
			ended_forget(ended_at(r, i));
	}
}

void registry_retain(struct registry *r, const struct process *p)
{
	const char *tag = p->config->tag;

	if (tag && strlen(tag) > REGISTRY_RETAIN_TAG_MAX)
		tag = NULL;
	if (p->has_lost_pid)
		return;
	ended_forget_pid(r, p->pid);
	ended_make_room(r);
	*ended_at(r, r->n_ended++) = (struct ended){
		.pid = p->pid,
		.exit = p->exit,
		.until_ms = loop_now_ms(r->loop) + REGISTRY_RETAIN_MS,
		.tag = tag ? xstrdup(tag) : NULL,
	};
	ended_trim(r);
	if (!timer_is_running(&r->ended_timer))
		ended_schedule(r, loop_now_ms(r->loop));
}

static void registry_take_pid(struct registry *r, const struct process *p)
{
	struct process *earlier;

	LIST_FOR_EACH(&r->processes, earlier, struct process, link) {
		if (earlier != p && earlier->pid == p->pid)
			earlier->has_lost_pid = true;
	}
}

void registry_claim(struct registry *r, const struct process *p)
{
	const char *tag = p->config->tag;

	registry_take_pid(r, p);
	for (size_t i = 0; i < r->n_ended; i++) {
		struct ended *ended = ended_at(r, i);

		if (ended->pid == p->pid || (tag && ended->tag && strcmp(ended->tag, tag) == 0))
			ended_forget(ended);
	}
	ended_trim(r);
	if (r->n_ended == 0)
		ended_schedule(r, 0);
}

const struct ended *registry_find_ended(const struct registry *r, struct selector selector)
{
	for (size_t i = r->n_ended; i-- > 0;) {
		const struct ended *ended = ended_at(r, i);

		if (ended->pid == 0)
			continue;
		if (selector.tag ? ended->tag && strcmp(ended->tag, selector.tag) == 0
		                 : ended->pid == selector.pid)
			return ended;
	}
	return NULL;
}

/* ---------------------------------------------------------------- the living */

void registry_add(struct registry *r, struct process *p)
{
	p->serial = ++r->n_added;
	list_insert_before(r->processes.next, &p->link);
	r->n_processes++;
	r->config_bytes += p->config_bytes;
}

void registry_remove(struct registry *r, struct process *p)
{
	list_remove(&p->link);
	r->n_processes--;
	r->config_bytes -= p->config_bytes;
}

static bool selector_matches(struct selector selector, const struct process *p)
{
	if (!process_is_live(p))
		return false;
	if (!selector.tag)
		return p->pid == selector.pid && !p->has_lost_pid;
	return p->config->tag && strcmp(p->config->tag, selector.tag) == 0;
}

struct process *registry_find(struct registry *r, struct selector selector, struct err *e)
{
	struct process *p;

	LIST_FOR_EACH(&r->processes, p, struct process, link) {
		if (selector_matches(selector, p))
			return p;
	}
	if (selector.tag)
		(void)err_set(e, ERR_NOT_FOUND, "process with tag %s not found", selector.tag);
	else
		(void)err_set(e, ERR_NOT_FOUND, "process with pid %u not found",
		              (unsigned)selector.pid);
	return NULL;
}

struct process *registry_find_again(const struct registry *r, uint64_t serial)
{
	struct process *p;

	LIST_FOR_EACH(&r->processes, p, struct process, link) {
		if (p->serial <= serial) /* newest first */
			return p->serial == serial && process_is_live(p) ? p : NULL;
	}
	return NULL;
}

/* ---------------------------------------------------------------- orphans */

static struct process *registry_find_child(struct registry *r, pid_t pid)
{
	struct process *p;

	LIST_FOR_EACH(&r->processes, p, struct process, link) {
		if (p->pid == pid && process_has_pid(p))
			return p;
	}
	return NULL;
}

/* Looks before it takes: what is ours is told through its process. */
static void registry_on_child(uv_signal_t *handle, int signum)
{
	struct registry *r = CONTAINER_OF(handle, struct registry, orphans);

	UNUSED(signum);
	for (;;) {
		siginfo_t info = { 0 };
		struct process *p;

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
			return;
		p = registry_find_child(r, info.si_pid);
		if (p)
			process_reap(p);
		else
			(void)waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
	}
}

static int registry_watch_orphans(struct registry *r)
{
	int rc = uv_signal_init(&r->loop->uv, &r->orphans);

	if (rc < 0)
		return rc;
	r->reaps_orphans = true;
	owner_hold(&r->owner);
	rc = uv_signal_start(&r->orphans, registry_on_child, SIGCHLD);
	uv_unref((uv_handle_t *)&r->orphans); /* nothing of ours waits for it */
	return rc;
}

/* ---------------------------------------------------------------- its own life */

static void registry_on_closed(struct owner *owner)
{
	struct registry *r = CONTAINER_OF(owner, struct registry, owner);

	if (r->on_closed)
		r->on_closed(r);
}

int registry_init(struct registry *r, struct loop *loop, bool reaps_orphans)
{
	*r = (struct registry){ .loop = loop };
	owner_init(&r->owner, registry_on_closed);
	list_init(&r->processes);
	r->ended_timer.on_due = registry_on_ended_due;
	/* Inherited as ignored, the kernel would reap our children before us. */
	(void)signal(SIGCHLD, SIG_DFL);
	return reaps_orphans ? registry_watch_orphans(r) : 0;
}

static void registry_on_orphans_closed(uv_handle_t *handle)
{
	struct registry *r = CONTAINER_OF(handle, struct registry, orphans);

	owner_drop(&r->owner);
}

void registry_close(struct registry *r, void (*on_closed)(struct registry *r))
{
	struct process *p;

	r->on_closed = on_closed;
	r->is_closing = true;
	LIST_FOR_EACH(&r->processes, p, struct process, link)
		process_abandon(p);
	for (size_t i = 0; i < r->n_ended; i++)
		ended_forget(ended_at(r, i));
	ended_trim(r);
	timer_stop(&r->loop->timers, &r->ended_timer);
	if (r->reaps_orphans)
		uv_close((uv_handle_t *)&r->orphans, registry_on_orphans_closed);
	owner_close(&r->owner);
}
