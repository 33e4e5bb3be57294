#include "http/date.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"

/* strftime would ask the locale. */
static const char date_days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char date_months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
	                                 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

static void date_format(struct date *d, time_t now)
{
	char text[64]; /* what snprintf could write if the year were none of ours */
	struct tm tm;

	if (!gmtime_r(&now, &tm) || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900) {
		now = 0;
		ASSERT(gmtime_r(&now, &tm));
	}
	snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT", date_days[tm.tm_wday],
	         tm.tm_mday, date_months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
	         tm.tm_sec);
	memcpy(d->text, text, DATE_LEN);
	d->text[DATE_LEN] = '\0';
}

struct span date_at(struct date *d, time_t now)
{
	if (d->second != now || !d->text[0]) {
		date_format(d, now);
		d->second = now;
	}
	return (struct span){ d->text, DATE_LEN };
}

/* A two-digit year is of the century that puts it into the 69 years before or after 2000. */
#define DATE_CENTURY_AT 69

#define DATE_TEXT_MAX 63u /* bytes; the longest form has 33 */

static int date_month(const char *name)
{
	for (int i = 0; i < 12; i++) {
		if (strcmp(name, date_months[i]) == 0)
			return i;
	}
	return -1;
}

static bool date_is_valid(const struct tm *tm)
{
	static const int days[12] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int year = tm->tm_year + 1900;
	bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return tm->tm_mon >= 0 && year >= 1970 && tm->tm_mday >= 1 &&
	       tm->tm_mday <= days[tm->tm_mon] - (tm->tm_mon == 1 && !is_leap) &&
	       tm->tm_hour >= 0 && tm->tm_hour < 24 && tm->tm_min >= 0 && tm->tm_min < 60 &&
	       tm->tm_sec >= 0 && tm->tm_sec < 60;
}

/* All three take the whole text, or nothing. %n tells how much was read. */

static bool date_scan_rfc1123(const char *text, int len, struct tm *tm, char month[4])
{
	char day[4];
	int end = 0, year = 0;

	if (sscanf(text, "%3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", day, &tm->tm_mday,
	           month, &year, &tm->tm_hour, &tm->tm_min, &tm->tm_sec, &end) != 7)
		return false;
	tm->tm_year = year - 1900;
	return end == len;
}

static bool date_scan_rfc850(const char *text, int len, struct tm *tm, char month[4])
{
	char day[10];
	int end = 0, year = 0;

	if (sscanf(text, "%9[A-Za-z], %2d-%3[A-Za-z]-%2d %2d:%2d:%2d GMT%n", day, &tm->tm_mday,
	           month, &year, &tm->tm_hour, &tm->tm_min, &tm->tm_sec, &end) != 7)
		return false;
	tm->tm_year = year < DATE_CENTURY_AT ? year + 100 : year;
	return end == len;
}

static bool date_scan_asctime(const char *text, int len, struct tm *tm, char month[4])
{
	char day[4];
	int end = 0, year = 0;

	if (sscanf(text, "%3[A-Za-z] %3[A-Za-z] %2d %2d:%2d:%2d %4d%n", day, month, &tm->tm_mday,
	           &tm->tm_hour, &tm->tm_min, &tm->tm_sec, &year, &end) != 7)
		return false;
	tm->tm_year = year - 1900;
	return end == len;
}

int date_parse(struct span text, time_t *out_time)
{
	char copy[DATE_TEXT_MAX + 1], month[4] = "";
	struct tm tm = { 0 };
	int len = (int)text.len;

	if (text.len > DATE_TEXT_MAX)
		return -EINVAL;
	memcpy(copy, text.at, text.len);
	copy[text.len] = '\0';
	if (!date_scan_rfc1123(copy, len, &tm, month) && !date_scan_rfc850(copy, len, &tm, month) &&
	    !date_scan_asctime(copy, len, &tm, month))
		return -EINVAL;
	tm.tm_mon = date_month(month);
	if (!date_is_valid(&tm))
		return -EINVAL;
	*out_time = timegm(&tm);
	return 0;
}
