#include "fs/make_dir.h"

#include <errno.h>
#include <sys/stat.h>

#include "fs/missing.h"

int make_dir(const char *path, uid_t uid, gid_t gid, struct err *e)
{
	struct stat st;

	if (stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			return err_set(e, ERR_EXISTS, "directory already exists: %s", path);
		return err_set(e, ERR_INVALID, "path already exists but it is not a directory: %s",
		               path);
	}
	if (errno != ENOENT)
		return err_set(e, ERR_INTERNAL, "error getting file info: stat %s: %s", path,
		               errno_text(errno));
	return missing_dirs_make(path, uid, gid, NULL, e);
}
