#include "api/files_body.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "http/coding.h"
#include "rpc/fake_exchange.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test.h"

#define RAW   "content-type: application/octet-stream\n"
#define FORM  "content-type: multipart/form-data; boundary=B\n"
#define GZIP  "content-encoding: gzip\n"
#define PART  "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"%s\"\r\n\r\n"
#define LAST  "\r\n--B--\r\n"
#define NAMES "error getting multipart custom part file name: "

/* One request: what it says, and what came of it. */
struct scene {
	char *dir;
	const char *fields;
	const char *path; /* of the query, below dir; NULL: absent */
	const char *user;
	struct buf body;
	const char *cut;
	/* The result. */
	int rc;
	struct err e;
	char *answer;
};

static int setup(void **state)
{
	struct scene *s = xcalloc(1, sizeof *s);

	s->dir = temp_dir_new();
	s->fields = FORM;
	buf_init(&s->body, 1u << 20);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;

	temp_dir_free(s->dir);
	buf_deinit(&s->body);
	err_clear(&s->e);
	free(s->answer);
	free(s);
	return 0;
}

static struct files_body *scene_body(struct scene *s, struct fake_exchange *f)
{
	const struct api api = { .defaults.user = (char[]){ "root" } };
	struct files_request request = { 0 };
	struct files_body *b;

	assert_int_equal(files_name_user(&request.requester, &api.defaults, s->user, &s->e), 0);
	if (s->path)
		request.path = s->path[0] ? temp_dir_path(s->dir, s->path) : xstrdup("");
	f->x.request.content_length = (int64_t)s->body.len;
	b = files_body_new(&request, &f->x);
	assert_null(request.path);
	assert_non_null(b);
	return b;
}

/* As jobs do it, with so much input at a time. */
static int run_slices(struct scene *s, struct files_body *b, size_t slice)
{
	struct span rest = { (const char *)s->body.data, s->body.len };

	if (files_body_open(b, &s->e) < 0)
		return -1;
	while (rest.len > 0) {
		struct span input = { rest.at, MIN(slice, rest.len) };
		int rc;

		rest.at += input.len;
		rest.len -= input.len;
		while ((rc = files_body_write(b, &input, &s->e)) > 0)
			;
		if (rc < 0)
			return -1;
		assert_int_equal(input.len, 0);
	}
	return files_body_close(b, s->cut, &s->e);
}

static void run(struct scene *s, size_t slice)
{
	struct fake_exchange *f = fake_new(HTTP_1_1, "POST", s->fields);
	struct exchange *x = &f->x;
	struct files_body *b = scene_body(s, f);
	struct span answer;

	err_clear(&s->e);
	free(TAKE_PTR(s->answer));
	s->rc = run_slices(s, b, slice);
	if (s->rc == 0) {
		answer = files_body_answer(b);
		s->answer = xstrndup(answer.at, answer.len);
	}
	files_body_free(b);
	exchange_own(x, &(const struct exchange_ops){ 0 }, NULL);
	exchange_abort(&x);
	fake_free(f);
}

/* The texts have @ where the directory's path is. */
static char *with_dir(const struct scene *s, const char *text)
{
	struct buf b;

	buf_init(&b, 65536);
	for (; *text; text++) {
		if (*text == '@')
			buf_append_text(&b, s->dir);
		else
			buf_append_byte(&b, (uint8_t)*text);
	}
	buf_append_byte(&b, '\0');
	return (char *)b.data;
}

static void say(struct scene *s, const char *text)
{
	CLEANUP(freep) char *full = with_dir(s, text);

	buf_append_text(&s->body, full);
}

static void check_answer(struct scene *s, const char *answer)
{
	CLEANUP(freep) char *expected = with_dir(s, answer);
	static const size_t slices[] = { SIZE_MAX, 1, 7 };

	for (size_t i = 0; i < ARRAY_SIZE(slices); i++) {
		run(s, slices[i]);
		if (s->rc < 0)
			fail_msg("%s", err_text(&s->e));
		assert_string_equal(s->answer, expected);
	}
}

static void check_refused(struct scene *s, enum err_kind kind, const char *text)
{
	CLEANUP(freep) char *expected = with_dir(s, text);

	run(s, SIZE_MAX);
	assert_int_equal(s->rc, -1);
	assert_string_equal(err_text(&s->e), expected);
	assert_int_equal(s->e.kind, kind);
}

static void check_file(const struct scene *s, const char *name, const char *text)
{
	CLEANUP(freep) char *path = temp_dir_path(s->dir, name);
	FILE *file = fopen(path, "re");
	char got[4096] = "";

	if (!text) {
		assert_null(file);
		return;
	}
	assert_non_null(file);
	got[fread(got, 1, sizeof got - 1, file)] = '\0';
	(void)fclose(file);
	assert_string_equal(got, text);
}

static void check_size(const struct scene *s, const char *name, size_t size)
{
	CLEANUP(freep) char *path = temp_dir_path(s->dir, name);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, size);
}

/* ---- one file ---- */

static void test_body_raw_is_one_file(void **state)
{
	struct scene *s = *state;

	s->fields = "content-type: Application/Octet-Stream ; broken\n";
	s->path = "a/<b>.txt";
	say(s, "hello");
	check_answer(s, "[{\"name\":\"\\u003cb\\u003e.txt\",\"path\":\"@/a/\\u003cb\\u003e.txt\","
	                "\"type\":\"file\"}]");
	check_file(s, "a/<b>.txt", "hello");
}

static void test_body_empty_raw_is_an_empty_file(void **state)
{
	struct scene *s = *state;

	s->fields = RAW;
	s->path = "empty";
	check_answer(s, "[{\"name\":\"empty\",\"path\":\"@/empty\",\"type\":\"file\"}]");
	check_file(s, "empty", "");
}

static void test_body_raw_needs_a_path(void **state)
{
	struct scene *s = *state;

	s->fields = RAW;
	check_refused(s, ERR_INVALID, "path query parameter is required for raw body upload");
	s->path = "";
	check_refused(s, ERR_INVALID, "path is a directory: /root");
}

static void test_body_raw_that_is_cut_stays_as_far_as_it_came(void **state)
{
	struct scene *s = *state;
	char text[8192];

	s->fields = RAW;
	s->path = "f";
	memset(text, 'x', sizeof text);
	buf_append(&s->body, text, sizeof text);
	s->cut = "unexpected EOF";
	check_refused(s, ERR_INTERNAL, "error writing file: unexpected EOF");
	check_size(s, "f", sizeof text);
}

/* ---- what is refused before the body ---- */

static void test_body_unknown_user_is_told_first(void **state)
{
	struct scene *s = *state;

	s->user = "no-such";
	s->fields = "content-type: text/plain\nx-metadata-\xff: x\n";
	check_refused(s, ERR_UNAUTHENTICATED,
	              "error looking up user 'no-such': user: unknown user no-such");
}

static void test_body_other_content_types_are_refused(void **state)
{
	struct scene *s = *state;

	s->fields = "content-type: text/plain\n";
	check_refused(s, ERR_INVALID,
	              "unsupported content type: text/plain, expected multipart/form-data or "
	              "application/octet-stream");
	s->fields = "";
	check_refused(s, ERR_INVALID,
	              "unsupported content type: , expected multipart/form-data or "
	              "application/octet-stream");
	s->fields = "content-type: multipart/related; boundary=B\n";
	check_refused(s, ERR_INTERNAL,
	              "error parsing multipart form: request Content-Type isn't "
	              "multipart/form-data");
	s->fields = "content-type: multipart/form-data\n";
	check_refused(s, ERR_INTERNAL,
	              "error parsing multipart form: no multipart boundary param in "
	              "Content-Type");
	s->fields = "content-type: multipart/form-data; boundary=\"\"\n";
	check_refused(s, ERR_INTERNAL, "error reading form: multipart: boundary is empty");
}

static void test_body_metadata_is_checked_before_anything_is_written(void **state)
{
	struct scene *s = *state;

	s->fields = RAW "x-metadata-a: \xc3\xa4\n";
	s->path = "f";
	check_refused(s, ERR_INVALID,
	              "invalid metadata: metadata value for key \"a\" contains "
	              "non-printable-ASCII byte 0xc3 at offset 0");
	check_file(s, "f", NULL);
}

static void test_body_metadata_is_read_back_in_order(void **state)
{
	struct scene *s = *state;

	s->fields = RAW "x-metadata-owner: me\nx-metadata-: none\nx-metadata-k: v\n"
			"x-metadata-owner: not me\n";
	s->path = "f";
	check_answer(s, "[{\"metadata\":{\"k\":\"v\",\"owner\":\"me\"},\"name\":\"f\","
	                "\"path\":\"@/f\",\"type\":\"file\"}]");
}

/* ---- forms ---- */

static void test_body_form_files_are_written_and_other_fields_skipped(void **state)
{
	struct scene *s = *state;

	say(s, "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"@/d/a\"\r\n\r\n"
	       "one\r\n--B\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\nskipped\r\n"
	       "--B\r\n\r\nskipped\r\n--B\r\nContent-Disposition: form-data; name=file; "
	       "filename*=\"utf-8''@/d%2Fb\"\r\n\r\ntwo" LAST);
	check_answer(s, "[{\"name\":\"a\",\"path\":\"@/d/a\",\"type\":\"file\"},"
	                "{\"name\":\"b\",\"path\":\"@/d/b\",\"type\":\"file\"}]");
	check_file(s, "d/a", "one");
	check_file(s, "d/b", "two");
}

static void test_body_form_without_files_is_an_empty_list(void **state)
{
	struct scene *s = *state;

	say(s, "--B\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\nskipped" LAST);
	check_answer(s, "[]");
}

static void test_body_query_path_goes_before_names_of_parts(void **state)
{
	struct scene *s = *state;

	s->path = "q";
	s->fields = "content-type: multipart/mixed; boundary=\"B\"\n";
	say(s, "--B\r\nContent-Disposition: form-data; name=file\r\n\r\nx" LAST);
	check_answer(s, "[{\"name\":\"q\",\"path\":\"@/q\",\"type\":\"file\"}]");
}

static void test_body_form_names_that_cannot_be_read_are_refused(void **state)
{
	struct scene *s = *state;

	say(s, "--B\r\nContent-Disposition: form-data; name=file\r\n\r\nx" LAST);
	check_refused(s, ERR_INVALID, NAMES "filename not found in Content-Disposition header");
	buf_reset(&s->body, SIZE_MAX);
	say(s, "--B\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\nx" LAST);
	check_refused(s, ERR_INVALID, NAMES "mime: duplicate parameter name");
	buf_reset(&s->body, SIZE_MAX);
	say(s, "--B\r\nContent-Disposition: form-data; name=file; filename*=utf-8''a%00\r\n\r\n"
	       "x" LAST);
	check_refused(s, ERR_INVALID, NAMES "it contains a NUL byte");
	buf_reset(&s->body, SIZE_MAX);
	say(s, "--B\r\nContent-Disposition: form-data; name=file; filename=\"~x\"\r\n\r\nx" LAST);
	check_refused(s, ERR_INVALID,
	              "error resolving path: failed to expand path '~x' for user 'root': cannot "
	              "expand user-specific home dir");
}

static void say_part(struct scene *s, const char *name)
{
	say(s, "--B\r\nContent-Disposition: form-data; name=file; filename=\"@/");
	say(s, name);
	say(s, "\"\r\n\r\n");
	say(s, name);
	say(s, "\r\n");
}

#define AGAIN                                                                                      \
	"you cannot upload multiple files to the same path '@/a' in one upload request, only the " \
	"first specified file was uploaded"

static void test_body_form_path_twice_is_refused_and_others_named(void **state)
{
	struct scene *s = *state;

	say_part(s, "a");
	say_part(s, "a");
	check_refused(s, ERR_INVALID, AGAIN);
	buf_reset(&s->body, SIZE_MAX);
	say_part(s, "a");
	say_part(s, "b");
	say_part(s, "a");
	check_refused(s, ERR_INVALID, AGAIN);
	buf_reset(&s->body, SIZE_MAX);
	say_part(s, "c");
	say_part(s, "a");
	say_part(s, "b");
	say_part(s, "a");
	check_refused(s, ERR_INVALID, AGAIN ", also the following files were uploaded: @/c, @/b");
	check_file(s, "b", "b");
}

static void test_body_form_broken_framing_is_told(void **state)
{
	struct scene *s = *state;

	check_refused(s, ERR_INTERNAL, "error reading form: multipart: NextPart: EOF");
	say_part(s, "a");
	say(s, "--B --\r\n");
	check_refused(s, ERR_INTERNAL,
	              "error reading form: multipart: expecting a new Part; got line \"--B "
	              "--\\r\\n\"");
	check_file(s, "a", "a");
	buf_reset(&s->body, SIZE_MAX);
	say_part(s, "a");
	check_refused(s, ERR_INTERNAL, "error writing file: unexpected EOF");
	say(s, "--B\r\nContent-Disposition: form-data; name=file; filename=\"@/new\"\r\n");
	check_refused(s, ERR_INVALID, "error reading form: unexpected EOF");
	check_file(s, "new", NULL);
	s->cut = "malformed chunked encoding";
	check_refused(s, ERR_INVALID, "error reading form: malformed chunked encoding");
}

/* ---- gzip ---- */

static void test_body_gzip_is_inflated_member_by_member(void **state)
{
	struct scene *s = *state;

	s->fields = RAW GZIP;
	s->path = "g";
	assert_int_equal(gzip_compress(&s->body, "hello ", 6), 0);
	assert_int_equal(gzip_compress(&s->body, "world", 5), 0);
	check_answer(s, "[{\"name\":\"g\",\"path\":\"@/g\",\"type\":\"file\"}]");
	check_file(s, "g", "hello world");
}

static void test_body_gzip_covers_the_whole_form(void **state)
{
	struct scene *s = *state;
	CLEANUP(buf_deinit) struct buf plain = { 0 };

	s->fields = FORM GZIP;
	say_part(s, "a");
	say(s, "--B--");
	plain = s->body;
	buf_init(&s->body, 1u << 20);
	assert_int_equal(gzip_compress(&s->body, plain.data, plain.len), 0);
	check_answer(s, "[{\"name\":\"a\",\"path\":\"@/a\",\"type\":\"file\"}]");
	check_file(s, "a", "a");
}

#define READER "error decompressing request body: failed to create gzip reader: "

static void test_body_that_is_not_gzip_is_refused(void **state)
{
	struct scene *s = *state;

	s->fields = RAW GZIP;
	s->path = "g";
	check_refused(s, ERR_INVALID, READER "EOF");
	say(s, "\x1f");
	check_refused(s, ERR_INVALID, READER "unexpected EOF");
	say(s, "plain");
	check_refused(s, ERR_INVALID, READER "gzip: invalid header");
}

/* Go reads the header before it looks at the path: what is no gzip costs nobody his file. */
static void test_body_that_is_not_gzip_leaves_the_file_as_it_was(void **state)
{
	struct scene *s = *state;

	s->fields = RAW;
	s->path = "g";
	say(s, "old");
	check_answer(s, "[{\"name\":\"g\",\"path\":\"@/g\",\"type\":\"file\"}]");
	s->fields = RAW GZIP;
	check_refused(s, ERR_INVALID, READER "gzip: invalid header");
	check_file(s, "g", "old");
	buf_reset(&s->body, SIZE_MAX);
	check_refused(s, ERR_INVALID, READER "EOF");
	check_file(s, "g", "old");
}

static void test_body_gzip_that_breaks_later_is_a_write_error(void **state)
{
	struct scene *s = *state;

	s->fields = RAW GZIP;
	s->path = "g";
	assert_int_equal(gzip_compress(&s->body, "hello", 5), 0);
	s->body.len--;
	check_refused(s, ERR_INTERNAL, "error writing file: unexpected EOF");
	s->body.data[s->body.len - 5] ^= 1;
	s->body.len++;
	check_refused(s, ERR_INTERNAL, "error writing file: gzip: invalid checksum");
	s->fields = FORM GZIP;
	check_refused(s, ERR_INTERNAL,
	              "error reading form: multipart: NextPart: gzip: invalid checksum");
}

/* More than one call may write, all of whose input is taken by the first. */
static void test_body_gzip_bomb_is_written_turn_by_turn(void **state)
{
	static const size_t size = 3 * (size_t)FILES_BODY_TURN_MAX + 1;
	struct scene *s = *state;
	char *zeros = xcalloc(1, size);

	s->fields = RAW GZIP;
	s->path = "z";
	assert_int_equal(gzip_compress(&s->body, zeros, size), 0);
	run(s, SIZE_MAX);
	assert_int_equal(s->rc, 0);
	check_size(s, "z", size);
	free(zeros);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_body_raw_is_one_file),
		T(test_body_empty_raw_is_an_empty_file),
		T(test_body_raw_needs_a_path),
		T(test_body_raw_that_is_cut_stays_as_far_as_it_came),
		T(test_body_unknown_user_is_told_first),
		T(test_body_other_content_types_are_refused),
		T(test_body_metadata_is_checked_before_anything_is_written),
		T(test_body_metadata_is_read_back_in_order),
		T(test_body_form_files_are_written_and_other_fields_skipped),
		T(test_body_form_without_files_is_an_empty_list),
		T(test_body_query_path_goes_before_names_of_parts),
		T(test_body_form_names_that_cannot_be_read_are_refused),
		T(test_body_form_path_twice_is_refused_and_others_named),
		T(test_body_form_broken_framing_is_told),
		T(test_body_gzip_is_inflated_member_by_member),
		T(test_body_gzip_covers_the_whole_form),
		T(test_body_that_is_not_gzip_is_refused),
		T(test_body_that_is_not_gzip_leaves_the_file_as_it_was),
		T(test_body_gzip_that_breaks_later_is_a_write_error),
		T(test_body_gzip_bomb_is_written_turn_by_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
