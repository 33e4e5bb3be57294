/*
 * Names of user and group ids for one walk over many files: an account file is read when an id comes
 * for the first time, and what it said is remembered. Blocks: from a pool job only.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "host/user.h"

/* Ids that are remembered, of users and of groups; further ones push out the oldest. A directory has
 * two or three. */
#define OWNERS_MAX 64u

struct owner_name {
	uint32_t id;
	char *name;
};

struct owner_names {
	struct owner_name known[OWNERS_MAX];
	size_t n, next;
};

struct owners {
	const struct user_db *db; /* borrowed */
	struct owner_names users, groups;
};

/* Begins zeroed but for db. */
void owners_deinit(struct owners *o);

/* The name, or the id in decimal where there is none. Valid until the next call. */
const char *owners_user(struct owners *o, uid_t uid);
const char *owners_group(struct owners *o, gid_t gid);
