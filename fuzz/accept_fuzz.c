/*
 * Accept-Encoding and Content-Encoding: letters' case, space around entries and codings that nobody here
 * knows change nothing, and what is chosen is what was allowed.
 */
#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/macros.h"
#include "http/accept.h"

#define FUZZ_INPUT_MAX 4096u

static struct span buf_span(const struct buf *b)
{
	ASSERT(buf_error(b) == 0);
	return (struct span){ (const char *)b->data, b->len };
}

static bool same(struct accept_coding a, struct accept_coding b)
{
	return a.best == b.best && a.identity == b.identity;
}

static void check_case(struct span field, struct accept_coding chosen)
{
	CLEANUP(buf_deinit) struct buf upper = { 0 };

	buf_init(&upper, FUZZ_INPUT_MAX);
	for (size_t i = 0; i < field.len; i++) {
		char c = (char)toupper((unsigned char)field.at[i]);

		buf_append(&upper, &c, 1);
	}
	ASSERT(same(accept_coding_choose(buf_span(&upper)), chosen));
	ASSERT(content_coding_parse(buf_span(&upper)) == content_coding_parse(field));
}

static void check_space(struct span field, struct accept_coding chosen)
{
	CLEANUP(buf_deinit) struct buf spaced = { 0 };

	buf_init(&spaced, 3 * FUZZ_INPUT_MAX);
	for (size_t i = 0; i < field.len; i++) {
		bool is_between = memchr(",;", field.at[i], 2);

		buf_append_text(&spaced, is_between ? " " : "");
		buf_append(&spaced, field.at + i, 1);
		buf_append_text(&spaced, is_between ? "\t" : "");
	}
	ASSERT(same(accept_coding_choose(buf_span(&spaced)), chosen));
}

static void check_unknown(struct span field, struct accept_coding chosen)
{
	CLEANUP(buf_deinit) struct buf more = { 0 };

	buf_init(&more, FUZZ_INPUT_MAX + 32);
	buf_append_text(&more, "br;q=7,");
	buf_append(&more, field.at, field.len);
	buf_append_text(&more, ",zstd;q=0");
	ASSERT(same(accept_coding_choose(buf_span(&more)), chosen));
}

/* One more entry at the end has the last word where it can have one. */
static struct accept_coding choose_with(struct span field, const char *entry)
{
	CLEANUP(buf_deinit) struct buf more = { 0 };

	buf_init(&more, FUZZ_INPUT_MAX + 64);
	buf_append(&more, field.at, field.len);
	buf_append_text(&more, entry);
	return accept_coding_choose(buf_span(&more));
}

static void check_choice(struct span field, struct accept_coding chosen)
{
	ASSERT(chosen.best != CODING_NONE || !chosen.identity);
	ASSERT(!choose_with(field, ",identity;q=0").identity);
	ASSERT(choose_with(field, ",gzip;q=1e-3").best != CODING_NONE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span field = { (const char *)data, size };
	struct accept_coding chosen;

	if (size > FUZZ_INPUT_MAX)
		return 0;
	chosen = accept_coding_choose(field);
	check_case(field, chosen);
	check_space(field, chosen);
	check_unknown(field, chosen);
	check_choice(field, chosen);
	return 0;
}
