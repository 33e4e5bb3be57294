#include "fs/listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "fs/descent.h"
#include "fs/names.h"
#include "fs/resolve.h"
#include "host/path.h"

/* Bytes of an entry's path: no component beyond what a descent goes through. */
#define PATH_BYTES_MAX (2u * DESCENT_BYTES_MAX)

/* Bytes of what is said of one entry, and of them within the walk: enough for most. */
#define ENTRY_MEMORY_MAX   (1024u * 1024u)
#define ENTRY_MEMORY_FIRST 4096u

/* One directory that is being gone through. */
struct walk_level {
	struct names names;
	size_t path_len, real_len; /* of the walk's paths up to the slash behind the directory */
};

struct walk {
	const struct listing *listing;
	const char *root; /* where the path leads */
	struct descent descent;
	struct buf levels; /* struct walk_level, as many as the descent has */
	size_t n_bytes;    /* of all names */
	struct buf path;   /* of the entry, as it is shown, and where it is; a NUL behind each */
	struct buf real;
	struct arena memory;
	char first[ENTRY_MEMORY_FIRST];
};

static struct walk_level *current(const struct walk *w)
{
	return (struct walk_level *)(void *)(w->levels.data + w->levels.len) - 1;
}

static int refuse(const struct walk *w, int error, struct err *e)
{
	return err_set(e, error == ENOBUFS ? ERR_LIMIT : ERR_INTERNAL,
	               "error reading directory %s: %s", w->root,
	               error == ENOBUFS ? "too many entries" : errno_text(error));
}

static int refuse_memory(const struct walk *w, struct err *e)
{
	return refuse(w, ENOMEM, e);
}

/* ---------------------------------------------------------------- where it begins */

static int refuse_links(const char *path, struct err *e)
{
	CLEANUP(buf_deinit) struct buf quoted = { 0 };

	buf_init(&quoted, ERR_TEXT_MAX);
	quote_append(&quoted, path, strlen(path));
	return err_set(e, ERR_PRECONDITION, "cyclic symlink or chain >%u links at %.*s",
	               RESOLVE_LINKS_MAX, (int)quoted.len, (const char *)quoted.data);
}

static int refuse_path(const char *path, const char *failed_at, int error, struct err *e)
{
	switch (error) {
	case ENOENT:
		return err_set(e, ERR_NOT_FOUND, "path not found: lstat %s: %s", failed_at,
		               errno_text(error));
	case ELOOP:
		return refuse_links(path, e);
	case ENOTDIR:
		return err_set(e, ERR_INTERNAL, "error resolving symlink: %s", errno_text(error));
	default:
		return err_set(e, ERR_INTERNAL, "error resolving symlink: lstat %s: %s", failed_at,
		               errno_text(error));
	}
}

static int open_root(const char *path, char **out_root, int *out_fd, struct err *e)
{
	CLEANUP(freep) char *root = NULL;
	int rc = resolve_path(path, &root), fd;
	struct stat st;

	if (rc < 0)
		return refuse_path(path, root, -rc, e);
	if (lstat(root, &st) < 0)
		return refuse_path(path, root, errno, e);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ERR_INVALID, "path is not a directory: %s", root);
	fd = open(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return refuse_path(path, root, errno, e);
	if (fd < 0)
		return err_set(e, ERR_INTERNAL, "error reading directory %s: open %s: %s", root,
		               root, errno_text(errno));
	*out_root = TAKE_PTR(root);
	*out_fd = fd;
	return 0;
}

/* ---------------------------------------------------------------- from entry to entry */

/* Whether a directory below the root that could not be read is left out. */
static bool is_left_out(const struct walk *w, int rc)
{
	return descent_depth(&w->descent) > 0 && rc != -ENOBUFS && rc != -ENOMEM;
}

/* The names of the directory that the descent is in. */
static int begin_level(struct walk *w, struct err *e)
{
	const size_t names_max = LISTING_NAMES_MAX - MIN(w->n_bytes, LISTING_NAMES_MAX);
	struct walk_level level = { .path_len = w->path.len, .real_len = w->real.len };
	int rc;

	if (buf_reserve(&w->levels, sizeof level) < 0)
		return refuse_memory(w, e);
	rc = names_read(&level.names, descent_fd(&w->descent), names_max);
	if (rc == 0 || is_left_out(w, rc))
		rc = names_sort(&level.names, names_max);
	buf_append(&w->levels, &level, sizeof level);
	w->n_bytes += names_memory(&level.names);
	if (rc == -ENOENT) /* it was removed when it was open already */
		return refuse_path(w->listing->path, w->root, ENOENT, e);
	return rc < 0 ? refuse(w, -rc, e) : 0;
}

static void end_level(struct walk *w)
{
	struct walk_level *level = current(w);

	w->n_bytes -= names_memory(&level->names);
	names_deinit(&level->names);
	buf_truncate(&w->levels, w->levels.len - sizeof *level);
}

static bool is_abandoned(const struct walk *w)
{
	return atomic_load_explicit(w->listing->is_abandoned, memory_order_relaxed);
}

static int name_entry(struct walk *w, const char *name, struct err *e)
{
	const size_t size = strlen(name) + 1;

	buf_truncate(&w->path, current(w)->path_len);
	buf_truncate(&w->real, current(w)->real_len);
	buf_append(&w->path, name, size);
	buf_append(&w->real, name, size);
	return buf_error(&w->path) || buf_error(&w->real) ? refuse_memory(w, e) : 0;
}

/* 1; 0: it has vanished, or cannot be looked at; -1 with e. */
static int show_entry(struct walk *w, const char *name, struct entry *out_entry, struct err *e)
{
	const struct entry_place place = {
		.dir_fd = descent_fd(&w->descent),
		.name = name,
		.path = (const char *)w->path.data,
		.real_path = w->real.len <= PATH_MAX ? (const char *)w->real.data : NULL,
	};
	int rc;

	arena_reset(&w->memory);
	rc = entry_read_at(&place, w->listing->owners, &w->memory, out_entry);
	if (rc == -ENOMEM)
		return refuse_memory(w, e);
	if (rc < 0)
		return 0;
	return w->listing->on_entry(w->listing->ctx, out_entry, e) < 0 ? -1 : 1;
}

/* Into the directory that was just shown, unless that is not possible. */
static int enter(struct walk *w, const char *name, struct err *e)
{
	int rc = descent_enter(&w->descent, name);

	if (rc == -ENOMEM)
		return refuse_memory(w, e);
	if (rc < 0)
		return 0;
	w->path.data[w->path.len - 1] = '/'; /* were the NULs */
	w->real.data[w->real.len - 1] = '/';
	return begin_level(w, e);
}

static int step(struct walk *w, const char *name, struct err *e)
{
	const uint32_t depth = MAX(w->listing->depth, 1u);
	struct entry entry;
	int rc;

	if (is_abandoned(w))
		return err_set(e, ERR_CANCELED, "context canceled");
	if (name_entry(w, name, e) < 0)
		return -1;
	rc = show_entry(w, name, &entry, e);
	if (rc <= 0)
		return rc;
	if (entry.type != ENTRY_DIRECTORY || entry.is_symlink ||
	    descent_depth(&w->descent) + 1 >= depth)
		return 0;
	return enter(w, name, e);
}

/* A directory that is no longer where it was found is left out, as is what was to come of those around
 * it. */
static bool leave(struct walk *w)
{
	do {
		end_level(w);
		if (w->levels.len == 0)
			return false;
	} while (descent_leave(&w->descent) < 0);
	return true;
}

static int walk_all(struct walk *w, struct err *e)
{
	const char *name;

	if (begin_level(w, e) < 0)
		return -1;
	for (;;) {
		while (!(name = names_next(&current(w)->names, NULL))) {
			if (!leave(w))
				return 0;
		}
		if (step(w, name, e) < 0)
			return -1;
	}
}

static void begin_path(struct buf *path, const char *clean)
{
	buf_init(path, PATH_BYTES_MAX);
	buf_append_text(path, clean);
	if (path->len > 1) /* "/" ends with its slash */
		buf_append_byte(path, '/');
}

static void walk_init(struct walk *w, const struct listing *l, const char *root)
{
	CLEANUP(freep) char *clean = path_clean(l->path);

	w->listing = l;
	w->root = root;
	buf_init(&w->levels, DESCENT_BYTES_MAX);
	begin_path(&w->path, clean);
	begin_path(&w->real, root);
	arena_init(&w->memory, ENTRY_MEMORY_MAX, w->first, sizeof w->first);
}

static void walk_deinit(struct walk *w)
{
	while (w->levels.len > 0)
		end_level(w);
	buf_deinit(&w->levels);
	buf_deinit(&w->path);
	buf_deinit(&w->real);
	descent_deinit(&w->descent);
	arena_deinit(&w->memory);
}

int listing_walk(const struct listing *l, struct err *e)
{
	CLEANUP(freep) char *root = NULL;
	CLEANUP(close_fdp) int fd = -1;
	CLEANUP(walk_deinit) struct walk w = { 0 };
	int rc;

	if (open_root(l->path, &root, &fd, e) < 0)
		return -1;
	walk_init(&w, l, root);
	rc = descent_init(&w.descent, fd);
	if (rc < 0)
		return refuse(&w, -rc, e);
	return walk_all(&w, e);
}
