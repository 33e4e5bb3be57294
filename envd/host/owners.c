#include "host/owners.h"

#include <stdlib.h>

static void names_deinit(struct owner_names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->known[i].name);
}

void owners_deinit(struct owners *o)
{
	names_deinit(&o->users);
	names_deinit(&o->groups);
}

static const char *names_find(struct owner_names *names, uint32_t id,
                              char *(*look_up)(const struct user_db *db, uint32_t id),
                              const struct user_db *db)
{
	struct owner_name *slot;

	for (size_t i = 0; i < names->n; i++) {
		if (names->known[i].id == id)
			return names->known[i].name;
	}
	slot = &names->known[names->next];
	names->next = (names->next + 1) % OWNERS_MAX;
	if (names->n < OWNERS_MAX)
		names->n++;
	free(slot->name);
	*slot = (struct owner_name){ id, look_up(db, id) };
	return slot->name;
}

const char *owners_user(struct owners *o, uid_t uid)
{
	return names_find(&o->users, uid, user_name_of, o->db);
}

const char *owners_group(struct owners *o, gid_t gid)
{
	return names_find(&o->groups, gid, user_group_name_of, o->db);
}
