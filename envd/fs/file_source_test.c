#include "fs/file_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

struct place {
	char *dir;
	unsigned n_fds;
};

static int setup(void **state)
{
	struct place *p = xcalloc(1, sizeof *p);

	p->n_fds = test_fd_count();
	p->dir = temp_dir_new();
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	temp_dir_free(p->dir);
	assert_int_equal(test_fd_count(), p->n_fds);
	free(p);
	return 0;
}

/* ---- making files ---- */

static unsigned char byte_at(int64_t i)
{
	return (unsigned char)(i % 251);
}

/* "dir/name" of so many bytes, byte i being i % 251. */
static char *file_of(void **state, const char *name, size_t len)
{
	struct place *p = *state;
	char *path = temp_dir_path(p->dir, name);
	unsigned char *bytes = xmalloc(len + 1);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	for (size_t i = 0; i < len; i++)
		bytes[i] = byte_at((int64_t)i);
	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
	free(bytes);
	return path;
}

static void check_bytes(const unsigned char *data, size_t len, int64_t from)
{
	for (size_t i = 0; i < len; i++)
		if (data[i] != byte_at(from + (int64_t)i))
			fail_msg("byte %lld is %d", (long long)from + (long long)i, data[i]);
}

static void open_source(struct file_source *s, const char *path)
{
	struct err e = { 0 };
	mode_t mode;

	if (file_source_check(path, &mode, &e) < 0 || file_source_open(s, path, mode, &e) < 0)
		fail_msg("%s", err_text(&e));
}

/* text with the path in the place of each `@`. */
static void fill_in(char *out, const char *text, const char *path)
{
	*out = '\0';
	for (; *text != '\0'; text++)
		strncat(out, *text == '@' ? path : text, *text == '@' ? strlen(path) : 1);
}

static void refused(const char *path, enum err_kind kind, const char *why)
{
	struct file_source s = { .fd = -1 };
	struct err e = { 0 };
	char text[1000];
	mode_t mode;
	int r = file_source_check(path, &mode, &e);

	fill_in(text, why, path);
	if (r == 0)
		r = file_source_open(&s, path, mode, &e);
	assert_int_equal(r, -1);
	assert_string_equal(err_text(&e), text);
	assert_int_equal(e.kind, kind);
	assert_int_equal(s.fd, -1);
	assert_null(s.head);
	err_clear(&e);
}

/* ---- what is refused ---- */

static void test_file_source_of_what_is_not_there(void **state)
{
	struct place *p = *state;
	char *missing = temp_dir_path(p->dir, "missing");
	char *file = file_of(state, "file", 1);
	char *below = temp_dir_path(file, "x");

	refused(missing, ERR_NOT_FOUND, "path '@' does not exist");
	refused(below, ERR_INTERNAL, "error checking if path exists '@': stat @: not a directory");
	refused(p->dir, ERR_INVALID, "path '@' is a directory");
	free(missing);
	free(file);
	free(below);
}

static void test_file_source_that_cannot_be_opened(void **state)
{
	struct err e = { 0 };
	struct file_source s = { 0 };
	char *path = file_of(state, "file", 1);
	char text[1000];
	mode_t mode;

	assert_int_equal(file_source_check(path, &mode, &e), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(file_source_open(&s, path, mode, &e), -1);
	fill_in(text, "error opening file '@': open @: no such file or directory", path);
	assert_string_equal(err_text(&e), text);
	assert_int_equal(e.kind, ERR_INTERNAL);
	err_clear(&e);
	free(path);
}

/* It waits for nobody, and lets nobody go on that waits for a reader. */
static void test_file_source_of_a_fifo_is_refused(void **state)
{
	struct place *p = *state;
	char *path = temp_dir_path(p->dir, "fifo");

	assert_int_equal(mkfifo(path, 0600), 0);
	refused(path, ERR_INVALID, "path '@' is not a regular file");
	free(path);
}

static void test_file_source_of_a_socket_is_refused(void **state)
{
	struct place *p = *state;
	char *path = temp_dir_path(p->dir, "socket");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	refused(path, ERR_INVALID, "path '@' is not a regular file");
	close(fd);
	free(path);
}

static void test_file_source_of_a_terminal_is_refused(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	UNUSED(state);
	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	refused(ptsname(master), ERR_INVALID, "path '@' is not a regular file");
	close(master);
}

/* A file may have become something else since it was looked at. */
static void test_file_source_that_became_a_fifo_is_refused(void **state)
{
	char *path = file_of(state, "file", 1);
	struct file_source s = { 0 };
	struct err e = { 0 };
	mode_t mode;

	assert_int_equal(file_source_check(path, &mode, &e), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(file_source_open(&s, path, mode, &e), -1);
	assert_int_equal(e.kind, ERR_INVALID);
	assert_int_equal(s.fd, -1);
	err_clear(&e);
	free(path);
}

/* ---- what is read at once ---- */

static void test_file_source_small_file_is_read_whole(void **state)
{
	static const size_t sizes[] = { 0, 1, 4096, FILE_SOURCE_WHOLE_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		char name[16], *path;
		struct file_source s = { 0 };

		snprintf(name, sizeof name, "%zu", i);
		path = file_of(state, name, sizes[i]);
		open_source(&s, path);
		assert_int_equal(s.kind, FILE_SOURCE_WHOLE);
		assert_int_equal(s.fd, -1);
		assert_int_equal(s.size, sizes[i]);
		assert_int_equal(s.head_len, sizes[i]);
		assert_true(s.modified > 0);
		check_bytes(s.head, s.head_len, 0);
		file_source_close(&s);
		file_source_close(&s);
		free(path);
	}
}

static void test_file_source_device_is_empty(void **state)
{
	static const char *const paths[] = { "/dev/zero", "/dev/null" };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct file_source s = { 0 };

		open_source(&s, paths[i]);
		assert_int_equal(s.kind, FILE_SOURCE_WHOLE);
		assert_int_equal(s.size, 0);
		file_source_close(&s);
	}
}

/* They say 0 or 4096, and have something else. */
static void test_file_source_pseudo_file_has_the_length_of_its_content(void **state)
{
	static const char *const paths[] = {
		"/proc/version",
		"/proc/self/mounts",
		"/proc/self/cmdline",
		"/proc/sys/kernel/ostype",
		"/sys/kernel/mm/transparent_hugepage/enabled",
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct file_source s = { 0 };
		char content[FILE_SOURCE_WHOLE_MAX];
		size_t len;
		FILE *f = fopen(paths[i], "re");

		if (!f)
			continue; /* this kernel has none */
		len = fread(content, 1, sizeof content, f);
		fclose(f);
		assert_true(len > 0);
		open_source(&s, paths[i]);
		assert_int_equal(s.kind, FILE_SOURCE_WHOLE);
		assert_int_equal(s.size, len);
		assert_memory_equal(s.head, content, len);
		file_source_close(&s);
	}
}

static void test_file_source_that_cannot_be_read(void **state)
{
	UNUSED(state);
	refused("/proc/self/mem", ERR_INTERNAL,
	        "error reading file '@': read @: input/output error");
}

/* ---- what is read on ---- */

static void test_file_source_large_pseudo_file_is_a_stream(void **state)
{
	struct file_source s = { 0 };
	char more[100];

	UNUSED(state);
	open_source(&s, "/proc/kallsyms"); /* some megabytes */
	assert_int_equal(s.kind, FILE_SOURCE_STREAM);
	assert_int_equal(s.size, -1);
	assert_int_equal(s.head_len, FILE_SOURCE_WHOLE_MAX);
	assert_int_equal(file_source_read(s.fd, more, sizeof more), sizeof more);
	file_source_close(&s);
}

static void test_file_source_large_file_is_read_on_from_its_start(void **state)
{
	char *path = file_of(state, "file", FILE_SOURCE_WHOLE_MAX + 1);
	unsigned char data[FILE_SOURCE_WHOLE_MAX + 100];
	struct file_source s = { 0 };

	open_source(&s, path);
	assert_int_equal(s.kind, FILE_SOURCE_SIZED);
	assert_int_equal(s.size, FILE_SOURCE_WHOLE_MAX + 1);
	assert_int_equal(s.head_len, FILE_SOURCE_BEGINNING);
	check_bytes(s.head, s.head_len, 0);
	assert_int_equal(file_source_read(s.fd, data, 1000), 1000);
	check_bytes(data, 1000, 0);
	assert_int_equal(file_source_read(s.fd, data, sizeof data), FILE_SOURCE_WHOLE_MAX - 999);
	check_bytes(data, FILE_SOURCE_WHOLE_MAX - 999, 1000);
	assert_int_equal(file_source_read(s.fd, data, 1), 0);
	file_source_close(&s);
	free(path);
}

static void test_file_source_that_shrinks_ends_early(void **state)
{
	char *path = file_of(state, "file", 200000);
	struct file_source s = { 0 };
	char data[200000];

	open_source(&s, path);
	assert_int_equal(truncate(path, 1000), 0);
	assert_int_equal(file_source_read(s.fd, data, sizeof data), 1000);
	file_source_close(&s);
	free(path);
}

/* So /proc/kmsg and trace_pipe are read, which have no end: what they give is gone from them. */
static void test_file_source_read_ends_where_it_would_wait(void **state)
{
	CLEANUP(close_fdp) int from = -1;
	CLEANUP(close_fdp) int to = -1;
	int ends[2];
	char data[10];

	UNUSED(state);
	assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
	from = ends[0];
	to = ends[1];
	assert_int_equal(file_source_read(from, data, sizeof data), 0);
	assert_int_equal(write(to, "abc", 3), 3);
	assert_int_equal(file_source_read(from, data, sizeof data), 3);
	assert_memory_equal(data, "abc", 3);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_file_source_of_what_is_not_there),
		T(test_file_source_that_cannot_be_opened),
		T(test_file_source_of_a_fifo_is_refused),
		T(test_file_source_of_a_socket_is_refused),
		T(test_file_source_of_a_terminal_is_refused),
		T(test_file_source_that_became_a_fifo_is_refused),
		T(test_file_source_small_file_is_read_whole),
		T(test_file_source_device_is_empty),
		T(test_file_source_pseudo_file_has_the_length_of_its_content),
		T(test_file_source_that_cannot_be_read),
		T(test_file_source_large_pseudo_file_is_a_stream),
		T(test_file_source_large_file_is_read_on_from_its_start),
		T(test_file_source_that_shrinks_ends_early),
		T(test_file_source_read_ends_where_it_would_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
