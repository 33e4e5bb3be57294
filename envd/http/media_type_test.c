#include "http/media_type.h"

#include <string.h>

#include "base/macros.h"
#include "tests/support/test.h"

static void by_name(const char *path, const char *type)
{
	struct span found = media_type_of_name(span_of(path));

	if (!type)
		assert_null(found.at);
	else if (!span_equal(found, type))
		fail_msg("%s is %.*s", path, (int)found.len, found.len > 0 ? found.at : "");
}

static void test_media_type_of_known_extensions(void **state)
{
	UNUSED(state);
	by_name("/a/b.txt", "text/plain; charset=utf-8");
	by_name("a.css", "text/css; charset=utf-8");
	by_name("a.htm", "text/html; charset=utf-8");
	by_name("a.html", "text/html; charset=utf-8");
	by_name("a.js", "text/javascript; charset=utf-8");
	by_name("a.mjs", "text/javascript; charset=utf-8");
	by_name("a.xml", "text/xml; charset=utf-8");
	by_name("a.json", "application/json");
	by_name("a.pdf", "application/pdf");
	by_name("a.wasm", "application/wasm");
	by_name("a.gif", "image/gif");
	by_name("a.png", "image/png");
	by_name("a.jpg", "image/jpeg");
	by_name("a.jpeg", "image/jpeg");
	by_name("a.webp", "image/webp");
	by_name("a.avif", "image/avif");
	by_name("a.svg", "image/svg+xml");
}

static void test_media_type_looks_behind_the_last_dot_of_the_last_part(void **state)
{
	UNUSED(state);
	by_name("a.tar.JSON", "application/json");
	by_name(".png", "image/png");
	by_name("a.png/b", NULL);
	by_name("a.png/", NULL);
	by_name("a.", NULL);
	by_name("png", NULL);
	by_name("", NULL);
	by_name("a.txt ", NULL);
	by_name("a.tx", NULL);
}

static void test_media_type_of_content(void **state)
{
	static const struct {
		struct span data;
		const char *type;
	} table[] = {
		{ SPAN(""), "text/plain; charset=utf-8" },
		{ SPAN("hello\n"), "text/plain; charset=utf-8" },
		{ SPAN("\xC3\xA4\xFF"), "text/plain; charset=utf-8" },
		{ SPAN("\x1B[0m"), "text/plain; charset=utf-8" }, /* escape is a text's */
		{ SPAN("a\0b"), "application/octet-stream" },
		{ SPAN("\x7F\x45LF\x02\x01"), "application/octet-stream" },
		{ SPAN(" \n<hTmL>"), "text/html; charset=utf-8" },
		{ SPAN("<!doctype html >"), "text/html; charset=utf-8" },
		{ SPAN("<!-- x"), "text/html; charset=utf-8" },
		{ SPAN("<!--x"), "text/plain; charset=utf-8" },
		{ SPAN("<html"), "text/plain; charset=utf-8" },
		{ SPAN("<htmlx>"), "text/plain; charset=utf-8" },
		{ SPAN("\t<?xml version"), "text/xml; charset=utf-8" },
		{ SPAN("%PDF-1.7"), "application/pdf" },
		{ SPAN("\x89PNG\r\n\x1A\n..."), "image/png" },
		{ SPAN("\x89PNG\r\n\x1A"), "application/octet-stream" }, /* cut */
		{ SPAN("GIF89a"), "image/gif" },
		{ SPAN("\xFF\xD8\xFF\xE0"), "image/jpeg" },
		{ SPAN("RIFF\1\2\3\4WEBPVP8 "), "image/webp" },
		{ SPAN("RIFF\1\2\3\4WAVEfmt"), "audio/wave" },
		{ SPAN("\0\0\0\x18"
		       "ftypisom\0\0\0\0isommp42"),
		  "video/mp4" },
		{ SPAN("\0\0\0\x10"
		       "ftypisommp42"), /* its version is no brand */
		  "application/octet-stream" },
		{ SPAN("\0\0\0\x18"
		       "ftypmp42"), /* cut */
		  "application/octet-stream" },
		{ SPAN("\x1F\x8B\x08"), "application/x-gzip" },
		{ SPAN("PK\x03\x04"), "application/zip" },
		{ SPAN("\0asm\1\0\0\0"), "application/wasm" },
		{ SPAN("\xFE\xFFxx"), "text/plain; charset=utf-16be" },
		{ SPAN("\xEF\xBB\xBFx\0"), "text/plain; charset=utf-8" },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct span found = media_type_of_content(table[i].data.at, table[i].data.len);

		if (!span_equal(found, table[i].type))
			fail_msg("%zu is %.*s", i, (int)found.len, found.at);
	}
}

static void test_media_type_looks_no_further_than_its_limit(void **state)
{
	char data[MEDIA_TYPE_SNIFFED + 1];

	UNUSED(state);
	memset(data, 'x', sizeof data);
	data[MEDIA_TYPE_SNIFFED] = '\0';
	assert_true(
		span_equal(media_type_of_content(data, sizeof data), "text/plain; charset=utf-8"));
	data[MEDIA_TYPE_SNIFFED - 1] = '\0';
	assert_true(
		span_equal(media_type_of_content(data, sizeof data), "application/octet-stream"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_media_type_of_known_extensions),
		cmocka_unit_test(test_media_type_looks_behind_the_last_dot_of_the_last_part),
		cmocka_unit_test(test_media_type_of_content),
		cmocka_unit_test(test_media_type_looks_no_further_than_its_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
