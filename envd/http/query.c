#include "http/query.h"

#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 0, -1 on a broken escape. The result is never longer. */
static int decode(struct span s, char *out, size_t *out_len)
{
	size_t len = 0;

	for (size_t i = 0; i < s.len; i++) {
		int high, low;

		if (s.at[i] != '%') {
			out[len++] = s.at[i] == '+' ? ' ' : s.at[i];
			continue;
		}
		if (s.len - i < 3)
			return -1;
		high = hex_digit(s.at[i + 1]);
		low = hex_digit(s.at[i + 2]);
		if (high < 0 || low < 0)
			return -1;
		out[len++] = (char)(high << 4 | low);
		i += 2;
	}
	out[len] = '\0';
	*out_len = len;
	return 0;
}

/* Whether it is a pair, with its halves in the arena. */
static bool pair_decode(struct span piece, struct arena *memory, struct query_pair *out_pair,
                        bool *is_full)
{
	const char *equals = memchr(piece.at, '=', piece.len);
	struct span name = { piece.at, equals ? (size_t)(equals - piece.at) : piece.len };
	struct span value = { piece.at + piece.len, 0 };
	char *text;

	if (piece.len == 0 || memchr(piece.at, ';', piece.len))
		return false;
	if (equals)
		value = (struct span){ equals + 1, piece.len - name.len - 1 };
	text = arena_alloc(memory, name.len + value.len + 2);
	if (!text) {
		*is_full = true;
		return false;
	}
	out_pair->name.at = text;
	out_pair->value.at = text + name.len + 1;
	return decode(name, text, &out_pair->name.len) == 0 &&
	       decode(value, text + name.len + 1, &out_pair->value.len) == 0;
}

bool query_next(struct span *rest, struct arena *memory, struct query_pair *out_pair, bool *is_full)
{
	while (rest->len > 0) {
		const char *end = memchr(rest->at, '&', rest->len);
		struct span piece = { rest->at, end ? (size_t)(end - rest->at) : rest->len };
		size_t taken = piece.len + (end ? 1 : 0);

		rest->at += taken;
		rest->len -= taken;
		if (pair_decode(piece, memory, out_pair, is_full))
			return true;
	}
	return false;
}
