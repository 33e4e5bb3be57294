/*
 * Texts of refusals. They quote what a peer sent, so their memory may fail: the kind then goes on
 * alone, with an empty text.
 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Shortens to at most max bytes without leaving half a UTF-8 sequence at the end. */
static size_t text_cut(const char *text, size_t len, size_t max)
{
	if (len <= max)
		return len;
	while (max > 0 && ((uint8_t)text[max] & 0xC0) == 0x80)
		max--;
	return max;
}

/* "head" + "tail", the head cut so that both fit; NULL without memory. */
PRINTF_LIKE(2, 0)
static char *text_format(const char *tail, const char *fmt, va_list args)
{
	size_t tail_len = strnlen(tail, ERR_TEXT_MAX);
	size_t size, head_len;
	va_list again;
	char *text;
	int n;

	va_copy(again, args);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		return NULL;
	size = MIN((size_t)n, ERR_TEXT_MAX + 1); /* one more than fits, so that the cut is seen */
	text = try_malloc(size + tail_len + 1);
	if (!text)
		return NULL;
	vsnprintf(text, size + 1, fmt, args);
	head_len = text_cut(text, size, ERR_TEXT_MAX - tail_len);
	memcpy(text + head_len, tail, tail_len);
	text[head_len + tail_len] = '\0';
	return text;
}

/* The new text may quote the old one, which therefore goes last. */
static int err_replace(struct err *e, enum err_kind kind, char *text)
{
	free(e->text);
	e->kind = kind;
	e->text = text;
	return -1;
}

int err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
{
	va_list args;
	char *text;

	ASSERT(kind > ERR_NONE && kind < ERR_KINDS);
	va_start(args, fmt);
	text = text_format("", fmt, args);
	va_end(args);
	return err_replace(e, kind, text);
}

int err_sys(struct err *e, int errnum, const char *fmt, ...)
{
	char tail[128];
	va_list args;
	char *text;

	snprintf(tail, sizeof tail, ": %s", errno_text(errnum));
	va_start(args, fmt);
	text = text_format(tail, fmt, args);
	va_end(args);
	return err_replace(e, err_kind_of_errno(errnum), text);
}

int err_wrap(struct err *e, const char *fmt, ...)
{
	CLEANUP(freep) char *prefix = NULL;
	va_list args;
	char *text = NULL;

	va_start(args, fmt);
	prefix = text_format(": ", fmt, args);
	va_end(args);
	if (prefix) {
		size_t prefix_len = strlen(prefix);
		size_t len = strlen(err_text(e));

		len = text_cut(err_text(e), len, ERR_TEXT_MAX - prefix_len);
		text = try_malloc(prefix_len + len + 1);
		if (text) {
			memcpy(text, prefix, prefix_len);
			memcpy(text + prefix_len, err_text(e), len);
			text[prefix_len + len] = '\0';
		}
	}
	return text ? err_replace(e, e->kind, text) : -1;
}

enum err_kind err_kind_of_errno(int errnum)
{
	switch (errnum < 0 ? -errnum : errnum) {
	case EAGAIN:
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case ENOSPC:
	case EDQUOT:
	case ENOBUFS:
		return ERR_LIMIT;
	case ENOENT:
	case ESRCH:
		return ERR_NOT_FOUND;
	case EEXIST:
		return ERR_EXISTS;
	case EACCES:
	case EPERM:
		return ERR_PERMISSION;
	case EINVAL:
	case ENOTDIR:
	case EISDIR:
	case ENAMETOOLONG:
	case ELOOP:
	case E2BIG:
	case ENOEXEC:
	case ERANGE:
		return ERR_INVALID;
	case ECANCELED:
		return ERR_CANCELED;
	default:
		return ERR_INTERNAL;
	}
}

const char *err_text(const struct err *e)
{
	return e->text ? e->text : "";
}

void err_clear(struct err *e)
{
	free(e->text);
	*e = (struct err){ 0 };
}

void err_move(struct err *to, struct err *from)
{
	if (to == from)
		return;
	err_clear(to);
	*to = *from;
	*from = (struct err){ 0 };
}
