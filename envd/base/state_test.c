#include "base/state.h"

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/macros.h"
#include "tests/support/test.h"

enum { DOOR_OPEN, DOOR_CLOSED, DOOR_GONE };

static const struct state_rule rules[] = {
	[DOOR_OPEN] = { "open", BIT(DOOR_CLOSED) },
	[DOOR_CLOSED] = { "closed", BIT(DOOR_OPEN) | BIT(DOOR_GONE) },
	[DOOR_GONE] = { "gone", 0 },
};

static void test_state_allowed_move_is_made(void **state)
{
	struct state s;

	UNUSED(state);
	state_init(&s, rules, ARRAY_SIZE(rules), DOOR_OPEN, "door", 1);
	assert_string_equal(state_name(&s), "open");
	state_move(&s, DOOR_CLOSED);
	assert_int_equal(s.now, DOOR_CLOSED);
	assert_string_equal(state_name(&s), "closed");
}

static void test_state_move_is_traced_at_its_own_level(void **state)
{
	struct state s;
	char line[512];
	int fds[2];
	ssize_t n;

	UNUSED(state);
	assert_int_equal(pipe(fds), 0);
	state_init(&s, rules, ARRAY_SIZE(rules), DOOR_OPEN, "door", 7);
	log_open(fds[1], LOG_DEBUG);
	state_move(&s, DOOR_CLOSED);
	log_open(fds[1], LOG_TRACE);
	state_move(&s, DOOR_OPEN);
	log_open(-1, LOG_DEBUG);
	n = read(fds[0], line, sizeof line - 1);
	assert_true(n > 0);
	line[n] = '\0';
	assert_non_null(strstr(line, "\"level\":\"trace\",\"logger\":\"door\",\"id\":7,"
	                             "\"from\":\"closed\",\"to\":\"open\""));
	assert_ptr_equal(strchr(line, '\n'), line + n - 1);
	close(fds[0]);
	close(fds[1]);
}

static int status_of_child_that_moves(int from, int to)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct state s;

		/* The abort is expected: neither a core nor the test library's handler. */
		signal(SIGABRT, SIG_DFL);
		close(STDERR_FILENO);
		state_init(&s, rules, ARRAY_SIZE(rules), from, "door", 1);
		state_move(&s, to);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void test_state_table_decides_each_move(void **state)
{
	UNUSED(state);
	for (int from = DOOR_OPEN; from <= DOOR_GONE; from++) {
		for (int to = DOOR_OPEN; to <= DOOR_GONE + 1; to++) {
			bool allowed = to <= DOOR_GONE && rules[from].next & BIT(to);
			int status = status_of_child_that_moves(from, to);

			if (allowed)
				assert_int_equal(status, 0);
			else
				assert_int_equal(WTERMSIG(status), SIGABRT);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_state_allowed_move_is_made),
		cmocka_unit_test(test_state_move_is_traced_at_its_own_level),
		cmocka_unit_test(test_state_table_decides_each_move),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
