/*
 * The Date field's value (RFC 9110 5.6.7), made once a second.
 */
#pragma once

#include <time.h>

#include "base/text.h"

#define DATE_LEN 29u

struct date {
	time_t second;
	char text[DATE_LEN + 1];
};

/* Any of the three forms of RFC 9110 5.6.7, of years from 1970 on. 0 or -EINVAL. */
int date_parse(struct span text, time_t *out_time);

/* "Sun, 06 Nov 1994 08:49:37 GMT"; lives until the next call. A zeroed struct is a good start. */
struct span date_at(struct date *d, time_t now);
