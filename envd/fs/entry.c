#include "fs/entry.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "fs/resolve.h"
#include "host/path.h"

#define MODE_BITS 0777u

/* Bytes of "/proc/self/fd/", a number, a slash, and the longest name that the kernel gives. */
#define FD_PATH_MAX (32u + PATH_MAX)

/* In Go's order; each is there or not. */
void entry_format_mode(mode_t mode, char out[ENTRY_PERMISSIONS_MAX])
{
	static const char rwx[] = "rwxrwxrwx";
	char *at = out;

	if (S_ISDIR(mode))
		*at++ = 'd';
	if (S_ISLNK(mode))
		*at++ = 'L';
	if (S_ISBLK(mode) || S_ISCHR(mode))
		*at++ = 'D';
	if (S_ISFIFO(mode))
		*at++ = 'p';
	if (S_ISSOCK(mode))
		*at++ = 'S';
	if (mode & S_ISUID)
		*at++ = 'u';
	if (mode & S_ISGID)
		*at++ = 'g';
	if (S_ISCHR(mode))
		*at++ = 'c';
	if (mode & S_ISVTX)
		*at++ = 't';
	if (at == out)
		*at++ = '-';
	for (unsigned i = 0; i < 9; i++)
		*at++ = mode & (1u << (8 - i)) ? rwx[i] : '-';
	*at = '\0';
}

static enum entry_type type_of(mode_t mode)
{
	if (S_ISREG(mode))
		return ENTRY_FILE;
	return S_ISDIR(mode) ? ENTRY_DIRECTORY : ENTRY_OTHER;
}

static int entry_fill_link(struct entry *entry, const char *reachable, struct arena *memory)
{
	CLEANUP(freep) char *target = NULL;
	const int rc = resolve_path(reachable, &target);
	struct stat st;

	entry->is_symlink = true;
	entry->symlink_target = entry->path;
	if (rc == 0)
		entry->symlink_target = arena_strndup(memory, target, strlen(target));
	if (!entry->symlink_target)
		return -ENOMEM;
	/* Where the way is longer than a path may be, the kernel still finds what is at its end. */
	if ((rc == 0 ? lstat(target, &st) : stat(reachable, &st)) == 0) {
		entry->type = type_of(st.st_mode);
		entry->mode = st.st_mode & MODE_BITS;
	}
	return 0;
}

/* reachable is a path that the kernel takes, whatever the entry is called. */
static int entry_fill(struct entry *entry, const struct stat *st, const char *reachable,
                      struct owners *owners, struct arena *memory)
{
	const char *owner = owners_user(owners, st->st_uid);
	int rc = 0;

	entry->owner = arena_strndup(memory, owner, strlen(owner));
	owner = owners_group(owners, st->st_gid);
	entry->group = arena_strndup(memory, owner, strlen(owner));
	if (!entry->owner || !entry->group)
		return -ENOMEM;
	entry->size = st->st_size;
	entry->modified = st->st_mtim;
	entry_format_mode(st->st_mode, entry->permissions);
	if (S_ISLNK(st->st_mode)) {
		rc = entry_fill_link(entry, reachable, memory);
	} else {
		entry->type = type_of(st->st_mode);
		entry->mode = st->st_mode & MODE_BITS;
	}
	entry->metadata = metadata_read(reachable, memory);
	return rc;
}

static const char *base_name(const char *path, struct arena *memory)
{
	const struct span last = path_last(path);

	return last.len > 0 ? arena_strndup(memory, last.at, last.len) : "/";
}

int entry_read(const char *path, struct owners *owners, struct arena *memory,
               struct entry *out_entry)
{
	struct entry entry = { 0 };
	struct stat st;

	if (lstat(path, &st) < 0)
		return -errno;
	entry.path = arena_strndup(memory, path, strlen(path));
	entry.name = base_name(path, memory);
	if (!entry.path || !entry.name)
		return -ENOMEM;
	*out_entry = entry;
	return entry_fill(out_entry, &st, path, owners, memory);
}

int entry_read_at(const struct entry_place *place, struct owners *owners, struct arena *memory,
                  struct entry *out_entry)
{
	char by_fd[FD_PATH_MAX];
	const char *reachable = place->real_path;
	struct stat st;

	if (fstatat(place->dir_fd, place->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!reachable) {
		(void)snprintf(by_fd, sizeof by_fd, "/proc/self/fd/%d/%s", place->dir_fd,
		               place->name);
		reachable = by_fd;
	}
	*out_entry = (struct entry){ .path = place->path, .name = place->name };
	return entry_fill(out_entry, &st, reachable, owners, memory);
}
