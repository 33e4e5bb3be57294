#include "fs/xattrs.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/mem.h"

#define VALUE_FIRST 1024u /* bytes: most values, without a question for their size */

/* Names, each with a NUL behind it; NULL and 0 where there are none. */
static int read_names(int fd, char **out_names, size_t *out_len)
{
	CLEANUP(freep) char *names = NULL;
	ssize_t len = flistxattr(fd, NULL, 0);

	if (len < 0)
		return errno == ENOTSUP ? 0 : -errno;
	if (len == 0)
		return 0;
	names = try_malloc((size_t)len);
	if (!names)
		return -ENOMEM;
	len = flistxattr(fd, names, (size_t)len);
	if (len < 0)
		return -errno;
	*out_names = TAKE_PTR(names);
	*out_len = (size_t)len;
	return 0;
}

/* out_value may be first, which has VALUE_FIRST bytes; else it is allocated. */
static ssize_t read_value(int fd, const char *name, char *first, char **out_value)
{
	ssize_t len = fgetxattr(fd, name, first, VALUE_FIRST);
	char *value;

	*out_value = first;
	if (len >= 0 || errno != ERANGE)
		return len < 0 ? -errno : len;
	len = fgetxattr(fd, name, NULL, 0);
	if (len < 0)
		return -errno;
	value = try_malloc((size_t)len + 1);
	if (!value)
		return -ENOMEM;
	/* With the byte more: it may have changed, and no room would be the question for its length. */
	len = fgetxattr(fd, name, value, (size_t)len + 1);
	if (len < 0) {
		len = -errno;
		free(value);
		return len;
	}
	*out_value = value;
	return len;
}

static int copy_one(int from_fd, int to_fd, const char *name)
{
	char first[VALUE_FIRST], *value;
	ssize_t len = read_value(from_fd, name, first, &value);
	int rc = 0;

	if (len == -ENODATA) /* somebody has removed it meanwhile */
		return 0;
	if (len < 0)
		return (int)len;
	if (fsetxattr(to_fd, name, value, (size_t)len, 0) < 0)
		rc = -errno;
	if (value != first)
		free(value);
	return rc;
}

static void drop_inherited(int fd)
{
	(void)fremovexattr(fd, "system.posix_acl_access");
	(void)fremovexattr(fd, "system.posix_acl_default");
}

static bool is_best_effort(const char *name, int rc)
{
	return rc == -ENOTSUP || strncmp(name, "user.", 5) != 0;
}

int xattrs_copy(int from_fd, int to_fd)
{
	CLEANUP(freep) char *names = NULL;
	size_t len = 0;
	int rc = read_names(from_fd, &names, &len);

	if (rc < 0)
		return rc;
	drop_inherited(to_fd);
	for (size_t at = 0; at < len; at += strlen(names + at) + 1) {
		rc = copy_one(from_fd, to_fd, names + at);
		if (rc < 0 && !is_best_effort(names + at, rc))
			return rc;
	}
	return 0;
}
