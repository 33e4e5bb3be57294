#include "host/clock.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#define NS_PER_S 1000000000ll

int64_t clock_wall_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

bool clock_is_off(int64_t guest_ns, int64_t target_ns)
{
	return guest_ns < target_ns - CLOCK_BEHIND_MAX_NS ||
	       guest_ns > target_ns + CLOCK_AHEAD_MAX_NS;
}

int clock_correct(int64_t target_ns)
{
	struct timespec target = {
		.tv_sec = target_ns / NS_PER_S,
		.tv_nsec = target_ns % NS_PER_S,
	};

	if (!clock_is_off(clock_wall_ns(), target_ns))
		return 0;
	return clock_settime(CLOCK_REALTIME, &target) < 0 ? -errno : 1;
}

/* Reads exactly n digits as a number within limits. */
static bool take_number(const char **at, const char *end, int n, int least, int most, int *out)
{
	int value = 0;

	if (end - *at < n)
		return false;
	for (int i = 0; i < n; i++) {
		char c = (*at)[i];

		if (c < '0' || c > '9')
			return false;
		value = value * 10 + (c - '0');
	}
	*at += n;
	*out = value;
	return value >= least && value <= most;
}

static bool take_byte(const char **at, const char *end, char byte)
{
	if (*at == end || **at != byte)
		return false;
	(*at)++;
	return true;
}

static int days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

static bool take_fraction(const char **at, const char *end, int64_t *out_ns)
{
	int64_t scale = NS_PER_S / 10;
	const char *start;

	*out_ns = 0;
	if (!take_byte(at, end, '.') && !take_byte(at, end, ','))
		return true;
	start = *at;
	for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
		*out_ns += (**at - '0') * scale;
		scale /= 10;
	}
	return *at > start;
}

static bool take_offset(const char **at, const char *end, int64_t *out_s)
{
	int hours, minutes, sign;

	*out_s = 0;
	if (take_byte(at, end, 'Z'))
		return true;
	if (take_byte(at, end, '+'))
		sign = 1;
	else if (take_byte(at, end, '-'))
		sign = -1;
	else
		return false;
	if (!take_number(at, end, 2, 0, 24, &hours) || !take_byte(at, end, ':') ||
	    !take_number(at, end, 2, 0, 60, &minutes))
		return false;
	*out_s = sign * (hours * 3600 + minutes * 60);
	return true;
}

static bool take_date_time(const char **at, const char *end, struct tm *tm)
{
	int year, month;

	if (!take_number(at, end, 4, 0, 9999, &year) || !take_byte(at, end, '-') ||
	    !take_number(at, end, 2, 1, 12, &month) || !take_byte(at, end, '-') ||
	    !take_number(at, end, 2, 1, days_in_month(year, month), &tm->tm_mday))
		return false;
	tm->tm_year = year - 1900;
	tm->tm_mon = month - 1;
	return take_byte(at, end, 'T') && take_number(at, end, 2, 0, 23, &tm->tm_hour) &&
	       take_byte(at, end, ':') && take_number(at, end, 2, 0, 59, &tm->tm_min) &&
	       take_byte(at, end, ':') && take_number(at, end, 2, 0, 59, &tm->tm_sec);
}

/* The years whose nanoseconds an int64 holds, with room for an offset. */
#define YEAR_LEAST 1678
#define YEAR_MOST  2261

int clock_parse_rfc3339(const char *text, size_t len, int64_t *out_ns)
{
	const char *at = text, *end = text + len;
	struct tm tm = { 0 };
	int64_t ns, offset_s;

	if (!take_date_time(&at, end, &tm) || !take_fraction(&at, end, &ns) ||
	    !take_offset(&at, end, &offset_s) || at != end)
		return -EINVAL;
	if (tm.tm_year + 1900 < YEAR_LEAST || tm.tm_year + 1900 > YEAR_MOST)
		return -EINVAL;
	*out_ns = ((int64_t)timegm(&tm) - offset_s) * NS_PER_S + ns;
	return 0;
}
