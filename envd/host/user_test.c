#include "host/user.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

static const char passwd[] = "# accounts\n"
			     "\n"
			     "root:x:0:0:root:/root:/bin/sh\n"
			     "user:x:1000:1000:A user,,,:/home/user:/bin/bash\n"
			     "user:x:7:7::/second:/bin/sh\n"
			     "nohome:x:1001:1001:::/bin/sh\n"
			     "  spaced:x:1002:1002::/home/spaced:/bin/sh  \n"
			     "+nis:x:5:5::/:/bin/sh\n"
			     "-nis:x:6:6::/:/bin/sh\n"
			     ":x:8:8::/empty:/bin/sh\n"
			     "short:x:9:9:/home/short:/bin/sh\n"
			     "neg:x:-1:0::/:/bin/sh\n"
			     "plus:x:+3:0::/:/bin/sh\n"
			     "hex:x:0x10:0::/:/bin/sh\n"
			     "keep:x:4294967295:0::/:/bin/sh\n"
			     "keepgid:x:3:4294967295::/:/bin/sh\n"
			     "max:x:4294967294:4294967294::/:/bin/sh\n"
			     "big:x:99999999999999999999:0::/:/bin/sh\n"
			     "retry:x:bad:0::/first:/bin/sh\n"
			     "retry:x:11:12::/good:/bin/sh\n"
			     "extra:x:13:14:g:/home/extra:/bin/sh:more:fields\n"
			     "last:x:15:16::/home/last:/bin/sh";

static const char group[] = "root:x:0:\n"
			    "# user:x:1:user\n"
			    "sudo:x:27:other,user\n"
			    "user:x:1000:user\n"
			    "docker:x:998:user,other\n"
			    "users:x:100:usermod,users\n"
			    "bad:x:y:user\n"
			    "short:user\n"
			    "+:x:55:user\n"
			    "spaces:x:56: user , other\n"
			    "keep:x:4294967295:user\n";

struct fixture {
	char *dir;
	char *passwd;
	char *group;
	struct user_db db;
};

static void fixture_write(struct fixture *f, const char *passwd_text, const char *group_text)
{
	free(f->passwd);
	free(f->group);
	f->passwd = temp_dir_file(f->dir, "passwd", passwd_text, 0644);
	f->group = temp_dir_file(f->dir, "group", group_text, 0644);
	f->db = (struct user_db){ f->passwd, f->group };
}

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){ .dir = temp_dir_new() };
	fixture_write(&f, passwd, group);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	free(f->passwd);
	free(f->group);
	temp_dir_free(f->dir);
	return 0;
}

static void test_user_lines_are_read_as_the_rules_say(void **state)
{
	static const struct {
		const char *name;
		long long uid; /* -1: unknown */
		long long gid;
		const char *home;
	} rows[] = {
		{ "root", 0, 0, "/root" },
		{ "user", 1000, 1000, "/home/user" },
		{ "nohome", 1001, 1001, "" },
		{ "spaced", 1002, 1002, "/home/spaced" },
		{ "max", 4294967294, 4294967294, "/" },
		{ "retry", 11, 12, "/good" },
		{ "extra", 13, 14, "/home/extra" },
		{ "last", 15, 16, "/home/last" },
		{ "", -1, -1, "" },
		{ "use", -1, -1, "" },
		{ "userx", -1, -1, "" },
		{ "User", -1, -1, "" },
		{ "+nis", -1, -1, "" },
		{ "-nis", -1, -1, "" },
		{ "short", -1, -1, "" },
		{ "neg", -1, -1, "" },
		{ "plus", -1, -1, "" },
		{ "hex", -1, -1, "" },
		{ "keep", -1, -1, "" },
		{ "keepgid", -1, -1, "" },
		{ "big", -1, -1, "" },
		{ "# accounts", -1, -1, "" },
		{ "user:x", -1, -1, "" },
		{ "root\n", -1, -1, "" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(err_clear) struct err e = { 0 };
		struct user user = { 0 };
		int rc = user_find(&f->db, rows[i].name, &user, &e);

		if (rows[i].uid < 0) {
			assert_int_equal(rc, -1);
			assert_int_equal(e.kind, ERR_NOT_FOUND);
			continue;
		}
		assert_int_equal(rc, 0);
		assert_true((long long)user.uid == rows[i].uid &&
		            (long long)user.gid == rows[i].gid);
		assert_string_equal(user.name, rows[i].name);
		assert_string_equal(user.home, rows[i].home);
		user_deinit(&user);
	}
}

static void test_user_groups_begin_with_the_primary_and_hold_no_bad_line(void **state)
{
	static const gid_t expected[] = { 1000, 27, 998, 56 };
	struct fixture *f = *state;
	CLEANUP(err_clear) struct err e = { 0 };
	struct user user = { 0 };

	assert_int_equal(user_find(&f->db, "user", &user, &e), 0);
	assert_int_equal(user.n_groups, ARRAY_SIZE(expected));
	assert_memory_equal(user.groups, expected, sizeof expected);
	user_deinit(&user);
}

static void test_user_group_is_found_by_its_whole_name(void **state)
{
	struct fixture *f = *state;
	struct user_db gone = { f->passwd, "/nonexistent/group" };
	gid_t gid = 0;

	fixture_write(f, passwd,
	              "#tty:x:1:\nttys:x:2:tty\ntty:x:bad:\ntty:x\ntty:x:5:\ntty:x:6:\n");
	assert_int_equal(user_find_group(&f->db, "tty", &gid), 0);
	assert_int_equal(gid, 5);
	assert_int_equal(user_find_group(&f->db, "tt", &gid), -ENOENT);
	assert_int_equal(user_find_group(&gone, "tty", &gid), -ENOENT);
	assert_int_equal(gid, 5);
}

static void test_user_unknown_has_the_reference_text(void **state)
{
	struct fixture *f = *state;
	CLEANUP(err_clear) struct err e = { 0 };
	struct user user = { 0 };

	assert_int_equal(user_find(&f->db, "nobody-here", &user, &e), -1);
	assert_string_equal(err_text(&e), "user: unknown user nobody-here");
}

static void test_user_without_group_file_keeps_the_primary_group(void **state)
{
	struct fixture *f = *state;
	struct user_db db = { f->passwd, "/nonexistent/group" };
	CLEANUP(err_clear) struct err e = { 0 };
	struct user user = { 0 };

	assert_int_equal(user_find(&db, "user", &user, &e), 0);
	assert_int_equal(user.n_groups, 1);
	assert_int_equal(user.groups[0], 1000);
	assert_int_equal(user.groups_error, ENOENT);
	user_deinit(&user);
}

static void test_user_without_passwd_file_is_internal(void **state)
{
	struct fixture *f = *state;
	struct user_db db = { "/nonexistent/passwd", f->group };
	CLEANUP(err_clear) struct err e = { 0 };
	struct user user = { 0 };

	assert_int_equal(user_find(&db, "user", &user, &e), -1);
	assert_int_equal(e.kind, ERR_INTERNAL);
}

static void test_user_without_descriptors_is_a_limit_and_no_fault(void **state)
{
	struct fixture *f = *state;
	CLEANUP(err_clear) struct err e = { 0 };
	struct user user = { 0 };
	struct rlimit limit, none;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = limit.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(user_find(&f->db, "user", &user, &e), -1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(e.kind, ERR_LIMIT);
	assert_non_null(strstr(err_text(&e), ": too many open files"));
}

static void test_user_passwd_that_is_a_fifo_does_not_block(void **state)
{
	struct fixture *f = *state;
	char *fifo = temp_dir_path(f->dir, "fifo");
	struct user_db db = { fifo, f->group };
	CLEANUP(err_clear) struct err e = { 0 };
	struct user user = { 0 };

	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(user_find(&db, "user", &user, &e), -1);
	assert_int_equal(e.kind, ERR_INTERNAL);
	free(fifo);
}

static void test_user_line_that_is_too_long_is_skipped(void **state)
{
	struct fixture *f = *state;
	CLEANUP(freep) char *text = xmalloc(3 * USER_LINE_MAX);
	CLEANUP(err_clear) struct err e = { 0 };
	struct user user = { 0 };
	size_t len = (size_t)sprintf(text, "user:x:1:1:");

	memset(text + len, 'g', 2 * USER_LINE_MAX);
	(void)snprintf(text + len + 2 * USER_LINE_MAX, USER_LINE_MAX / 2,
	               ":/long:/bin/sh\nuser:x:2:2::/fits:/bin/sh\n");
	fixture_write(f, text, group);
	assert_int_equal(user_find(&f->db, "user", &user, &e), 0);
	assert_string_equal(user.home, "/fits");
	user_deinit(&user);
}

/* One line of so many bytes, its end included if it has one, behind a useless one. */
static void check_line_of(struct fixture *f, size_t len, bool has_end)
{
	static const char before[] = "\nuser:x:1:1::", after[] = ":/bin/sh";
	CLEANUP(freep) char *text = xmalloc(len + 2);
	CLEANUP(err_clear) struct err e = { 0 };
	struct user user = { 0 };
	size_t home = len + 1 - strlen(before) - strlen(after) - has_end;

	memset(text, 'h', len + 1);
	memcpy(text, before, strlen(before));
	memcpy(text + strlen(before) + home, after, strlen(after));
	text[len] = has_end ? '\n' : '/';
	text[len + 1] = '\0';
	fixture_write(f, text, group);
	assert_int_equal(user_find(&f->db, "user", &user, &e), 0);
	assert_int_equal(strlen(user.home), home);
	user_deinit(&user);
}

static void test_user_line_of_any_length_that_fits_is_read_whole(void **state)
{
	for (size_t room = 512; room <= USER_LINE_MAX; room *= 2) {
		for (size_t len = room - 4; len < room + 4 && len + 1 < USER_LINE_MAX; len++) {
			check_line_of(*state, len, true);
			check_line_of(*state, len, false);
		}
	}
}

static void test_user_many_groups_are_all_kept(void **state)
{
	struct fixture *f = *state;
	CLEANUP(freep) char *text = xmalloc(1000 * 32);
	CLEANUP(err_clear) struct err e = { 0 };
	struct user user = { 0 };
	size_t len = 0;

	for (unsigned i = 0; i < 1000; i++)
		len += (size_t)sprintf(text + len, "g%u:x:%u:user\n", i, 2000 + i);
	fixture_write(f, passwd, text);
	assert_int_equal(user_find(&f->db, "user", &user, &e), 0);
	assert_int_equal(user.n_groups, 1001);
	assert_int_equal(user.groups[1000], 2999);
	user_deinit(&user);
}

/* No byte of these files may do more than make a line useless. */
static void test_user_files_with_any_byte_changed_or_cut_are_survived(void **state)
{
	static const char passwd_line[] = "user:x:1000:1000:A:/home/user:/bin/bash\n";
	static const char group_line[] = "sudo:x:27:other,user\n";
	static const char changes[] = { '\0', ':', '\n', ',', '#', '\xff', '9', ' ' };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof passwd_line - 1; i++) {
		for (size_t c = 0; c <= sizeof changes; c++) {
			CLEANUP(err_clear) struct err e = { 0 };
			char p[sizeof passwd_line], g[sizeof group_line];
			struct user user = { 0 };

			memcpy(p, passwd_line, sizeof p);
			memcpy(g, group_line, sizeof g);
			p[i] = c < sizeof changes ? changes[c] : '\0';
			g[i % (sizeof g - 1)] = p[i];
			fixture_write(f, c % 2 ? passwd_line : p, g);
			if (user_find(&f->db, "user", &user, &e) == 0)
				assert_true(user.n_groups >= 1 && user.uid != (uid_t)-1);
			user_deinit(&user);
		}
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_user_lines_are_read_as_the_rules_say),
		TEST(test_user_groups_begin_with_the_primary_and_hold_no_bad_line),
		TEST(test_user_group_is_found_by_its_whole_name),
		TEST(test_user_unknown_has_the_reference_text),
		TEST(test_user_without_group_file_keeps_the_primary_group),
		TEST(test_user_without_passwd_file_is_internal),
		TEST(test_user_without_descriptors_is_a_limit_and_no_fault),
		TEST(test_user_passwd_that_is_a_fifo_does_not_block),
		TEST(test_user_line_that_is_too_long_is_skipped),
		TEST(test_user_line_of_any_length_that_fits_is_read_whole),
		TEST(test_user_many_groups_are_all_kept),
		TEST(test_user_files_with_any_byte_changed_or_cut_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
