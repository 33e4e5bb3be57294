#include "rpc/codec_text.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX   20    /* of UINT64_MAX */
#define EXPONENT_MAX 99999 /* larger ones are as good as this one */

/* A number taken apart, without zeros that change nothing: digits * 10^exponent. */
struct number {
	bool negative;
	struct span whole;    /* "" for 0 */
	struct span fraction; /* its last digit is not 0 */
	int exponent;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static struct span take_digits(struct span *s)
{
	struct span digits = { s->at, 0 };

	while (digits.len < s->len && is_digit(digits.at[digits.len]))
		digits.len++;
	s->at += digits.len;
	s->len -= digits.len;
	return digits;
}

static bool take_char(struct span *s, char c)
{
	if (s->len == 0 || s->at[0] != c)
		return false;
	s->at++;
	s->len--;
	return true;
}

static int take_exponent(struct span *s, int *out_exponent)
{
	struct span digits;
	bool negative;
	int value = 0;

	*out_exponent = 0;
	if (!take_char(s, 'e') && !take_char(s, 'E'))
		return 0;
	negative = take_char(s, '-');
	if (!negative)
		(void)take_char(s, '+');
	digits = take_digits(s);
	if (digits.len == 0)
		return -EINVAL;
	for (size_t i = 0; i < digits.len && value <= EXPONENT_MAX; i++)
		value = value * 10 + (digits.at[i] - '0');
	*out_exponent = negative ? -value : value;
	return 0;
}

static int split_number(struct span s, struct number *out_number)
{
	struct number n = { 0 };

	n.negative = take_char(&s, '-');
	n.whole = take_digits(&s);
	if (n.whole.len == 0 || (n.whole.len > 1 && n.whole.at[0] == '0'))
		return -EINVAL;
	if (n.whole.at[0] == '0')
		n.whole.len = 0;
	if (take_char(&s, '.')) {
		n.fraction = take_digits(&s);
		if (n.fraction.len == 0)
			return -EINVAL;
	}
	if (take_exponent(&s, &n.exponent) < 0 || s.len > 0)
		return -EINVAL;
	while (n.fraction.len > 0 && n.fraction.at[n.fraction.len - 1] == '0')
		n.fraction.len--;
	*out_number = n;
	return 0;
}

/* The digits of a whole number: its own, the fraction's, then zeros; or its own without last ones. */
static int whole_digits(const struct number *n, char *out_digits, size_t *out_len)
{
	size_t dropped = n->exponent < 0 ? (size_t)-n->exponent : 0;
	size_t shift = n->exponent > 0 ? (size_t)n->exponent : 0;

	*out_len = 0;
	if (n->whole.len == 0 && n->fraction.len == 0)
		return 0;
	if (n->fraction.len > shift || dropped > n->whole.len)
		return -EINVAL;
	for (size_t i = n->whole.len - dropped; i < n->whole.len; i++) {
		if (n->whole.at[i] != '0')
			return -EINVAL;
	}
	if (n->whole.len - dropped + shift > DIGITS_MAX)
		return -ERANGE;
	*out_len = n->whole.len - dropped + shift;
	memset(out_digits, '0', *out_len);
	if (n->whole.len > 0)
		memcpy(out_digits, n->whole.at, n->whole.len - dropped);
	if (n->fraction.len > 0)
		memcpy(out_digits + n->whole.len, n->fraction.at, n->fraction.len);
	return 0;
}

static int read_whole(struct span s, bool *out_negative, uint64_t *out_value)
{
	char digits[DIGITS_MAX];
	struct number n;
	size_t len = 0;
	int rc;

	rc = split_number(s, &n);
	if (rc == 0)
		rc = whole_digits(&n, digits, &len);
	if (rc < 0)
		return rc;
	*out_negative = n.negative && len > 0;
	if (len > 0)
		return parse_u64((struct span){ digits, len }, out_value);
	*out_value = 0;
	return 0;
}

int text_read_i64(struct span s, int64_t min, int64_t max, int64_t *out_value)
{
	uint64_t value = 0;
	bool negative = false;
	int rc = read_whole(s, &negative, &value);

	if (rc < 0)
		return rc;
	if (negative ? value > -(uint64_t)min : value > (uint64_t)max)
		return -ERANGE;
	*out_value = (int64_t)(negative ? -value : value);
	return 0;
}

int text_read_u64(struct span s, uint64_t max, uint64_t *out_value)
{
	uint64_t value = 0;
	bool negative = false;
	int rc = read_whole(s, &negative, &value);

	if (rc < 0)
		return rc;
	if (negative || value > max)
		return -ERANGE;
	*out_value = value;
	return 0;
}

int text_read_double(struct span s, bool single, double *out_value)
{
	struct number n;
	double value;

	if (split_number(s, &n) < 0)
		return -EINVAL;
	value = single ? (double)strtof(s.at, NULL) : strtod(s.at, NULL);
	if (isinf(value))
		return -ERANGE;
	*out_value = value;
	return 0;
}

void text_append_u64(struct buf *out, uint64_t value)
{
	char digits[DIGITS_MAX];
	size_t at = sizeof digits;

	do
		digits[--at] = (char)('0' + value % 10);
	while (value /= 10);
	buf_append(out, digits + at, sizeof digits - at);
}

void text_append_i64(struct buf *out, int64_t value)
{
	if (value < 0)
		buf_append_byte(out, '-');
	text_append_u64(out, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

#define DOUBLE_TEXT 32 /* d.(16 digits)e-308 with sign */

/*
 * As "%e". Every decimal of up to 15 digits (of a float: 6) survives the way to binary and back, so
 * this precision gives the shortest if it gives the number at all. Not so for subnormal numbers.
 */
static void print_shortest(char *text, double value, bool single)
{
	const bool normal = fabs(value) >= (single ? (double)FLT_MIN : DBL_MIN);
	const int last = single ? FLT_DECIMAL_DIG : DBL_DECIMAL_DIG;

	for (int digits = !normal ? 1 : single ? FLT_DIG : DBL_DIG;; digits++) {
		(void)snprintf(text, DOUBLE_TEXT, "%.*e", digits - 1, value);
		if (digits == last)
			return;
		if (single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value)
			return;
	}
}

static void append_zeros(struct buf *out, int n)
{
	while (n-- > 0)
		buf_append_byte(out, '0');
}

/* As JavaScript and Go write them: an exponent below 1e-6 and from 1e21. */
static void append_decimal(struct buf *out, const char *digits, int n, int exponent)
{
	if (exponent < -6 || exponent >= 21) {
		buf_append(out, digits, 1);
		if (n > 1) {
			buf_append_byte(out, '.');
			buf_append(out, digits + 1, (size_t)n - 1);
		}
		buf_appendf(out, "e%+d", exponent);
	} else if (exponent < 0) {
		buf_append_text(out, "0.");
		append_zeros(out, -exponent - 1);
		buf_append(out, digits, (size_t)n);
	} else if (n <= exponent + 1) {
		buf_append(out, digits, (size_t)n);
		append_zeros(out, exponent + 1 - n);
	} else {
		buf_append(out, digits, (size_t)exponent + 1);
		buf_append_byte(out, '.');
		buf_append(out, digits + exponent + 1, (size_t)(n - exponent - 1));
	}
}

void text_append_double(struct buf *out, double value, bool single)
{
	char text[DOUBLE_TEXT], digits[DOUBLE_TEXT];
	const char *at = text;
	int n = 0;

	if (isnan(value)) {
		buf_append_text(out, "\"NaN\"");
		return;
	}
	if (isinf(value)) {
		buf_append_text(out, value < 0 ? "\"-Infinity\"" : "\"Infinity\"");
		return;
	}
	print_shortest(text, value, single);
	if (*at == '-') {
		buf_append_byte(out, '-');
		at++;
	}
	for (; *at != 'e'; at++) {
		if (*at != '.')
			digits[n++] = *at;
	}
	while (n > 1 && digits[n - 1] == '0')
		n--;
	append_decimal(out, digits, n, (int)strtol(at + 1, NULL, 10));
}

/* The next character of a field's JSON name, 0 at its end: foo_bar2 is fooBar2. */
static char next_camel(const char **name)
{
	bool upper = false;
	char c;

	for (; **name == '_'; ++*name)
		upper = true;
	c = **name;
	if (c)
		++*name;
	return upper && c >= 'a' && c <= 'z' ? (char)(c - ('a' - 'A')) : c;
}

void text_append_member(struct buf *out, char before, const char *name)
{
	const size_t room = strlen(name) + sizeof ",\"\":" - 1;
	uint8_t *at = buf_extend(out, room), *start = at;
	char c;

	if (!at)
		return;
	if (before)
		*at++ = (uint8_t)before;
	*at++ = '"';
	while (*name && *name != '_') /* most are one word */
		*at++ = (uint8_t)*name++;
	while ((c = next_camel(&name)))
		*at++ = (uint8_t)c;
	*at++ = '"';
	*at++ = ':';
	buf_truncate(out, out->len - (room - (size_t)(at - start)));
}

bool text_equal_camel(struct span s, const char *name)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] != next_camel(&name) || s.at[i] == '\0')
			return false;
	}
	return next_camel(&name) == '\0';
}
