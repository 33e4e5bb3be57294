#include "fs/metadata.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

#define MEMORY_MAX (1024u * 1024u)
#define N_NAMES    40u /* more than fit into the first buffer */

struct fixture {
	char *dir, *path;
	int fd;
	struct arena memory;
};

/* What somebody makes of a value as soon as its length was asked for; 0: nobody does. */
static size_t grows_to;

/* In front of the C library's. */
ssize_t getxattr(const char *path, const char *name, void *value, size_t size)
{
	typedef ssize_t get_function(const char *, const char *, void *, size_t);
	char grown[4096];
	get_function *get;
	ssize_t len;

	*(void **)&get = dlsym(RTLD_NEXT, "getxattr");
	len = get(path, name, value, size);
	if (size == 0 && grows_to > 0) {
		memset(grown, 'x', sizeof grown);
		assert_int_equal(setxattr(path, name, grown, grows_to, 0), 0);
		grows_to = 0;
	}
	return len;
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);

	f->dir = temp_dir_new();
	f->path = temp_dir_file(f->dir, "file", "", 0644);
	f->fd = open(f->path, O_RDWR | O_CLOEXEC);
	assert_true(f->fd >= 0);
	arena_init(&f->memory, MEMORY_MAX, NULL, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->fd);
	free(f->path);
	arena_deinit(&f->memory);
	temp_dir_free(f->dir);
	free(f);
	return 0;
}

static const char *value_of(const struct metadata *m, const char *key)
{
	for (size_t i = 0; i < m->n; i++) {
		if (strcmp(m->pairs[i].key, key) == 0)
			return m->pairs[i].value;
	}
	return NULL;
}

static void write_pairs(struct fixture *f, const struct metadata_pair *pairs, size_t n)
{
	assert_int_equal(metadata_write(f->fd, &(struct metadata){ pairs, n }), 0);
}

static void test_metadata_written_is_read(void **state)
{
	struct fixture *f = *state;
	struct metadata_pair pairs[] = { { "owner", "me" }, { "empty", "" } };
	struct metadata m;

	write_pairs(f, pairs, 2);
	m = metadata_read(f->path, &f->memory);
	assert_int_equal(m.n, 2);
	assert_string_equal(value_of(&m, "owner"), "me");
	assert_string_equal(value_of(&m, "empty"), "");
}

static void test_metadata_written_again_replaces_ours_only(void **state)
{
	struct fixture *f = *state;
	struct metadata_pair first[] = { { "a", "1" }, { "b", "2" } }, second[] = { { "b", "3" } };
	struct metadata m;

	assert_int_equal(fsetxattr(f->fd, "user.other", "x", 1, 0), 0);
	write_pairs(f, first, 2);
	write_pairs(f, second, 1);
	m = metadata_read(f->path, &f->memory);
	assert_int_equal(m.n, 1);
	assert_string_equal(value_of(&m, "b"), "3");
	assert_int_equal(fgetxattr(f->fd, "user.other", NULL, 0), 1);
	write_pairs(f, NULL, 0);
	assert_int_equal(metadata_read(f->path, &f->memory).n, 0);
}

static void test_metadata_that_is_no_utf8_is_left_out(void **state)
{
	struct fixture *f = *state;
	struct metadata m;

	assert_int_equal(fsetxattr(f->fd, METADATA_PREFIX "bad", "\xff", 1, 0), 0);
	assert_int_equal(fsetxattr(f->fd, METADATA_PREFIX "\xfe", "v", 1, 0), 0);
	assert_int_equal(fsetxattr(f->fd, METADATA_PREFIX "nul", "a\0b", 3, 0), 0);
	assert_int_equal(fsetxattr(f->fd, METADATA_PREFIX "good", "\xc3\xa9", 2, 0), 0);
	m = metadata_read(f->path, &f->memory);
	assert_int_equal(m.n, 1);
	assert_string_equal(value_of(&m, "good"), "\xc3\xa9");
}

static void test_metadata_with_many_names_is_read_whole(void **state)
{
	struct fixture *f = *state;
	char name[64];

	for (unsigned i = 0; i < N_NAMES; i++) {
		(void)snprintf(name, sizeof name, METADATA_PREFIX "a-rather-long-name-%u", i);
		assert_int_equal(fsetxattr(f->fd, name, "v", 1, 0), 0);
	}
	assert_int_equal(metadata_read(f->path, &f->memory).n, N_NAMES);
	write_pairs(f, NULL, 0);
	assert_int_equal(metadata_read(f->path, &f->memory).n, 0);
}

static void test_metadata_without_support_is_none(void **state)
{
	struct fixture *f = *state;
	int fd = open("/proc/self/comm", O_RDWR | O_CLOEXEC);
	struct metadata_pair pair = { "a", "1" };

	assert_true(fd >= 0);
	assert_int_equal(metadata_write(fd, &(struct metadata){ &pair, 1 }), 0);
	assert_int_equal(metadata_read("/proc/self/comm", &f->memory).n, 0);
	assert_int_equal(metadata_read("/nowhere", &f->memory).n, 0);
	close(fd);
}

/* With no room, the kernel tells the length once more, and nothing is to be taken for it. */
static void test_metadata_that_grows_while_it_is_read_is_left_out(void **state)
{
	struct fixture *f = *state;
	char room[4096];

	memset(room, 'x', sizeof room);
	for (size_t len = 0; len < 2; len++) {
		struct arena memory;

		arena_init(&memory, 64, room, 64);
		assert_int_equal(fsetxattr(f->fd, METADATA_PREFIX "k", "v", len, 0), 0);
		grows_to = 3000;
		assert_int_equal(metadata_read(f->path, &memory).n, 0);
		assert_int_equal(grows_to, 0);
		arena_deinit(&memory);
	}
	for (size_t i = 64; i < sizeof room; i++)
		assert_int_equal(room[i], 'x');
}

static void check_refusal(const char *key, const char *value, const char *text)
{
	struct metadata_pair pair = { key, value };
	CLEANUP(err_clear) struct err e = { 0 };

	assert_int_equal(metadata_check(&(struct metadata){ &pair, 1 }, &e), -1);
	assert_int_equal(e.kind, ERR_INVALID);
	assert_string_equal(err_text(&e), text);
}

static void test_metadata_that_nobody_may_set(void **state)
{
	char key[METADATA_KEY_MAX + 2], value[METADATA_TOTAL_MAX];

	UNUSED(state);
	check_refusal("a\x01", "",
	              "metadata key contains non-printable-ASCII byte 0x01 at offset 1");
	check_refusal(
		"k", "ab\xc3\xa9",
		"metadata value for key \"k\" contains non-printable-ASCII byte 0xc3 at offset 2");
	memset(key, 'k', sizeof key - 1);
	key[sizeof key - 1] = '\0';
	{
		char text[512];

		(void)snprintf(text, sizeof text, "metadata key \"%s\" exceeds 246 bytes", key);
		check_refusal(key, "", text);
	}
	memset(value, 'v', sizeof value - 1);
	value[METADATA_TOTAL_MAX - 9] = '\0';
	check_refusal("k", value, "total metadata size 4097 exceeds 4096 bytes");
}

static void test_metadata_at_its_limits_may_be_set(void **state)
{
	struct fixture *f = *state;
	char key[METADATA_KEY_MAX + 1], value[METADATA_TOTAL_MAX];
	struct metadata_pair pair = { key, "v" };
	struct metadata m = { &pair, 1 };
	struct err e = { 0 };

	memset(key, 'k', METADATA_KEY_MAX);
	key[METADATA_KEY_MAX] = '\0';
	assert_int_equal(metadata_check(&m, &e), 0);
	assert_int_equal(metadata_write(f->fd, &m), 0);
	memset(value, 'v', sizeof value - 1);
	value[METADATA_TOTAL_MAX - 10] = '\0';
	pair = (struct metadata_pair){ "k", value };
	assert_int_equal(metadata_check(&m, &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
		T(test_metadata_written_is_read),
		T(test_metadata_written_again_replaces_ours_only),
		T(test_metadata_that_is_no_utf8_is_left_out),
		T(test_metadata_with_many_names_is_read_whole),
		T(test_metadata_without_support_is_none),
		T(test_metadata_that_grows_while_it_is_read_is_left_out),
		T(test_metadata_that_nobody_may_set),
		T(test_metadata_at_its_limits_may_be_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
