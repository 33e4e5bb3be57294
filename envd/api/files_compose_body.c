#include "api/files_compose_body.h"

#include <errno.h>
#include <string.h>

#include "fs/compose.h"

static int refuse_type(const char *name, struct err *e)
{
	return err_set(e, ERR_INVALID, "invalid request body: json: %s has the wrong type", name);
}

/* No name of a file or a user holds a NUL, and its first part must not be taken for it. */
static int check_text(const struct json *value, const char *name, struct err *e)
{
	const struct span text = json_string(value);

	if (json_type(value) != JSON_STRING && json_type(value) != JSON_NULL)
		return refuse_type(name, e);
	if (memchr(text.at, '\0', text.len))
		return err_set(e, ERR_INVALID, "%s contains a NUL byte", name);
	return 0;
}

/* ---- its members ---- */

static int read_sources(struct compose_body *b, const struct json *value, const char *name,
                        struct err *e)
{
	struct json_iter it;
	struct span none;

	if (json_type(value) != JSON_ARRAY && json_type(value) != JSON_NULL)
		return refuse_type(name, e);
	if (json_count(value) > COMPOSE_SOURCES_MAX)
		return err_set(e, ERR_INVALID, "%s has more than %u elements", name,
		               COMPOSE_SOURCES_MAX);
	for (const struct json *v = json_first(&it, value, &none); v; v = json_next(&it, &none))
		if (check_text(v, name, e) < 0)
			return -1;
	b->sources = value;
	return 0;
}

static int read_destination(struct compose_body *b, const struct json *value, const char *name,
                            struct err *e)
{
	if (check_text(value, name, e) < 0)
		return -1;
	if (json_type(value) == JSON_STRING)
		b->destination = json_string(value).at;
	return 0;
}

static int read_username(struct compose_body *b, const struct json *value, const char *name,
                         struct err *e)
{
	if (check_text(value, name, e) < 0)
		return -1;
	b->username = json_type(value) == JSON_STRING ? json_string(value).at : NULL;
	return 0;
}

static const struct {
	const char *name;
	int (*read)(struct compose_body *b, const struct json *value, const char *name,
	            struct err *e);
} members[] = {
	{ "source_paths", read_sources },
	{ "destination", read_destination },
	{ "username", read_username },
};

static int read_member(struct compose_body *b, struct span key, const struct json *value,
                       struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (span_equal_nocase(key, members[i].name))
			return members[i].read(b, value, members[i].name, e);
	return 0;
}

static int read_members(struct compose_body *b, struct err *e)
{
	struct json_iter it;
	struct span key;

	if (json_type(b->doc.root) != JSON_OBJECT && json_type(b->doc.root) != JSON_NULL)
		return refuse_type("it", e);
	for (const struct json *v = json_first(&it, b->doc.root, &key); v; v = json_next(&it, &key))
		if (read_member(b, key, v, e) < 0)
			return -1;
	return 0;
}

/* ---- all of it ---- */

static int refuse_text(const struct compose_body *b, int error, struct err *e)
{
	switch (error) {
	case ENOMEM:
		return err_set(e, ERR_UNAVAILABLE, "out of memory");
	case ENOBUFS:
		return err_set(e, ERR_INVALID, "invalid request body: too many values");
	default:
		return err_set(e, ERR_INVALID, "invalid request body: %s at byte %zu", b->doc.error,
		               b->doc.error_at);
	}
}

static bool is_blank(const char *text, size_t len)
{
	while (len > 0 && memchr(" \t\r\n", text[len - 1], 4))
		len--;
	return len == 0;
}

int compose_body_parse(struct compose_body *b, char *text, size_t len, struct err *e)
{
	int rc;

	json_init(&b->doc);
	b->sources = NULL;
	b->destination = "";
	b->username = NULL;
	if (is_blank(text, len))
		return err_set(e, ERR_INVALID, "invalid request body: EOF");
	rc = json_parse(&b->doc, text, len, JSON_REPAIR | JSON_FIRST);
	if (rc < 0)
		return refuse_text(b, -rc, e);
	if (read_members(b, e) < 0)
		return -1;
	if (!b->sources || json_count(b->sources) == 0)
		return err_set(e, ERR_INVALID, "source_paths must not be empty");
	if (b->destination[0] == '\0')
		return err_set(e, ERR_INVALID, "destination is required");
	return 0;
}

void compose_body_deinit(struct compose_body *b)
{
	json_deinit(&b->doc);
}
