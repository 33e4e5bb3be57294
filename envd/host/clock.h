/*
 * The guest's wall clock, which stands still in a snapshot and is told the time by /init.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Outside these the clock is set; inside, running timers are left in peace (control.md 3.4). */
#define CLOCK_BEHIND_MAX_NS 50000000ll   /* ns the guest may be late  */
#define CLOCK_AHEAD_MAX_NS  5000000000ll /* ns it may be early        */

int64_t clock_wall_ns(void); /* since the epoch */

/* Sets the clock if it is outside the band around target_ns; 1 set, 0 left, or negative errno. */
int clock_correct(int64_t target_ns);

/* The rule of clock_correct alone. */
bool clock_is_off(int64_t guest_ns, int64_t target_ns);

/*
 * RFC 3339 as Go reads it in JSON: upper-case T and Z, a fraction of any length after a point or a
 * comma (cut at nanoseconds), a numeric offset. 0 or -EINVAL.
 */
int clock_parse_rfc3339(const char *text, size_t len, int64_t *out_ns);
