/*
 * The Range field of a request: its parts lie within the whole and are no more than that, they read the
 * same when they are written in the plainest way, and framed they have the length that is announced.
 *
 * The first byte of an input chooses the size of the whole; the rest is the field.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/macros.h"
#include "http/byteranges.h"

#define FUZZ_INPUT_MAX 16384u
#define FUZZ_FIELD_MAX (64u * RANGES_MAX) /* of parts as they are written here */

static void check_parts(const struct ranges *parts, int64_t size)
{
	int64_t left = size;

	ASSERT(parts->n > 0 && parts->n <= RANGES_MAX);
	for (size_t i = 0; i < parts->n; i++) {
		const struct range *part = &parts->list[i];

		ASSERT(part->start >= 0 && part->len > 0 && part->start <= size - part->len);
		ASSERT(part->len <= left);
		left -= part->len;
	}
}

static void check_written(const struct ranges *parts, int64_t size)
{
	CLEANUP(buf_deinit) struct buf text = { 0 };
	struct ranges again;

	buf_init(&text, FUZZ_FIELD_MAX);
	buf_append_text(&text, "bytes=");
	for (size_t i = 0; i < parts->n; i++)
		buf_appendf(&text, "%s%" PRId64 "-%" PRId64, i == 0 ? "" : ",",
		            parts->list[i].start, parts->list[i].start + parts->list[i].len - 1);
	ASSERT(buf_error(&text) == 0);
	ASSERT(range_parse((struct span){ (const char *)text.data, text.len }, size, &again) ==
	       RANGE_PARTS);
	ASSERT(again.n == parts->n);
	ASSERT(memcmp(again.list, parts->list, parts->n * sizeof *parts->list) == 0);
}

static void check_content_range(const struct range *part, int64_t size)
{
	char text[CONTENT_RANGE_MAX];
	int64_t first, last, of;

	ASSERT(content_range_format(part, size, text).len == strlen(text));
	ASSERT(sscanf(text, "bytes %" SCNd64 "-%" SCNd64 "/%" SCNd64, &first, &last, &of) == 3);
	ASSERT(first == part->start && last - first == part->len - 1 && of == size);
}

static void check_framed(const struct ranges *parts, int64_t size)
{
	struct byteranges together = {
		.parts = parts->list,
		.n_parts = parts->n,
		.size = size,
		.type = SPAN("application/octet-stream"),
	};
	char head[BYTERANGES_HEAD_MAX];
	int64_t left;

	if (size > BYTERANGES_SIZE_MAX)
		return;
	memset(together.boundary, 'b', BYTERANGES_BOUNDARY_LEN);
	left = byteranges_length(&together);
	for (size_t i = 0; i <= parts->n; i++) {
		left -= (int64_t)byteranges_head(&together, i, head).len;
		left -= i < parts->n ? parts->list[i].len : 0;
	}
	ASSERT(left == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const int64_t sizes[] = { 0, 1, 12, 200000, BYTERANGES_SIZE_MAX, INT64_MAX };
	struct ranges parts;
	struct span field;
	int64_t size;

	if (len == 0 || len > FUZZ_INPUT_MAX)
		return 0;
	size = sizes[data[0] % ARRAY_SIZE(sizes)];
	field = (struct span){ (const char *)data + 1, len - 1 };
	if (range_parse(field, size, &parts) != RANGE_PARTS)
		return 0;
	check_parts(&parts, size);
	check_written(&parts, size);
	for (size_t i = 0; i < parts.n; i++)
		check_content_range(&parts.list[i], size);
	check_framed(&parts, size);
	return 0;
}
