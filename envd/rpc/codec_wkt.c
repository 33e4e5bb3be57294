/*
 * Timestamps, durations and field masks as proto3 JSON writes them.
 */
#include <errno.h>
#include <string.h>

#include "rpc/codec_text.h"

#define DAY_S 86400

#define TIMESTAMP_MIN (-62135596800) /* 0001-01-01T00:00:00Z */
#define TIMESTAMP_MAX 253402300799   /* 9999-12-31T23:59:59Z */
#define DURATION_MAX  315576000000   /* seconds: 10,000 years of 365.25 days */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool take_char(struct span *s, char c)
{
	if (s->len == 0 || s->at[0] != c)
		return false;
	s->at++;
	s->len--;
	return true;
}

/* Exactly n digits, from min to max. */
static bool take_number(struct span *s, size_t n, int min, int max, int *out_value)
{
	int value = 0;

	if (s->len < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!is_digit(s->at[i]))
			return false;
		value = value * 10 + (s->at[i] - '0');
	}
	s->at += n;
	s->len -= n;
	*out_value = value;
	return value >= min && value <= max;
}

/* What follows a point: up to nine digits. */
static bool take_nanos(struct span *s, int32_t *out_nanos)
{
	int32_t nanos = 0, unit = TEXT_SECOND_NS / 10;
	size_t n = 0;

	for (; n < s->len && is_digit(s->at[n]); n++) {
		if (n == 9)
			return false;
		nanos += (s->at[n] - '0') * unit;
		unit /= 10;
	}
	s->at += n;
	s->len -= n;
	*out_nanos = nanos;
	return true;
}

static bool is_leap(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* Days since 1970-01-01. Years begin in March, so that the leap day is the last one. */
static int64_t days_of_date(int year, int month, int day)
{
	int64_t y = year - (month <= 2);
	int64_t era_day = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	/* 719468 days from 0000-03-01 to 1970-01-01 */
	return y * 365 + y / 4 - y / 100 + y / 400 + era_day - 719468;
}

static void date_of_days(int64_t days, int *out_year, int *out_month, int *out_day)
{
	int year = (int)((days + 719468) * 400 / 146097), month = 1; /* off by one at most */

	while (days_of_date(year, 1, 1) > days)
		year--;
	while (days_of_date(year + 1, 1, 1) <= days)
		year++;
	days -= days_of_date(year, 1, 1);
	while (days >= days_in_month(year, month)) {
		days -= days_in_month(year, month);
		month++;
	}
	*out_year = year;
	*out_month = month;
	*out_day = (int)days + 1;
}

static bool take_date(struct span *s, int64_t *out_days)
{
	int year, month, day;

	if (!take_number(s, 4, 0, 9999, &year) || !take_char(s, '-') ||
	    !take_number(s, 2, 1, 12, &month) || !take_char(s, '-') ||
	    !take_number(s, 2, 1, days_in_month(year, month), &day))
		return false;
	*out_days = days_of_date(year, month, day);
	return true;
}

static bool take_clock(struct span *s, int *out_seconds)
{
	int hours, minutes, seconds;

	if (!take_number(s, 2, 0, 23, &hours) || !take_char(s, ':') ||
	    !take_number(s, 2, 0, 59, &minutes) || !take_char(s, ':') ||
	    !take_number(s, 2, 0, 59, &seconds))
		return false;
	*out_seconds = (hours * 60 + minutes) * 60 + seconds;
	return true;
}

static bool take_zone(struct span *s, int *out_seconds)
{
	int hours, minutes;
	bool east;

	*out_seconds = 0;
	if (take_char(s, 'Z'))
		return true;
	east = take_char(s, '+');
	if ((!east && !take_char(s, '-')) || !take_number(s, 2, 0, 23, &hours) ||
	    !take_char(s, ':') || !take_number(s, 2, 0, 59, &minutes))
		return false;
	*out_seconds = (hours * 60 + minutes) * (east ? 60 : -60);
	return true;
}

int text_read_timestamp(struct span s, int64_t *out_seconds, int32_t *out_nanos)
{
	int64_t days, seconds;
	int clock, zone;
	int32_t nanos = 0;

	if (!take_date(&s, &days) || !take_char(&s, 'T') || !take_clock(&s, &clock))
		return -EINVAL;
	if (take_char(&s, '.') && (s.len == 0 || !is_digit(s.at[0]) || !take_nanos(&s, &nanos)))
		return -EINVAL;
	if (!take_zone(&s, &zone) || s.len > 0)
		return -EINVAL;
	seconds = days * DAY_S + clock - zone;
	if (seconds < TIMESTAMP_MIN || seconds > TIMESTAMP_MAX)
		return -ERANGE;
	*out_seconds = seconds;
	*out_nanos = nanos;
	return 0;
}

/* Exactly n digits. A directory's entries are many times: printf takes ten times as long. */
static char *put_number(char *at, size_t n, int value)
{
	for (size_t i = n; i-- > 0; value /= 10)
		at[i] = (char)('0' + value % 10);
	return at + n;
}

/* No digits, three, six or nine. */
static char *put_nanos(char *at, int32_t nanos)
{
	if (nanos == 0)
		return at;
	*at++ = '.';
	if (nanos % 1000000 == 0)
		return put_number(at, 3, nanos / 1000000);
	if (nanos % 1000 == 0)
		return put_number(at, 6, nanos / 1000);
	return put_number(at, 9, nanos);
}

static char *put_date(char *at, int64_t days)
{
	int year, month, day;

	date_of_days(days, &year, &month, &day);
	at = put_number(at, 4, year);
	*at++ = '-';
	at = put_number(at, 2, month);
	*at++ = '-';
	return put_number(at, 2, day);
}

static char *put_clock(char *at, int seconds)
{
	at = put_number(at, 2, seconds / 3600);
	*at++ = ':';
	at = put_number(at, 2, seconds / 60 % 60);
	*at++ = ':';
	return put_number(at, 2, seconds % 60);
}

int text_append_timestamp(struct buf *out, int64_t seconds, int32_t nanos)
{
	char text[sizeof "9999-12-31T23:59:59.999999999Z"], *at = text;
	int64_t days;

	if (seconds < TIMESTAMP_MIN || seconds > TIMESTAMP_MAX || nanos < 0 ||
	    nanos >= TEXT_SECOND_NS)
		return -ERANGE;
	days = (seconds - TIMESTAMP_MIN) / DAY_S;
	at = put_date(at, days + TIMESTAMP_MIN / DAY_S);
	*at++ = 'T';
	at = put_clock(at, (int)((seconds - TIMESTAMP_MIN) % DAY_S));
	at = put_nanos(at, nanos);
	*at++ = 'Z';
	buf_append(out, text, (size_t)(at - text));
	return 0;
}

int text_read_duration(struct span s, int64_t *out_seconds, int32_t *out_nanos)
{
	const bool negative = take_char(&s, '-');
	struct span digits;
	uint64_t seconds = 0;
	int32_t nanos = 0;

	if (!negative)
		(void)take_char(&s, '+');
	digits = (struct span){ s.at, 0 };
	while (digits.len < s.len && is_digit(s.at[digits.len]))
		digits.len++;
	if (digits.len > 1 && digits.at[0] == '0')
		return -EINVAL;
	s.at += digits.len;
	s.len -= digits.len;
	if (digits.len == 0 && (s.len < 2 || !is_digit(s.at[1])))
		return -EINVAL;
	if (take_char(&s, '.') && !take_nanos(&s, &nanos))
		return -EINVAL;
	if (!take_char(&s, 's') || s.len > 0)
		return -EINVAL;
	if (digits.len > 0 && parse_u64(digits, &seconds) < 0)
		return -ERANGE;
	if (seconds > DURATION_MAX)
		return -ERANGE;
	*out_seconds = negative ? -(int64_t)seconds : (int64_t)seconds;
	*out_nanos = negative ? -nanos : nanos;
	return 0;
}

int text_append_duration(struct buf *out, int64_t seconds, int32_t nanos)
{
	char text[sizeof ".999999999"], *at;

	if (seconds < -DURATION_MAX || seconds > DURATION_MAX || nanos <= -TEXT_SECOND_NS ||
	    nanos >= TEXT_SECOND_NS || (seconds < 0 && nanos > 0) || (seconds > 0 && nanos < 0))
		return -ERANGE;
	if (seconds < 0 || nanos < 0)
		buf_append_byte(out, '-');
	text_append_u64(out, (uint64_t)(seconds < 0 ? -seconds : seconds));
	at = put_nanos(text, nanos < 0 ? -nanos : nanos);
	buf_append(out, text, (size_t)(at - text));
	buf_append_byte(out, 's');
	return 0;
}

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

/* Names of letters, digits and _, none empty, none beginning with a digit. */
static bool is_path(struct span s)
{
	bool at_start = true;

	for (size_t i = 0; i < s.len; i++) {
		const char c = s.at[i];

		if (c == '.' ? at_start
		             : !(is_lower(c) || is_upper(c) || c == '_' ||
		                 (is_digit(c) && !at_start)))
			return false;
		at_start = c == '.';
	}
	return !at_start;
}

int text_append_path_snake(struct buf *out, struct span camel)
{
	if (!is_path(camel) || memchr(camel.at, '_', camel.len))
		return -EINVAL;
	for (size_t i = 0; i < camel.len; i++) {
		char c = camel.at[i];

		if (is_upper(c)) {
			buf_append_byte(out, '_');
			c = (char)(c + ('a' - 'A'));
		}
		buf_append_byte(out, (uint8_t)c);
	}
	return 0;
}

int text_append_path_camel(struct buf *out, struct span snake)
{
	if (!is_path(snake))
		return -EINVAL;
	for (size_t i = 0; i < snake.len; i++) {
		if (is_upper(snake.at[i]) ||
		    (snake.at[i] == '_' && (i + 1 == snake.len || !is_lower(snake.at[i + 1]))))
			return -EINVAL;
	}
	for (size_t i = 0; i < snake.len; i++) {
		char c = snake.at[i];

		if (c == '_')
			c = (char)(snake.at[++i] - ('a' - 'A'));
		buf_append_byte(out, (uint8_t)c);
	}
	return 0;
}
