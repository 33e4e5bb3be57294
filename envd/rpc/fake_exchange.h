/*
 * An exchange without a connection: a test plays the peer, and everything that was answered is
 * kept for it to look at. The wire contract is checked on the way.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "http/exchange.h"
#include "http/file.h"

#define FAKE_FIELDS_MAX 160u

struct fake_exchange {
	struct exchange x;
	struct http_field request_fields[FAKE_FIELDS_MAX];
	/* what the owner did */
	bool is_reading;
	bool is_answered;
	bool is_finished;
	bool is_aborted;
	bool is_released;
	int status;
	size_t consumed; /* bytes credited */
	size_t pushed;   /* bytes handed over */
	size_t diverted; /* bytes that the owner has read by itself */
	bool is_diverted;
	unsigned n_diverts;
	unsigned n_sends;
	struct buf head; /* "Name: value\n"... */
	struct buf body;
	struct buf trailers; /* as head */
	/* what the peer does */
	bool is_full;           /* sends answer false */
	struct http_file *file; /* of exchange_send_file */
	int64_t file_offset, file_left;
	int source; /* what exchange_divert gives a duplicate of, of content_length; or -1 */
};

/* fields: "name: value\n"..., names in lower case; both live as long as the exchange. */
struct fake_exchange *fake_new(enum http_version version, const char *method, const char *fields);
void fake_free(struct fake_exchange *f); /* asserts that the owner has given it back */

void fake_query(struct fake_exchange *f, const char *query);
void fake_length(struct fake_exchange *f, int64_t content_length);
void fake_push(struct fake_exchange *f, const void *data, size_t len);
void fake_end(struct fake_exchange *f, enum exchange_body_end how);
void fake_readable(struct fake_exchange *f);
void fake_gone(struct fake_exchange *f);
void fake_hangup(struct fake_exchange *f);
void fake_proceed(struct fake_exchange *f);
void fake_file_sent(struct fake_exchange *f); /* reads it into the body and tells */

/* Whether a line "Name: value" is in the head or the trailers. */
bool fake_has(const struct buf *lines, const char *line);
const char *fake_text(struct buf *b); /* as a string, for looking */
