#include "fs/watch_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/mem.h"
#include "fs/names.h"

#ifndef CIFS_SUPER_MAGIC
#define CIFS_SUPER_MAGIC 0xFF534D42 /* in the headers since Linux 5.17, as are the next two */
#endif
#ifndef SMB2_SUPER_MAGIC
#define SMB2_SUPER_MAGIC 0xFE534D42
#endif
#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif

/* "/proc/self/fd/" and a number. */
#define FD_PATH_MAX 32u

/* Bytes of a name in the arena: 255, NUL, and what alignment and blocks take. */
#define NAME_ROOM 512u

struct watch_walk_level {
	size_t number;
	struct names names;
	bool is_listed;
};

void watch_walk_init(struct watch_walk *walk, int inotify_fd, bool is_recursive, bool tells_all)
{
	*walk = (struct watch_walk){
		.inotify_fd = inotify_fd,
		.is_recursive = is_recursive,
		.tells_all = tells_all,
		.top_wd = -1,
	};
	arena_init(&walk->names, WATCH_WALK_STEP * (size_t)NAME_ROOM, NULL, 0);
	buf_init(&walk->levels, WATCH_WALK_DEPTH_MAX * sizeof(struct watch_walk_level));
}

static struct watch_walk_level *walk_current(const struct watch_walk *walk)
{
	return (struct watch_walk_level *)(void *)(walk->levels.data + walk->levels.len) - 1;
}

bool watch_walk_is_over(const struct watch_walk *walk)
{
	return walk->levels.len == 0;
}

static void walk_drop_names(struct watch_walk *walk, struct watch_walk_level *level)
{
	walk->n_bytes -= names_memory(&level->names);
	names_deinit(&level->names);
}

static void walk_end_level(struct watch_walk *walk)
{
	struct watch_walk_level *level = walk_current(walk);

	walk_drop_names(walk, level);
	buf_truncate(&walk->levels, walk->levels.len - sizeof *level);
}

void watch_walk_deinit(struct watch_walk *walk)
{
	while (!watch_walk_is_over(walk))
		walk_end_level(walk);
	buf_deinit(&walk->levels);
	descent_deinit(&walk->descent);
	free(TAKE_PTR(walk->found));
	arena_deinit(&walk->names);
}

bool watch_walk_is_shortage(int error)
{
	return error == -ENOSPC || error == -ENOMEM || error == -EMFILE || error == -ENFILE;
}

/* The watch of exactly the directory that is open, where a path could lead to another by now. */
static int walk_add_watch(const struct watch_walk *walk, int fd)
{
	char path[FD_PATH_MAX];
	int wd;

	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	wd = inotify_add_watch(walk->inotify_fd, path, WATCH_MASK | IN_ONLYDIR);
	return wd < 0 ? -errno : wd;
}

/* ---------------------------------------------------------------- the walk */

/* The directory that the descent is in; number 0 below the top: it is not watched, and nothing is said
 * of what is in it. -ENOMEM */
static int walk_begin_level(struct watch_walk *walk, size_t number)
{
	struct watch_walk_level level = {
		.number = number,
		.is_listed = number == 0 && descent_depth(&walk->descent) > 0,
	};

	buf_append(&walk->levels, &level, sizeof level);
	return buf_error(&walk->levels) ? -ENOMEM : 0;
}

/* What cannot be read is as if it were not there. */
static int walk_list(struct watch_walk *walk, struct watch_walk_level *level)
{
	const size_t max = WATCH_WALK_NAMES_MAX - MIN(walk->n_bytes, WATCH_WALK_NAMES_MAX);
	int rc = names_read(&level->names, descent_fd(&walk->descent), max);

	level->is_listed = true;
	if (rc != -ENOBUFS && !watch_walk_is_shortage(rc))
		rc = walk->tells_all ? names_sort(&level->names, max) : 0;
	walk->n_bytes += names_memory(&level->names);
	return rc == -ENOBUFS ? -ENOMEM : rc;
}

static int walk_tell(struct watch_walk *walk, struct watch_found found)
{
	if (found.name)
		found.name = arena_strndup(&walk->names, found.name, strlen(found.name));
	if (!found.name && found.kind != WATCH_FOUND_LOST)
		return -ENOMEM;
	walk->found[walk->n_found++] = found;
	return 0;
}

/* Up again. What was to come of a directory that cannot be found again is lost. */
static int walk_leave(struct watch_walk *walk)
{
	struct watch_walk_level *level;
	bool was_over;

	walk_end_level(walk);
	if (watch_walk_is_over(walk)) {
		descent_deinit(&walk->descent); /* closes, which blocks */
		return 0;
	}
	if (descent_leave(&walk->descent) == 0)
		return 0;
	level = walk_current(walk);
	was_over = level->names.n_next == level->names.n;
	walk_drop_names(walk, level);
	if (was_over)
		return 0;
	return walk_tell(walk,
	                 (struct watch_found){ .kind = WATCH_FOUND_LOST, .number = level->number });
}

static bool is_directory(int fd, const char *name, unsigned char type)
{
	struct stat st;

	if (type != DT_UNKNOWN)
		return type == DT_DIR;
	return fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* 0 or a negative errno. */
static int walk_enter(struct watch_walk *walk, const char *name)
{
	if (walk->levels.len == walk->levels.max)
		return -ENAMETOOLONG;
	return descent_enter(&walk->descent, name);
}

static int walk_directory(struct watch_walk *walk, struct watch_found found)
{
	int entered = walk_enter(walk, found.name), rc = entered;

	if (entered == 0)
		rc = found.wd = walk_add_watch(walk, descent_fd(&walk->descent));
	if (watch_walk_is_shortage(rc))
		return rc;
	if (rc >= 0) {
		found.kind = WATCH_FOUND_DIR;
		found.number = ++walk->n_dirs;
	}
	if (rc >= 0 || (walk->tells_all && rc != -ENOENT)) {
		rc = walk_tell(walk, found);
		if (rc < 0)
			return rc;
	}
	return entered == 0 ? walk_begin_level(walk, found.number) : 0;
}

static int walk_next(struct watch_walk *walk)
{
	struct watch_walk_level *level = walk_current(walk);
	struct watch_found found = { .parent = level->number };
	unsigned char type;

	found.name = names_next(&level->names, &type);
	if (!found.name)
		return walk_leave(walk);
	if (is_directory(descent_fd(&walk->descent), found.name, type))
		return walk_directory(walk, found);
	return walk->tells_all ? walk_tell(walk, found) : 0;
}

int watch_walk_step(struct watch_walk *walk)
{
	int rc = 0;

	if (!walk->found)
		walk->found = xcalloc(WATCH_WALK_STEP, sizeof *walk->found);
	walk->n_found = 0;
	arena_reset(&walk->names);
	while (rc == 0 && !watch_walk_is_over(walk) && walk->n_found < WATCH_WALK_STEP) {
		struct watch_walk_level *level = walk_current(walk);

		rc = level->is_listed ? walk_next(walk) : walk_list(walk, level);
	}
	return rc;
}

/* ---------------------------------------------------------------- its beginning */

static int walk_begin(struct watch_walk *walk, int fd)
{
	int wd = walk_add_watch(walk, fd);
	int rc;

	if (wd < 0)
		return wd;
	walk->top_wd = wd;
	if (!walk->is_recursive)
		return 0;
	rc = descent_init(&walk->descent, fd);
	return rc < 0 ? rc : walk_begin_level(walk, 0);
}

int watch_walk_open(struct watch_walk *walk, const char *path)
{
	CLEANUP(close_fdp) int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : walk_begin(walk, fd);
}

static bool is_network(const struct statfs *fs)
{
	static const uint32_t network[] = { NFS_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB_SUPER_MAGIC,
		                            SMB2_SUPER_MAGIC, FUSE_SUPER_MAGIC };

	for (size_t i = 0; i < ARRAY_SIZE(network); i++) {
		if ((uint32_t)fs->f_type == network[i])
			return true;
	}
	return false;
}

static int refuse_stat(const char *path, int error, struct err *e)
{
	if (error == ENOENT)
		return err_set(e, ERR_NOT_FOUND, "path %s not found: stat %s: %s", path, path,
		               errno_text(error));
	return err_set(e, ERR_INTERNAL, "error statting path %s: stat %s: %s", path, path,
	               errno_text(error));
}

static int check_root(const char *path, bool allows_network, struct err *e)
{
	struct stat st;
	struct statfs fs;

	if (stat(path, &st) < 0)
		return refuse_stat(path, errno, e);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ERR_INVALID, "path %s not a directory", path);
	if (allows_network)
		return 0;
	if (statfs(path, &fs) < 0)
		return err_set(e, ERR_INTERNAL, "error checking mount status: statfs %s: %s", path,
		               errno_text(errno));
	if (is_network(&fs))
		return err_set(e, ERR_INVALID, "cannot watch path on network filesystem: %s", path);
	return 0;
}

int watch_walk_open_root(struct watch_walk *walk, const char *path, bool allows_network,
                         char **out_real, struct err *e)
{
	CLEANUP(freep) char *real = NULL;
	CLEANUP(close_fdp) int fd = -1;
	int rc = 0;

	if (check_root(path, allows_network, e) < 0)
		return -1;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || !(real = realpath(path, NULL)))
		rc = -errno;
	if (rc == 0)
		rc = walk_begin(walk, fd);
	if (rc < 0)
		return err_set(e, ERR_INTERNAL, "error adding path %s to watcher: %s", path,
		               errno_text(-rc));
	*out_real = TAKE_PTR(real);
	return 0;
}
