#include "rpc/fake_exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/wire.h"
#include "tests/support/test.h"

#define FAKE_BYTES_MAX (64u * 1024u * 1024u) /* of one recorded answer */
#define FAKE_RESERVE   4096u

static struct fake_exchange *fake_of(struct exchange *x)
{
	return CONTAINER_OF(x, struct fake_exchange, x);
}

static void fake_wire_read(struct exchange *x)
{
	fake_of(x)->is_reading = true;
}

static void fake_wire_consumed(struct exchange *x, size_t len)
{
	struct fake_exchange *f = fake_of(x);

	f->consumed += len;
	assert_true(f->consumed <= f->pushed);
}

static int fake_wire_divert(struct exchange *x, uint64_t *out_left)
{
	struct fake_exchange *f = fake_of(x);

	if (f->source < 0)
		return -1;
	assert_true(f->is_reading);
	assert_false(f->is_diverted);
	f->is_diverted = true;
	f->n_diverts++;
	*out_left = (uint64_t)x->request.content_length - f->pushed;
	return fcntl(f->source, F_DUPFD_CLOEXEC, 0);
}

static void fake_wire_diverted(struct exchange *x, size_t len, bool more)
{
	struct fake_exchange *f = fake_of(x);

	assert_true(f->is_diverted);
	f->diverted += len;
	f->is_diverted = more;
	assert_true(f->pushed + f->diverted <= (uint64_t)x->request.content_length);
}

static void put_fields(struct buf *b, const struct http_field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		buf_append(b, fields[i].name.at, fields[i].name.len);
		buf_append_text(b, ": ");
		buf_append(b, fields[i].value.at, fields[i].value.len);
		buf_append_byte(b, '\n');
	}
	assert_int_equal(buf_error(b), 0);
}

static void fake_wire_begin(struct exchange *x, int status, const struct http_field *fields,
                            size_t n, int64_t content_length)
{
	struct fake_exchange *f = fake_of(x);

	UNUSED(content_length);
	assert_false(f->is_answered);
	f->is_answered = true;
	f->status = status;
	put_fields(&f->head, fields, n);
}

static void fake_wire_answer(struct exchange *x, int status, const struct http_field *fields,
                             size_t n, struct span body)
{
	struct fake_exchange *f = fake_of(x);

	fake_wire_begin(x, status, fields, n, (int64_t)body.len);
	buf_append(&f->body, body.at, body.len);
	f->is_finished = true;
}

static bool fake_wire_send(struct exchange *x, const struct iovec *pieces, size_t n)
{
	struct fake_exchange *f = fake_of(x);

	assert_true(f->is_answered);
	assert_false(f->is_finished);
	assert_null(f->file);
	for (size_t i = 0; i < n; i++)
		buf_append(&f->body, pieces[i].iov_base, pieces[i].iov_len);
	f->n_sends++;
	return !f->is_full;
}

static void fake_wire_send_file(struct exchange *x, struct http_file *file, int64_t offset,
                                int64_t len)
{
	struct fake_exchange *f = fake_of(x);

	assert_true(f->is_answered);
	assert_false(f->is_finished);
	assert_null(f->file);
	f->file = http_file_ref(file);
	f->file_offset = offset;
	f->file_left = len;
}

static void fake_wire_finish(struct exchange *x, const struct http_field *trailers, size_t n)
{
	struct fake_exchange *f = fake_of(x);

	assert_false(f->is_finished);
	assert_null(f->file);
	f->is_finished = true;
	put_fields(&f->trailers, trailers, n);
}

static void fake_wire_abort(struct exchange *x)
{
	struct fake_exchange *f = fake_of(x);

	f->is_aborted = true;
	http_file_unref(TAKE_PTR(f->file));
}

static const struct http_field *fake_wire_trailers(const struct exchange *x, size_t *out_n)
{
	UNUSED(x);
	*out_n = 0;
	return NULL;
}

static void fake_wire_release(struct exchange *x)
{
	assert_false(fake_of(x)->is_released);
	fake_of(x)->is_released = true;
}

static const struct exchange_wire fake_wire = {
	.read = fake_wire_read,
	.consumed = fake_wire_consumed,
	.divert = fake_wire_divert,
	.diverted = fake_wire_diverted,
	.answer = fake_wire_answer,
	.begin = fake_wire_begin,
	.send = fake_wire_send,
	.send_file = fake_wire_send_file,
	.finish = fake_wire_finish,
	.abort = fake_wire_abort,
	.trailers = fake_wire_trailers,
	.release = fake_wire_release,
};

static void fake_parse_fields(struct fake_exchange *f, const char *text)
{
	struct span rest = span_of(text);
	struct span line;

	while (span_next(&rest, "\n", &line)) {
		const char *colon = memchr(line.at, ':', line.len);
		size_t len;

		assert_non_null(colon);
		assert_true(f->x.request.n_fields < FAKE_FIELDS_MAX);
		len = (size_t)(colon - line.at);
		f->request_fields[f->x.request.n_fields++] = (struct http_field){
			{ line.at, len },
			span_trim((struct span){ colon + 1, line.len - len - 1 }),
		};
	}
	f->x.request.fields = f->request_fields;
}

/* Has its memory, so that an allocation made to fail is not one of ours. */
static void record_init(struct buf *b)
{
	buf_init(b, FAKE_BYTES_MAX);
	assert_int_equal(buf_reserve(b, FAKE_RESERVE), 0);
}

struct fake_exchange *fake_new(enum http_version version, const char *method, const char *fields)
{
	struct fake_exchange *f = xcalloc(1, sizeof *f);

	exchange_init(&f->x, &fake_wire, NULL, 0);
	f->source = -1;
	f->x.request.version = version;
	f->x.request.method = span_of(method);
	f->x.request.content_length = -1;
	f->x.request.has_body = strcmp(method, "POST") == 0;
	record_init(&f->head);
	record_init(&f->body);
	record_init(&f->trailers);
	fake_parse_fields(f, fields);
	return f;
}

void fake_free(struct fake_exchange *f)
{
	assert_true(f->is_released);
	exchange_deinit(&f->x);
	buf_deinit(&f->head);
	buf_deinit(&f->body);
	buf_deinit(&f->trailers);
	free(f);
}

void fake_query(struct fake_exchange *f, const char *query)
{
	f->x.request.query = span_of(query);
}

void fake_length(struct fake_exchange *f, int64_t content_length)
{
	f->x.request.content_length = content_length;
}

/* A copy, so that a borrowed byte that is looked at later is found by AddressSanitizer. */
void fake_push(struct fake_exchange *f, const void *data, size_t len)
{
	uint8_t *copy;

	if (f->is_released || f->x.stopped)
		return;
	assert_true(f->is_reading);
	f->pushed += len;
	assert_true(f->pushed - f->consumed <= EXCHANGE_WINDOW);
	copy = xmalloc(len ? len : 1);
	if (len > 0)
		memcpy(copy, data, len);
	f->x.ops->on_body(&f->x, copy, len);
	free(copy);
}

void fake_end(struct fake_exchange *f, enum exchange_body_end how)
{
	if (!f->is_released && !f->x.stopped)
		f->x.ops->on_body_end(&f->x, how);
}

void fake_readable(struct fake_exchange *f)
{
	assert_true(f->is_diverted);
	f->x.ops->on_readable(&f->x);
}

static void fake_release_gone(struct exchange *x)
{
	fake_wire_release(x);
}

void fake_gone(struct fake_exchange *f)
{
	http_file_unref(TAKE_PTR(f->file));
	if (!f->is_released && !f->x.stopped)
		exchange_gone(&f->x, fake_release_gone);
}

void fake_hangup(struct fake_exchange *f)
{
	if (!f->is_released && !f->x.stopped)
		exchange_hang_up(&f->x);
}

void fake_proceed(struct fake_exchange *f)
{
	f->is_full = false;
	if (!f->is_released)
		f->x.ops->on_proceed(&f->x);
}

void fake_file_sent(struct fake_exchange *f)
{
	int error = 0;

	assert_non_null(f->file);
	while (f->file_left > 0 && error == 0) {
		uint8_t piece[65536];
		size_t want = (size_t)MIN(f->file_left, (int64_t)sizeof piece);
		ssize_t n = pread(http_file_fd(f->file), piece, want, f->file_offset);

		if (n <= 0)
			error = n < 0 ? -errno : -ENODATA;
		else
			buf_append(&f->body, piece, (size_t)n);
		f->file_offset += n;
		f->file_left -= n;
	}
	http_file_unref(TAKE_PTR(f->file));
	f->x.ops->on_file_sent(&f->x, error);
}

bool fake_has(const struct buf *lines, const char *line)
{
	struct span rest = { (const char *)lines->data, lines->len };
	struct span at;

	while (span_next(&rest, "\n", &at)) {
		if (span_equal(at, line))
			return true;
	}
	return false;
}

const char *fake_text(struct buf *b)
{
	if (b->len == 0)
		return "";
	buf_append_byte(b, 0);
	buf_truncate(b, b->len - 1);
	return (const char *)b->data;
}
