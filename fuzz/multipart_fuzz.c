/*
 * A multipart body at once and in pieces: how it was cut must not show in what is found.
 *
 * The first byte of an input chooses the size of the pieces; the rest is a body whose boundary is B.
 * Dispositions of parts are parsed, and their names looked for.
 */
#include <stdint.h>
#include <string.h>

#include "base/macros.h"
#include "http/disposition.h"
#include "http/multipart.h"

#define FUZZ_INPUT_MAX  65536u
#define FUZZ_OUTPUT_MAX (1024u * 1024u)

static void append_filename(struct buf *trace, struct span field)
{
	CLEANUP(arena_deinit) struct arena memory;
	struct disposition d;
	struct span name;
	const char *error;

	arena_init(&memory, FUZZ_OUTPUT_MAX, NULL, 0);
	error = disposition_parse(&d, field, &memory);
	if (error)
		buf_append_text(trace, error);
	else if (disposition_find(&d, "filename", &name))
		buf_append(trace, name.at, name.len);
}

static void append_event(struct buf *trace, const struct multipart *m, enum multipart_event event,
                         struct span piece)
{
	struct span field;

	if (event == MULTIPART_PART_DATA) {
		ASSERT(piece.len > 0);
		buf_append(trace, piece.at, piece.len);
		return;
	}
	buf_appendf(trace, "<%d>", (int)event);
	if (event == MULTIPART_PART_BEGIN && multipart_field(m, "content-disposition", &field))
		append_filename(trace, field);
}

static bool feed(struct multipart *m, struct span input, struct buf *trace)
{
	CLEANUP(err_clear) struct err e = { 0 };
	struct span piece;

	for (;;) {
		enum multipart_event event = multipart_next(m, &input, &piece, &e);

		if (event == MULTIPART_HUNGRY)
			break;
		append_event(trace, m, event, piece);
		if (event != MULTIPART_FAILED)
			continue;
		ASSERT(e.kind == ERR_INVALID);
		buf_append_text(trace, err_text(&e));
		return false;
	}
	ASSERT(input.len == 0);
	return true;
}

static struct buf decode(struct span input, size_t slice)
{
	CLEANUP(err_clear) struct err e = { 0 };
	CLEANUP(multipart_deinit) struct multipart m;
	struct buf trace;
	bool is_sound = true;

	buf_init(&trace, FUZZ_OUTPUT_MAX);
	ASSERT(multipart_init(&m, SPAN("B"), &e) == 0);
	while (is_sound && input.len > 0) {
		struct span piece = { input.at, MIN(slice, input.len) };

		input.at += piece.len;
		input.len -= piece.len;
		is_sound = feed(&m, piece, &trace);
	}
	if (is_sound)
		buf_appendf(&trace, "end %d", (int)multipart_end(&m));
	ASSERT(buf_error(&trace) == 0);
	return trace;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t slices[] = { 1, 2, 3, 7, 16, 61, 251, 1021 };
	struct span input = { (const char *)data + 1, size - 1 };
	struct buf whole, pieces;

	if (size < 1 || size > FUZZ_INPUT_MAX)
		return 0;
	whole = decode(input, SIZE_MAX);
	pieces = decode(input, slices[data[0] % ARRAY_SIZE(slices)]);
	ASSERT(whole.len == pieces.len);
	ASSERT(memcmp(whole.data, pieces.data, whole.len) == 0);
	buf_deinit(&whole);
	buf_deinit(&pieces);
	return 0;
}
