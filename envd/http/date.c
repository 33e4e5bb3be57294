#include "http/date.h"

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
