/*
 * Decoder of multipart bodies (RFC 2046), as Go's mime/multipart reads them. Incremental, pure.
 *
 *   preamble -> header -> body -> delimiter -> header ... -> epilogue
 *
 * Rules, which are Go's:
 *   - a boundary line is `--B`, spaces or tabs, and a newline; what stands before the first is skipped
 *   - the newline is CRLF, unless the first boundary line ends in a bare LF: then LF throughout
 *   - a body ends at newline, `--B` and a space, tab, CR, LF or `--`; one that begins with `--B` is
 *     empty. What then is no boundary line is an error
 *   - the last boundary line is `--B--`, whose newline may be missing at the end of the input; what
 *     follows is ignored
 *   - header lines may be folded and may end in a bare LF
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"

#define MULTIPART_BOUNDARY_MAX 256u  /* bytes; RFC 2046 allows 70 */
#define MULTIPART_LINE_MAX     4096u /* bytes of a line outside a part: Go's buffer */
#define MULTIPART_HEADER_MAX   65536u /* bytes of a part's header: a path has 4,096, escaped 12,288 */

/* Newline, two dashes, boundary; and the dash that may follow. */
#define MULTIPART_DELIMITER_MAX (4u + MULTIPART_BOUNDARY_MAX + 1u)

enum multipart_state {
	MULTIPART_PREAMBLE,
	MULTIPART_HEADER,
	MULTIPART_BODY,
	MULTIPART_DELIMITER, /* in a body, in what may be its end: held back */
	MULTIPART_BOUNDARY,  /* in the line with which a body ended */
	MULTIPART_EPILOGUE,
	MULTIPART_BROKEN,
};

enum multipart_event {
	MULTIPART_HUNGRY,     /* all input is taken, more is needed */
	MULTIPART_PART_BEGIN, /* its header is complete: multipart_field */
	MULTIPART_PART_DATA,  /* a piece of its body */
	MULTIPART_PART_END,
	MULTIPART_FAILED, /* e says why; so does every further call */
};

struct multipart {
	enum multipart_state state;
	char delimiter[MULTIPART_DELIMITER_MAX]; /* \r\n--B- */
	size_t delimiter_len;                    /* without the last dash */
	size_t newline_len;                      /* 2, or 1: the delimiter begins at its LF */
	size_t n_parts;
	/* In MULTIPART_DELIMITER, what has been seen of it: from its newline, or from behind it at the
	 * start of a body; up to its end or the dash. */
	size_t held_from, held_to;
	struct buf text; /* the line, or the header so far */
	size_t line_at;  /* where the header's last line begins */
};

/*
 * boundary  as Content-Type has it; copied
 * returns   0, or -1 with ERR_INVALID: it is empty, too long, or has a line break
 */
int multipart_init(struct multipart *m, struct span boundary, struct err *e) MUST_CHECK;
void multipart_deinit(struct multipart *m);

/*
 * Takes input up to the next event. A piece of a body lies in the input, or in the decoder until the
 * next call. Every part has a begin and an end.
 */
enum multipart_event multipart_next(struct multipart *m, struct span *input, struct span *out_piece,
                                    struct err *e) MUST_CHECK;

/*
 * The value of the part's first header field of that lower-case name, unfolded and trimmed; false if
 * there is none. Between MULTIPART_PART_BEGIN and the next call.
 */
bool multipart_field(const struct multipart *m, const char *name, struct span *out_value);

enum multipart_end {
	MULTIPART_COMPLETE,
	MULTIPART_CUT,        /* before the first part, or between two */
	MULTIPART_CUT_HEADER, /* in the header of a part */
	MULTIPART_CUT_BODY,
};

/* Where the input ends, after MULTIPART_HUNGRY. */
enum multipart_end multipart_end(const struct multipart *m);
