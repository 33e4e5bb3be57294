/*
 * The bytes of a header block or trailer section: where it ends, and its fields. Pure.
 *
 * Framing is ours and strict (RFC 9112 2.2, 5.1, 5.2), because where a message ends must not be
 * a matter of taste: CRLF only, no folded lines, no NUL. Field names and values go through llhttp.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/exchange.h"

enum h1_scan_result { H1_SCAN_MORE, H1_SCAN_COMPLETE, H1_SCAN_BROKEN };

/* Zeroed, or with n_lines 1 for a trailer section. Offsets are into the data of every call. */
struct h1_scan {
	size_t start;   /* of the first line: after empty ones */
	size_t line;    /* of the current line */
	size_t at;      /* searched up to here */
	size_t end;     /* H1_SCAN_COMPLETE: behind the empty line */
	size_t n_lines; /* without the empty one */
	unsigned n_blank;
};

/* data is the block from its beginning, each time with more bytes of it. */
enum h1_scan_result h1_scan(struct h1_scan *s, const char *data, size_t len);

enum h1_fields_result {
	H1_FIELDS_OK,
	H1_FIELDS_BROKEN,   /* 400 Bad Request */
	H1_FIELDS_NAME,     /* ... a space in or behind a field name */
	H1_FIELDS_ENCODING, /* a transfer encoding that is not chunked */
};

/*
 * Parses complete lines that h1_scan has accepted, up to and with the empty line. Names become
 * lower case in place. fields has room for n_max, which is the number of lines.
 */
enum h1_fields_result h1_fields_parse(char *lines, size_t len, struct http_field *fields,
                                      size_t n_max, size_t *out_n);

bool h1_is_token(struct span s); /* RFC 9110 5.6.2 */
