/*
 * The handful of macros the tree is written with.
 *
 * ASSERT marks bugs of ours and stays on in release builds: the supervisor restarts us and the
 * core says why. No byte from a peer may reach one.
 */
#pragma once

#include <stddef.h>
#include <sys/param.h> /* MIN and MAX; uv.h includes it too, so ours would clash */
#include <unistd.h>

#define ARRAY_SIZE(a)              (sizeof(a) / sizeof((a)[0]))
#define BIT(n)                     (1u << (n))
#define CONTAINER_OF(p, type, mem) ((type *)(void *)((char *)(p)-offsetof(type, mem)))
#define UNUSED(x)                  ((void)(x))

/* Runs f(&variable) when the variable leaves its scope: CLEANUP(freep) char *copy = ... */
#define CLEANUP(f)        __attribute__((cleanup(f)))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define MUST_CHECK        __attribute__((warn_unused_result))

/* Ownership leaves the named variable, visibly. */
#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) taken_ = (p);                                                        \
		(p) = NULL;                                                                        \
		taken_;                                                                            \
	})
#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int taken_ = (fd);                                                                 \
		(fd) = -1;                                                                         \
		taken_;                                                                            \
	})

#define ASSERT(cond) ((cond) ? (void)0 : assert_fail(#cond, __FILE__, __LINE__))

_Noreturn void assert_fail(const char *cond, const char *file, int line);

void freep(void *p);     /* frees *(void **)p                 */
void close_fdp(int *fd); /* closes *fd unless it is negative, and leaves -1 */
