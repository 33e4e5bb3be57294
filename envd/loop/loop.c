#include "loop/loop.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/macros.h"
#include "loop/job.h"

/* Longest end of everything that still runs at loop_deinit; a handle nobody closes never ends. */
#define LOOP_END_MS 10000u

static void loop_stop_handles_without_tasks(struct loop *loop)
{
	if (!list_is_empty(&loop->tasks))
		return;
	uv_prepare_stop(&loop->prepare);
	uv_idle_stop(&loop->spin);
}

/* Takes the list away first: what a task defers waits for the next turn, after the loop has polled. */
static void loop_on_prepare(uv_prepare_t *prepare)
{
	struct loop *loop = prepare->data;
	struct list batch, *link;
	struct task *task;

	list_take_all(&loop->tasks, &batch);
	while ((link = list_take_first(&batch))) {
		task = CONTAINER_OF(link, struct task, link);
		task->run(task); /* may free task */
	}
	loop_stop_handles_without_tasks(loop);
}

/* Its being active makes the loop poll without waiting. */
static void loop_on_idle(uv_idle_t *spin)
{
	UNUSED(spin);
}

int loop_init(struct loop *loop)
{
	void *read_buf;
	int rc;

	*loop = (struct loop){ 0 };
	/* Pages that were never read into cost nothing. */
	read_buf = mmap(NULL, LOOP_READ_BUF, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	                -1, 0);
	if (read_buf == MAP_FAILED)
		return -errno;
	rc = uv_loop_init(&loop->uv);
	if (rc < 0) {
		munmap(read_buf, LOOP_READ_BUF);
		return rc;
	}
	loop->read_buf = read_buf;
	list_init(&loop->tasks);
	timers_init(&loop->timers, &loop->uv);
	uv_prepare_init(&loop->uv, &loop->prepare);
	loop->prepare.data = loop;
	uv_idle_init(&loop->uv, &loop->spin);
	return 0;
}

static void loop_on_time(uv_timer_t *guard)
{
	uv_stop(guard->loop);
}

static void loop_on_guard_closed(uv_handle_t *guard)
{
	guard->data = NULL;
}

bool loop_run_out(struct loop *loop, uint64_t ms)
{
	uv_timer_t guard;
	bool alive;

	uv_update_time(&loop->uv);
	uv_timer_init(&loop->uv, &guard);
	guard.data = &guard;
	uv_timer_start(&guard, loop_on_time, ms, 0);
	uv_unref((uv_handle_t *)&guard);
	do
		uv_run(&loop->uv, UV_RUN_DEFAULT);
	while ((alive = uv_loop_alive(&loop->uv)) && uv_is_active((uv_handle_t *)&guard));

	uv_close((uv_handle_t *)&guard, loop_on_guard_closed);
	while (guard.data)
		uv_run(&loop->uv, UV_RUN_NOWAIT);
	return !alive;
}

void loop_deinit(struct loop *loop)
{
	if (!loop->read_buf)
		return;
	if (!loop_run_out(loop, LOOP_END_MS)) {
		uv_print_all_handles(&loop->uv, stderr);
		ASSERT(!"the loop does not end");
	}
	ASSERT(list_is_empty(&loop->tasks));
	job_close_pool(loop);
	timers_close(&loop->timers);
	uv_close((uv_handle_t *)&loop->prepare, NULL);
	uv_close((uv_handle_t *)&loop->spin, NULL);
	uv_run(&loop->uv, UV_RUN_DEFAULT);
	ASSERT(uv_loop_close(&loop->uv) == 0);
	timers_deinit(&loop->timers);
	munmap(TAKE_PTR(loop->read_buf), LOOP_READ_BUF);
}

void loop_run(struct loop *loop)
{
	uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *loop)
{
	uv_stop(&loop->uv);
}

void loop_defer(struct loop *loop, struct task *task)
{
	if (list_is_linked(&task->link))
		return;
	list_append(&loop->tasks, &task->link);
	if (!uv_is_active((uv_handle_t *)&loop->prepare)) {
		uv_prepare_start(&loop->prepare, loop_on_prepare);
		uv_idle_start(&loop->spin, loop_on_idle);
	}
}

void loop_undefer(struct task *task)
{
	list_remove(&task->link);
}

uint64_t loop_now_ms(const struct loop *loop)
{
	return uv_now(&loop->uv);
}
