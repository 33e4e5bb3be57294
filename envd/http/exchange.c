#include "http/exchange.h"

#include <string.h>

#include "http/wire.h"

/* ---- the dead wire: the peer is gone, the owner is not yet ---- */

static void dead_read(struct exchange *x)
{
	UNUSED(x);
}

static void dead_consumed(struct exchange *x, size_t len)
{
	UNUSED(x);
	UNUSED(len);
}

static void dead_diverted(struct exchange *x, size_t len, bool more)
{
	UNUSED(x);
	UNUSED(len);
	UNUSED(more);
}

static void dead_answer(struct exchange *x, int status, const struct http_field *fields, size_t n,
                        struct span body)
{
	UNUSED(x);
	UNUSED(status);
	UNUSED(fields);
	UNUSED(n);
	UNUSED(body);
}

static void dead_begin(struct exchange *x, int status, const struct http_field *fields, size_t n,
                       int64_t content_length)
{
	UNUSED(x);
	UNUSED(status);
	UNUSED(fields);
	UNUSED(n);
	UNUSED(content_length);
}

/* True, or an owner that waits for on_proceed would never get to its end. */
static bool dead_send(struct exchange *x, const struct iovec *pieces, size_t n)
{
	UNUSED(x);
	UNUSED(pieces);
	UNUSED(n);
	return true;
}

static void dead_send_file(struct exchange *x, struct http_file *file, int64_t offset, int64_t len)
{
	UNUSED(x);
	UNUSED(file);
	UNUSED(offset);
	UNUSED(len);
}

static void dead_finish(struct exchange *x, const struct http_field *trailers, size_t n)
{
	UNUSED(x);
	UNUSED(trailers);
	UNUSED(n);
}

static void dead_abort(struct exchange *x)
{
	UNUSED(x);
}

static const struct http_field *dead_trailers(const struct exchange *x, size_t *out_n)
{
	UNUSED(x);
	*out_n = 0;
	return NULL;
}

static void dead_release(struct exchange *x)
{
	x->free_gone(x);
}

static const struct exchange_wire dead_wire = {
	.read = dead_read,
	.consumed = dead_consumed,
	.diverted = dead_diverted,
	.answer = dead_answer,
	.begin = dead_begin,
	.send = dead_send,
	.send_file = dead_send_file,
	.finish = dead_finish,
	.abort = dead_abort,
	.trailers = dead_trailers,
	.release = dead_release,
};

/* ---- for protocols ---- */

void exchange_init(struct exchange *x, const struct exchange_wire *wire, void *scratch,
                   size_t scratch_size)
{
	*x = (struct exchange){ .wire = wire };
	arena_init(&x->memory, EXCHANGE_EXTRA_MEMORY_MAX, scratch, scratch_size);
}

void exchange_deinit(struct exchange *x)
{
	arena_deinit(&x->memory);
}

static bool exchange_is_hex(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

bool exchange_path_is_sound(struct span path)
{
	for (size_t i = 0; i < path.len; i++) {
		if (path.at[i] != '%')
			continue;
		if (path.len - i < 3 || !exchange_is_hex(path.at[i + 1]) ||
		    !exchange_is_hex(path.at[i + 2]))
			return false;
	}
	return true;
}

void exchange_gone(struct exchange *x, void (*free_exchange)(struct exchange *x))
{
	x->wire = &dead_wire;
	x->free_gone = free_exchange;
	x->stopped = true;
	if (!x->ops)
		free_exchange(x);
	else if (x->ops->on_stop)
		x->ops->on_stop(x);
}

void exchange_hang_up(struct exchange *x)
{
	if (x->hung_up)
		return;
	x->hung_up = true;
	if (x->ops && x->ops->on_hangup)
		x->ops->on_hangup(x);
}

/* ---- for owners ---- */

void exchange_own(struct exchange *x, const struct exchange_ops *ops, void *data)
{
	ASSERT(ops);
	x->ops = ops;
	x->data = data;
}

const struct http_field *exchange_field(const struct exchange *x, const char *name)
{
	const struct http_field *fields = x->request.fields;
	size_t len = strlen(name);

	for (size_t i = 0; i < x->request.n_fields; i++) {
		if (fields[i].name.len == len && memcmp(fields[i].name.at, name, len) == 0)
			return &fields[i];
	}
	return NULL;
}

void exchange_add_field(struct exchange *x, const char *name, struct span value)
{
	size_t name_len = strlen(name);
	char *copy;

	ASSERT(!x->answered && x->n_extra < EXCHANGE_EXTRA_MAX);
	if (!x->extra)
		x->extra = arena_alloc(&x->memory, EXCHANGE_EXTRA_MAX * sizeof *x->extra);
	copy = arena_alloc(&x->memory, name_len + value.len);
	if (!x->extra || !copy)
		return;
	memcpy(copy, name, name_len);
	if (value.len > 0)
		memcpy(copy + name_len, value.at, value.len);
	x->extra[x->n_extra++] = (struct http_field){
		.name = { copy, name_len },
		.value = { copy + name_len, value.len },
	};
}

void exchange_set_field(struct exchange *x, const char *name, struct span value)
{
	for (size_t i = 0; i < x->n_extra; i++) {
		if (span_equal(x->extra[i].name, name)) {
			x->extra[i] = x->extra[--x->n_extra];
			break;
		}
	}
	exchange_add_field(x, name, value);
}

const char *exchange_cut_text(enum exchange_body_end how)
{
	static const char *const texts[] = {
		[EXCHANGE_BODY_COMPLETE] = NULL,
		[EXCHANGE_BODY_CUT] = "unexpected EOF",
		[EXCHANGE_BODY_MALFORMED] = "malformed chunked encoding",
	};

	return texts[how];
}

void exchange_read(struct exchange *x)
{
	x->wire->read(x);
}

void exchange_consumed(struct exchange *x, size_t len)
{
	x->wire->consumed(x, len);
}

int exchange_divert(struct exchange *x, uint64_t *out_left)
{
	ASSERT(x->ops->on_readable);
	return x->wire->divert ? x->wire->divert(x, out_left) : -1;
}

void exchange_diverted(struct exchange *x, size_t len, bool more)
{
	x->wire->diverted(x, len, more);
}

const struct http_field *exchange_trailers(const struct exchange *x, size_t *out_n)
{
	return x->wire->trailers(x, out_n);
}

/* The last statement of those that give the exchange back. */
static void exchange_give_back(struct exchange *x)
{
	x->ops = NULL;
	x->wire->release(x);
}

void exchange_answer(struct exchange **x, int status, const struct http_field *fields,
                     size_t n_fields, struct span body)
{
	struct exchange *taken = TAKE_PTR(*x);

	ASSERT(!taken->answered);
	taken->answered = true;
	taken->wire->answer(taken, status, fields, n_fields, body);
	exchange_give_back(taken);
}

void exchange_begin(struct exchange *x, int status, const struct http_field *fields,
                    size_t n_fields, int64_t content_length)
{
	ASSERT(!x->answered);
	x->answered = true;
	x->wire->begin(x, status, fields, n_fields, content_length);
}

bool exchange_send(struct exchange *x, const struct iovec *pieces, size_t n_pieces)
{
	ASSERT(x->answered && n_pieces <= EXCHANGE_IOV_MAX);
	return x->wire->send(x, pieces, n_pieces);
}

void exchange_send_file(struct exchange *x, struct http_file *file, int64_t offset, int64_t len)
{
	ASSERT(x->answered && !x->held && len > 0);
	x->wire->send_file(x, file, offset, len);
}

void exchange_hold(struct exchange *x)
{
	x->held = true;
}

void exchange_finish(struct exchange **x, const struct http_field *trailers, size_t n_trailers)
{
	struct exchange *taken = TAKE_PTR(*x);

	ASSERT(taken->answered);
	taken->wire->finish(taken, trailers, n_trailers);
	exchange_give_back(taken);
}

void exchange_abort(struct exchange **x)
{
	struct exchange *taken = TAKE_PTR(*x);

	taken->wire->abort(taken);
	exchange_give_back(taken);
}
