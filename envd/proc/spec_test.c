#include "proc/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proc/process_fixture.h"
#include "tests/support/test.h"

static void expect_env(const struct spec *spec, const char *name, const char *value)
{
	size_t len = strlen(name), n = 0;

	for (char **entry = spec->envp; *entry; entry++) {
		if (strncmp(*entry, name, len) != 0 || (*entry)[len] != '=')
			continue;
		n++;
		assert_non_null(value);
		assert_string_equal(*entry + len + 1, value);
	}
	assert_int_equal(n, value ? 1 : 0);
}

static void test_spec_environment_is_built_in_order_and_the_last_wins(void **state)
{
	static const struct environ_pair globals[] = { { "G", "global" },
		                                       { "BOTH", "global" },
		                                       { "HOME", "/elsewhere" } };
	static const struct environ_pair envs[] = { { "BOTH", "mine" },  { "", "dropped" },
		                                    { "A=B", "1" },      { "with space", "x" },
		                                    { "é.-", "" },       { "E2B_SANDBOX", "no" },
		                                    { "LOGNAME", "me2" } };
	struct process_fixture *f = *state;
	CLEANUP(err_clear) struct err e = { 0 };
	struct spec *spec;

	assert_int_equal(setenv("PATH", "/usr/bin:/bin", 1), 0);
	assert_int_equal(setenv("NOT_INHERITED", "1", 1), 0);
	environ_set_internal(&f->globals, "E2B_SANDBOX", "true");
	assert_int_equal(environ_replace_user(&f->globals, globals, ARRAY_SIZE(globals), &e), 0);
	spec = process_fixture_spec(
		f, &(struct client_options){ .cmd = "x", .envs = envs, .n_envs = ARRAY_SIZE(envs) },
		&e);
	assert_non_null(spec);
	expect_env(spec, "PATH", "/usr/bin:/bin");
	expect_env(spec, "HOME", "/elsewhere");
	expect_env(spec, "USER", "me");
	expect_env(spec, "LOGNAME", "me2");
	expect_env(spec, "G", "global");
	expect_env(spec, "BOTH", "mine");
	expect_env(spec, "E2B_SANDBOX", "no");
	expect_env(spec, "A", "B=1");
	expect_env(spec, "with space", "x");
	expect_env(spec, "é.-", "");
	expect_env(spec, "NOT_INHERITED", NULL);
	expect_env(spec, "PWD", NULL); /* the child sets it */
	expect_env(spec, "", NULL);
	assert_true(spec->sets_pwd);
	assert_null(spec->envp[spec->n_envp]);
	assert_null(spec->envp[spec->n_envp + 1]);
	spec_free(spec);
}

static void test_spec_repeated_name_keeps_the_last_of_many(void **state)
{
	enum { N = 5000 };
	CLEANUP(freep) struct environ_pair *envs = xcalloc(N, sizeof *envs);
	char values[N][8];
	CLEANUP(err_clear) struct err e = { 0 };
	struct spec *spec;

	for (size_t i = 0; i < N; i++) {
		(void)snprintf(values[i], sizeof values[i], "%zu", i);
		envs[i] = (struct environ_pair){ i % 2 ? "ODD" : "EVEN", values[i] };
	}
	spec = process_fixture_spec(
		*state, &(struct client_options){ .cmd = "x", .envs = envs, .n_envs = N }, &e);
	assert_non_null(spec);
	expect_env(spec, "EVEN", "4998");
	expect_env(spec, "ODD", "4999");
	spec_free(spec);
}

static void test_spec_pwd_of_the_client_is_left_alone(void **state)
{
	static const struct environ_pair pwd = { "PWD", "/mine" };
	CLEANUP(err_clear) struct err e = { 0 };
	struct spec *spec = process_fixture_spec(
		*state, &(struct client_options){ .cmd = "x", .envs = &pwd, .n_envs = 1 }, &e);

	assert_non_null(spec);
	expect_env(spec, "PWD", "/mine");
	assert_false(spec->sets_pwd);
	spec_free(spec);
}

static void test_spec_pwd_is_what_the_child_finds(void **state)
{
	struct client c;

	(void)client_run(*state, &c,
	                 &(struct client_options){ .cmd = "env", .cwd = "/proc/self/../../usr/" });
	assert_non_null(strstr(client_stdout(&c), "PWD=/usr\n"));
	client_deinit(&c);
}

static void test_spec_unknown_user_has_the_text_of_its_origin(void **state)
{
	static const struct {
		const char *user, *default_user, *text;
	} rows[] = {
		{ "ghost", "root", "invalid username: 'ghost'" },
		{ "", "root", "invalid username: ''" },
		{ NULL, "ghost", "invalid default user: 'ghost'" },
		{ NULL, "", "no user specified" },
	};
	struct process_fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(err_clear) struct err e = { 0 };
		struct process_config src = { .cmd = "x" };
		struct process_config *config = process_config_new(&src, &e);
		struct spec_options options = { .users = &f->users,
			                        .user = rows[i].user,
			                        .default_user = rows[i].default_user,
			                        .globals = &f->globals };
		struct spec *spec = NULL;

		if (spec_new(&config, &options, &spec, &e) == 0)
			assert_int_equal(spec_resolve(spec, &e), -1);
		assert_int_equal(e.kind, ERR_UNAUTHENTICATED);
		assert_string_equal(err_text(&e), rows[i].text);
		spec_free(spec);
		process_config_unref(config);
	}
}

static void test_spec_terminal_is_copied_and_its_group_is_found(void **state)
{
	struct spec_terminal terminal = { .cols = 70000, .rows = 24 };
	struct process_fixture *f = *state;
	CLEANUP(err_clear) struct err e = { 0 };
	struct spec *with, *without, *pipes;

	with = process_fixture_spec(
		f, &(struct client_options){ .cmd = "x", .terminal = &terminal }, &e);
	f->users.group = "/nonexistent/group";
	without = process_fixture_spec(
		f, &(struct client_options){ .cmd = "x", .terminal = &terminal }, &e);
	pipes = process_fixture_spec(f, &(struct client_options){ .cmd = "x" }, &e);
	terminal.cols = 0;
	assert_true(with->has_terminal);
	assert_int_equal(with->terminal.cols, 70000);
	assert_int_equal(with->terminal.rows, 24);
	assert_int_equal(with->tty_gid, 45678);
	assert_int_equal(without->tty_gid, (gid_t)-1);
	assert_false(pipes->has_terminal);
	spec_free(with);
	spec_free(without);
	spec_free(pipes);
}

static void test_spec_refusal_names_what_was_to_be_started(void **state)
{
	static const struct spec_terminal terminal = { .cols = 4294967295u, .rows = 0 };
	const char *const args[] = { "b  c" };
	struct client_options options = { .cmd = "a", .args = args, .n_args = 1, .cwd = "/usr" };
	CLEANUP(err_clear) struct err e = { 0 };
	struct spec *spec = process_fixture_spec(*state, &options, &e);

	assert_int_equal(spec_refuse(spec, ERR_LIMIT, "why", &e), -1);
	assert_int_equal(e.kind, ERR_LIMIT);
	assert_string_equal(err_text(&e), "error starting process 'a b  c': why");
	spec_free(spec);

	options.terminal = &terminal;
	spec = process_fixture_spec(*state, &options, &e);
	assert_int_equal(spec_refuse(spec, ERR_UNAVAILABLE, "why", &e), -1);
	assert_int_equal(e.kind, ERR_UNAVAILABLE);
	assert_string_equal(err_text(&e), "error starting pty with command 'a b  c' in dir '/usr' "
	                                  "with '4294967295' cols and '0' rows: why");
	free(TAKE_PTR(spec->cwd)); /* as before it is resolved */
	assert_int_equal(spec_refuse(spec, ERR_LIMIT, "why", &e), -1);
	assert_non_null(strstr(err_text(&e), "' in dir '/usr' with '"));
	spec_free(spec);
}

static void test_spec_every_allocation_failure_is_refused_cleanly(void **state)
{
	static const struct environ_pair envs[] = { { "A", "1" }, { "B", "2" } };
	const char *const args[] = { "1", "2" };
	struct process_fixture *f = *state;
	const struct client_options options = { .cmd = "ls",
		                                .args = args,
		                                .n_args = 2,
		                                .envs = envs,
		                                .n_envs = 2,
		                                .tag = "t",
		                                .cwd = "/" };

	environ_set_internal(&f->globals, "E2B_SANDBOX", "true");
	for (unsigned nth = 1;; nth++) {
		CLEANUP(err_clear) struct err e = { 0 };
		struct spec *spec;
		int has_failed;

		mem_fail_nth(nth);
		spec = process_fixture_spec(f, &options, &e);
		has_failed = mem_fail_nth(0);
		spec_free(spec);
		if (!has_failed) {
			assert_non_null(spec);
			assert_true(nth > 3);
			break;
		}
		assert_null(spec);
		assert_int_equal(e.kind, ERR_LIMIT);
	}
}

static void test_spec_config_is_a_deep_copy(void **state)
{
	char cmd[] = "cmd", arg[] = "arg", name[] = "N", value[] = "V", cwd[] = "/", tag[] = "t";
	const char *const args[] = { arg };
	const struct environ_pair envs[] = { { name, value } };
	struct process_config src = { .cmd = cmd,
		                      .args = args,
		                      .n_args = 1,
		                      .envs = envs,
		                      .n_envs = 1,
		                      .cwd = cwd,
		                      .tag = tag };
	CLEANUP(err_clear) struct err e = { 0 };
	struct process_config *config = process_config_new(&src, &e);

	UNUSED(state);
	assert_non_null(config);
	cmd[0] = arg[0] = name[0] = value[0] = cwd[0] = tag[0] = '!';
	assert_string_equal(config->cmd, "cmd");
	assert_string_equal(config->args[0], "arg");
	assert_string_equal(config->envs[0].name, "N");
	assert_string_equal(config->envs[0].value, "V");
	assert_string_equal(config->cwd, "/");
	assert_string_equal(config->tag, "t");
	process_config_unref(config);
}

static void test_spec_config_that_no_kernel_takes_is_refused_before_it_is_copied(void **state)
{
	enum { N = 800000 };
	CLEANUP(freep) const char **args = xcalloc(N, sizeof *args);
	struct process_config src = { .cmd = "many", .args = args, .n_args = N };
	CLEANUP(err_clear) struct err e = { 0 };

	UNUSED(state);
	for (size_t i = 0; i < N; i++)
		args[i] = "";
	assert_null(process_config_new(&src, &e));
	assert_int_equal(e.kind, ERR_INVALID);
	assert_non_null(strstr(err_text(&e), ": fork/exec /bin/sh: argument list too long"));
	assert_true(strlen(err_text(&e)) <= ERR_TEXT_MAX);
}

#define TEST(name)                                                                                 \
	cmocka_unit_test_setup_teardown(name, process_fixture_setup, process_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_spec_environment_is_built_in_order_and_the_last_wins),
		TEST(test_spec_repeated_name_keeps_the_last_of_many),
		TEST(test_spec_pwd_of_the_client_is_left_alone),
		TEST(test_spec_pwd_is_what_the_child_finds),
		TEST(test_spec_unknown_user_has_the_text_of_its_origin),
		TEST(test_spec_terminal_is_copied_and_its_group_is_found),
		TEST(test_spec_refusal_names_what_was_to_be_started),
		TEST(test_spec_every_allocation_failure_is_refused_cleanly),
		TEST(test_spec_config_is_a_deep_copy),
		TEST(test_spec_config_that_no_kernel_takes_is_refused_before_it_is_copied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
