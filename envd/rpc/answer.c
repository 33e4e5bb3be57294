#include "rpc/answer.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/quota.h"
#include "http/coding.h"
#include "rpc/envelope.h"

struct answer {
	struct answer_form form;
	struct codec_list list;
	struct buf bytes; /* room for the frame's header, the message */
	bool is_list;     /* until something else was put */
	size_t taken;
	size_t charged;
};

static struct quota quota = {
	.max = ANSWER_TOTAL_MAX,
	.free = ANSWER_FREE_MAX,
	.step = (size_t)1024 * 1024,
};

size_t answer_charged(void)
{
	return atomic_load(&quota.used);
}

static size_t head_size(const struct answer *a)
{
	return a->form.enveloped ? ENVELOPE_HEADER : 0;
}

struct answer *answer_new(const struct answer_form *form)
{
	struct answer *a = xcalloc(1, sizeof *a);

	a->form = *form;
	a->is_list = true;
	a->list = (struct codec_list){ .codec = form->codec, .type = form->type };
	buf_init(&a->bytes, ANSWER_MAX);
	return a;
}

/* For as many bytes as it has now. */
static int charge(struct answer *a, size_t bytes, struct err *e)
{
	if (quota_raise(&quota, &a->charged, bytes) < 0)
		return err_set(e, ERR_LIMIT, "too many large answers at once");
	return 0;
}

void answer_free(struct answer *a)
{
	if (!a)
		return;
	quota_lower(&quota, &a->charged, 0);
	buf_deinit(&a->bytes);
	free(a);
}

static int check(struct answer *a, const struct buf *b, size_t other_bytes, struct err *e)
{
	if (b->error == -ENOBUFS)
		return err_set(e, ERR_LIMIT, "message is larger than configured max %u",
		               ANSWER_MAX);
	if (b->error)
		return err_set(e, ERR_LIMIT, "message does not fit into memory");
	return charge(a, b->len + other_bytes, e);
}

/* Before the message's first byte; once. */
static void reserve_head(struct answer *a)
{
	if (a->bytes.len == 0 && a->form.enveloped && !buf_extend(&a->bytes, ENVELOPE_HEADER))
		ASSERT(buf_error(&a->bytes));
}

static int refuse_message(struct err *e)
{
	err_wrap(e, "marshal message");
	e->kind = ERR_INTERNAL;
	return -1;
}

int answer_put(struct answer *a, const ProtobufCMessage *message, struct err *e)
{
	ASSERT(a->is_list && a->list.n == 0);
	a->is_list = false;
	reserve_head(a);
	if (!buf_error(&a->bytes) && codec_encode(a->form.codec, message, &a->bytes, e) < 0)
		return refuse_message(e);
	return check(a, &a->bytes, 0, e);
}

int answer_add(struct answer *a, const ProtobufCMessage *element, struct err *e)
{
	ASSERT(a->is_list);
	reserve_head(a);
	if (!buf_error(&a->bytes) && codec_list_add(&a->list, element, &a->bytes, e) < 0)
		return refuse_message(e);
	return check(a, &a->bytes, 0, e);
}

static int compress(struct answer *a, struct err *e)
{
	CLEANUP(buf_deinit) struct buf packed = { 0 };
	const size_t head = head_size(a);
	const uint8_t *message = a->bytes.data ? a->bytes.data + head : (const uint8_t *)"";
	struct buf plain;

	buf_init(&packed, ANSWER_MAX);
	if (head > 0 && !buf_extend(&packed, head))
		ASSERT(buf_error(&packed));
	if (!buf_error(&packed) && gzip_compress(&packed, message, a->bytes.len - head) < 0 &&
	    !buf_error(&packed))
		packed.error = -ENOMEM;
	if (check(a, &packed, a->bytes.len, e) < 0)
		return -1;
	plain = a->bytes;
	a->bytes = packed;
	packed = plain; /* goes */
	quota_lower(&quota, &a->charged, a->bytes.len);
	return 0;
}

static void put_head(struct answer *a)
{
	const uint8_t flags = a->form.gzip ? ENVELOPE_COMPRESSED : 0;

	if (a->form.enveloped)
		envelope_put_header(a->bytes.data, flags,
		                    (uint32_t)(a->bytes.len - ENVELOPE_HEADER));
}

int answer_seal(struct answer *a, struct err *e)
{
	reserve_head(a);
	if (a->is_list)
		codec_list_end(&a->list, &a->bytes);
	if (check(a, &a->bytes, 0, e) < 0 || (a->form.gzip && compress(a, e) < 0))
		return -1;
	put_head(a);
	return 0;
}

struct span answer_rest(const struct answer *a)
{
	if (a->taken == a->bytes.len)
		return (struct span){ 0 };
	return (struct span){ (const char *)a->bytes.data + a->taken, a->bytes.len - a->taken };
}

void answer_take(struct answer *a, size_t len)
{
	ASSERT(len <= a->bytes.len - a->taken);
	a->taken += len;
}

bool answer_is_gzip(const struct answer *a)
{
	return a->form.gzip;
}
