#include "host/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

#define N_PROPERTIES  4u   /* of one directory */
#define FILE_TEXT_MAX 256u /* bytes read of a file; cgroup.events has some 25 */

struct property {
	const char *file;
	const char *value; /* NULL: cgroups.memory_max */
};

/* memory.high is memory.max, so that a process that runs away is ended, not slowed down for ever. */
static const struct {
	const char *name;
	struct property properties[N_PROPERTIES];
} layout[] = {
	[CGROUP_PTYS] = { "ptys",
	                  { { "cpu.weight", "200" },
	                    { "io.weight", "default 50" },
	                    { "memory.high", NULL },
	                    { "memory.max", NULL } } },
	[CGROUP_SOCATS] = { "socats",
	                    { { "cpu.weight", "150" },
	                      { "io.weight", "default 50" },
	                      { "memory.min", "5242880" },
	                      { "memory.low", "8388608" } } },
	[CGROUP_USER] = { "user",
	                  { { "cpu.weight", "50" },
	                    { "io.weight", "default 10" },
	                    { "memory.high", NULL },
	                    { "memory.max", NULL } } },
};

uint64_t cgroups_memory_max(uint64_t total)
{
	return total - MIN(total / 8, CGROUP_MEMORY_LEFT_MAX);
}

/* ---------------------------------------------------------------- one directory */

static void cgroup_close(struct cgroup *cgroup)
{
	close_fdp(&cgroup->dir_fd);
	close_fdp(&cgroup->events_fd);
	close_fdp(&cgroup->freeze_fd);
}

/* Without O_CREAT: on another file system it must fail. */
static int write_property(int dir_fd, const char *file, const char *value)
{
	CLEANUP(close_fdp) int fd = openat(dir_fd, file, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		return -errno;
	return 0;
}

static void append_skipped(struct buf *skipped, enum cgroup_kind kind, const char *file, int error)
{
	buf_appendf(skipped, "%s%s/%s", skipped->len > 0 ? ", " : "", layout[kind].name, file);
	if (error != ENOENT)
		buf_appendf(skipped, " (%s)", errno_text(error));
}

static int cgroup_set_properties(const struct cgroups *c, enum cgroup_kind kind,
                                 struct buf *skipped, struct err *e)
{
	const struct cgroup *cgroup = &c->of[kind];
	char memory_max[sizeof "18446744073709551615"];

	(void)snprintf(memory_max, sizeof memory_max, "%" PRIu64, c->memory_max);
	for (size_t i = 0; i < N_PROPERTIES; i++) {
		const struct property *property = &layout[kind].properties[i];
		const char *value = property->value ? property->value : memory_max;
		int error = -write_property(cgroup->dir_fd, property->file, value);

		if (error == ENOENT || error == EACCES || error == EPERM)
			append_skipped(skipped, kind, property->file, error);
		else if (error != 0)
			return err_sys(e, error, "write '%s/%s'", cgroup->path, property->file);
	}
	return 0;
}

static int cgroup_make(struct cgroups *c, enum cgroup_kind kind, struct buf *skipped, struct err *e)
{
	struct cgroup *cgroup = &c->of[kind];
	const char *name = layout[kind].name;

	if (mkdirat(c->root_fd, name, 0755) < 0 && errno != EEXIST)
		return err_sys(e, errno, "mkdir '%s'", cgroup->path);
	cgroup->dir_fd = openat(c->root_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (cgroup->dir_fd < 0)
		return err_sys(e, errno, "open '%s'", cgroup->path);
	if (cgroup_set_properties(c, kind, skipped, e) < 0) {
		cgroup_close(cgroup);
		return -1;
	}
	cgroup->events_fd = openat(cgroup->dir_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	cgroup->freeze_fd = openat(cgroup->dir_fd, "cgroup.freeze", O_RDONLY | O_CLOEXEC);
	return 0;
}

/* Somebody removed it. Tried at each start, told when it is lost and when it is back. */
static void cgroup_remake(struct cgroups *c, enum cgroup_kind kind)
{
	struct cgroup *cgroup = &c->of[kind];
	CLEANUP(buf_deinit) struct buf skipped = { 0 }; /* was told at start */
	CLEANUP(err_clear) struct err e = { 0 };
	bool was_there = cgroup->dir_fd >= 0;

	cgroup_close(cgroup);
	cgroup->missed = 0;
	if (cgroup_make(c, kind, &skipped, &e) == 0)
		log_event_limited(LOG_WARNING, "cgroups", "cgroup was removed, made it again",
		                  log_str("path", cgroup->path));
	else if (was_there)
		log_event_limited(LOG_WARNING, "cgroups",
		                  "cgroup was removed, ignoring: processes are not placed",
		                  log_str("error", err_text(&e)));
}

void cgroup_missed(struct cgroup *cgroup, int errnum)
{
	if (cgroup->missed == errnum)
		return;
	cgroup->missed = errnum;
	log_event_limited(LOG_WARNING, "cgroups", "cannot place a process, ignoring",
	                  log_str("path", cgroup->path), log_str("error", errno_text(errnum)));
}

/* ---------------------------------------------------------------- all of them */

static void cgroups_close(struct cgroups *c)
{
	for (size_t i = 0; i < CGROUP_KINDS; i++)
		cgroup_close(&c->of[i]);
	close_fdp(&c->root_freeze_fd);
	close_fdp(&c->root_fd);
}

void cgroups_init(struct cgroups *c)
{
	*c = (struct cgroups){
		.fs_type = CGROUP2_SUPER_MAGIC,
		.root_fd = -1,
		.root_freeze_fd = -1,
	};
	for (size_t i = 0; i < CGROUP_KINDS; i++)
		c->of[i] = (struct cgroup){ .dir_fd = -1, .events_fd = -1, .freeze_fd = -1 };
}

void cgroups_deinit(struct cgroups *c)
{
	cgroups_close(c);
	for (size_t i = 0; i < CGROUP_KINDS; i++)
		freep(&c->of[i].path);
	freep(&c->root);
}

static void cgroups_name(struct cgroups *c, const char *root)
{
	size_t len = strlen(root);

	while (len > 1 && root[len - 1] == '/')
		len--;
	c->root = xstrndup(root, len);
	for (size_t i = 0; i < CGROUP_KINDS; i++) {
		size_t size = len + 1 + strlen(layout[i].name) + 1;

		c->of[i].path = xmalloc(size);
		(void)snprintf(c->of[i].path, size, "%s/%s", c->root, layout[i].name);
	}
}

static int cgroups_open_root(struct cgroups *c, struct err *e)
{
	CLEANUP(close_fdp) int fd = open(c->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;

	if (fd < 0 || fstatfs(fd, &fs) < 0)
		return err_sys(e, errno, "open '%s'", c->root);
	if ((int64_t)fs.f_type != c->fs_type)
		return err_set(e, ERR_PRECONDITION, "'%s' is not a cgroup2 file system", c->root);
	c->root_fd = TAKE_FD(fd);
	c->root_freeze_fd = openat(c->root_fd, "cgroup.freeze", O_RDONLY | O_CLOEXEC);
	return 0;
}

/* MemTotal of /proc/meminfo, which takes the kernel a hundred times as long to write. */
static uint64_t memory_total(void)
{
	struct sysinfo info;

	ASSERT(sysinfo(&info) == 0); /* fails for a bad pointer only */
	return (uint64_t)info.totalram * info.mem_unit;
}

int cgroups_set_up(struct cgroups *c, const char *root, struct buf *out_skipped, struct err *e)
{
	ASSERT(!c->root);
	cgroups_name(c, root);
	if (cgroups_open_root(c, e) < 0)
		return -1;
	c->memory_max = cgroups_memory_max(memory_total());
	for (size_t i = 0; i < CGROUP_KINDS; i++) {
		if (cgroup_make(c, (enum cgroup_kind)i, out_skipped, e) < 0) {
			cgroups_close(c);
			return -1;
		}
	}
	return 0;
}

/* ---------------------------------------------------------------- admission */

/* Leaves "" and returns a negative errno if it cannot be read; -ENODEV: its directory is gone. */
static int read_text(int fd, char text[static FILE_TEXT_MAX])
{
	ssize_t n = pread(fd, text, FILE_TEXT_MAX - 1, 0);
	int error = errno;

	text[MAX(n, 0)] = '\0';
	return n < 0 ? -error : 0;
}

/* What it is asked to be; its ancestors' wish counts as much. */
static bool wants_freeze(int freeze_fd)
{
	char text[FILE_TEXT_MAX];

	(void)read_text(freeze_fd, text);
	return text[0] == '1';
}

static int refuse_frozen(const char *path, const char *why, struct err *e)
{
	return err_set(e, ERR_UNAVAILABLE, "the target cgroup is frozen: %s %s", path, why);
}

int cgroups_admit(struct cgroups *c, enum cgroup_kind kind, struct cgroup **out_cgroup,
                  struct err *e)
{
	struct cgroup *cgroup = &c->of[kind];
	char events[FILE_TEXT_MAX];

	if (c->root_fd < 0) {
		*out_cgroup = NULL;
		return 0;
	}
	if (read_text(cgroup->events_fd, events) == -ENODEV || cgroup->dir_fd < 0) {
		cgroup_remake(c, kind);
		(void)read_text(cgroup->events_fd, events);
	}
	if (strstr(events, "frozen 1\n"))
		return refuse_frozen(cgroup->path, "reads frozen", e);
	if (wants_freeze(cgroup->freeze_fd))
		return refuse_frozen(cgroup->path, "has a freeze requested", e);
	if (wants_freeze(c->root_freeze_fd))
		return refuse_frozen(c->root, "has a freeze requested", e);
	*out_cgroup = cgroup->dir_fd < 0 ? NULL : cgroup;
	return 0;
}
