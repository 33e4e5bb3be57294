/*
 * What the macros expand to a call of.
 */
#include "base/macros.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

/* One line to stderr, unless nobody reads it: a full pipe must not keep us from dying. */
_Noreturn void assert_fail(const char *cond, const char *file, int line)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };

	if (poll(&p, 1, 0) > 0)
		dprintf(STDERR_FILENO, "%s:%d: assertion failed: %s\n", file, line, cond);
	abort();
}

void freep(void *p)
{
	free(*(void **)p);
}

void close_fdp(int *fd)
{
	if (*fd >= 0)
		close(TAKE_FD(*fd));
}
