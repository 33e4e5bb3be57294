/*
 * Directories for processes: on a copy of a cgroup tree made of plain files, where every failure can
 * be had, and in a sub-tree of the machine's own.
 */
#include "host/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "tests/support/cgroup_root.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

#define SKIPPED_MAX 1024

/* What a test holds: a root, and what set-up said. */
struct fixture {
	char *root;
	struct cgroups cgroups;
	struct buf skipped;
	struct err e;
	unsigned n_fds; /* at the beginning */
};

static struct fixture *fixture_new(char *root)
{
	struct fixture *f = xcalloc(1, sizeof *f);

	f->root = root;
	f->n_fds = test_fd_count();
	buf_init(&f->skipped, SKIPPED_MAX);
	cgroups_init(&f->cgroups);
	return f;
}

static void fixture_deinit(struct fixture *f)
{
	cgroups_deinit(&f->cgroups);
	buf_deinit(&f->skipped);
	err_clear(&f->e);
	assert_int_equal(test_fd_count(), f->n_fds);
}

static int setup_plain(void **state)
{
	struct fixture *f = fixture_new(temp_dir_new());
	struct statfs fs;

	assert_int_equal(statfs(f->root, &fs), 0);
	f->cgroups.fs_type = fs.f_type;
	*state = f;
	return 0;
}

static int teardown_plain(void **state)
{
	struct fixture *f = *state;

	fixture_deinit(f);
	temp_dir_free(f->root);
	free(f);
	return 0;
}

static int setup_real(void **state)
{
	*state = fixture_new(cgroup_root_new());
	return 0;
}

static int teardown_real(void **state)
{
	struct fixture *f = *state;

	fixture_deinit(f);
	cgroup_root_free(f->root);
	free(f);
	return 0;
}

static void set_up(struct fixture *f)
{
	assert_int_equal(cgroups_set_up(&f->cgroups, f->root, &f->skipped, &f->e), 0);
	buf_append_byte(&f->skipped, '\0');
	assert_int_equal(buf_error(&f->skipped), 0);
}

static void set_up_real(struct fixture *f)
{
	if (!f->root)
		skip();
	set_up(f);
}

static const char *skipped_text(const struct fixture *f)
{
	return (const char *)f->skipped.data;
}

static void make_dir(const struct fixture *f, const char *name)
{
	char *path = temp_dir_path(f->root, name);

	assert_int_equal(mkdir(path, 0755), 0);
	free(path);
}

static void make_file(const struct fixture *f, const char *name, const char *text)
{
	free(temp_dir_file(f->root, name, text, 0644));
}

static void make_link(const struct fixture *f, const char *name, const char *target)
{
	char *path = temp_dir_path(f->root, name);

	assert_int_equal(symlink(target, path), 0);
	free(path);
}

static bool has_file(const struct fixture *f, const char *name)
{
	char *path = temp_dir_path(f->root, name);
	bool found = access(path, F_OK) == 0;

	free(path);
	return found;
}

static struct cgroup *admit(struct fixture *f, enum cgroup_kind kind)
{
	struct cgroup *cgroup = NULL;

	assert_int_equal(cgroups_admit(&f->cgroups, kind, &cgroup, &f->e), 0);
	return cgroup;
}

static void expect_refused(struct fixture *f, enum cgroup_kind kind, const char *where,
                           const char *why)
{
	CLEANUP(freep) char *path = *where ? temp_dir_path(f->root, where) : xstrdup(f->root);
	CLEANUP(err_clear) struct err e = { 0 };
	struct cgroup *cgroup = NULL;
	char text[4096];

	(void)snprintf(text, sizeof text, "the target cgroup is frozen: %s %s", path, why);
	assert_int_equal(cgroups_admit(&f->cgroups, kind, &cgroup, &e), -1);
	assert_int_equal(e.kind, ERR_UNAVAILABLE);
	assert_string_equal(err_text(&e), text);
	assert_null(cgroup);
}

/* ---------------------------------------------------------------- set-up */

static void test_cgroups_before_set_up_admit_everything_and_place_nothing(void **state)
{
	for (int kind = 0; kind < CGROUP_KINDS; kind++)
		assert_null(admit(*state, (enum cgroup_kind)kind));
}

static void test_cgroups_root_of_another_file_system_is_refused_and_left_alone(void **state)
{
	struct fixture *f = *state;

	f->cgroups.fs_type++;
	assert_int_equal(cgroups_set_up(&f->cgroups, f->root, &f->skipped, &f->e), -1);
	assert_non_null(strstr(err_text(&f->e), "is not a cgroup2 file system"));
	assert_false(has_file(f, "user"));
	assert_null(admit(f, CGROUP_USER));
}

static void test_cgroups_missing_root_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(cgroups_set_up(&f->cgroups, "/proc/no/such", &f->skipped, &f->e), -1);
	assert_string_equal(err_text(&f->e), "open '/proc/no/such': no such file or directory");
}

static void test_cgroups_directories_are_made_and_missing_properties_told(void **state)
{
	struct fixture *f = *state;

	set_up(f);
	assert_true(has_file(f, "ptys") && has_file(f, "socats") && has_file(f, "user"));
	assert_false(has_file(f, "user/memory.max"));
	assert_string_equal(skipped_text(f),
	                    "ptys/cpu.weight, ptys/io.weight, ptys/memory.high, ptys/memory.max, "
	                    "socats/cpu.weight, socats/io.weight, socats/memory.min, "
	                    "socats/memory.low, user/cpu.weight, user/io.weight, "
	                    "user/memory.high, user/memory.max");
	assert_ptr_equal(admit(f, CGROUP_PTYS), &f->cgroups.of[CGROUP_PTYS]);
	assert_ptr_equal(admit(f, CGROUP_USER), &f->cgroups.of[CGROUP_USER]);
}

static void test_cgroups_properties_are_written(void **state)
{
	static const char *const files[][2] = {
		{ "ptys/cpu.weight", "200" },       { "ptys/io.weight", "default 50" },
		{ "socats/cpu.weight", "150" },     { "socats/io.weight", "default 50" },
		{ "socats/memory.min", "5242880" }, { "socats/memory.low", "8388608" },
		{ "user/cpu.weight", "50" },        { "user/io.weight", "default 10" },
		{ "ptys/memory.high", NULL },       { "ptys/memory.max", NULL },
		{ "user/memory.high", NULL },       { "user/memory.max", NULL },
	};
	struct fixture *f = *state;
	char memory_max[32];

	make_dir(f, "ptys");
	make_dir(f, "socats");
	make_dir(f, "user");
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		make_file(f, files[i][0], "");
	set_up(f);
	assert_string_equal(skipped_text(f), "");
	(void)snprintf(memory_max, sizeof memory_max, "%llu",
	               (unsigned long long)f->cgroups.memory_max);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		assert_string_equal(cgroup_root_read(f->root, files[i][0]),
		                    files[i][1] ? files[i][1] : memory_max);
}

/* As metrics.c has it of /proc/meminfo. */
static void test_cgroups_memory_max_leaves_an_eighth_but_not_more_than_128_mib(void **state)
{
	const uint64_t mib = 1024 * 1024;
	struct fixture *f = *state;
	unsigned long long kib;
	FILE *meminfo = fopen("/proc/meminfo", "re");

	assert_int_equal(cgroups_memory_max(512 * mib), 448 * mib);
	assert_int_equal(cgroups_memory_max(1024 * mib), 896 * mib);
	assert_int_equal(cgroups_memory_max(8192 * mib), 8064 * mib);
	set_up(f);
	assert_non_null(meminfo);
	assert_int_equal(fscanf(meminfo, "MemTotal: %llu kB", &kib), 1);
	assert_int_equal(f->cgroups.memory_max, cgroups_memory_max(kib * 1024));
	(void)fclose(meminfo);
}

/* sysfs refuses root too. */
static void test_cgroups_forbidden_property_is_told_with_its_reason(void **state)
{
	struct fixture *f = *state;

	make_dir(f, "ptys");
	make_link(f, "ptys/cpu.weight", "/sys/kernel/uevent_seqnum");
	set_up(f);
	assert_memory_equal(skipped_text(f), "ptys/cpu.weight (permission denied), ptys/io.weight,",
	                    strlen("ptys/cpu.weight (permission denied), ptys/io.weight,"));
	assert_non_null(admit(f, CGROUP_PTYS));
}

static void test_cgroups_refused_value_ends_all_placement(void **state)
{
	struct fixture *f = *state;
	char text[4096];

	make_dir(f, "user");
	make_link(f, "user/memory.max", "/dev/full");
	assert_int_equal(cgroups_set_up(&f->cgroups, f->root, &f->skipped, &f->e), -1);
	(void)snprintf(text, sizeof text, "write '%s/user/memory.max': no space left on device",
	               f->root);
	assert_string_equal(err_text(&f->e), text);
	assert_null(admit(f, CGROUP_USER));
	assert_null(admit(f, CGROUP_PTYS));
	assert_int_equal(test_fd_count(), f->n_fds);
}

static void test_cgroups_directory_that_cannot_be_made_ends_all_placement(void **state)
{
	struct fixture *f = *state;

	make_file(f, "socats", "no directory");
	assert_int_equal(cgroups_set_up(&f->cgroups, f->root, &f->skipped, &f->e), -1);
	assert_non_null(strstr(err_text(&f->e), "/socats': not a directory"));
	assert_null(admit(f, CGROUP_PTYS));
	assert_int_equal(test_fd_count(), f->n_fds);
}

static unsigned count_inheritable_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) == 0;
	return n;
}

static void test_cgroups_descriptors_are_close_on_exec(void **state)
{
	unsigned before = count_inheritable_fds();

	set_up(*state);
	assert_int_equal(count_inheritable_fds(), before);
}

/* ---------------------------------------------------------------- admission */

static void test_cgroups_admission_reads_the_target_and_what_is_above(void **state)
{
	struct fixture *f = *state;

	make_dir(f, "user");
	make_file(f, "cgroup.freeze", "0\n");
	make_file(f, "user/cgroup.freeze", "0\n");
	make_file(f, "user/cgroup.events", "populated 1\nfrozen 0\n");
	set_up(f);
	assert_non_null(admit(f, CGROUP_USER));
	make_file(f, "user/cgroup.events", "populated 1\nfrozen 1\n");
	expect_refused(f, CGROUP_USER, "user", "reads frozen");
	make_file(f, "user/cgroup.events", "populated 1\nfrozen 0\n");
	make_file(f, "user/cgroup.freeze", "1\n");
	expect_refused(f, CGROUP_USER, "user", "has a freeze requested");
	make_file(f, "user/cgroup.freeze", "0\n");
	assert_non_null(admit(f, CGROUP_PTYS));
	make_file(f, "cgroup.freeze", "1\n");
	expect_refused(f, CGROUP_USER, "", "has a freeze requested");
	expect_refused(f, CGROUP_PTYS, "", "has a freeze requested");
}

static void test_cgroups_unreadable_file_does_not_refuse(void **state)
{
	struct fixture *f = *state;

	make_dir(f, "user");
	make_dir(f, "user/cgroup.freeze"); /* opens, and reading it is EISDIR */
	make_dir(f, "user/cgroup.events");
	make_dir(f, "cgroup.freeze");
	set_up(f);
	assert_non_null(admit(f, CGROUP_USER));
}

static void test_cgroups_root_is_named_without_its_last_slash(void **state)
{
	struct fixture *f = *state;
	char *slashed = temp_dir_path(f->root, "/");

	make_file(f, "cgroup.freeze", "1\n");
	assert_int_equal(cgroups_set_up(&f->cgroups, slashed, &f->skipped, &f->e), 0);
	expect_refused(f, CGROUP_USER, "", "has a freeze requested");
	free(slashed);
}

/* ---------------------------------------------------------------- the kernel's own */

static void test_cgroups_real_freeze_is_seen_until_the_thaw(void **state)
{
	struct fixture *f = *state;

	set_up_real(f);
	assert_non_null(admit(f, CGROUP_USER));
	cgroup_root_write(f->root, "user/cgroup.freeze", "1");
	cgroup_root_wait(f->root, "user/cgroup.events", "frozen 1\n");
	expect_refused(f, CGROUP_USER, "user", "reads frozen");
	assert_non_null(admit(f, CGROUP_PTYS));
	cgroup_root_write(f->root, "user/cgroup.freeze", "0");
	assert_non_null(admit(f, CGROUP_USER));
}

static void test_cgroups_real_freeze_of_the_root_is_seen(void **state)
{
	struct fixture *f = *state;

	set_up_real(f);
	cgroup_root_write(f->root, "cgroup.freeze", "1");
	cgroup_root_wait(f->root, "user/cgroup.events", "frozen 1\n");
	expect_refused(f, CGROUP_USER, "user", "reads frozen");
	cgroup_root_write(f->root, "cgroup.freeze", "0");
	assert_non_null(admit(f, CGROUP_USER));
}

static void test_cgroups_real_directories_are_kept_and_used_again(void **state)
{
	struct fixture *f = *state;

	set_up_real(f);
	cgroups_deinit(&f->cgroups);
	assert_true(has_file(f, "user/cgroup.procs"));
	buf_reset(&f->skipped, SKIPPED_MAX);
	cgroups_init(&f->cgroups);
	set_up(f);
	assert_non_null(admit(f, CGROUP_USER));
}

static void remove_dir(const struct fixture *f, const char *name)
{
	char *path = temp_dir_path(f->root, name);

	assert_int_equal(rmdir(path), 0);
	free(path);
}

/* Lines of the log since log_open; the pipe holds them all. */
static unsigned count_lines(int fd)
{
	char text[65536];
	ssize_t n = read(fd, text, sizeof text);
	unsigned lines = 0;

	for (ssize_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	return lines;
}

static void test_cgroups_removed_directory_is_made_again_at_the_next_start(void **state)
{
	struct fixture *f = *state;
	unsigned n_fds;

	set_up_real(f);
	n_fds = test_fd_count();
	for (int i = 0; i < 20; i++) {
		remove_dir(f, "user");
		assert_non_null(admit(f, CGROUP_USER));
		assert_true(has_file(f, "user/cgroup.procs"));
	}
	assert_int_equal(test_fd_count(), n_fds);
}

/* The kernel is told not to make another. */
static void test_cgroups_directory_that_cannot_be_made_again_is_told_once_until_it_can(void **state)
{
	struct fixture *f = *state;
	int pipe_fds[2];

	set_up_real(f);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
	log_open(pipe_fds[1], LOG_INFO);
	cgroup_root_write(f->root, "cgroup.max.descendants", "2");
	remove_dir(f, "user");
	for (int i = 0; i < 20; i++)
		assert_null(admit(f, CGROUP_USER));
	assert_non_null(admit(f, CGROUP_PTYS));
	assert_int_equal(count_lines(pipe_fds[0]), 1);
	cgroup_root_write(f->root, "cgroup.max.descendants", "max");
	for (int i = 0; i < 20; i++)
		assert_non_null(admit(f, CGROUP_USER));
	assert_int_equal(count_lines(pipe_fds[0]), 1);
	log_open(-1, LOG_INFO);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void test_cgroup_missed_tells_each_reason_once(void **state)
{
	struct fixture *f = *state;
	struct cgroup *cgroup;
	int pipe_fds[2];

	set_up(f);
	cgroup = admit(f, CGROUP_USER);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
	log_open(pipe_fds[1], LOG_INFO);
	for (int i = 0; i < 20; i++)
		cgroup_missed(cgroup, EBUSY);
	cgroup_missed(cgroup, EACCES);
	assert_int_equal(count_lines(pipe_fds[0]), 2);
	log_open(-1, LOG_INFO);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

#define PLAIN(test) cmocka_unit_test_setup_teardown(test, setup_plain, teardown_plain)
#define REAL(test)  cmocka_unit_test_setup_teardown(test, setup_real, teardown_real)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAIN(test_cgroups_before_set_up_admit_everything_and_place_nothing),
		PLAIN(test_cgroups_root_of_another_file_system_is_refused_and_left_alone),
		PLAIN(test_cgroups_missing_root_is_refused),
		PLAIN(test_cgroups_directories_are_made_and_missing_properties_told),
		PLAIN(test_cgroups_properties_are_written),
		PLAIN(test_cgroups_memory_max_leaves_an_eighth_but_not_more_than_128_mib),
		PLAIN(test_cgroups_forbidden_property_is_told_with_its_reason),
		PLAIN(test_cgroups_refused_value_ends_all_placement),
		PLAIN(test_cgroups_directory_that_cannot_be_made_ends_all_placement),
		PLAIN(test_cgroups_descriptors_are_close_on_exec),
		PLAIN(test_cgroups_admission_reads_the_target_and_what_is_above),
		PLAIN(test_cgroups_unreadable_file_does_not_refuse),
		PLAIN(test_cgroups_root_is_named_without_its_last_slash),
		PLAIN(test_cgroup_missed_tells_each_reason_once),
		REAL(test_cgroups_real_freeze_is_seen_until_the_thaw),
		REAL(test_cgroups_real_freeze_of_the_root_is_seen),
		REAL(test_cgroups_real_directories_are_kept_and_used_again),
		REAL(test_cgroups_removed_directory_is_made_again_at_the_next_start),
		REAL(test_cgroups_directory_that_cannot_be_made_again_is_told_once_until_it_can),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
