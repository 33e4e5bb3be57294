/*
 * Which coding a body has: the rules of files_http.md 2, which are the reference's and not quite the
 * standard's. The only coding is gzip. Pure.
 */
#pragma once

#include <stdbool.h>

#include "base/text.h"

enum http_coding { CODING_IDENTITY, CODING_GZIP, CODING_NONE };

/* What Accept-Encoding allows. */
struct accept_coding {
	enum http_coding best; /* CODING_NONE: nothing that we have */
	bool identity;         /* whether identity would do */
};

/* field: the first Accept-Encoding line; empty without one. */
struct accept_coding accept_coding_choose(struct span field);

/* Of a request's body, by its first Content-Encoding line; CODING_NONE: not supported. */
enum http_coding content_coding_parse(struct span field);
