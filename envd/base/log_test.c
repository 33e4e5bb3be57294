#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/text.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

#define NS_PER_S 1000000000

static int64_t now_ns;

static int64_t fake_clock(void)
{
	return now_ns;
}

/* A log into fds[1], a clock at 2024-02-29T12:34:56Z. */
static void begin(int fds[2])
{
	now_ns = 1709210096LL * NS_PER_S;
	log_set_clock(fake_clock);
	log_open(fds[1], LOG_INFO);
}

static void begin_pipe(int fds[2])
{
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	begin(fds);
}

static void end(int fds[2])
{
	log_open(-1, LOG_DEBUG);
	log_set_clock(NULL);
	close(fds[0]);
	close(fds[1]);
}

/* All that can be read now, NUL terminated. */
static size_t drain(int fd, char *out, size_t size)
{
	size_t len = 0;
	ssize_t n;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (len < size - 1 && (n = read(fd, out + len, size - 1 - len)) > 0)
		len += (size_t)n;
	out[len] = '\0';
	return len;
}

static void test_log_line_has_the_reference_format(void **state)
{
	char line[1024];
	int fds[2];

	UNUSED(state);
	begin_pipe(fds);
	log_event(LOG_INFO, "process", "process started", log_int("pid", -3), log_str("tag", "a"));
	drain(fds[0], line, sizeof line);
	assert_string_equal(line,
	                    "{\"level\":\"info\",\"logger\":\"process\",\"pid\":-3,\"tag\":\"a\","
	                    "\"timestamp\":\"2024-02-29T12:34:56Z\","
	                    "\"message\":\"process started\"}\n");
	end(fds);
}

static void test_log_timestamp_has_no_trailing_zeros(void **state)
{
	static const struct {
		int ns;
		const char *text;
	} table[] = {
		{ 1, ":56.000000001Z\"" },
		{ 100000000, ":56.1Z\"" },
		{ 123456000, ":56.123456Z\"" },
		{ 0, ":56Z\"" },
	};
	char line[1024];
	int fds[2];

	UNUSED(state);
	begin_pipe(fds);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		now_ns = 1709210096LL * NS_PER_S + table[i].ns;
		log_event(LOG_WARNING, "envd", "x");
		drain(fds[0], line, sizeof line);
		assert_non_null(strstr(line, table[i].text));
		assert_non_null(strstr(line, "\"level\":\"warn\""));
	}
	end(fds);
}

static void test_log_below_the_level_or_closed_writes_nothing(void **state)
{
	char line[64];
	int fds[2];

	UNUSED(state);
	begin_pipe(fds);
	assert_false(log_wants(LOG_DEBUG));
	assert_true(log_wants(LOG_INFO));
	log_event(LOG_DEBUG, "envd", "x");
	log_open(-1, LOG_DEBUG);
	assert_false(log_wants(LOG_ERROR));
	log_event(LOG_ERROR, "envd", "x");
	assert_int_equal(drain(fds[0], line, sizeof line), 0);
	end(fds);
}

static void test_log_field_from_a_peer_stays_one_valid_line(void **state)
{
	char line[1024];
	int fds[2];
	size_t len;

	UNUSED(state);
	begin_pipe(fds);
	log_event(LOG_INFO, "envd", "x", log_str("path", "a\"\n\x1B[31m\xFF"),
	          log_str("null", NULL));
	len = drain(fds[0], line, sizeof line);
	assert_true(utf8_is_valid(line, len));
	assert_ptr_equal(strchr(line, '\n'), line + len - 1);
	assert_non_null(strstr(line, "\"path\":\"a\\\"\\n\\u001b[31m\xEF\xBF\xBD\",\"null\":\"\""));
	end(fds);
}

static void test_log_long_fields_are_cut_to_the_line(void **state)
{
	static char novel[3 * LOG_LINE_MAX];
	char line[2 * LOG_LINE_MAX];
	int fds[2];
	size_t len;

	UNUSED(state);
	memset(novel, '\x01', sizeof novel - 1); /* grows sixfold when escaped */
	begin_pipe(fds);
	log_event(LOG_INFO, "envd", novel, log_int("pid", 1), log_str("first", novel),
	          log_str("second", novel), log_str("third", "x"));
	len = drain(fds[0], line, sizeof line);
	assert_in_range(len, LOG_LINE_MAX / 2, LOG_LINE_MAX);
	assert_memory_equal(line + len - 6, "...\"}\n", 6);
	assert_non_null(strstr(line, "\"pid\":1,\"first\":\"\\u0001"));
	assert_non_null(
		strstr(line, "\"timestamp\":\"2024-02-29T12:34:56Z\",\"message\":\"\\u0001"));
	end(fds);
}

static void test_log_full_pipe_drops_counts_and_never_blocks(void **state)
{
	static char seen[1 << 20];
	unsigned n_written = 0, n_seen = 0;
	char expected[32];
	int fds[2];

	UNUSED(state);
	begin_pipe(fds); /* a blocking one: a write that waited would hang the test */
	for (; n_written < 2000; n_written++)
		log_event(LOG_INFO, "envd", "filling",
		          log_str("x", "0123456789012345678901234567890"));
	drain(fds[0], seen, sizeof seen);
	for (char *at = seen; (at = strchr(at, '\n')); at++)
		n_seen++;
	assert_in_range(n_seen, 100, n_written - 1);
	log_event(LOG_INFO, "envd", "after");
	drain(fds[0], seen, sizeof seen);
	snprintf(expected, sizeof expected, "\"dropped\":%u,", n_written - n_seen);
	assert_non_null(strstr(seen, expected));
	log_event(LOG_INFO, "envd", "after");
	drain(fds[0], seen, sizeof seen);
	assert_null(strstr(seen, "dropped"));
	end(fds);
}

static void test_log_line_taken_in_part_does_not_spoil_the_next(void **state)
{
	static char seen[1 << 20], novel[2 * LOG_LINE_MAX];
	int fds[2];

	UNUSED(state);
	memset(novel, 'x', sizeof novel - 1);
	begin_pipe(fds);
	for (int i = 0; i < 100; i++) /* more than one page a line: the pipe may take a part */
		log_event(LOG_INFO, "envd", "filling", log_str("x", novel), log_str("y", novel));
	drain(fds[0], seen, sizeof seen);
	log_event(LOG_INFO, "envd", "after");
	drain(fds[0], seen, sizeof seen);
	if (seen[0] == '\n')
		memmove(seen, seen + 1, strlen(seen));
	assert_memory_equal(seen, "{\"level\"", 8);
	end(fds);
}

static void test_log_full_socket_drops_and_never_blocks(void **state)
{
	static char seen[1 << 22];
	int fds[2];

	UNUSED(state);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	begin(fds);
	for (int i = 0; i < 20000; i++)
		log_event(LOG_INFO, "envd", "filling");
	assert_true(drain(fds[0], seen, sizeof seen) > 0);
	log_event(LOG_INFO, "envd", "after");
	drain(fds[0], seen, sizeof seen);
	assert_non_null(strstr(seen, "\"dropped\":"));
	end(fds);
}

static void test_log_reader_gone_is_only_counted(void **state)
{
	int fds[2];

	UNUSED(state);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	begin(fds);
	close(fds[0]);
	fds[0] = -1;
	log_event(LOG_INFO, "envd", "nobody reads"); /* no SIGPIPE */
	end(fds);
}

static void test_log_file_is_appended_where_it_stands(void **state)
{
	char *dir = temp_dir_new();
	char *path = temp_dir_file(dir, "log", "before\n", 0600);
	int fds[2] = { -1, open(path, O_RDWR | O_CLOEXEC) };
	char seen[1024];

	UNUSED(state);
	lseek(fds[1], 0, SEEK_END);
	begin(fds);
	log_event(LOG_INFO, "envd", "x");
	lseek(fds[1], 0, SEEK_SET);
	drain(fds[1], seen, sizeof seen);
	assert_memory_equal(seen, "before\n{\"level\"", 15);
	end(fds);
	freep(&path);
	temp_dir_free(dir);
}

static void test_log_limited_lines_are_counted_and_reported_later(void **state)
{
	static char seen[1 << 16];
	unsigned n_seen = 0;
	int fds[2];

	UNUSED(state);
	begin_pipe(fds);
	for (unsigned i = 0; i < LOG_RATE_BURST + 5; i++)
		log_event_limited(LOG_INFO, "envd", "by a peer");
	drain(fds[0], seen, sizeof seen);
	for (char *at = seen; (at = strchr(at, '\n')); at++)
		n_seen++;
	assert_int_equal(n_seen, LOG_RATE_BURST);
	now_ns += NS_PER_S;
	log_event_limited(LOG_INFO, "envd", "by a peer");
	drain(fds[0], seen, sizeof seen);
	assert_non_null(strstr(seen, "\"suppressed\":5,\"timestamp\""));
	log_event_limited(LOG_INFO, "envd", "by a peer");
	drain(fds[0], seen, sizeof seen);
	assert_null(strstr(seen, "suppressed"));
	end(fds);
}

static void test_log_limit_of_one_level_does_not_hide_another(void **state)
{
	static char seen[1 << 16];
	int fds[2];

	UNUSED(state);
	begin_pipe(fds);
	for (unsigned i = 0; i < LOG_RATE_BURST + 5; i++)
		log_event_limited(LOG_INFO, "envd", "by a peer");
	log_event_limited(LOG_ERROR, "envd", "act");
	drain(fds[0], seen, sizeof seen);
	assert_non_null(strstr(seen, "\"message\":\"act\""));
	end(fds);
}

static void test_log_limit_survives_a_clock_set_back(void **state)
{
	char seen[1024];
	int fds[2];

	UNUSED(state);
	begin_pipe(fds);
	now_ns -= 3600LL * NS_PER_S;
	log_event_limited(LOG_INFO, "envd", "x");
	assert_true(drain(fds[0], seen, sizeof seen) > 0);
	end(fds);
}

static void test_log_private_descriptor_is_closed_with_the_log(void **state)
{
	unsigned before = test_fd_count();
	int fds[2];

	UNUSED(state);
	begin_pipe(fds);
	assert_false(fcntl(fds[1], F_GETFL) & O_NONBLOCK);
	log_open(fds[1], LOG_INFO);
	end(fds);
	assert_int_equal(test_fd_count(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log_line_has_the_reference_format),
		cmocka_unit_test(test_log_timestamp_has_no_trailing_zeros),
		cmocka_unit_test(test_log_below_the_level_or_closed_writes_nothing),
		cmocka_unit_test(test_log_field_from_a_peer_stays_one_valid_line),
		cmocka_unit_test(test_log_long_fields_are_cut_to_the_line),
		cmocka_unit_test(test_log_full_pipe_drops_counts_and_never_blocks),
		cmocka_unit_test(test_log_line_taken_in_part_does_not_spoil_the_next),
		cmocka_unit_test(test_log_full_socket_drops_and_never_blocks),
		cmocka_unit_test(test_log_reader_gone_is_only_counted),
		cmocka_unit_test(test_log_file_is_appended_where_it_stands),
		cmocka_unit_test(test_log_limited_lines_are_counted_and_reported_later),
		cmocka_unit_test(test_log_limit_of_one_level_does_not_hide_another),
		cmocka_unit_test(test_log_limit_survives_a_clock_set_back),
		cmocka_unit_test(test_log_private_descriptor_is_closed_with_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
