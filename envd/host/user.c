#include "host/user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/text.h"

#define PASSWD_FIELDS 7u
#define GROUP_FIELDS  4u

const struct user_db user_db_system = { "/etc/passwd", "/etc/group" };

#define USER_LINE_FIRST 1024u /* bytes: any account, and most groups */

/* Room for one line of a file at a time. */
struct line {
	char *text;
	size_t size;
};

static void line_deinit(struct line *line)
{
	freep(&line->text);
}

static void fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

/* Regular files only: a FIFO in that place must not hold a pool thread. */
static FILE *db_open(const char *path)
{
	CLEANUP(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	if (!S_ISREG(st.st_mode)) {
		errno = EINVAL;
		return NULL;
	}
	return fdopen(TAKE_FD(fd), "r"); /* fails only without memory for a FILE */
}

/* Drops what is left of a line that did not fit. */
static void db_skip_line(FILE *f)
{
	int c;

	do
		c = getc(f);
	while (c != EOF && c != '\n');
}

/* The longest lines are rare: room for one is made when it comes. */
static bool line_grow(struct line *line)
{
	if (line->size == USER_LINE_MAX)
		return false;
	line->size = line->size ? line->size * 2 : USER_LINE_FIRST;
	line->text = xrealloc(line->text, line->size);
	return true;
}

/* Next line that fits, with its end; false at the end of the file. */
static bool db_read_line(FILE *f, struct line *line, size_t *out_len)
{
	size_t len = 0;

	for (;;) {
		if (len + 1 >= line->size && !line_grow(line)) {
			db_skip_line(f);
			len = 0;
			continue;
		}
		if (!fgets(line->text + len, (int)(line->size - len), f))
			break;
		len += strlen(line->text + len);
		if (len + 1 < line->size || line->text[len - 1] == '\n') {
			*out_len = len;
			return true;
		}
	}
	*out_len = len;
	return len > 0;
}

/* Next line worth parsing, trimmed; false at the end. */
static bool db_next(FILE *f, struct line *line, struct span *out_line)
{
	struct span s;
	size_t len;

	while (db_read_line(f, line, &len)) {
		while (len > 0 && strchr("\r\n", line->text[len - 1]))
			len--;
		s = span_trim((struct span){ line->text, len });
		if (s.len == 0 || strchr("#+-:", s.at[0]))
			continue;
		*out_line = s;
		return true;
	}
	return false;
}

/* Splits at colons into at most n fields, the last takes the rest; returns how many. */
static size_t db_split(struct span line, struct span *fields, size_t n)
{
	size_t i = 0;

	while (i + 1 < n) {
		const char *colon = memchr(line.at, ':', line.len);

		if (!colon)
			break;
		fields[i++] = (struct span){ line.at, (size_t)(colon - line.at) };
		line.len -= (size_t)(colon + 1 - line.at);
		line.at = colon + 1;
	}
	fields[i++] = line;
	return i;
}

static bool db_parse_id(struct span s, uint32_t *out_id)
{
	uint64_t value;

	if (s.len == 0 || s.at[0] < '0' || s.at[0] > '9' || parse_u64(s, &value) < 0)
		return false;
	if (value >= UINT32_MAX)
		return false;
	*out_id = (uint32_t)value;
	return true;
}

static bool passwd_match(struct span line, const char *name, struct user *user)
{
	struct span f[PASSWD_FIELDS];

	if (db_split(line, f, PASSWD_FIELDS) != PASSWD_FIELDS || !span_equal(f[0], name))
		return false;
	if (!db_parse_id(f[2], &user->uid) || !db_parse_id(f[3], &user->gid))
		return false;
	user->name = xstrdup(name);
	user->home = xstrndup(f[5].at, f[5].len);
	return true;
}

/* Whether the group's line lists the name; out_gid is set then. */
static bool group_match(struct span line, const char *name, uint32_t *out_gid)
{
	struct span f[GROUP_FIELDS], member;

	if (db_split(line, f, GROUP_FIELDS) != GROUP_FIELDS)
		return false;
	while (span_next(&f[3], ",", &member)) {
		if (span_equal(member, name))
			return db_parse_id(f[2], out_gid);
	}
	return false;
}

static bool group_is(struct span line, const char *name, uint32_t *out_gid)
{
	struct span f[GROUP_FIELDS];

	return db_split(line, f, GROUP_FIELDS) == GROUP_FIELDS && span_equal(f[0], name) &&
	       db_parse_id(f[2], out_gid);
}

/* A shortage passes, so whoever asked may try again; anything else is the guest's fault. */
static int passwd_refuse(const char *path, int error, struct err *e)
{
	enum err_kind kind = err_kind_of_errno(error);

	return err_set(e, kind == ERR_LIMIT ? kind : ERR_INTERNAL, "open %s: %s", path,
	               errno_text(error));
}

static int passwd_find(const char *path, struct line *line, const char *name, struct user *user,
                       struct err *e)
{
	CLEANUP(fclosep) FILE *f = db_open(path);
	struct span s;

	if (!f)
		return passwd_refuse(path, errno, e);
	while (db_next(f, line, &s)) {
		if (passwd_match(s, name, user))
			return 0;
	}
	return err_set(e, ERR_NOT_FOUND, "user: unknown user %s", name);
}

static void groups_add(struct user *user, gid_t gid)
{
	if (user->n_groups == USER_GROUPS_MAX)
		return;
	if ((user->n_groups & (user->n_groups - 1)) == 0) /* doubles at each power of two */
		user->groups = xrealloc(user->groups, MAX(user->n_groups * 2, 4u) * sizeof(gid_t));
	user->groups[user->n_groups++] = gid;
}

static void groups_find(const char *path, struct line *line, struct user *user)
{
	CLEANUP(fclosep) FILE *f = db_open(path);
	struct span s;
	uint32_t gid;

	groups_add(user, user->gid);
	if (!f) {
		user->groups_error = errno;
		return;
	}
	while (db_next(f, line, &s)) {
		if (group_match(s, user->name, &gid) && gid != user->gid)
			groups_add(user, gid);
	}
}

int user_find(const struct user_db *db, const char *name, struct user *out_user, struct err *e)
{
	CLEANUP(line_deinit) struct line line = { 0 };
	struct user user = { 0 };

	if (passwd_find(db->passwd, &line, name, &user, e) < 0)
		return -1;
	groups_find(db->group, &line, &user);
	*out_user = user;
	return 0;
}

/* Both files have the name first and the id third. */
static char *name_of(const char *path, size_t n_fields, uint32_t id)
{
	CLEANUP(line_deinit) struct line line = { 0 };
	CLEANUP(fclosep) FILE *f = db_open(path);
	struct span s, fields[PASSWD_FIELDS];
	char decimal[sizeof "4294967295"];
	uint32_t found;

	while (f && db_next(f, &line, &s)) {
		if (db_split(s, fields, n_fields) == n_fields && db_parse_id(fields[2], &found) &&
		    found == id)
			return xstrndup(fields[0].at, fields[0].len);
	}
	(void)snprintf(decimal, sizeof decimal, "%u", id);
	return xstrdup(decimal);
}

char *user_name_of(const struct user_db *db, uint32_t uid)
{
	return name_of(db->passwd, PASSWD_FIELDS, uid);
}

char *user_group_name_of(const struct user_db *db, uint32_t gid)
{
	return name_of(db->group, GROUP_FIELDS, gid);
}

int user_find_group(const struct user_db *db, const char *name, gid_t *out_gid)
{
	CLEANUP(line_deinit) struct line line = { 0 };
	CLEANUP(fclosep) FILE *f = db_open(db->group);
	struct span s;

	if (!f)
		return -errno;
	while (db_next(f, &line, &s)) {
		if (group_is(s, name, out_gid))
			return 0;
	}
	return -ENOENT;
}

void user_deinit(struct user *user)
{
	free(user->name);
	free(user->home);
	free(user->groups);
	*user = (struct user){ 0 };
}
