#include "fs/missing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "host/path.h"

static int fail(int *out_errno, const char *what, const char *path, struct err *e)
{
	*out_errno = errno;
	return err_set(e, ERR_INTERNAL, "failed to %s %s: %s", what, path, errno_text(errno));
}

/* One component, whose parent is there. */
static int missing_dir_make(const char *path, uid_t uid, gid_t gid, int *out_errno, struct err *e)
{
	struct stat st;

	if (stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			return 0;
		*out_errno = ENOTDIR;
		return err_set(e, ERR_INTERNAL, "path is a file: %s", path);
	}
	if (errno != ENOENT)
		return fail(out_errno, "stat directory: stat", path, e);
	if (mkdir(path, MISSING_DIR_MODE) < 0 && errno != EEXIST)
		return fail(out_errno, "create directory: mkdir", path, e);
	/* What was in the way may be a link that leads nowhere. Otherwise somebody else was faster and has
	 * perhaps not come so far yet; or puts a link in its place: nothing behind that is given away. */
	if (stat(path, &st) < 0 || lchown(path, uid, gid) < 0)
		return fail(out_errno, "chown directory: chown", path, e);
	return 0;
}

static int dirs_make(char *path, uid_t uid, gid_t gid, int *out_errno, struct err *e)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		int rc;

		*slash = '\0';
		rc = missing_dir_make(path, uid, gid, out_errno, e);
		*slash = '/';
		if (rc < 0)
			return -1;
	}
	return missing_dir_make(path, uid, gid, out_errno, e);
}

int missing_dirs_make(const char *path, uid_t uid, gid_t gid, int *out_errno, struct err *e)
{
	CLEANUP(freep) char *clean = path_clean(path);
	int ignored;

	return dirs_make(clean, uid, gid, out_errno ? out_errno : &ignored, e);
}

int missing_parents_make(const char *path, uid_t uid, gid_t gid, int *out_errno, struct err *e)
{
	CLEANUP(freep) char *clean = path_parent(path);
	int ignored;

	return dirs_make(clean, uid, gid, out_errno ? out_errno : &ignored, e);
}
