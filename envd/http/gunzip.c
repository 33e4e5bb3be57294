#include "http/gunzip.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"

#define GUNZIP_WINDOW (15 + 16) /* zlib: the largest window, in gzip's framing */

/* zlib counts in 32 bits. */
#define GUNZIP_INPUT_MAX (1u << 30)

enum gunzip_state { GUNZIP_EMPTY, GUNZIP_MEMBER, GUNZIP_BETWEEN };

struct gunzip {
	z_stream z;
	gz_header header; /* done: that of the current member is complete */
	enum gunzip_state state;
	bool has_begun;
	int failed; /* zlib's code: told when the output before it has been taken; or 0 */
};

struct gunzip *gunzip_new(void)
{
	struct gunzip *z = try_calloc(1, sizeof *z);

	if (!z)
		return NULL;
	if (inflateInit2(&z->z, GUNZIP_WINDOW) != Z_OK) {
		free(z);
		return NULL;
	}
	(void)inflateGetHeader(&z->z, &z->header);
	return z;
}

void gunzip_free(struct gunzip *z)
{
	if (!z)
		return;
	inflateEnd(&z->z);
	free(z);
}

static int refuse(const struct gunzip *z, struct err *e)
{
	const char *why = z->z.msg ? z->z.msg : "";

	if (z->failed == Z_MEM_ERROR)
		return err_set(e, ERR_INTERNAL, "gzip: out of memory");
	if (z->header.done <= 0)
		return err_set(e, ERR_INVALID, "gzip: invalid header");
	if (strcmp(why, "incorrect data check") == 0 || strcmp(why, "incorrect length check") == 0)
		return err_set(e, ERR_INVALID, "gzip: invalid checksum");
	return err_set(e, ERR_INVALID, "flate: corrupt input before offset %lu", z->z.total_in);
}

static void begin_member(struct gunzip *z)
{
	if (z->state == GUNZIP_BETWEEN) {
		(void)inflateReset(&z->z);
		(void)inflateGetHeader(&z->z, &z->header);
	}
	z->state = GUNZIP_MEMBER;
}

/* False: there is no progress without more input, or none at all. */
static bool inflate_some(struct gunzip *z, struct span *input)
{
	size_t given = MIN(input->len, GUNZIP_INPUT_MAX);
	int rc;

	if (z->state != GUNZIP_MEMBER)
		begin_member(z);
	z->z.next_in = (Bytef *)(uintptr_t)input->at;
	z->z.avail_in = (uInt)given;
	rc = inflate(&z->z, Z_NO_FLUSH);
	input->at += given - z->z.avail_in;
	input->len -= given - z->z.avail_in;
	z->has_begun = z->has_begun || z->header.done > 0;
	if (rc == Z_STREAM_END)
		z->state = GUNZIP_BETWEEN;
	else if (rc != Z_OK && rc != Z_BUF_ERROR)
		z->failed = rc;
	return rc == Z_OK || rc == Z_STREAM_END;
}

ptrdiff_t gunzip_next(struct gunzip *z, struct span *input, void *out, size_t size, struct err *e)
{
	size_t room = MIN(size, GUNZIP_INPUT_MAX);

	z->z.next_out = out;
	z->z.avail_out = (uInt)room;
	while (z->failed == 0 && z->z.avail_out == room &&
	       (input->len > 0 || z->state == GUNZIP_MEMBER))
		if (!inflate_some(z, input))
			break;
	if (z->z.avail_out == room && z->failed != 0)
		return refuse(z, e);
	return (ptrdiff_t)(room - z->z.avail_out);
}

bool gunzip_has_begun(const struct gunzip *z)
{
	return z->has_begun;
}

int gunzip_end(const struct gunzip *z, struct err *e)
{
	switch (z->state) {
	case GUNZIP_BETWEEN:
		return 0;
	case GUNZIP_EMPTY:
		return err_set(e, ERR_INVALID, "EOF");
	default:
		return err_set(e, ERR_INVALID, "unexpected EOF");
	}
}
