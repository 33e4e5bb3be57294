#include "base/text.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"

#define UTF8_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

static const char hex_digits[] = "0123456789abcdef";

struct span span_of(const char *s)
{
	return (struct span){ s, s ? strlen(s) : 0 };
}

bool span_equal(struct span a, const char *b)
{
	return strlen(b) == a.len && (a.len == 0 || memcmp(a.at, b, a.len) == 0);
}

static char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool span_equal_nocase(struct span a, const char *b)
{
	if (strlen(b) != a.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		if (ascii_lower(a.at[i]) != ascii_lower(b[i]))
			return false;
	}
	return true;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct span span_trim(struct span s)
{
	while (s.len > 0 && is_blank(s.at[0])) {
		s.at++;
		s.len--;
	}
	while (s.len > 0 && is_blank(s.at[s.len - 1]))
		s.len--;
	return s;
}

/* strchr finds the terminating NUL too; a NUL in the text is no separator. */
static bool is_separator(const char *separators, char c)
{
	return c != '\0' && strchr(separators, c);
}

bool span_next(struct span *rest, const char *separators, struct span *out_piece)
{
	while (rest->len > 0) {
		struct span piece = { rest->at, 0 };
		size_t taken;

		while (piece.len < rest->len && !is_separator(separators, piece.at[piece.len]))
			piece.len++;
		taken = piece.len < rest->len ? piece.len + 1 : piece.len;
		rest->at += taken;
		rest->len -= taken;
		piece = span_trim(piece);
		if (piece.len > 0) {
			*out_piece = piece;
			return true;
		}
	}
	return false;
}

/* Bytes of plain ASCII at the front, found eight at a time. */
static size_t ascii_prefix(const char *s, size_t len)
{
	size_t i = 0;
	uint64_t word;

	for (; i + sizeof word <= len; i += sizeof word) {
		memcpy(&word, s + i, sizeof word);
		if (word & 0x8080808080808080u)
			break;
	}
	while (i < len && !((uint8_t)s[i] & 0x80))
		i++;
	return i;
}

/*
 * The sequence at s, of len > 0 bytes: its length, or if it is invalid minus the length of its
 * maximal valid beginning, at least -1 (Unicode 15, table 3-7).
 */
static int utf8_step(const char *s, size_t len)
{
	const uint8_t *u = (const uint8_t *)s;
	uint8_t low = 0x80, high = 0xBF; /* of the second byte */
	int n;

	if (u[0] < 0x80)
		return 1;
	if (u[0] < 0xC2 || u[0] > 0xF4)
		return -1;
	n = u[0] < 0xE0 ? 2 : u[0] < 0xF0 ? 3 : 4;
	if (u[0] == 0xE0)
		low = 0xA0; /* below: overlong */
	else if (u[0] == 0xED)
		high = 0x9F; /* above: surrogates */
	else if (u[0] == 0xF0)
		low = 0x90;
	else if (u[0] == 0xF4)
		high = 0x8F; /* above: beyond U+10FFFF */

	for (int i = 1; i < n; i++) {
		if ((size_t)i >= len || u[i] < low || u[i] > high)
			return -i;
		low = 0x80;
		high = 0xBF;
	}
	return n;
}

/* Bytes of valid text at the front. */
static size_t utf8_prefix(const char *s, size_t len)
{
	size_t i = 0;

	while (i < len) {
		int n;

		i += ascii_prefix(s + i, len - i);
		while (i < len && ((uint8_t)s[i] & 0x80)) {
			n = utf8_step(s + i, len - i);
			if (n < 0)
				return i;
			i += (size_t)n;
		}
	}
	return i;
}

bool utf8_is_valid(const char *s, size_t len)
{
	return utf8_prefix(s, len) == len;
}

void utf8_append_repaired(struct buf *b, const char *s, size_t len)
{
	while (len > 0) {
		size_t good = utf8_prefix(s, len);
		size_t bad;

		buf_append(b, s, good);
		s += good;
		len -= good;
		if (len == 0)
			return;
		bad = (size_t)-utf8_step(s, len);
		buf_append_text(b, UTF8_REPLACEMENT);
		s += bad;
		len -= bad;
	}
}

/* Digits of the whole span, at least one. */
static int parse_digits(struct span s, uint64_t max, uint64_t *out_value)
{
	uint64_t value = 0;
	bool over = false;

	if (s.len == 0)
		return -EINVAL;
	for (size_t i = 0; i < s.len; i++) {
		uint64_t digit = (uint64_t)(uint8_t)s.at[i] - '0';

		if (digit > 9)
			return -EINVAL;
		if (value > (max - digit) / 10)
			over = true;
		else
			value = value * 10 + digit;
	}
	if (over)
		return -ERANGE;
	*out_value = value;
	return 0;
}

static bool take_sign(struct span *s, char sign)
{
	if (s->len == 0 || s->at[0] != sign)
		return false;
	s->at++;
	s->len--;
	return true;
}

int parse_i64(struct span s, int64_t *out_value)
{
	bool negative = take_sign(&s, '-');
	uint64_t max = negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
	uint64_t value;
	int rc;

	if (!negative)
		take_sign(&s, '+');
	rc = parse_digits(s, max, &value);
	if (rc < 0)
		return rc;
	*out_value = (int64_t)(negative ? -value : value);
	return 0;
}

int parse_u64(struct span s, uint64_t *out_value)
{
	take_sign(&s, '+');
	return parse_digits(s, UINT64_MAX, out_value);
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int percent_decode(struct buf *b, struct span s)
{
	size_t len_before = b->len;

	for (size_t i = 0; i < s.len; i++) {
		int high, low;

		if (s.at[i] != '%') {
			buf_append_byte(b, (uint8_t)s.at[i]);
			continue;
		}
		high = s.len - i > 2 ? hex_value(s.at[i + 1]) : -1;
		low = s.len - i > 2 ? hex_value(s.at[i + 2]) : -1;
		if (high < 0 || low < 0) {
			buf_truncate(b, len_before);
			return -EINVAL;
		}
		buf_append_byte(b, (uint8_t)(high << 4 | low));
		i += 2;
	}
	return buf_error(b);
}

static void json_append_unicode(struct buf *b, unsigned unit)
{
	char text[6] = { '\\', 'u' };

	for (int i = 0; i < 4; i++)
		text[2 + i] = hex_digits[unit >> (12 - 4 * i) & 15];
	buf_append(b, text, sizeof text);
}

static void json_append_special(struct buf *b, uint8_t c)
{
	static const char short_forms[] = "\"\"\\\\\bb\ff\nn\rr\tt";

	for (const char *f = short_forms; *f; f += 2) {
		if ((uint8_t)f[0] == c) {
			buf_append(b, (char[]){ '\\', f[1] }, 2);
			return;
		}
	}
	json_append_unicode(b, c);
}

static bool json_is_plain(uint8_t c, bool html)
{
	if (c < 0x20 || c == '"' || c == '\\' || c >= 0x80)
		return false;
	return !html || (c != '<' && c != '>' && c != '&');
}

#define EACH_BYTE(b) (UINT64_C(0x0101010101010101) * (b)) /* eight of it */

/* Not 0 if one of the eight bytes is 0; only where it lies above one does a borrow make another so. */
static uint64_t find_zero(uint64_t bytes)
{
	return (bytes - EACH_BYTE(1)) & ~bytes & EACH_BYTE(0x80);
}

/* Eight bytes that JSON takes as they are. */
static bool json_is_plain8(const char *s)
{
	uint64_t bytes, below_space;

	memcpy(&bytes, s, sizeof bytes);
	below_space = (bytes - EACH_BYTE(0x20)) & ~bytes & EACH_BYTE(0x80);
	return ((bytes & EACH_BYTE(0x80)) | below_space | find_zero(bytes ^ EACH_BYTE('"')) |
	        find_zero(bytes ^ EACH_BYTE('\\'))) == 0;
}

/* How many of the bytes are taken as they are. */
static size_t json_plain_len(const char *s, size_t len, bool html)
{
	size_t i = 0;

	while (!html && i + sizeof(uint64_t) <= len && json_is_plain8(s + i))
		i += sizeof(uint64_t);
	while (i < len && json_is_plain((uint8_t)s[i], html))
		i++;
	return i;
}

/* One sequence that begins with a byte from 0x80 up; returns the bytes it took. */
static size_t json_append_multibyte(struct buf *b, const char *s, size_t len, bool html)
{
	int n = utf8_step(s, len);

	if (n < 0) {
		/* Go escapes each bad byte by itself. */
		if (html) {
			json_append_unicode(b, 0xFFFD);
			return 1;
		}
		buf_append_text(b, UTF8_REPLACEMENT);
		return (size_t)-n;
	}
	if (html && n == 3 && memcmp(s, "\xE2\x80", 2) == 0 && ((uint8_t)s[2] & 0xFE) == 0xA8)
		json_append_unicode(b, 0x2000u | ((uint8_t)s[2] & 0x3F)); /* U+2028, U+2029 */
	else
		buf_append(b, s, (size_t)n);
	return (size_t)n;
}

void json_append_string(struct buf *b, const char *s, size_t len, bool html)
{
	size_t i = 0;

	while (i < len && !buf_error(b)) {
		const size_t plain = json_plain_len(s + i, len - i, html);

		buf_append(b, s + i, plain);
		i += plain;
		if (i == len)
			return;
		if ((uint8_t)s[i] >= 0x80)
			i += json_append_multibyte(b, s + i, len - i, html);
		else
			json_append_special(b, (uint8_t)s[i++]);
	}
}

/* A byte of ASCII that %q does not print as it is. */
static void quote_append_special(struct buf *b, uint8_t c)
{
	static const char short_forms[] = "\"\"\\\\\aa\bb\ff\nn\rr\tt\vv";

	for (const char *f = short_forms; *f; f += 2) {
		if ((uint8_t)f[0] == c) {
			buf_append(b, (char[]){ '\\', f[1] }, 2);
			return;
		}
	}
	buf_appendf(b, "\\x%02x", c);
}

/* Control characters of Latin-1 with its hard space, separators of lines and paragraphs. */
static bool quote_hides(const char *s, int n)
{
	if (n == 2 && (uint8_t)s[0] == 0xC2)
		return (uint8_t)s[1] <= 0xA0;
	return n == 3 && memcmp(s, "\xE2\x80", 2) == 0 && ((uint8_t)s[2] & 0xFE) == 0xA8;
}

/* One sequence that begins with a byte from 0x80 up; returns the bytes it took. */
static size_t quote_append_multibyte(struct buf *b, const char *s, size_t len)
{
	int n = utf8_step(s, len);

	if (n < 0) {
		buf_appendf(b, "\\x%02x", (uint8_t)s[0]);
		return 1;
	}
	if (!quote_hides(s, n))
		buf_append(b, s, (size_t)n);
	else if (n == 2)
		json_append_unicode(b, (uint8_t)s[1]);
	else
		json_append_unicode(b, 0x2000u | ((uint8_t)s[2] & 0x3F));
	return (size_t)n;
}

void quote_append(struct buf *b, const char *s, size_t len)
{
	size_t i = 0;

	buf_append_byte(b, '"');
	while (i < len && !buf_error(b)) {
		uint8_t c = (uint8_t)s[i];

		if (c >= 0x80) {
			i += quote_append_multibyte(b, s + i, len - i);
			continue;
		}
		if (c >= ' ' && c != 0x7F && c != '"' && c != '\\')
			buf_append_byte(b, c);
		else
			quote_append_special(b, c);
		i++;
	}
	buf_append_byte(b, '"');
}
