/*
 * What each unit test begins with: cmocka, whose header wants four others before it.
 */
#pragma once

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

/* Descriptors this process has open; a test ends with as many as it began with. */
unsigned test_fd_count(void);
