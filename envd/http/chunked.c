#include "http/chunked.h"

#include "base/macros.h"
#include "http/limits.h"

#define CHUNKED_DIGITS_MAX 15u /* so that a size cannot overflow */
/* Framing that is not counted as excess: this much a chunk, and as much as its data. */
#define CHUNKED_FAIR_BYTES 16u

void chunked_init(struct chunked *k)
{
	*k = (struct chunked){ .scan = { .n_lines = 1 } };
	buf_init(&k->trailer, HTTP_TRAILER_MAX);
}

void chunked_deinit(struct chunked *k)
{
	buf_deinit(&k->trailer);
}

static int chunked_hex(uint8_t byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	byte |= 0x20;
	return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static enum chunked_state chunked_digit(struct chunked *k, uint8_t byte)
{
	int digit = chunked_hex(byte);

	if (digit >= 0) {
		if (k->n_digits++ == CHUNKED_DIGITS_MAX)
			return CHUNKED_MALFORMED;
		k->left = k->left * 16 + (uint64_t)digit;
		return CHUNKED_SIZE;
	}
	if (k->n_digits == 0)
		return CHUNKED_MALFORMED;
	switch (byte) {
	case '\r':
		return CHUNKED_SIZE_LF;
	case ';':
		return CHUNKED_EXTENSION;
	case ' ':
	case '\t':
		return CHUNKED_SPACE;
	default:
		return CHUNKED_MALFORMED;
	}
}

static enum chunked_state chunked_line_end(struct chunked *k)
{
	size_t fair = CHUNKED_FAIR_BYTES + (size_t)MIN(k->left, HTTP_CHUNK_EXCESS_MAX);

	k->excess += k->n_line;
	k->excess -= MIN(fair, k->excess);
	k->n_line = 0;
	k->n_digits = 0;
	if (k->excess > HTTP_CHUNK_EXCESS_MAX)
		return CHUNKED_MALFORMED;
	return k->left > 0 ? CHUNKED_DATA : CHUNKED_TRAILER;
}

static enum chunked_state chunked_line_byte(struct chunked *k, uint8_t byte)
{
	if (++k->n_line > HTTP_CHUNK_LINE_MAX)
		return CHUNKED_MALFORMED;
	switch (k->state) {
	case CHUNKED_SIZE:
		return chunked_digit(k, byte);
	case CHUNKED_SPACE:
		if (byte == ' ' || byte == '\t')
			return CHUNKED_SPACE;
		return byte == ';' ? CHUNKED_EXTENSION : CHUNKED_MALFORMED;
	case CHUNKED_EXTENSION:
		if (byte == '\r')
			return CHUNKED_SIZE_LF;
		return (byte < ' ' && byte != '\t') || byte == 0x7f ? CHUNKED_MALFORMED
		                                                    : CHUNKED_EXTENSION;
	case CHUNKED_SIZE_LF:
		return byte == '\n' ? chunked_line_end(k) : CHUNKED_MALFORMED;
	case CHUNKED_DATA_CR:
		return byte == '\r' ? CHUNKED_DATA_LF : CHUNKED_MALFORMED;
	case CHUNKED_DATA_LF:
		k->n_line = 0;
		return byte == '\n' ? CHUNKED_SIZE : CHUNKED_MALFORMED;
	default:
		return CHUNKED_MALFORMED;
	}
}

/* Returns the bytes that belong to it. */
static size_t chunked_take_trailer(struct chunked *k, const uint8_t *data, size_t len)
{
	size_t had = k->trailer.len;
	size_t n = MIN(len, HTTP_TRAILER_MAX - had);

	buf_append(&k->trailer, data, n);
	if (buf_error(&k->trailer)) {
		k->state = CHUNKED_MALFORMED;
		return 0;
	}
	switch (h1_scan(&k->scan, (const char *)k->trailer.data, k->trailer.len)) {
	case H1_SCAN_COMPLETE:
		k->state = CHUNKED_DONE;
		buf_truncate(&k->trailer, k->scan.end);
		return k->scan.end - had;
	case H1_SCAN_BROKEN:
		k->state = CHUNKED_MALFORMED;
		return n;
	default:
		if (k->trailer.len == HTTP_TRAILER_MAX)
			k->state = CHUNKED_MALFORMED;
		return n;
	}
}

size_t chunked_feed(struct chunked *k, const uint8_t *data, size_t len, size_t body_max,
                    const uint8_t **out_body, size_t *out_len)
{
	size_t taken = 0;

	*out_len = 0;
	while (taken < len && k->state < CHUNKED_DONE) {
		if (k->state == CHUNKED_DATA) {
			size_t n = MIN(MIN(len - taken, body_max), k->left);

			*out_body = data + taken;
			*out_len = n;
			k->left -= n;
			if (k->left == 0)
				k->state = CHUNKED_DATA_CR;
			return taken + n;
		}
		if (k->state == CHUNKED_TRAILER)
			return taken + chunked_take_trailer(k, data + taken, len - taken);
		k->state = chunked_line_byte(k, data[taken++]);
	}
	return taken;
}
