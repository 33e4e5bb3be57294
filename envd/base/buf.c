#include "base/buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define BUF_FIRST 64u /* bytes of the first allocation: a short header block or message */

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void buf_init_fixed(struct buf *b, void *memory, size_t size)
{
	ASSERT(size > 0);
	*b = (struct buf){ .data = memory, .cap = size - 1, .max = size - 1, .fixed = true };
}

void buf_deinit(struct buf *b)
{
	if (!b->fixed)
		free(b->data);
	*b = (struct buf){ 0 };
}

void buf_reset(struct buf *b, size_t keep_max)
{
	b->len = 0;
	b->error = 0;
	if (b->cap > keep_max && !b->fixed) {
		free(TAKE_PTR(b->data));
		b->cap = 0;
	}
}

/* Doubles, so that appending n bytes one by one copies O(n). */
static int buf_grow(struct buf *b, size_t need)
{
	size_t cap = b->cap > b->max / 2 ? b->max : b->cap * 2;
	uint8_t *data;

	cap = MIN(MAX(MAX(cap, need), BUF_FIRST), b->max);
	data = cap < SIZE_MAX ? try_realloc(b->data, cap + 1) : NULL; /* + 1: see buf_appendf */
	if (!data)
		return b->error = -ENOMEM;
	b->data = data;
	b->cap = cap;
	return 0;
}

int buf_reserve(struct buf *b, size_t extra)
{
	if (b->error)
		return b->error;
	if (extra > b->max - b->len)
		return b->error = -ENOBUFS;
	if (extra <= b->cap - b->len)
		return 0;
	return buf_grow(b, b->len + extra);
}

uint8_t *buf_extend(struct buf *b, size_t len)
{
	static uint8_t nothing;
	uint8_t *room;

	if (buf_reserve(b, len) < 0)
		return NULL;
	if (!b->data)
		return &nothing; /* len is 0 */
	room = b->data + b->len;
	b->len += len;
	return room;
}

void buf_append(struct buf *b, const void *data, size_t len)
{
	uint8_t *room;

	if (len == 0)
		return;
	room = buf_extend(b, len);
	if (!room)
		return;
	mem_copy(room, data, len);
}

/* Of a JSON text every tenth byte comes alone. */
void buf_append_byte(struct buf *b, uint8_t byte)
{
	if (b->len < b->cap && b->cap <= b->max && !b->error)
		b->data[b->len++] = byte;
	else
		buf_append(b, &byte, 1);
}

void buf_append_text(struct buf *b, const char *text)
{
	buf_append(b, text, strlen(text));
}

/* vsnprintf wants a place for its NUL; every allocation has that one byte beyond cap. */
void buf_appendf(struct buf *b, const char *fmt, ...)
{
	size_t room = MIN(b->cap, b->max) - b->len;
	va_list args;
	int n;

	if (b->error)
		return;
	va_start(args, fmt);
	n = vsnprintf(b->data ? (char *)b->data + b->len : NULL, b->data ? room + 1 : 0, fmt, args);
	va_end(args);
	ASSERT(n >= 0);
	if ((size_t)n > room) {
		if (buf_reserve(b, (size_t)n) < 0)
			return;
		va_start(args, fmt);
		vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, args);
		va_end(args);
	}
	b->len += (size_t)n;
}

void buf_consume(struct buf *b, size_t len)
{
	ASSERT(len <= b->len);
	b->len -= len;
	if (b->len > 0 && len > 0)
		memmove(b->data, b->data + len, b->len);
}

void buf_truncate(struct buf *b, size_t len)
{
	ASSERT(len <= b->len);
	b->len = len;
}
