#include "http/byteranges.h"

#include <stdio.h>
#include <sys/random.h>

#include "base/macros.h"

void byteranges_draw_boundary(char out[BYTERANGES_BOUNDARY_LEN + 1])
{
	unsigned char random[BYTERANGES_BOUNDARY_LEN / 2];
	ssize_t n = getrandom(random, sizeof random, 0);

	ASSERT(n == sizeof random); /* so few come at once or not at all */
	for (size_t i = 0; i < sizeof random; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", random[i]);
}

struct span byteranges_content_type(const struct byteranges *b,
                                    char out[BYTERANGES_CONTENT_TYPE_MAX])
{
	int n = snprintf(out, BYTERANGES_CONTENT_TYPE_MAX, "multipart/byteranges; boundary=%s",
	                 b->boundary);

	return (struct span){ out, (size_t)n };
}

struct span byteranges_head(const struct byteranges *b, size_t i, char out[BYTERANGES_HEAD_MAX])
{
	char range[CONTENT_RANGE_MAX];
	int n;

	ASSERT(b->type.len <= BYTERANGES_TYPE_MAX);
	if (i == b->n_parts) {
		n = snprintf(out, BYTERANGES_HEAD_MAX, "\r\n--%s--\r\n", b->boundary);
	} else {
		(void)content_range_format(&b->parts[i], b->size, range);
		n = snprintf(out, BYTERANGES_HEAD_MAX,
		             "%s--%s\r\nContent-Range: %s\r\nContent-Type: %.*s\r\n\r\n",
		             i == 0 ? "" : "\r\n", b->boundary, range, (int)b->type.len,
		             b->type.at);
	}
	return (struct span){ out, (size_t)n };
}

int64_t byteranges_length(const struct byteranges *b)
{
	char head[BYTERANGES_HEAD_MAX];
	int64_t length = (int64_t)byteranges_head(b, b->n_parts, head).len;

	for (size_t i = 0; i < b->n_parts; i++)
		length += (int64_t)byteranges_head(b, i, head).len + b->parts[i].len;
	return length;
}
