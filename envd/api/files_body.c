#include "api/files_body.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "fs/metadata.h"
#include "fs/upload.h"
#include "http/accept.h"
#include "http/disposition.h"
#include "http/gunzip.h"
#include "http/limits.h"
#include "http/multipart.h"

#define METADATA_FIELD "x-metadata-"

/* Bytes of what is kept of the head: all of it at the most, with each text rounded up. */
#define HEAD_MAX (2u * HTTP_HEADER_MAX)

/* Bytes to read a part's disposition, and the metadata of one file, whose values have no other limit:
 * what exceeds it is not shown. */
#define PART_MEMORY_MAX (4u * MULTIPART_HEADER_MAX)
#define SHOWN_MAX       (1024u * 1024u)

/* Bytes for the paths of the files of one request, beside the answer that names them. */
#define PATHS_MAX FILES_BODY_ANSWER_MAX

/* What the body is, from Content-Type; unknown until it is opened. */
enum files_form { FORM_UNKNOWN, FORM_RAW, FORM_PARTS };

/* What has been written: to tell whether a path comes twice, and what else there is. */
struct written {
	char **paths; /* in their order */
	size_t n, size;
	size_t bytes;
	void *by_name; /* tsearch's */
};

struct files_body {
	/* The head. */
	struct files_request request;
	struct arena head;
	struct span content_type; /* as sent */
	enum http_coding coding;
	struct metadata_pair *sent; /* as they were sent, with repetitions */
	size_t n_sent;
	int64_t announced;
	bool is_out_of_memory;
	/* Once opened. */
	enum files_form form;
	struct metadata metadata;
	char *path; /* of FORM_RAW, resolved, until it is open */
	struct gunzip *gunzip;
	struct multipart multipart;
	struct upload upload; /* of the open file, or none */
	struct written written;
	struct buf answer;
};

/* ---- the head ---- */

static struct span copy(struct files_body *b, struct span s)
{
	char *text = arena_strndup(&b->head, s.at, s.len);

	b->is_out_of_memory = b->is_out_of_memory || !text;
	return (struct span){ text, text ? s.len : 0 };
}

static bool is_metadata(const struct http_field *field)
{
	const size_t len = strlen(METADATA_FIELD);

	return field->name.len > len && memcmp(field->name.at, METADATA_FIELD, len) == 0;
}

static void take_metadata(struct files_body *b, const struct http_request *request)
{
	const size_t prefix = strlen(METADATA_FIELD);
	size_t n = 0;

	for (size_t i = 0; i < request->n_fields; i++)
		n += is_metadata(&request->fields[i]);
	if (n == 0)
		return;
	b->sent = arena_alloc(&b->head, n * sizeof *b->sent);
	b->is_out_of_memory = b->is_out_of_memory || !b->sent;
	for (size_t i = 0; b->sent && i < request->n_fields; i++) {
		const struct http_field *field = &request->fields[i];

		if (!is_metadata(field))
			continue;
		b->sent[b->n_sent++] = (struct metadata_pair){
			copy(b, (struct span){ field->name.at + prefix, field->name.len - prefix })
				.at,
			copy(b, field->value).at,
		};
	}
}

struct files_body *files_body_new(struct files_request *request, const struct exchange *x)
{
	const struct http_field *type = exchange_field(x, "content-type");
	const struct http_field *coding = exchange_field(x, "content-encoding");
	struct files_body *b = xcalloc(1, sizeof *b);

	b->request = *request;
	*request = (struct files_request){ 0 };
	arena_init(&b->head, HEAD_MAX, NULL, 0);
	b->upload = UPLOAD_NONE;
	b->content_type = type ? copy(b, type->value) : SPAN("");
	b->coding = content_coding_parse(coding ? coding->value : SPAN(""));
	b->announced = x->request.content_length;
	take_metadata(b, &x->request);
	buf_init(&b->answer, FILES_BODY_ANSWER_MAX);
	if (b->is_out_of_memory) {
		files_body_free(b);
		return NULL;
	}
	return b;
}

static void keep_node(void *node)
{
	UNUSED(node);
}

void files_body_free(struct files_body *b)
{
	if (!b)
		return;
	upload_deinit(&b->upload);
	if (b->form == FORM_PARTS)
		multipart_deinit(&b->multipart);
	free(b->path);
	gunzip_free(b->gunzip);
	tdestroy(b->written.by_name, keep_node);
	for (size_t i = 0; i < b->written.n; i++)
		free(b->written.paths[i]);
	free(b->written.paths);
	buf_deinit(&b->answer);
	arena_deinit(&b->head);
	files_request_deinit(&b->request);
	free(b);
}

/* ---- opening ---- */

/* The first of those with one name counts. */
static int check_metadata(struct files_body *b, struct err *e)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n_sent; i++) {
		size_t same = 0;

		while (same < n && strcmp(b->sent[same].key, b->sent[i].key) != 0)
			same++;
		if (same == n)
			b->sent[n++] = b->sent[i];
	}
	b->metadata = (struct metadata){ b->sent, n };
	return metadata_check(&b->metadata, e) == 0 ? 0 : err_wrap(e, "invalid metadata");
}

/* In front of the parameters; these may be broken where they are not needed. */
static struct span media_type(struct span content_type)
{
	const char *end = memchr(content_type.at, ';', content_type.len);

	if (end)
		content_type.len = (size_t)(end - content_type.at);
	return span_trim(content_type);
}

static bool begins_nocase(struct span s, const char *beginning)
{
	size_t len = strlen(beginning);

	return s.len >= len && span_equal_nocase((struct span){ s.at, len }, beginning);
}

static int open_form(struct files_body *b, struct err *e)
{
	struct disposition d;
	struct span boundary;
	const char *error = disposition_parse(&d, b->content_type, &b->head);

	if (error ||
	    (!span_equal(d.type, "multipart/form-data") && !span_equal(d.type, "multipart/mixed")))
		return err_set(e, ERR_INTERNAL,
		               "error parsing multipart form: request Content-Type isn't "
		               "multipart/form-data");
	if (!disposition_find(&d, "boundary", &boundary))
		return err_set(e, ERR_INTERNAL,
		               "error parsing multipart form: no multipart boundary param in "
		               "Content-Type");
	if (multipart_init(&b->multipart, boundary, e) < 0) {
		e->kind = ERR_INTERNAL;
		return err_wrap(e, "error reading form");
	}
	b->form = FORM_PARTS;
	return 0;
}

static int resolve(struct files_body *b, const char *path, char **out_path, struct err *e)
{
	if (requester_path(&b->request.requester, path, out_path, e) == 0)
		return 0;
	return err_wrap(e, "error resolving path");
}

static int open_file(struct files_body *b, const char *path, struct err *e)
{
	const struct user *user = &b->request.requester.user;

	return upload_open(&b->upload, path, user->uid, user->gid, b->announced, e);
}

/* As soon as the body is known to be what it says: no file is emptied for one that is not gzip. */
static int open_raw_file(struct files_body *b, struct err *e)
{
	CLEANUP(freep) char *path = NULL;

	if (!b->path || (b->gunzip && !gunzip_has_begun(b->gunzip)))
		return 0;
	path = TAKE_PTR(b->path);
	return open_file(b, path, e);
}

static int open_raw(struct files_body *b, struct err *e)
{
	if (!b->request.path)
		return err_set(e, ERR_INVALID,
		               "path query parameter is required for raw body upload");
	if (resolve(b, b->request.path, &b->path, e) < 0)
		return -1;
	b->form = FORM_RAW;
	return open_raw_file(b, e);
}

static int open_coding(struct files_body *b, struct err *e)
{
	if (b->coding != CODING_GZIP)
		return 0;
	b->gunzip = gunzip_new();
	return b->gunzip ? 0 : err_set(e, ERR_INTERNAL, "out of memory");
}

int files_body_open(struct files_body *b, struct err *e)
{
	struct span type = media_type(b->content_type);

	if (files_find_user(&b->request.requester, e) < 0) {
		e->kind = ERR_UNAUTHENTICATED;
		return -1;
	}
	if (check_metadata(b, e) < 0 || open_coding(b, e) < 0)
		return -1;
	if (span_equal_nocase(type, "application/octet-stream"))
		return open_raw(b, e);
	if (begins_nocase(type, "multipart/"))
		return open_form(b, e);
	return err_set(e, ERR_INVALID,
	               "unsupported content type: %.*s, expected multipart/form-data or "
	               "application/octet-stream",
	               (int)b->content_type.len, b->content_type.at);
}

/* ---- what has been written ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Which others there are, if there is more than one. */
static int refuse_again(const struct written *w, const char *path, struct err *e)
{
	CLEANUP(buf_deinit) struct buf others = { 0 };
	size_t n = 0;

	buf_init(&others, ERR_TEXT_MAX);
	for (size_t i = 0; i < w->n; i++) {
		if (strcmp(w->paths[i], path) == 0)
			continue;
		if (n++ > 0)
			buf_append_text(&others, ", ");
		buf_append_text(&others, w->paths[i]);
	}
	return err_set(e, ERR_INVALID,
	               "you cannot upload multiple files to the same path '%s' in one upload "
	               "request, only the first specified file was uploaded%s%.*s",
	               path, n > 1 ? ", also the following files were uploaded: " : "",
	               n > 1 ? (int)others.len : 0, others.data ? (const char *)others.data : "");
}

static bool written_has(const struct written *w, const char *path)
{
	return tfind(path, &w->by_name, by_name);
}

static int refuse_many(struct err *e)
{
	return err_set(e, ERR_INVALID, "too many files in one upload request");
}

static int written_add(struct written *w, const char *path, struct err *e)
{
	size_t size = strlen(path) + 1;
	char *taken;

	if (size > PATHS_MAX - w->bytes)
		return refuse_many(e);
	if (w->n == w->size) {
		size_t more = MAX(2 * w->size, 1u);
		char **paths = try_realloc(w->paths, more * sizeof *paths);

		if (!paths)
			return refuse_many(e);
		w->paths = paths;
		w->size = more;
	}
	taken = xstrdup(path);
	w->bytes += size;
	w->paths[w->n++] = taken;
	return tsearch(taken, &w->by_name, by_name) ? 0 : refuse_many(e);
}

/* ---- the answer ---- */

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct metadata_pair *)a)->key,
	              ((const struct metadata_pair *)b)->key);
}

static void append_text(struct buf *b, const char *name, const char *text)
{
	buf_append_byte(b, '"');
	json_append_string(b, name, strlen(name), true);
	buf_append_text(b, "\":\"");
	json_append_string(b, text, strlen(text), true);
	buf_append_byte(b, '"');
}

/* What the disk says; nothing if there is none. */
static void append_metadata(struct buf *b, const char *path)
{
	CLEANUP(arena_deinit) struct arena memory;
	struct metadata m;
	struct metadata_pair *sorted;

	arena_init(&memory, SHOWN_MAX, NULL, 0);
	m = metadata_read(path, &memory);
	sorted = m.n > 0 ? arena_alloc(&memory, m.n * sizeof *sorted) : NULL;
	if (!sorted)
		return;
	memcpy(sorted, m.pairs, m.n * sizeof *sorted);
	qsort(sorted, m.n, sizeof *sorted, by_key);
	buf_append_text(b, "\"metadata\":{");
	for (size_t i = 0; i < m.n; i++) {
		if (i > 0)
			buf_append_byte(b, ',');
		append_text(b, sorted[i].key, sorted[i].value);
	}
	buf_append_text(b, "},");
}

static void append_file(struct files_body *b, const char *path)
{
	const char *slash = strrchr(path, '/');

	buf_append_byte(&b->answer, b->answer.len == 0 ? '[' : ',');
	buf_append_byte(&b->answer, '{');
	if (b->metadata.n > 0)
		append_metadata(&b->answer, path);
	append_text(&b->answer, "name", slash ? slash + 1 : path);
	buf_append_byte(&b->answer, ',');
	append_text(&b->answer, "path", path);
	buf_append_text(&b->answer, ",\"type\":\"file\"}");
}

static int finish_file(struct files_body *b, struct err *e)
{
	CLEANUP(freep) char *path = xstrdup(b->upload.path);

	if (upload_finish(&b->upload, &b->metadata, e) < 0)
		return -1;
	append_file(b, path);
	if (buf_error(&b->answer))
		return refuse_many(e);
	return b->form == FORM_PARTS ? written_add(&b->written, path, e) : 0;
}

/* ---- the parts of a form ---- */

static int refuse_name(struct err *e, const char *why)
{
	return err_set(e, ERR_INVALID, "error getting multipart custom part file name: %s", why);
}

/* The file that the part is, as the client names it; NULL in *out_name: it is another field. */
static int part_name(struct files_body *b, struct arena *memory, char **out_name, struct err *e)
{
	struct disposition d;
	struct span field, name;
	const char *error;

	*out_name = NULL;
	if (!multipart_field(&b->multipart, "content-disposition", &field))
		return 0;
	error = disposition_parse(&d, field, memory);
	if (error)
		return refuse_name(e, error);
	if (!span_equal(d.type, "form-data") || !disposition_find(&d, "name", &name) ||
	    !span_equal(name, "file"))
		return 0;
	if (b->request.path) {
		*out_name = xstrdup(b->request.path);
		return 0;
	}
	if (!disposition_find(&d, "filename", &name))
		return refuse_name(e, "filename not found in Content-Disposition header");
	if (name.len > 0 && memchr(name.at, '\0', name.len))
		return refuse_name(e, "it contains a NUL byte");
	*out_name = xstrndup(name.at, name.len);
	return 0;
}

static int begin_part(struct files_body *b, struct err *e)
{
	CLEANUP(arena_deinit) struct arena memory;
	CLEANUP(freep) char *name = NULL;
	CLEANUP(freep) char *path = NULL;

	arena_init(&memory, PART_MEMORY_MAX, NULL, 0);
	if (part_name(b, &memory, &name, e) < 0)
		return -1;
	if (!name)
		return 0;
	if (resolve(b, name, &path, e) < 0)
		return -1;
	if (written_has(&b->written, path))
		return refuse_again(&b->written, path, e);
	return open_file(b, path, e);
}

static bool has_file(const struct files_body *b)
{
	return b->upload.fd >= 0;
}

static int refuse_form(struct err *e)
{
	e->kind = ERR_INTERNAL;
	return err_wrap(e, "error reading form");
}

static int write_parts(struct files_body *b, struct span input, struct err *e)
{
	struct span piece;
	int rc = 0;

	while (rc == 0) {
		switch (multipart_next(&b->multipart, &input, &piece, e)) {
		case MULTIPART_HUNGRY:
			return 0;
		case MULTIPART_PART_BEGIN:
			rc = begin_part(b, e);
			break;
		case MULTIPART_PART_DATA:
			if (has_file(b))
				rc = upload_write(&b->upload, piece.at, piece.len, e);
			break;
		case MULTIPART_PART_END:
			if (has_file(b))
				rc = finish_file(b, e);
			break;
		case MULTIPART_FAILED:
			return refuse_form(e);
		}
	}
	return rc;
}

/* ---- the body ---- */

static int write_decoded(struct files_body *b, struct span input, struct err *e)
{
	if (b->form == FORM_RAW)
		return upload_write(&b->upload, input.at, input.len, e);
	return write_parts(b, input, e);
}

/* The decoded body ends too early, or cannot be decoded: e->text or why. */
static int refuse_input(const struct files_body *b, const char *why, struct err *e)
{
	if (b->gunzip && !gunzip_has_begun(b->gunzip))
		return err_set(e, ERR_INVALID,
		               "error decompressing request body: failed to create gzip reader: %s",
		               why);
	if (b->form == FORM_RAW || has_file(b))
		return err_set(e, ERR_INTERNAL, "error writing file: %s", why);
	return err_set(e, ERR_INTERNAL, "error reading form: multipart: NextPart: %s", why);
}

static int refuse_gzip(const struct files_body *b, struct err *e)
{
	CLEANUP(err_clear) struct err why = { 0 };

	err_move(&why, e);
	return refuse_input(b, err_text(&why), e);
}

static int write_inflated(struct files_body *b, struct span *input, struct err *e)
{
	char piece[FILES_BODY_PIECE];
	size_t total = 0;

	while (total < FILES_BODY_TURN_MAX) {
		ptrdiff_t n = gunzip_next(b->gunzip, input, piece, sizeof piece, e);

		if (n < 0)
			return refuse_gzip(b, e);
		if (open_raw_file(b, e) < 0)
			return -1;
		if (n == 0)
			return 0;
		if (write_decoded(b, (struct span){ piece, (size_t)n }, e) < 0)
			return -1;
		total += (size_t)n;
	}
	return 1;
}

int files_body_write(struct files_body *b, struct span *input, struct err *e)
{
	int rc;

	if (b->gunzip)
		return write_inflated(b, input, e);
	rc = input->len > 0 ? write_decoded(b, *input, e) : 0;
	input->len = 0;
	return rc;
}

static int close_coding(const struct files_body *b, const char **cut, struct err *e)
{
	if (!b->gunzip || *cut)
		return 0;
	if (gunzip_end(b->gunzip, e) == 0)
		return 0;
	*cut = "unexpected EOF";
	return gunzip_has_begun(b->gunzip) ? 0 : refuse_gzip(b, e);
}

static int close_form(struct files_body *b, const char *cut, struct err *e)
{
	switch (multipart_end(&b->multipart)) {
	case MULTIPART_COMPLETE:
		return 0;
	case MULTIPART_CUT_HEADER:
		return err_set(e, ERR_INVALID, "error reading form: %s",
		               cut ? cut : "unexpected EOF");
	default:
		return refuse_input(b, cut ? cut : has_file(b) ? "unexpected EOF" : "EOF", e);
	}
}

int files_body_close(struct files_body *b, const char *cut, struct err *e)
{
	if (close_coding(b, &cut, e) < 0)
		return -1;
	if (b->form == FORM_RAW && cut)
		return refuse_input(b, cut, e);
	if ((b->form == FORM_RAW ? finish_file(b, e) : close_form(b, cut, e)) < 0)
		return -1;
	if (b->answer.len == 0)
		buf_append_byte(&b->answer, '[');
	buf_append_byte(&b->answer, ']');
	return buf_error(&b->answer) ? refuse_many(e) : 0;
}

struct span files_body_answer(const struct files_body *b)
{
	return (struct span){ (const char *)b->answer.data, b->answer.len };
}
