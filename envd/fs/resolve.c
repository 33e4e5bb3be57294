#include "fs/resolve.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

struct walk {
	struct buf rest; /* what is still to be followed */
	size_t at;       /* in rest */
	struct buf done; /* free of links; "" is the root; NUL behind it */
	unsigned n_links;
};

static bool is_at_end(const struct walk *w)
{
	return w->at == w->rest.len;
}

/* False when nothing but slashes is left. */
static bool next_part(struct walk *w, struct span *out_part)
{
	const char *rest = (const char *)w->rest.data;
	size_t start;

	while (!is_at_end(w) && rest[w->at] == '/')
		w->at++;
	for (start = w->at; !is_at_end(w) && rest[w->at] != '/'; w->at++)
		;
	*out_part = (struct span){ rest + start, w->at - start };
	return out_part->len > 0;
}

static void drop_last(struct walk *w)
{
	const uint8_t *slash = w->done.len ? memrchr(w->done.data, '/', w->done.len) : NULL;

	buf_truncate(&w->done, slash ? (size_t)(slash - w->done.data) : 0);
}

static int check(const struct buf *b)
{
	return b->error == -ENOBUFS ? -ENAMETOOLONG : b->error;
}

/* "" when it has not all fit. */
static const char *done_text(struct walk *w)
{
	buf_append_byte(&w->done, '\0');
	if (buf_error(&w->done))
		return "";
	buf_truncate(&w->done, w->done.len - 1);
	return (const char *)w->done.data;
}

/* What the link at the end of done says, before what comes behind it. */
static int follow_link(struct walk *w)
{
	struct buf rest;
	char text[PATH_MAX];
	ssize_t len;

	if (++w->n_links > RESOLVE_LINKS_MAX)
		return -ELOOP;
	len = readlink((const char *)w->done.data, text, sizeof text);
	if (len < 0)
		return -errno;
	buf_init(&rest, RESOLVE_PATH_MAX);
	buf_append(&rest, text, (size_t)len);
	buf_append(&rest, w->rest.data + w->at, w->rest.len - w->at);
	buf_deinit(&w->rest);
	w->rest = rest;
	w->at = 0;
	if (len > 0 && text[0] == '/')
		buf_truncate(&w->done, 0);
	else
		drop_last(w);
	return check(&w->rest);
}

static int follow_part(struct walk *w, struct span part)
{
	struct stat st;

	if (span_equal(part, "."))
		return 0;
	if (span_equal(part, "..")) {
		drop_last(w);
		return 0;
	}
	buf_append_byte(&w->done, '/');
	buf_append(&w->done, part.at, part.len);
	if (lstat(done_text(w), &st) < 0)
		return buf_error(&w->done) ? check(&w->done) : -errno;
	if (S_ISLNK(st.st_mode))
		return follow_link(w);
	return S_ISDIR(st.st_mode) || is_at_end(w) ? 0 : -ENOTDIR;
}

int resolve_path(const char *path, char **out_path)
{
	struct walk w = { 0 };
	struct span part;
	const char *text;
	int rc;

	buf_init(&w.rest, RESOLVE_PATH_MAX);
	buf_init(&w.done, RESOLVE_PATH_MAX);
	buf_append_text(&w.rest, path);
	rc = check(&w.rest);
	while (rc == 0 && next_part(&w, &part))
		rc = follow_part(&w, part);
	text = done_text(&w);
	if (rc == 0)
		rc = check(&w.done);
	*out_path = xstrdup(text[0] ? text : "/");
	buf_deinit(&w.rest);
	buf_deinit(&w.done);
	return rc;
}
