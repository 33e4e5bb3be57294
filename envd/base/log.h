/*
 * One event, one JSON line (wire.md 10): level, logger, fields, timestamp, message.
 *
 * A line never blocks: it is written to the log descriptor with one non-blocking write and dropped
 * and counted when that does not take it. Lines a peer can trigger go through log_limited. Field
 * values are escaped; secrets, environment values, stdin and file content are never logged. Lines
 * that were lost are counted in the next line that is not ("suppressed": over the rate, "dropped":
 * not taken by the descriptor). Loop thread only: jobs do not log.
 *
 *     log_event(LOG_INFO, "process", "process started", log_int("pid", pid), log_str("tag", tag));
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define LOG_LINE_MAX   8192u /* bytes of a line; fields that do not fit are cut */
#define LOG_RATE_BURST 20u   /* limited lines of a level in a second, more are only counted */

/* LOG_TRACE is each move of each state machine, some dozen lines a request. */
enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR, LOG_LEVELS };

struct log_field {
	const char *name;
	enum { LOG_FIELD_END, LOG_FIELD_INT, LOG_FIELD_STR } type;
	int64_t number;
	const char *text;
};

#define log_int(n, v) ((struct log_field){ .name = (n), .type = LOG_FIELD_INT, .number = (v) })
#define log_str(n, v) ((struct log_field){ .name = (n), .type = LOG_FIELD_STR, .text = (v) })

#define log_event(level, logger, message, ...)                                                     \
	log_write((level), (logger), (message),                                                    \
	          (const struct log_field[]){ __VA_ARGS__ __VA_OPT__(, ){ 0 } })
#define log_event_limited(level, logger, message, ...)                                             \
	log_write_limited((level), (logger), (message),                                            \
	                  (const struct log_field[]){ __VA_ARGS__ __VA_OPT__(, ){ 0 } })

/*
 * fd is borrowed; -1 switches logging off (the default). SIGPIPE is ignored by the caller. A regular
 * file can block like any other: the daemon is not given one.
 */
void log_open(int fd, enum log_level least);
bool log_wants(enum log_level level);
void log_write(enum log_level level, const char *logger, const char *message,
               const struct log_field *fields);
void log_write_limited(enum log_level level, const char *logger, const char *message,
                       const struct log_field *fields);

/* Tests only: the clock of timestamps and of the rate, ns since 1970; NULL = the system's. */
void log_set_clock(int64_t (*now_ns)(void));
