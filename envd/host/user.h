/*
 * Accounts of the guest: /etc/passwd and /etc/group, read at every lookup, because accounts made
 * at run time must be visible at once. No name service: a static binary must not load the guest's
 * modules. The only place that parses these files. Blocks: from a pool job only.
 *
 * Rules (wire.md 2.3): seven fields; blank lines, comments and lines that begin with + or - are
 * skipped; the name matches exactly; ids are plain decimal below 4294967295 (which means "do not
 * change" to the kernel); the first match wins; malformed lines are skipped.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/macros.h"

#define USER_LINE_MAX 65536u /* bytes of a line, longer ones are skipped; a group of 4,000 names */
#define USER_GROUPS_MAX                                                                            \
	65536u /* supplementary groups: the kernel's NGROUPS_MAX                   */

struct user {
	char *name;
	char *home; /* as written: may be empty, relative or missing on disk */
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* the primary group, then all others that list the name */
	size_t n_groups;
	int groups_error; /* errno: the group file cannot be read; 0 */
};

/* Where the files are; tests have their own. */
struct user_db {
	const char *passwd;
	const char *group;
};

extern const struct user_db user_db_system;

/*
 * Finds the account and its groups. An unreadable group file leaves only the primary group and
 * groups_error, which the loop thread logs.
 *
 * out_user  zeroed by the caller, freed with user_deinit
 * returns   0, or -1 with e:
 *             ERR_NOT_FOUND  "user: unknown user <name>"
 *             ERR_LIMIT      no descriptor or memory to read the passwd file
 *             ERR_INTERNAL   it cannot be read for another reason
 */
int user_find(const struct user_db *db, const char *name, struct user *out_user,
              struct err *e) MUST_CHECK;
void user_deinit(struct user *user);

/* The name of an id, allocated; the id in decimal where the file has none, or cannot be read. */
char *user_name_of(const struct user_db *db, uint32_t uid);
char *user_group_name_of(const struct user_db *db, uint32_t gid);

/* The id of a group; -ENOENT if there is none of that name, or why the file cannot be read. */
int user_find_group(const struct user_db *db, const char *name, gid_t *out_gid) MUST_CHECK;
