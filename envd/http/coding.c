#include "http/coding.h"

#include <errno.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/macros.h"

#define GZIP_FRAMING    16 /* zlib: added to the bits of the window */
#define GZIP_WINDOW_MAX 15

/*
 * A message of up to GZIP_SMALL bytes is compressed in 24 KiB of memory instead of 256, which take
 * longer to map and clear than some hundred bytes of JSON take to compress. It loses nothing: all
 * of it fits into the window.
 */
#define GZIP_SMALL        3072u
#define GZIP_SMALL_WINDOW 12
#define GZIP_SMALL_MEM    4
#define GZIP_MEM          8 /* zlib's default */

/* Bytes that the output grows by; less than a page would cost calls, more memory. */
#define GZIP_STEP 4096u

/* Input is given to zlib, which counts in 32 bits, in pieces. */
#define GZIP_INPUT_MAX (1u << 30)

/* One call's output: into the buffer, or, when that is at its max, a byte that must stay unused:
 * the end of the stream may still come. */
struct gzip_room {
	uint8_t over;
	size_t size;
};

static int gzip_open_room(struct gzip_room *r, struct buf *out, z_stream *z)
{
	size_t room = out->cap - out->len;
	int rc;

	if (room == 0 && out->len < out->max) {
		rc = buf_reserve(out, MIN(MAX(out->len, GZIP_STEP), out->max - out->len));
		if (rc < 0)
			return rc;
		room = out->cap - out->len;
	}
	r->size = MIN(room, GZIP_INPUT_MAX);
	z->next_out = r->size > 0 ? out->data + out->len : &r->over;
	z->avail_out = r->size > 0 ? (uInt)r->size : 1;
	return 0;
}

static int gzip_close_room(const struct gzip_room *r, struct buf *out, const z_stream *z)
{
	if (r->size == 0)
		return z->avail_out == 0 ? -ENOBUFS : 0;
	out->len += r->size - z->avail_out;
	return 0;
}

static void gzip_more_input(z_stream *z, const void *data, size_t len, size_t *at)
{
	size_t n = MIN(len - *at, GZIP_INPUT_MAX);

	if (z->avail_in > 0 || n == 0)
		return;
	z->next_in = (Bytef *)(uintptr_t)((const char *)data + *at);
	z->avail_in = (uInt)n;
	*at += n;
}

static int gzip_deflate(z_stream *z, struct buf *out, const void *data, size_t len)
{
	struct gzip_room room;
	size_t at = 0;
	int rc, full;

	do {
		gzip_more_input(z, data, len, &at);
		full = gzip_open_room(&room, out, z);
		if (full < 0)
			return full;
		rc = deflate(z, at == len ? Z_FINISH : Z_NO_FLUSH);
		ASSERT(rc != Z_STREAM_ERROR);
		full = gzip_close_room(&room, out, z);
		if (full < 0)
			return full;
	} while (rc != Z_STREAM_END);
	return 0;
}

int gzip_compress(struct buf *out, const void *data, size_t len)
{
	const bool small = len <= GZIP_SMALL;
	const int window = small ? GZIP_SMALL_WINDOW : GZIP_WINDOW_MAX;
	z_stream z = { 0 };
	size_t before = out->len;
	int rc;

	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, window + GZIP_FRAMING,
	                 small ? GZIP_SMALL_MEM : GZIP_MEM, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	rc = gzip_deflate(&z, out, data, len);
	deflateEnd(&z);
	if (rc < 0)
		out->len = before;
	return rc;
}

/* One member ends where another may begin. */
static int gzip_inflate(z_stream *z, struct buf *out, const void *data, size_t len)
{
	struct gzip_room room;
	size_t at = 0;
	int rc, full;

	for (;;) {
		gzip_more_input(z, data, len, &at);
		full = gzip_open_room(&room, out, z);
		if (full < 0)
			return full;
		rc = inflate(z, Z_NO_FLUSH);
		full = gzip_close_room(&room, out, z);
		if (full < 0)
			return full;
		if (rc == Z_STREAM_END) {
			if (z->avail_in == 0 && at == len)
				return 0;
			if (inflateReset(z) != Z_OK)
				return -EBADMSG;
		} else if (rc == Z_MEM_ERROR) {
			return -ENOMEM;
		} else if (rc != Z_OK || (z->avail_in == 0 && at == len && z->avail_out > 0)) {
			return -EBADMSG;
		}
	}
}

int gzip_decompress(struct buf *out, const void *data, size_t len)
{
	z_stream z = { 0 };
	size_t before = out->len;
	int rc;

	if (inflateInit2(&z, GZIP_WINDOW_MAX + GZIP_FRAMING) != Z_OK)
		return -ENOMEM;
	rc = gzip_inflate(&z, out, data, len);
	inflateEnd(&z);
	if (rc < 0)
		out->len = before;
	return rc;
}
