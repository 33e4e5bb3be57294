#include "api/process_events.h"

#include <signal.h>
#include <stdio.h>

#include "tests/support/test.h"

static void expect_status(struct process_exit exit, const char *text)
{
	char status[PROCESS_STATUS_MAX];

	process_events_status(&exit, status);
	assert_string_equal(status, text);
}

/* The names of process.md 5.2 by number; all others read "signal N". */
static const char *const names[] = {
	[1] = "hangup",
	[2] = "interrupt",
	[3] = "quit",
	[4] = "illegal instruction",
	[5] = "trace/breakpoint trap",
	[6] = "aborted",
	[7] = "bus error",
	[8] = "floating point exception",
	[9] = "killed",
	[10] = "user defined signal 1",
	[11] = "segmentation fault",
	[12] = "user defined signal 2",
	[13] = "broken pipe",
	[14] = "alarm clock",
	[15] = "terminated",
	[16] = "stack fault",
	[24] = "CPU time limit exceeded",
	[25] = "file size limit exceeded",
	[26] = "virtual timer expired",
	[27] = "profiling timer expired",
	[29] = "I/O possible",
	[30] = "power failure",
	[31] = "bad system call",
};

static void test_process_events_every_signal_has_the_reference_name(void **state)
{
	UNUSED(state);
	for (int i = 1; i <= 64; i++) {
		char expected[PROCESS_STATUS_MAX];

		if ((size_t)i < ARRAY_SIZE(names) && names[i])
			(void)snprintf(expected, sizeof expected, "signal: %s", names[i]);
		else
			(void)snprintf(expected, sizeof expected, "signal: signal %d", i);
		expect_status((struct process_exit){ .code = -1, .signal = i }, expected);
	}
}

static void test_process_events_core_dump_is_said(void **state)
{
	UNUSED(state);
	expect_status(
		(struct process_exit){ .code = -1, .signal = SIGSEGV, .is_core_dumped = true },
		"signal: segmentation fault (core dumped)");
	expect_status((struct process_exit){ .code = -1, .signal = 64, .is_core_dumped = true },
	              "signal: signal 64 (core dumped)");
}

static void test_process_events_exit_status_is_said(void **state)
{
	UNUSED(state);
	expect_status((struct process_exit){ .code = 0 }, "exit status 0");
	expect_status((struct process_exit){ .code = 255 }, "exit status 255");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_process_events_every_signal_has_the_reference_name),
		cmocka_unit_test(test_process_events_core_dump_is_said),
		cmocka_unit_test(test_process_events_exit_status_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
