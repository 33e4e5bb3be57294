#include "base/quota.h"

#include <errno.h>

int quota_raise(struct quota *q, size_t *charged, size_t bytes)
{
	size_t more;

	if (bytes <= *charged + q->free)
		return 0;
	more = MAX(bytes - *charged, q->step);
	if (atomic_fetch_add(&q->used, more) + more > q->max) {
		atomic_fetch_sub(&q->used, more);
		return -ENOBUFS;
	}
	*charged += more;
	return 0;
}

void quota_lower(struct quota *q, size_t *charged, size_t bytes)
{
	const size_t less = *charged - MIN(*charged, bytes);

	*charged -= less;
	atomic_fetch_sub(&q->used, less);
}
