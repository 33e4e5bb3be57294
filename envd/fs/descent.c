#include "fs/descent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#define OPEN_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct descent_level {
	uint64_t dev, ino;
	uint32_t name_at; /* in names; of the top it means nothing */
	int fd;           /* -1: closed */
};

static struct descent_level *level_at(const struct descent *d, size_t i)
{
	return (struct descent_level *)(void *)d->levels.data + i;
}

static size_t n_levels(const struct descent *d)
{
	return d->levels.len / sizeof(struct descent_level);
}

static struct descent_level *current(const struct descent *d)
{
	return level_at(d, n_levels(d) - 1);
}

static int look_at(int fd, struct descent_level *out_level)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	out_level->dev = st.st_dev;
	out_level->ino = st.st_ino;
	return 0;
}

/* Takes the descriptor, also on failure. */
static int add_level(struct descent *d, int taken_fd, size_t name_at)
{
	CLEANUP(close_fdp) int fd = taken_fd;
	struct descent_level level = { .name_at = (uint32_t)name_at };
	int rc = look_at(fd, &level);

	if (rc < 0)
		return rc;
	level.fd = fd;
	buf_append(&d->levels, &level, sizeof level);
	if (buf_error(&d->levels))
		return -ENOMEM;
	TAKE_FD(fd);
	return 0;
}

int descent_init(struct descent *d, int top_fd)
{
	int fd = fcntl(top_fd, F_DUPFD_CLOEXEC, 0);

	buf_init(&d->levels, DESCENT_BYTES_MAX);
	buf_init(&d->names, DESCENT_BYTES_MAX);
	return fd < 0 ? -errno : add_level(d, fd, 0);
}

void descent_deinit(struct descent *d)
{
	for (size_t i = 0; i < n_levels(d); i++)
		close_fdp(&level_at(d, i)->fd);
	buf_deinit(&d->levels);
	buf_deinit(&d->names);
}

int descent_fd(const struct descent *d)
{
	return current(d)->fd;
}

size_t descent_depth(const struct descent *d)
{
	return n_levels(d) - 1;
}

static const char *name_at(const struct descent *d, size_t level)
{
	return (const char *)d->names.data + level_at(d, level)->name_at;
}

const char *descent_name(const struct descent *d)
{
	ASSERT(descent_depth(d) > 0);
	return name_at(d, descent_depth(d));
}

int descent_enter(struct descent *d, const char *name)
{
	const size_t name_at = d->names.len;
	int fd, rc;

	if (buf_reserve(&d->names, strlen(name) + 1) < 0)
		return -ENOMEM;
	fd = openat(current(d)->fd, name, OPEN_FLAGS);
	if (fd < 0)
		return -errno;
	rc = add_level(d, fd, name_at);
	if (rc < 0)
		return rc;
	buf_append(&d->names, name, strlen(name) + 1);
	if (descent_depth(d) > DESCENT_OPEN_MAX)
		close_fdp(&level_at(d, descent_depth(d) - DESCENT_OPEN_MAX)->fd);
	return 0;
}

/* The descriptor if it is the level's directory; else it is closed, and -1 comes back. */
static int check_level(const struct descent_level *level, int taken_fd)
{
	CLEANUP(close_fdp) int fd = taken_fd;
	struct descent_level found = { 0 };

	if (fd < 0 || look_at(fd, &found) < 0 || found.dev != level->dev || found.ino != level->ino)
		return -1;
	return TAKE_FD(fd);
}

/* The current directory once more: by the names that have led there from one that is open. */
static int find_current(const struct descent *d)
{
	CLEANUP(close_fdp) int fd = -1;
	size_t i = descent_depth(d);
	int from;

	while (level_at(d, i)->fd < 0)
		i--; /* the top is open */
	for (from = level_at(d, i)->fd; i < descent_depth(d); from = fd) {
		int next = openat(from, name_at(d, ++i), OPEN_FLAGS);

		close_fdp(&fd);
		fd = check_level(level_at(d, i), next);
		if (fd < 0)
			return -1;
	}
	return TAKE_FD(fd);
}

int descent_leave(struct descent *d)
{
	CLEANUP(close_fdp) int left = current(d)->fd;
	struct descent_level *above;

	ASSERT(descent_depth(d) > 0);
	buf_truncate(&d->names, current(d)->name_at);
	buf_truncate(&d->levels, d->levels.len - sizeof *above);
	above = current(d);
	if (above->fd < 0 && left >= 0)
		above->fd = check_level(above, openat(left, "..", OPEN_FLAGS));
	if (above->fd < 0)
		above->fd = find_current(d);
	return above->fd < 0 ? -ESTALE : 0;
}

void descent_append_path(const struct descent *d, struct buf *out)
{
	for (size_t i = 1; i < n_levels(d); i++) {
		if (i > 1)
			buf_append_byte(out, '/');
		buf_append_text(out, name_at(d, i));
	}
}
