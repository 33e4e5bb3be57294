/*
 * Whose request it is, and what its paths are relative to: the user it names or the default one, and
 * the default working directory. Named on the loop thread, looked up by a job.
 * Source: wire.md 2.3, filesystem.md 1.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/macros.h"
#include "host/user.h"

struct requester {
	const struct user_db *users; /* borrowed */
	char *name;
	bool is_default;
	char *workdir;    /* default working directory; NULL: none */
	struct user user; /* requester_find's */
};

/*
 * name     as the request has it; NULL: the default user
 * workdir  may be NULL
 * returns  0, or -1 with ERR_UNAUTHENTICATED "no user specified": there is no default user either
 */
int requester_init(struct requester *r, const struct user_db *users, const char *name,
                   const char *default_name, const char *workdir, struct err *e) MUST_CHECK;
void requester_deinit(struct requester *r);

/*
 * Looks the user up. Blocks: from a pool job only.
 *
 * returns  0, or -1 with e:
 *            ERR_UNAUTHENTICATED  there is no such user
 *            ERR_INTERNAL         the accounts cannot be read
 */
int requester_find(struct requester *r, struct err *e) MUST_CHECK;

/* The same for who keeps the name elsewhere. */
int requester_find_user(const struct user_db *users, const char *name, bool is_default,
                        struct user *out_user, struct err *e) MUST_CHECK;

/* path_resolve (host/path.h) for this user, once found. */
int requester_path(const struct requester *r, const char *path, char **out_path,
                   struct err *e) MUST_CHECK;
