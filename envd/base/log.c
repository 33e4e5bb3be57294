/*
 * Never blocks: pipes and terminals are opened a second time, because O_NONBLOCK on the descriptor
 * we were given would change it for everybody who shares it. Sockets are asked per call. What can
 * be neither is polled, and then given no more than a pipe takes in one piece.
 *
 * All state belongs to the loop thread.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/macros.h"
#include "base/text.h"

#define NS_PER_S 1000000000

/* Kept free behind the fields: suppressed, dropped, timestamp and the message's frame. */
#define LINE_TAIL 192u

/* Bytes of a message, which are ours and short; also kept free. */
#define MESSAGE_MAX 1024u

enum sink { SINK_NONE, SINK_OWN, SINK_SOCKET, SINK_FILE, SINK_POLLED };

static int64_t realtime_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static struct {
	enum sink sink;
	int fd;
	enum log_level least;
	bool torn;      /* the last line was taken in part: the next begins on a new one */
	int64_t second; /* the limited lines of this second have been counted */
	unsigned n_limited[LOG_LEVELS];
	uint64_t suppressed; /* lines over LOG_RATE_BURST, not reported yet */
	uint64_t dropped;    /* lines the descriptor did not take, not reported yet */
	int64_t (*now_ns)(void);
} out = { .fd = -1, .now_ns = realtime_ns };

void log_set_clock(int64_t (*now_ns)(void))
{
	out.now_ns = now_ns ? now_ns : realtime_ns;
}

/* A private, non-blocking description of the same pipe or terminal; -1 if it cannot be had. */
static int open_again(int fd)
{
	char path[sizeof "/proc/self/fd/-2147483648"];

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

void log_open(int fd, enum log_level least)
{
	struct stat st;
	int own;

	if (out.sink == SINK_OWN)
		close(out.fd);
	out.sink = SINK_NONE;
	out.fd = fd;
	out.least = least;
	out.torn = false;
	memset(out.n_limited, 0, sizeof out.n_limited);
	out.suppressed = out.dropped = 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return;

	if (S_ISSOCK(st.st_mode)) {
		out.sink = SINK_SOCKET;
	} else if (S_ISREG(st.st_mode)) {
		/* Opened again it would have a position of its own, and overwrite. */
		out.sink = SINK_FILE;
	} else {
		own = open_again(fd);
		out.sink = own >= 0 ? SINK_OWN : SINK_POLLED;
		out.fd = own >= 0 ? own : fd;
	}
}

bool log_wants(enum log_level level)
{
	return out.sink != SINK_NONE && level >= out.least;
}

static ssize_t sink_write(const void *data, size_t len)
{
	struct pollfd p = { .fd = out.fd, .events = POLLOUT };

	if (out.sink == SINK_SOCKET)
		return send(out.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (out.sink == SINK_POLLED && (len > PIPE_BUF || poll(&p, 1, 0) <= 0))
		return -1;
	return write(out.fd, data, len);
}

/* Reports whether the whole line went out. */
static bool sink_write_line(const struct buf *line)
{
	size_t skip = out.torn ? 0 : 1; /* the line begins with a spare newline */
	ssize_t n = sink_write(line->data + skip, line->len - skip);

	if (n < 0)
		return false;
	out.torn = (size_t)n < line->len - skip;
	return !out.torn;
}

/* What does not fit is halved until it does, and ends in "...". */
static void line_append_text(struct buf *line, const char *text)
{
	size_t before = line->len;
	size_t len = text ? strnlen(text, line->max) : 0;
	const char *end = "";

	for (;;) {
		json_append_string(line, text, len, false);
		buf_append_text(line, end);
		buf_append_byte(line, '"');
		if (!buf_error(line) || len == 0)
			return;
		line->error = 0;
		buf_truncate(line, before);
		len /= 2;
		end = "...";
	}
}

static void line_append_field(struct buf *line, const struct log_field *f)
{
	size_t before = line->len;

	buf_append_text(line, ",\"");
	json_append_string(line, f->name, strlen(f->name), false);
	if (f->type == LOG_FIELD_INT) {
		buf_appendf(line, "\":%lld", (long long)f->number);
	} else {
		buf_append_text(line, "\":\"");
		line_append_text(line, f->text);
	}
	if (buf_error(line)) {
		line->error = 0;
		buf_truncate(line, before);
	}
}

/* RFC 3339 in UTC, fractions without trailing zeros (Go's RFC3339Nano). */
static void line_append_timestamp(struct buf *line, int64_t now_ns)
{
	time_t seconds = (time_t)(now_ns / NS_PER_S);
	char fraction[16];
	struct tm tm;
	int n;

	gmtime_r(&seconds, &tm);
	n = snprintf(fraction, sizeof fraction, ".%09d", (int)(now_ns % NS_PER_S));
	while (fraction[n - 1] == '0')
		n--;
	if (fraction[n - 1] == '.')
		n--;
	fraction[n] = '\0';
	buf_appendf(line, ",\"timestamp\":\"%04d-%02d-%02dT%02d:%02d:%02d%sZ\"", tm.tm_year + 1900,
	            tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, fraction);
}

/* In order: level, logger, fields, what was lost before, timestamp, message. */
static void line_build(struct buf *line, enum log_level level, const char *logger,
                       const char *message, const struct log_field *fields, int64_t now_ns)
{
	static const char *const levels[LOG_LEVELS] = { "trace", "debug", "info", "warn", "error" };
	size_t room = line->max;

	line->max = room - LINE_TAIL - MESSAGE_MAX;
	buf_appendf(line, "\n{\"level\":\"%s\",\"logger\":\"", levels[level]);
	line_append_text(line, logger);
	for (const struct log_field *f = fields; f->type != LOG_FIELD_END; f++)
		line_append_field(line, f);

	line->max = room - MESSAGE_MAX;
	if (out.suppressed)
		buf_appendf(line, ",\"suppressed\":%llu", (unsigned long long)out.suppressed);
	if (out.dropped)
		buf_appendf(line, ",\"dropped\":%llu", (unsigned long long)out.dropped);
	line_append_timestamp(line, now_ns);
	buf_append_text(line, ",\"message\":\"");

	line->max = room - (sizeof "}\n" - 1);
	line_append_text(line, message);
	line->max = room;
	buf_append_text(line, "}\n");
}

static void log_line(enum log_level level, const char *logger, const char *message,
                     const struct log_field *fields, int64_t now_ns)
{
	char memory[LOG_LINE_MAX];
	struct buf line;

	buf_init_fixed(&line, memory, sizeof memory);
	line_build(&line, level, logger, message, fields, now_ns);
	if (sink_write_line(&line))
		out.suppressed = out.dropped = 0;
	else
		out.dropped++;
}

void log_write(enum log_level level, const char *logger, const char *message,
               const struct log_field *fields)
{
	if (log_wants(level))
		log_line(level, logger, message, fields, out.now_ns());
}

void log_write_limited(enum log_level level, const char *logger, const char *message,
                       const struct log_field *fields)
{
	int64_t now_ns;

	if (!log_wants(level))
		return;
	now_ns = out.now_ns();
	if (now_ns / NS_PER_S != out.second) {
		out.second = now_ns / NS_PER_S;
		memset(out.n_limited, 0, sizeof out.n_limited);
	}
	if (out.n_limited[level] >= LOG_RATE_BURST) {
		out.suppressed++;
		return;
	}
	out.n_limited[level]++;
	log_line(level, logger, message, fields, now_ns);
}
