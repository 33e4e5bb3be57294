#include "api/filesystem_watch_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "rpc/service.h"
#include "tests/support/inotify_queue.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

/* Records that the kernel's queue surely holds. */
#define RECORDS_PER_READ 4096u

void watch_fixture_begin(struct watch_fixture *f, void **state)
{
	f->loop = loop_fixture_loop(state);
	f->defaults = (struct defaults){ .user = xstrdup("root") };
	f->service = filesystem_service_new(f->loop, &f->defaults);
	f->dir = temp_dir_new();
}

void watch_fixture_close_service(struct watch_fixture *f)
{
	if (f->service)
		filesystem_service_close(TAKE_PTR(f->service));
}

void watch_fixture_end(struct watch_fixture *f)
{
	watch_fixture_close_service(f);
	free(f->defaults.user);
	temp_dir_free(f->dir);
}

const char *watch_fixture_path(const struct watch_fixture *f, const char *name)
{
	static char paths[8][4096];
	static unsigned n;
	char *path = paths[n++ % ARRAY_SIZE(paths)];

	(void)snprintf(path, sizeof paths[0], "%s/%s", f->dir, name);
	return path;
}

void watch_fixture_make(const struct watch_fixture *f, const char *name)
{
	int fd = open(watch_fixture_path(f, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

void watch_fixture_change(struct watch_fixture *f, unsigned n)
{
	const char *files[] = { watch_fixture_path(f, "even"), watch_fixture_path(f, "odd") };

	watch_fixture_make(f, "even");
	watch_fixture_make(f, "odd");
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(chmod(files[i % 2], 0600), 0);
		if (i % RECORDS_PER_READ == 0)
			inotify_queue_run(f->loop);
	}
}

static const struct rpc_method *find_method(const char *name)
{
	for (size_t i = 0; i < filesystem_n_methods; i++) {
		if (strcmp(strrchr(filesystem_methods[i].path, '/') + 1, name) == 0)
			return &filesystem_methods[i];
	}
	fail_msg("%s", name);
	return NULL;
}

struct fake_exchange *watch_fixture_call(struct watch_fixture *f, const char *method,
                                         const char *fields, const char *message)
{
	const struct rpc_method *row = find_method(method);
	struct fake_exchange *fake = fake_new(HTTP_1_1, "POST", fields);
	struct exchange *x = &fake->x;
	char text[4096];
	uint8_t head[5] = { 0 };
	const char *at = strstr(message, "%s");
	int len = at ? snprintf(text, sizeof text, "%.*s%s%s", (int)(at - message), message, f->dir,
	                        at + 2)
	             : snprintf(text, sizeof text, "%s", message);

	head[3] = (uint8_t)(len >> 8);
	head[4] = (uint8_t)len;
	rpc_serve(f->loop, &x, row, f->service, NULL, NULL);
	if (row->kind == RPC_SERVER_STREAM)
		fake_push(fake, head, sizeof head);
	fake_push(fake, text, (size_t)len);
	fake_end(fake, EXCHANGE_BODY_COMPLETE);
	return fake;
}

struct awaited {
	struct fake_exchange *x;
	const char *text;
};

/* Frame headers have NULs, which would end a string. */
static bool is_missing(void *arg)
{
	const struct awaited *a = arg;
	const struct buf *body = &a->x->body;

	return !body->data || !memmem(body->data, body->len, a->text, strlen(a->text));
}

void watch_fixture_await(struct watch_fixture *f, struct fake_exchange *x, const char *text)
{
	struct awaited a = { x, text };

	loop_fixture_run_while(f->loop, is_missing, &a);
}

void watch_fixture_expect(struct watch_fixture *f, struct fake_exchange *x, int status,
                          const char *text)
{
	struct awaited a = { x, text };

	loop_fixture_run_until(f->loop, &x->is_released);
	assert_int_equal(x->status, status);
	if (is_missing(&a))
		fail_msg("'%s' is not in '%s'", text, fake_text(&x->body));
	fake_free(x);
}

struct fake_exchange *watch_fixture_watch(struct watch_fixture *f, const char *message)
{
	struct fake_exchange *x = watch_fixture_call(f, "WatchDir", WATCH_STREAM, message);

	watch_fixture_await(f, x, "{\"start\":{}}");
	return x;
}

static unsigned count_in(const char *number)
{
	char path[64], line[4096];
	unsigned n = 0;
	FILE *info;

	(void)snprintf(path, sizeof path, "/proc/self/fdinfo/%s", number);
	info = fopen(path, "re");
	while (info && fgets(line, sizeof line, info))
		n += strncmp(line, "inotify ", sizeof "inotify " - 1) == 0;
	if (info)
		(void)fclose(info);
	return n;
}

unsigned watch_fixture_count_watches(void)
{
	DIR *dir = opendir("/proc/self/fdinfo");
	const struct dirent *entry;
	unsigned n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		n += count_in(entry->d_name);
	closedir(dir);
	return n;
}

static bool has_other_count(void *arg)
{
	const unsigned *n = arg;

	return watch_fixture_count_watches() != *n;
}

void watch_fixture_await_watches(struct watch_fixture *f, unsigned n)
{
	loop_fixture_run_while(f->loop, has_other_count, &n);
}
