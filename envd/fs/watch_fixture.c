#include "fs/watch_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

int scene_setup(void **state)
{
	struct scene *f = xcalloc(1, sizeof *f);
	char *made = temp_dir_new();

	f->dir = realpath(made, NULL);
	free(made);
	f->tree = temp_dir_path(f->dir, "tree");
	assert_int_equal(mkdir(f->tree, 0755), 0);
	assert_int_equal(loop_fixture_setup(&f->loop_state), 0);
	f->loop = loop_fixture_loop(&f->loop_state);
	f->watches = watches_new(f->loop, &user_db_system);
	*state = f;
	return 0;
}

void seen_end(struct seen *s)
{
	watcher_free(TAKE_PTR(s->w));
	err_clear(&s->e);
	buf_deinit(&s->text);
}

int scene_teardown(void **state)
{
	struct scene *f = *state;

	for (size_t i = 0; i < SEEN_N; i++)
		seen_end(&f->seen[i]);
	watches_close(f->watches);
	assert_int_equal(loop_fixture_teardown(&f->loop_state), 0);
	temp_dir_free(f->dir);
	free(f->tree);
	free(f);
	return 0;
}

/* ---------------------------------------------------------------- what is done to files */

const char *scene_at(const struct scene *f, const char *name)
{
	static char paths[4][4096];
	static unsigned n;
	char *path = paths[n++ % ARRAY_SIZE(paths)];

	(void)snprintf(path, sizeof paths[0], "%s/%s", f->dir, name);
	return path;
}

void scene_dir(const struct scene *f, const char *name)
{
	assert_int_equal(mkdir(scene_at(f, name), 0755), 0);
}

void scene_file(const struct scene *f, const char *name)
{
	int fd = open(scene_at(f, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	close(fd);
}

void scene_files(const struct scene *f, const char *dir, unsigned n)
{
	char name[256];

	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(name, sizeof name, "%s/%u", dir, i);
		scene_file(f, name);
	}
}

void scene_move(const struct scene *f, const char *from, const char *to)
{
	assert_int_equal(rename(scene_at(f, from), scene_at(f, to)), 0);
}

/* ---------------------------------------------------------------- what is seen */

static const char *const change_names[] = {
	[WATCH_CREATE] = "CREATE", [WATCH_RENAME] = "RENAME", [WATCH_CHMOD] = "CHMOD",
	[WATCH_WRITE] = "WRITE",   [WATCH_REMOVE] = "REMOVE",
};

static void seen_on_armed(struct watcher *w)
{
	struct seen *s = watcher_data(w);

	assert_false(s->is_armed);
	s->is_armed = true;
}

static void seen_on_failed(struct watcher *w, const struct err *e)
{
	struct seen *s = watcher_data(w);

	assert_false(s->has_failed);
	s->has_failed = true;
	(void)!err_set(&s->e, e->kind, "%s", err_text(e));
}

static void seen_take(struct seen *s)
{
	struct watch_event *event;

	while ((event = watcher_take(s->w))) {
		buf_appendf(&s->text, "%s %s", change_names[event->change], event->name);
		if (event->entry)
			buf_appendf(&s->text, " = %s %s", event->entry->path,
			            event->entry->permissions);
		buf_append_text(&s->text, "\n");
		s->n++;
		watch_event_free(event);
	}
}

static void seen_on_ready(struct watcher *w)
{
	struct seen *s = watcher_data(w);

	assert_true(s->is_armed);
	if (!s->is_slow)
		seen_take(s);
}

static const struct watcher_ops seen_ops = { seen_on_armed, seen_on_failed, seen_on_ready };

static void seen_on_settled(struct watcher_waiter *waiter)
{
	CONTAINER_OF(waiter, struct seen, waiter)->is_settled = true;
}

void seen_begin(struct scene *f, struct seen *s, struct watcher_options options)
{
	struct err e = { 0 };

	*s = (struct seen){ .scene = f, .waiter.on_settled = seen_on_settled };
	buf_init(&s->text, SEEN_MAX);
	s->w = watcher_new(f->watches, &options, &seen_ops, s, &e);
	assert_non_null(s->w);
}

void seen_watch(struct scene *f, struct seen *s, bool is_recursive)
{
	seen_begin(f, s, (struct watcher_options){ .path = f->tree, .is_recursive = is_recursive });
	loop_fixture_run_until(f->loop, &s->is_armed);
}

const char *seen_settle(struct seen *s)
{
	s->is_settled = false;
	watcher_settle(s->w, &s->waiter);
	loop_fixture_run_until(s->scene->loop, &s->is_settled);
	seen_take(s);
	buf_append_byte(&s->text, '\0');
	buf_truncate(&s->text, s->text.len - 1);
	return (const char *)s->text.data;
}

void seen_forget(struct seen *s)
{
	buf_reset(&s->text, SEEN_MAX);
	s->n = 0;
}

void seen_check(struct seen *s, const char *lines)
{
	assert_string_equal(seen_settle(s), lines);
	seen_forget(s);
}
