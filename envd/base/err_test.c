#include "base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "tests/support/test.h"

static void test_err_set_refuses_with_kind_and_text(void **state)
{
	CLEANUP(err_clear) struct err e = { 0 };

	UNUSED(state);
	assert_string_equal(err_text(&e), "");
	assert_int_equal(err_set(&e, ERR_EXISTS, "'%s' is %d", "a", 7), -1);
	assert_int_equal(e.kind, ERR_EXISTS);
	assert_string_equal(err_text(&e), "'a' is 7");
}

static void test_err_set_may_quote_the_text_it_replaces(void **state)
{
	CLEANUP(err_clear) struct err e = { 0 };

	UNUSED(state);
	err_set(&e, ERR_INVALID, "inner");
	err_set(&e, ERR_INTERNAL, "outer (%s)", err_text(&e));
	assert_int_equal(e.kind, ERR_INTERNAL);
	assert_string_equal(err_text(&e), "outer (inner)");
}

static void test_err_sys_adds_the_cause_and_its_kind(void **state)
{
	CLEANUP(err_clear) struct err e = { 0 };

	UNUSED(state);
	assert_int_equal(err_sys(&e, ENOENT, "open '%s'", "/x"), -1);
	assert_int_equal(e.kind, ERR_NOT_FOUND);
	assert_string_equal(err_text(&e), "open '/x': no such file or directory");
}

static void test_err_wrap_keeps_the_kind(void **state)
{
	CLEANUP(err_clear) struct err e = { 0 };

	UNUSED(state);
	err_set(&e, ERR_RANGE, "too far");
	assert_int_equal(err_wrap(&e, "seek %d", 3), -1);
	assert_int_equal(e.kind, ERR_RANGE);
	assert_string_equal(err_text(&e), "seek 3: too far");
}

static void test_err_long_text_is_cut_and_keeps_its_cause(void **state)
{
	CLEANUP(err_clear) struct err e = { 0 };
	CLEANUP(freep) char *novel = xmalloc(2 * ERR_TEXT_MAX + 1);

	UNUSED(state);
	memset(novel, 'x', 2 * ERR_TEXT_MAX);
	novel[2 * ERR_TEXT_MAX] = '\0';
	err_set(&e, ERR_INVALID, "%s", novel);
	assert_int_equal(strlen(err_text(&e)), ERR_TEXT_MAX);
	err_sys(&e, EPERM, "%s", novel);
	assert_int_equal(strlen(err_text(&e)), ERR_TEXT_MAX);
	assert_non_null(strstr(err_text(&e), "x: operation not permitted"));
	err_wrap(&e, "first");
	assert_int_equal(strlen(err_text(&e)), ERR_TEXT_MAX);
	assert_memory_equal(err_text(&e), "first: x", 8);
}

static void test_err_long_text_is_cut_between_characters(void **state)
{
	CLEANUP(err_clear) struct err e = { 0 };
	CLEANUP(freep) char *novel = xmalloc(3 * ERR_TEXT_MAX + 1);

	UNUSED(state);
	for (size_t i = 0; i < ERR_TEXT_MAX; i++)
		memcpy(novel + 3 * i, "\xE2\x82\xAC", 3);
	novel[3 * ERR_TEXT_MAX] = '\0';
	err_set(&e, ERR_INVALID, "%s", novel);
	assert_in_range(strlen(err_text(&e)), ERR_TEXT_MAX - 2, ERR_TEXT_MAX);
	assert_true(utf8_is_valid(err_text(&e), strlen(err_text(&e))));
}

static void test_err_without_memory_keeps_the_kind(void **state)
{
	CLEANUP(err_clear) struct err e = { 0 };

	UNUSED(state);
	mem_fail_nth(1);
	assert_int_equal(err_set(&e, ERR_LIMIT, "text"), -1);
	assert_int_equal(e.kind, ERR_LIMIT);
	assert_string_equal(err_text(&e), "");
	for (unsigned nth = 1; nth <= 2; nth++) {
		err_set(&e, ERR_LIMIT, "text");
		mem_fail_nth(nth);
		assert_int_equal(err_wrap(&e, "prefix"), -1);
		assert_true(mem_fail_nth(0));
		assert_int_equal(e.kind, ERR_LIMIT);
		assert_string_equal(err_text(&e), "text");
	}
}

static void test_err_move_leaves_the_source_cleared(void **state)
{
	CLEANUP(err_clear) struct err to = { 0 };
	CLEANUP(err_clear) struct err from = { 0 };

	UNUSED(state);
	err_set(&to, ERR_INVALID, "old");
	err_set(&from, ERR_ABORTED, "new");
	err_move(&to, &from);
	assert_int_equal(to.kind, ERR_ABORTED);
	assert_string_equal(err_text(&to), "new");
	assert_int_equal(from.kind, ERR_NONE);
	assert_null(from.text);
	err_move(&to, &to);
	assert_string_equal(err_text(&to), "new");
}

static void test_err_kind_of_errno_follows_the_table(void **state)
{
	static const struct {
		int errnum;
		enum err_kind kind;
	} table[] = {
		{ EAGAIN, ERR_LIMIT },       { ENOMEM, ERR_LIMIT },
		{ EMFILE, ERR_LIMIT },       { ENFILE, ERR_LIMIT },
		{ ENOSPC, ERR_LIMIT },       { EDQUOT, ERR_LIMIT },
		{ ENOBUFS, ERR_LIMIT },      { ENOENT, ERR_NOT_FOUND },
		{ ESRCH, ERR_NOT_FOUND },    { EEXIST, ERR_EXISTS },
		{ EACCES, ERR_PERMISSION },  { EPERM, ERR_PERMISSION },
		{ EINVAL, ERR_INVALID },     { ENOTDIR, ERR_INVALID },
		{ EISDIR, ERR_INVALID },     { ENAMETOOLONG, ERR_INVALID },
		{ ELOOP, ERR_INVALID },      { E2BIG, ERR_INVALID },
		{ ENOEXEC, ERR_INVALID },    { ERANGE, ERR_INVALID },
		{ ECANCELED, ERR_CANCELED }, { EIO, ERR_INTERNAL },
		{ -ENOENT, ERR_NOT_FOUND },  { 0, ERR_INTERNAL },
		{ 4096, ERR_INTERNAL },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		assert_int_equal(err_kind_of_errno(table[i].errnum), table[i].kind);
}

static void test_errno_text_is_what_go_prints(void **state)
{
	static const struct {
		int errnum;
		const char *text;
	} table[] = {
		{ EPERM, "operation not permitted" },
		{ ENOENT, "no such file or directory" },
		{ ESRCH, "no such process" },
		{ EIO, "input/output error" },
		{ E2BIG, "argument list too long" },
		{ ENOEXEC, "exec format error" },
		{ EBADF, "bad file descriptor" },
		{ EAGAIN, "resource temporarily unavailable" },
		{ ENOMEM, "cannot allocate memory" },
		{ EACCES, "permission denied" },
		{ ENOTDIR, "not a directory" },
		{ EINVAL, "invalid argument" },
		{ EMFILE, "too many open files" },
		{ ETXTBSY, "text file busy" },
		{ EPIPE, "broken pipe" },
		{ ENAMETOOLONG, "file name too long" },
		{ ELOOP, "too many levels of symbolic links" },
		{ EOPNOTSUPP, "operation not supported" },
		{ EHWPOISON - 1, "operation not possible due to RF-kill" },
		{ -ENOENT, "no such file or directory" },
		{ 0, "errno 0" },
		{ 41, "errno 41" },
		{ 4095, "errno 4095" },
		{ INT32_MIN, "errno -2147483648" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		assert_string_equal(errno_text(table[i].errnum), table[i].text);
}

static void test_errno_text_knows_each_errno_the_c_library_knows(void **state)
{
	UNUSED(state);
	for (int i = 1; i < EHWPOISON; i++) {
		if (strncmp(strerror(i), "Unknown error", 13) != 0)
			assert_true(strncmp(errno_text(i), "errno ", 6) != 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_err_set_refuses_with_kind_and_text),
		cmocka_unit_test(test_err_set_may_quote_the_text_it_replaces),
		cmocka_unit_test(test_err_sys_adds_the_cause_and_its_kind),
		cmocka_unit_test(test_err_wrap_keeps_the_kind),
		cmocka_unit_test(test_err_long_text_is_cut_and_keeps_its_cause),
		cmocka_unit_test(test_err_long_text_is_cut_between_characters),
		cmocka_unit_test(test_err_without_memory_keeps_the_kind),
		cmocka_unit_test(test_err_move_leaves_the_source_cleared),
		cmocka_unit_test(test_err_kind_of_errno_follows_the_table),
		cmocka_unit_test(test_errno_text_is_what_go_prints),
		cmocka_unit_test(test_errno_text_knows_each_errno_the_c_library_knows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
