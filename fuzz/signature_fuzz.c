/*
 * The query of a request for files. What is read of it, written as a query again in the plainest way,
 * must read the same; and only the signature that is right may pass.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "api/files_request.h"
#include "base/buf.h"
#include "base/macros.h"

#define FUZZ_INPUT_MAX 16384u

static struct secret token;

static void append_param(struct buf *b, bool has, const char *name, struct span value)
{
	if (!has)
		return;
	buf_appendf(b, "&%s=", name);
	for (size_t i = 0; i < value.len; i++)
		buf_appendf(b, "%%%02x", (unsigned char)value.at[i]);
}

static void append_query(struct buf *b, const struct files_query *q)
{
	append_param(b, q->has_path, "path", q->path);
	append_param(b, q->has_username, "username", q->username);
	append_param(b, q->has_signature, "signature", q->signature);
	if (q->has_expiration)
		buf_appendf(b, "&signature_expiration=%" PRId64, q->expires_s);
}

static bool same(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static void check_written(const struct files_query *q)
{
	CLEANUP(arena_deinit) struct arena memory;
	CLEANUP(err_clear) struct err e = { 0 };
	CLEANUP(buf_deinit) struct buf text = { 0 };
	struct files_query again;

	buf_init(&text, 4 * FUZZ_INPUT_MAX);
	append_query(&text, q);
	ASSERT(buf_error(&text) == 0);
	arena_init(&memory, FILES_QUERY_MEMORY_MAX, NULL, 0);
	ASSERT(files_query_parse(&again, (struct span){ (const char *)text.data, text.len },
	                         &memory, &e) == 0);
	ASSERT(again.has_path == q->has_path && same(again.path, q->path));
	ASSERT(again.has_username == q->has_username && same(again.username, q->username));
	ASSERT(again.has_signature == q->has_signature && same(again.signature, q->signature));
	ASSERT(again.has_expiration == q->has_expiration && again.expires_s == q->expires_s);
}

/* The signature that this very query needs. */
static void sign(const struct files_query *q, char out[3 + SECRET_SIGNATURE_SIZE])
{
	const struct span before[] = { q->path, SPAN(":read:"), q->username, SPAN(":") };
	char behind[32] = "";

	memcpy(out, "v1_", 3);
	if (q->has_expiration)
		(void)snprintf(behind, sizeof behind, ":%" PRId64, q->expires_s);
	secret_sign(&token, before, ARRAY_SIZE(before), span_of(behind), out + 3);
}

static void check_right(struct files_query *q)
{
	char right[3 + SECRET_SIGNATURE_SIZE];

	sign(q, right);
	if (!span_equal(q->signature, right))
		ASSERT(files_query_refusal(q, FILES_READ, &token, SPAN(""), INT64_MIN));
	q->has_signature = true;
	q->signature = span_of(right);
	ASSERT(!files_query_refusal(q, FILES_READ, &token, SPAN(""), INT64_MIN));
	ASSERT(files_query_refusal(q, FILES_WRITE, &token, SPAN(""), INT64_MIN));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_deinit) struct arena memory;
	CLEANUP(err_clear) struct err e = { 0 };
	struct files_query q;

	if (size > FUZZ_INPUT_MAX)
		return 0;
	if (!secret_is_set(&token))
		ASSERT(secret_set(&token, SPAN("!token")) == 0);
	arena_init(&memory, FILES_QUERY_MEMORY_MAX, NULL, 0);
	if (files_query_parse(&q, (struct span){ (const char *)data, size }, &memory, &e) < 0)
		return 0;
	check_written(&q);
	check_right(&q);
	return 0;
}
