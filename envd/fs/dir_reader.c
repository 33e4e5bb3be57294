#include "fs/dir_reader.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

/* As getdents64(2) has it: the C libraries have no name for it in common. */
struct record {
	uint64_t ino;
	int64_t off;
	uint16_t len;
	uint8_t type;
	char name[];
};

void dir_reader_init(struct dir_reader *r, int fd)
{
	r->fd = fd;
	r->at = r->len = 0;
}

static int read_batch(struct dir_reader *r)
{
	long n = syscall(SYS_getdents64, r->fd, r->batch, sizeof r->batch);

	if (n < 0)
		return -errno;
	r->at = 0;
	r->len = (size_t)n;
	return n > 0 ? 1 : 0;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

int dir_reader_next(struct dir_reader *r, const char **out_name, unsigned char *out_type)
{
	for (;;) {
		const struct record *record;
		int rc = r->at == r->len ? read_batch(r) : 1;

		if (rc <= 0)
			return rc;
		record = (const void *)(r->batch + r->at);
		r->at += record->len;
		if (is_dots(record->name))
			continue;
		*out_name = record->name;
		*out_type = record->type;
		return 1;
	}
}
