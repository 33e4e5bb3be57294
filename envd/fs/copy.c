#include "fs/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "fs/copy_data.h"
#include "fs/copy_links.h"
#include "fs/descent.h"
#include "fs/names.h"
#include "fs/statx_attributes.h"
#include "fs/xattrs.h"

#define PRIVATE_MODE     0600 /* until a copy is complete */
#define PRIVATE_DIR_MODE 0700

/* One directory that is being copied. */
struct copy_level {
	struct names names;
	struct statx st; /* what its copy is to become */
};

/* The two descents go side by side; their tops are the directories that the trees are in. */
struct copying {
	const struct copy *copy;
	struct descent from, to;
	struct buf levels; /* struct copy_level, one less than the descents have */
	size_t n_bytes;    /* of all names */
	struct copy_links links;
	uint64_t dev, ino; /* of the tree's copy, if it is a directory */
	bool has_top;
	const char *name; /* what is being copied, for texts; NULL: the current directory */
};

static int from_fd(const struct copying *c)
{
	return descent_fd(&c->from);
}

static int to_fd(const struct copying *c)
{
	return descent_fd(&c->to);
}

/* Only the top of the tree has another name. */
static const char *to_name(const struct copying *c, const char *name)
{
	return descent_depth(&c->to) == 0 ? c->copy->to_name : name;
}

static uint64_t dev_of(const struct statx *st)
{
	return makedev(st->stx_dev_major, st->stx_dev_minor);
}

/* ---------------------------------------------------------------- what a copy becomes */

/* A file whose owner cannot be kept must not run as another one. */
static mode_t mode_of(const struct statx *st, bool has_owner)
{
	const mode_t all = S_ISUID | S_ISGID | S_ISVTX | 0777;

	return st->stx_mode & (has_owner ? all : all & ~(mode_t)(S_ISUID | S_ISGID));
}

static void times_of(const struct statx *st, struct timespec out[2])
{
	out[0] = (struct timespec){ st->stx_atime.tv_sec, st->stx_atime.tv_nsec };
	out[1] = (struct timespec){ st->stx_mtime.tv_sec, st->stx_mtime.tv_nsec };
}

/* Who may not give files away keeps them; ids that the file system does not know are not kept either. */
static int check_chown(int rc, bool *out_has_owner)
{
	*out_has_owner = rc == 0;
	return rc < 0 && errno != EPERM && errno != EINVAL ? -errno : 0;
}

/* In this order: another owner takes rights and capabilities away, another mode an access list. */
static int finish_open(int from, int to, const struct statx *st)
{
	struct timespec times[2];
	bool has_owner;
	int rc = check_chown(fchown(to, st->stx_uid, st->stx_gid), &has_owner);

	if (rc == 0)
		rc = xattrs_copy(from, to);
	if (rc == 0 && fchmod(to, mode_of(st, has_owner)) < 0)
		rc = -errno;
	times_of(st, times);
	if (rc == 0 && futimens(to, times) < 0)
		rc = -errno;
	return rc;
}

/* The same for what is not opened. */
static int finish_named(const struct copying *c, const char *name, const struct statx *st)
{
	struct timespec times[2];
	bool has_owner;
	int rc =
		check_chown(fchownat(to_fd(c), name, st->stx_uid, st->stx_gid, AT_SYMLINK_NOFOLLOW),
	                    &has_owner);

	if (rc == 0 && !S_ISLNK(st->stx_mode) &&
	    fchmodat(to_fd(c), name, mode_of(st, has_owner), AT_SYMLINK_NOFOLLOW) < 0)
		rc = -errno;
	times_of(st, times);
	if (rc == 0 && utimensat(to_fd(c), name, times, AT_SYMLINK_NOFOLLOW) < 0)
		rc = -errno;
	return rc;
}

/* ---------------------------------------------------------------- files */

static int copy_content(const struct copying *c, int from, int to)
{
	struct copy_data data = { .from_fd = from,
		                  .to_fd = to,
		                  .is_abandoned = c->copy->is_abandoned };
	struct statx st;
	int rc;

	if (statx(from, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st) < 0)
		return -errno;
	if (!S_ISREG(st.stx_mode)) /* something else has taken its place */
		return -EINVAL;
	rc = copy_data_all(&data, 0, NULL);
	return rc < 0 ? rc : finish_open(from, to, &st);
}

static int copy_file(const struct copying *c, const char *name)
{
	CLEANUP(close_fdp) int from = -1;
	int to, rc;

	from = openat(from_fd(c), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (from < 0)
		return -errno;
	to = openat(to_fd(c), to_name(c, name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
	            PRIVATE_MODE);
	if (to < 0)
		return -errno;
	rc = copy_content(c, from, to);
	if (close(to) < 0 && rc == 0) /* some file systems find out here that they are full */
		rc = -errno;
	return rc;
}

static int copy_symlink(const struct copying *c, const char *name, const struct statx *st)
{
	char text[PATH_MAX];
	ssize_t len = readlinkat(from_fd(c), name, text, sizeof text - 1);

	if (len < 0)
		return -errno;
	text[len] = '\0';
	if (symlinkat(text, to_fd(c), to_name(c, name)) < 0)
		return -errno;
	return finish_named(c, to_name(c, name), st);
}

static int copy_special(const struct copying *c, const char *name, const struct statx *st)
{
	const dev_t device = makedev(st->stx_rdev_major, st->stx_rdev_minor);
	const mode_t mode = (st->stx_mode & S_IFMT) | PRIVATE_MODE;

	if (mknodat(to_fd(c), to_name(c, name), mode, device) < 0)
		return -errno;
	return finish_named(c, to_name(c, name), st);
}

/* ---------------------------------------------------------------- several names of one file */

static void put_to_path(const struct copying *c, const char *name, struct buf *out)
{
	descent_append_path(&c->to, out);
	if (out->len > 0)
		buf_append_byte(out, '/');
	buf_append(out, to_name(c, name), strlen(to_name(c, name)) + 1);
}

/* Whether it is a name of an earlier copy now. Where that is not possible, it is copied once more. */
static bool link_to_copy(const struct copying *c, const char *name, const struct statx *st)
{
	const char *path = copy_links_find(&c->links, dev_of(st), st->stx_ino);

	return path && linkat(c->copy->to_dir, path, to_fd(c), to_name(c, name), 0) == 0;
}

static void note_copy(struct copying *c, const char *name, const struct statx *st)
{
	CLEANUP(buf_deinit) struct buf path = { 0 };

	buf_init(&path, PATH_MAX); /* what is longer cannot be linked to */
	put_to_path(c, name, &path);
	if (!buf_error(&path))
		copy_links_note(&c->links, dev_of(st), st->stx_ino, (const char *)path.data);
}

static int copy_non_directory(struct copying *c, const char *name, const struct statx *st)
{
	int rc;

	if (st->stx_nlink > 1 && link_to_copy(c, name, st))
		return 0;
	if (S_ISREG(st->stx_mode))
		rc = copy_file(c, name);
	else if (S_ISLNK(st->stx_mode))
		rc = copy_symlink(c, name, st);
	else
		rc = copy_special(c, name, st);
	if (rc == 0 && st->stx_nlink > 1)
		note_copy(c, name, st);
	return rc;
}

/* ---------------------------------------------------------------- directories */

static struct copy_level *current(const struct copying *c)
{
	return (struct copy_level *)(void *)(c->levels.data + c->levels.len) - 1;
}

static int begin_level(struct copying *c, const struct statx *st)
{
	struct copy_level level = { .st = *st };
	int rc;

	if (buf_reserve(&c->levels, sizeof level) < 0)
		return -ENOMEM;
	rc = names_read(&level.names, from_fd(c), COPY_NAMES_MAX - MIN(c->n_bytes, COPY_NAMES_MAX));
	c->n_bytes += names_memory(&level.names);
	buf_append(&c->levels, &level, sizeof level);
	return rc == -ENOBUFS ? -ENOMEM : rc;
}

static void end_level(struct copying *c)
{
	struct copy_level *level = current(c);

	c->n_bytes -= names_memory(&level->names);
	names_deinit(&level->names);
	buf_truncate(&c->levels, c->levels.len - sizeof *level);
}

/* The first directory of the copy: whoever comes to it again copies what he has copied. */
static int note_top(struct copying *c)
{
	struct statx st;

	if (c->has_top)
		return 0;
	if (statx(to_fd(c), "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st) < 0)
		return -errno;
	c->has_top = true;
	c->dev = dev_of(&st);
	c->ino = st.stx_ino;
	return 0;
}

static int enter_directory(struct copying *c, const char *name, const struct statx *st)
{
	const char *new_name = to_name(c, name);
	int rc;

	if (c->has_top && dev_of(st) == c->dev && st->stx_ino == c->ino)
		return -EINVAL;
	if (mkdirat(to_fd(c), new_name, PRIVATE_DIR_MODE) < 0)
		return -errno;
	rc = descent_enter(&c->from, name);
	if (rc < 0)
		return rc;
	c->name = NULL;
	rc = descent_enter(&c->to, new_name);
	if (rc == 0)
		rc = note_top(c);
	return rc < 0 ? rc : begin_level(c, st);
}

static int leave_directory(struct copying *c)
{
	int rc = finish_open(from_fd(c), to_fd(c), &current(c)->st);

	end_level(c);
	if (rc == 0)
		rc = descent_leave(&c->from);
	if (rc == 0)
		rc = descent_leave(&c->to);
	return rc;
}

/* ---------------------------------------------------------------- the tree */

/* What could not be removed when it is copied must not be copied. */
static int check_removable(const struct statx *st)
{
	if (st->stx_attributes & STATX_ATTR_MOUNT_ROOT)
		return -EBUSY;
	if (st->stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND))
		return -EPERM;
	return 0;
}

static int copy_entry(struct copying *c, const char *name)
{
	struct statx st;
	int rc;

	if (atomic_load(c->copy->is_abandoned))
		return -ECANCELED;
	if (statx(from_fd(c), name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &st) < 0)
		return -errno;
	rc = check_removable(&st);
	if (rc < 0)
		return rc;
	return S_ISDIR(st.stx_mode) ? enter_directory(c, name, &st)
	                            : copy_non_directory(c, name, &st);
}

static int copy_all(struct copying *c)
{
	int rc = copy_entry(c, c->name);

	while (rc == 0 && c->levels.len > 0) {
		c->name = names_next(&current(c)->names, NULL);
		rc = c->name ? copy_entry(c, c->name) : leave_directory(c);
	}
	return rc;
}

static int refuse(const struct copying *c, int error, struct err *e)
{
	CLEANUP(buf_deinit) struct buf path = { 0 };

	if (error == ECANCELED)
		return err_set(e, ERR_CANCELED, "context canceled");
	buf_init(&path, ERR_TEXT_MAX);
	descent_append_path(&c->from, &path);
	if (c->name && path.len > 0)
		buf_append_byte(&path, '/');
	if (c->name)
		buf_append_text(&path, c->name);
	(void)err_sys(e, error, "copy %s/%.*s",
	              strcmp(c->copy->shown_dir, "/") == 0 ? "" : c->copy->shown_dir, (int)path.len,
	              (const char *)path.data);
	e->kind = ERR_INTERNAL;
	return -1;
}

static void copying_deinit(struct copying *c)
{
	while (c->levels.len > 0)
		end_level(c);
	buf_deinit(&c->levels);
	descent_deinit(&c->from);
	descent_deinit(&c->to);
	copy_links_deinit(&c->links);
}

int copy_tree(const struct copy *copy, struct err *e)
{
	CLEANUP(copying_deinit) struct copying c = { .copy = copy, .name = copy->from_name };
	int rc;

	buf_init(&c.levels, DESCENT_BYTES_MAX);
	rc = descent_init(&c.from, copy->from_dir);
	if (rc == 0)
		rc = descent_init(&c.to, copy->to_dir);
	if (rc == 0)
		rc = copy_all(&c);
	return rc < 0 ? refuse(&c, -rc, e) : 0;
}
