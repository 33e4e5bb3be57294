/*
 * The allocators, and the one place where a test makes them fail.
 */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Tests arm these; pool threads allocate too, hence atomic. 0 = off. */
static atomic_uint fail_countdown;
static atomic_bool fail_happened;

int mem_fail_nth(unsigned nth)
{
	atomic_store(&fail_countdown, nth);
	return atomic_exchange(&fail_happened, false);
}

static bool mem_should_fail(void)
{
	if (atomic_load_explicit(&fail_countdown, memory_order_relaxed) == 0)
		return false;
	if (atomic_fetch_sub(&fail_countdown, 1) != 1)
		return false;
	atomic_store(&fail_happened, true);
	return true;
}

/* A NULL result always means failure, so nothing is allocated as one byte. */
static size_t mem_size(size_t size)
{
	return size ? size : 1;
}

void *try_malloc(size_t size)
{
	return mem_should_fail() ? NULL : malloc(mem_size(size));
}

void *try_calloc(size_t n, size_t size)
{
	return mem_should_fail() ? NULL : calloc(mem_size(n), mem_size(size));
}

void *try_realloc(void *p, size_t size)
{
	return mem_should_fail() ? NULL : realloc(p, mem_size(size));
}

void *xmalloc(size_t size)
{
	void *p = malloc(mem_size(size));

	ASSERT(p);
	return p;
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(mem_size(n), mem_size(size));

	ASSERT(p);
	return p;
}

void *xrealloc(void *p, size_t size)
{
	void *moved = realloc(p, mem_size(size));

	ASSERT(moved);
	return moved;
}

char *xstrdup(const char *s)
{
	return xstrndup(s, strlen(s));
}

char *xstrndup(const char *s, size_t len)
{
	size_t n = strnlen(s, len);
	char *copy = xmalloc(n + 1);

	memcpy(copy, s, n);
	copy[n] = '\0';
	return copy;
}
