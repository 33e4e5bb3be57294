/*
 * Conditional requests on a file without an entity tag, as Go's http.ServeContent answers them
 * (files_http.md 1). Pure.
 */
#pragma once

#include <stdbool.h>
#include <time.h>

#include "base/text.h"

/* The request's fields; empty ones are not there. */
struct conditions {
	struct span if_match, if_none_match;
	struct span if_modified_since, if_unmodified_since;
	struct span if_range;
};

enum condition_result {
	CONDITION_SERVE,
	CONDITION_NOT_MODIFIED, /* 304 */
	CONDITION_FAILED        /* 412 */
};

/* modified: 0 is a file without a time, whose times say nothing. */
enum condition_result condition_check(const struct conditions *c, time_t modified);

/* Whether the Range field counts. */
bool condition_keeps_range(const struct conditions *c, time_t modified);
