#include "api/files_answer.h"

#include <string.h>

#include "base/buf.h"
#include "http/conditional.h"
#include "http/disposition.h"
#include "http/media_type.h"

/* The first of that name; empty without one. */
static struct span field_value(const struct exchange *x, const char *name)
{
	const struct http_field *field = exchange_field(x, name);

	return field ? field->value : SPAN("");
}

bool files_answer_is_conditional(const struct exchange *x)
{
	static const char *const names[] = {
		"range",
		"if-modified-since",
		"if-none-match",
		"if-range",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (field_value(x, names[i]).len > 0)
			return true;
	return false;
}

static void put(struct files_answer *a, const char *name, struct span value)
{
	ASSERT(a->n_fields < FILES_ANSWER_FIELDS_MAX);
	a->fields[a->n_fields++] = (struct http_field){ span_of(name), value };
}

static void put_disposition(struct files_answer *a, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct buf b;

	buf_init_fixed(&b, a->disposition, sizeof a->disposition);
	buf_append_text(&b, "inline");
	disposition_append_param(&b, "filename", span_of(slash ? slash + 1 : path));
	put(a, "Content-Disposition", (struct span){ a->disposition, b.len });
}

/* A body of ours instead of the file's. */
static void say(struct files_answer *a, int status, struct span text)
{
	a->status = status;
	a->has_content = false;
	a->text = text;
	a->length = (int64_t)text.len;
}

static void compress(struct files_answer *a, const struct files_content *c)
{
	struct span type = media_type_of_name(span_of(c->asked_path));

	a->length = -1; /* nobody knows before it is done */
	put(a, "Content-Encoding", SPAN("gzip"));
	put(a, "Content-Type", type.at ? type : SPAN("application/octet-stream"));
}

/* ---- as Go's http.ServeContent ---- */

static enum condition_result check_conditions(const struct files_content *c, bool *out_keeps_range)
{
	const struct conditions conditions = {
		.if_match = field_value(c->x, "if-match"),
		.if_none_match = field_value(c->x, "if-none-match"),
		.if_modified_since = field_value(c->x, "if-modified-since"),
		.if_unmodified_since = field_value(c->x, "if-unmodified-since"),
		.if_range = field_value(c->x, "if-range"),
	};

	*out_keeps_range = condition_keeps_range(&conditions, c->modified);
	return condition_check(&conditions, c->modified);
}

/* Without Last-Modified, as Go's serveError has it. */
static void refuse_range(struct files_answer *a, const struct files_content *c, bool is_malformed)
{
	a->n_fields = 0;
	put_disposition(a, c->path);
	put(a, "Content-Type", SPAN("text/plain; charset=utf-8"));
	put(a, "X-Content-Type-Options", SPAN("nosniff"));
	if (!is_malformed)
		put(a, "Content-Range", content_range_format(NULL, c->size, a->content_range));
	say(a, 416,
	    is_malformed ? SPAN("invalid range\n") : SPAN("invalid range: failed to overlap\n"));
}

static void put_parts(struct files_answer *a, const struct files_content *c, struct span type)
{
	a->status = 206;
	if (a->parts.n == 1) {
		a->length = a->parts.list[0].len;
		put(a, "Content-Range",
		    content_range_format(&a->parts.list[0], c->size, a->content_range));
		put(a, "Content-Type", type);
		return;
	}
	a->together = (struct byteranges){
		.parts = a->parts.list,
		.n_parts = a->parts.n,
		.size = c->size,
		.type = type,
	};
	memcpy(a->together.boundary, c->boundary, sizeof a->together.boundary);
	a->length = byteranges_length(&a->together);
	put(a, "Content-Type", byteranges_content_type(&a->together, a->content_type));
}

/* Several parts of a file whose frames would make it longer than a length can say are ignored, as those
 * are that ask for more than the whole. */
static enum range_result choose_parts(struct files_answer *a, const struct files_content *c,
                                      struct span range)
{
	enum range_result result = range_parse(range, c->size, &a->parts);

	if (result != RANGE_PARTS || a->parts.n == 1 || c->size <= BYTERANGES_SIZE_MAX)
		return result;
	a->parts.n = 0;
	return RANGE_WHOLE;
}

static void serve(struct files_answer *a, const struct files_content *c, bool keeps_range)
{
	struct span type = media_type_of_name(span_of(c->asked_path));

	if (!type.at)
		type = media_type_of_content(c->beginning.at, c->beginning.len);
	if (c->size < 0) { /* whatever is asked for: it can only be read from its start */
		put(a, "Content-Type", type);
		return;
	}
	put(a, "Accept-Ranges", SPAN("bytes"));
	switch (choose_parts(a, c, keeps_range ? field_value(c->x, "range") : SPAN(""))) {
	case RANGE_WHOLE:
		put(a, "Content-Type", type);
		break;
	case RANGE_PARTS:
		put_parts(a, c, type);
		break;
	case RANGE_UNSATISFIABLE:
		refuse_range(a, c, false);
		break;
	case RANGE_INVALID:
		refuse_range(a, c, true);
		break;
	}
}

void files_answer_init(struct files_answer *a, const struct files_content *c)
{
	bool keeps_range;

	a->status = 200;
	a->n_fields = 0;
	a->has_content = true;
	a->parts.n = 0;
	a->length = c->size;
	a->modified = (struct date){ 0 };
	put_disposition(a, c->path);
	if (c->coding == CODING_GZIP) {
		compress(a, c);
		return;
	}
	if (c->modified != 0)
		put(a, "Last-Modified", date_at(&a->modified, c->modified));
	switch (check_conditions(c, &keeps_range)) {
	case CONDITION_NOT_MODIFIED:
		say(a, 304, SPAN(""));
		break;
	case CONDITION_FAILED:
		say(a, 412, SPAN(""));
		break;
	case CONDITION_SERVE:
		serve(a, c, keeps_range);
		break;
	}
}
