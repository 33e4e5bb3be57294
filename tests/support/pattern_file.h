/*
 * A file in memory whose byte i is i % 251, for tests of what sends files.
 */
#pragma once

#include <stddef.h>

int pattern_file(size_t len); /* a descriptor of it; never fails */

/* Asserts that data is what stands there from byte number `from` on. */
void pattern_check(const void *data, size_t len, size_t from);
