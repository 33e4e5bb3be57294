/*
 * Bytes in bytes. What memmem does, at the speed of memory: that of a libc looks at eight bytes at a
 * time at the best (256 MiB: 50 ms in musl, 20 ms here).
 */
#pragma once

#include "base/text.h"

/*
 * Where what first stands in s; NULL: nowhere. what is not empty. Quick where its first and its last
 * byte seldom stand in s as far apart as in what; elsewhere linear as long as its first byte does
 * not come again in it, else s.len * what.len at the worst.
 */
const char *span_find(struct span s, struct span what);
