#include "host/requester.h"

#include <stdlib.h>

#include "base/mem.h"
#include "host/path.h"

int requester_init(struct requester *r, const struct user_db *users, const char *name,
                   const char *default_name, const char *workdir, struct err *e)
{
	if (!name && default_name[0] == '\0')
		return err_set(e, ERR_UNAUTHENTICATED, "no user specified");
	*r = (struct requester){
		.users = users,
		.name = xstrdup(name ? name : default_name),
		.is_default = !name,
		.workdir = workdir ? xstrdup(workdir) : NULL,
	};
	return 0;
}

void requester_deinit(struct requester *r)
{
	free(r->name);
	free(r->workdir);
	user_deinit(&r->user);
	*r = (struct requester){ 0 };
}

int requester_find_user(const struct user_db *users, const char *name, bool is_default,
                        struct user *out_user, struct err *e)
{
	CLEANUP(err_clear) struct err why = { 0 };

	if (user_find(users, name, out_user, &why) == 0)
		return 0;
	if (why.kind != ERR_NOT_FOUND) {
		err_move(e, &why);
		return err_wrap(e, "error looking up user '%s'", name);
	}
	return err_set(e, ERR_UNAUTHENTICATED,
	               is_default ? "invalid default user: '%s'" : "invalid username: '%s'", name);
}

int requester_find(struct requester *r, struct err *e)
{
	return requester_find_user(r->users, r->name, r->is_default, &r->user, e);
}

int requester_path(const struct requester *r, const char *path, char **out_path, struct err *e)
{
	return path_resolve(&r->user, r->workdir, path, out_path, e);
}
