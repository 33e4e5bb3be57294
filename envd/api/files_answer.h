/*
 * What GET /files answers for a file that is there: status, fields, and which of its bytes. Go's
 * http.ServeContent is the measure, unless the body is compressed. Pure.
 * Source: files_http.md 1, "Success headers".
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "http/accept.h"
#include "http/byteranges.h"
#include "http/date.h"
#include "http/exchange.h"
#include "http/range.h"

/* Fields of one answer; Content-Length and Date are the exchange's. */
#define FILES_ANSWER_FIELDS_MAX 6u

/* Bytes of a Content-Disposition: a name has as many as a path at the most (on FUSE; elsewhere 255 or, in
 * UTF-16, 765), each of which may be escaped, and room. */
#define FILES_DISPOSITION_MAX (3u * PATH_MAX + 64u)

/* What is known of the file and the request. All borrowed, and needed as long as the answer. */
struct files_content {
	const struct exchange *x;
	const char *asked_path; /* as the request names it: its extension tells the type */
	const char *path;       /* resolved */
	enum http_coding coding;
	int64_t size; /* bytes; -1: unknown, then there are no ranges */
	time_t modified;
	struct span beginning; /* of the content */
	const char *boundary;  /* byteranges_draw_boundary's, if the request names ranges */
};

/* Points into itself: stays where it is. */
struct files_answer {
	int status;
	struct http_field fields[FILES_ANSWER_FIELDS_MAX];
	size_t n_fields;
	bool has_content; /* of the file; false: text is the body */
	struct span text;
	struct ranges parts;        /* n 0: all of it */
	struct byteranges together; /* frames the parts, if there are several */
	int64_t length;             /* bytes of the body; -1: unknown */

	struct date modified;
	char disposition[FILES_DISPOSITION_MAX];
	char content_type[BYTERANGES_CONTENT_TYPE_MAX];
	char content_range[CONTENT_RANGE_MAX];
};

/* Whether the request has a field that is answered with identity only (step 8). */
bool files_answer_is_conditional(const struct exchange *x);

void files_answer_init(struct files_answer *a, const struct files_content *c);
