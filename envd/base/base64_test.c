#include "base/base64.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "tests/support/test.h"

#define DECODED_SIZE(n) ((n) / 4 * 3 + 3)

/* RFC 4648, section 10, and what needs the last two characters. */
static const struct {
	const char *plain, *padded, *unpadded;
} vectors[] = {
	{ "", "", "" },
	{ "f", "Zg==", "Zg" },
	{ "fo", "Zm8=", "Zm8" },
	{ "foo", "Zm9v", "Zm9v" },
	{ "foob", "Zm9vYg==", "Zm9vYg" },
	{ "fooba", "Zm9vYmE=", "Zm9vYmE" },
	{ "foobar", "Zm9vYmFy", "Zm9vYmFy" },
	{ "\xFB\xFF\xBF", "+/+/", "+/+/" },
};

static void test_base64_vectors_go_both_ways(void **state)
{
	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		size_t len = strlen(vectors[i].plain);
		char text[16], plain[16];

		base64_encode(text, vectors[i].plain, len);
		assert_int_equal(BASE64_SIZE(len), strlen(vectors[i].padded));
		assert_memory_equal(text, vectors[i].padded, BASE64_SIZE(len));
		assert_int_equal(base64_encode_unpadded(text, vectors[i].plain, len),
		                 strlen(vectors[i].unpadded));
		assert_memory_equal(text, vectors[i].unpadded, strlen(vectors[i].unpadded));

		assert_int_equal(base64_decode(plain, vectors[i].padded, BASE64_SIZE(len)), len);
		assert_memory_equal(plain, vectors[i].plain, len);
		assert_int_equal(base64_decode(plain, text, strlen(vectors[i].unpadded)), len);
		assert_memory_equal(plain, vectors[i].plain, len);
		assert_int_equal(base64_decode_strict(plain, vectors[i].padded, BASE64_SIZE(len)),
		                 len);
	}
}

static void test_base64_decode_accepts_as_proto3_json_does(void **state)
{
	static const struct {
		const char *text;
		int loose, strict; /* bytes, or -1: refused */
	} table[] = {
		{ "-_-_", 3, -1 },     { "+_+_", 3, -1 },      { "Zm8", 2, -1 },
		{ "Zg", 1, -1 },       { "Zh==", 1, 1 },       { "Z", -1, -1 },
		{ "Zm9vY", -1, -1 },   { "=", -1, -1 },        { "==", -1, -1 },
		{ "====", -1, -1 },    { "Z===", -1, -1 },     { "Zg=", -1, -1 },
		{ "Zg=A", -1, -1 },    { "Zm8==", -1, -1 },    { "Zg==Zg==", -1, -1 },
		{ "Zm9v=", -1, -1 },   { "Zm 9", -1, -1 },     { "Zm\n9", -1, -1 },
		{ "Zm9\x80", -1, -1 }, { "Zm9v====", -1, -1 },
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		size_t len = strlen(table[i].text);
		char out[16];
		int loose = (int)base64_decode(out, table[i].text, len);
		int strict = (int)base64_decode_strict(out, table[i].text, len);

		assert_int_equal(loose, table[i].loose < 0 ? -EINVAL : table[i].loose);
		assert_int_equal(strict, table[i].strict < 0 ? -EINVAL : table[i].strict);
	}
}

/* Heap blocks of the exact sizes: the sanitizers see a byte too far. */
static void test_base64_all_lengths_return_in_place(void **state)
{
	UNUSED(state);
	for (size_t len = 0; len < 300; len++) {
		CLEANUP(freep) uint8_t *data = xmalloc(len);
		CLEANUP(freep) char *text = xmalloc(BASE64_SIZE(len));
		CLEANUP(freep) uint8_t *out = xmalloc(DECODED_SIZE(BASE64_SIZE(len)));

		for (size_t i = 0; i < len; i++)
			data[i] = (uint8_t)(i * 151 + len);
		base64_encode(text, data, len);
		assert_int_equal(base64_decode(out, text, BASE64_SIZE(len)), len);
		assert_memory_equal(out, data, len);
		assert_int_equal(base64_decode(text, text, BASE64_SIZE(len)), len);
		assert_memory_equal(text, data, len);
	}
}

static bool is_in(const char *set, int c)
{
	return c != 0 && strchr(set, c);
}

static void test_base64_mutated_byte_is_refused_or_read_as_written(void **state)
{
	static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				       "0123456789+/";
	/* Long enough for blocks of every kind and a rest. */
	static const char valid[] =
		"VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZywgYW5kIHRoZSBkb2cg"
		"ZG9lcyBub3QgZXZlbiBub3RpY2UgdGhhdCBhbnl0aGluZyBoYXMgaGFwcGVuZWQgdG8gaXQu/w==";
	size_t len = strlen(valid);

	UNUSED(state);
	for (size_t at = 0; at < len; at++) {
		for (int c = 0; c < 256; c++) {
			bool plain = is_in(standard, c);
			char text[sizeof valid];
			char out[sizeof valid];
			bool loose, strict;

			memcpy(text, valid, sizeof valid);
			text[at] = (char)c;
			loose = base64_decode(out, text, len) >= 0;
			strict = base64_decode_strict(out, text, len) >= 0;
			if (at < len - 2) {
				assert_int_equal(loose, plain || c == '-' || c == '_');
				assert_int_equal(strict, plain);
			} else {
				assert_int_equal(loose,
				                 c == '=' || (at == len - 2 &&
				                              (plain || c == '-' || c == '_')));
			}
		}
	}
}

static void test_base64_truncated_text_is_read_or_refused(void **state)
{
	static const char valid[] = "VGhlIHF1aWNrIGJyb3duIGZveA";

	UNUSED(state);
	for (size_t len = 0; len < sizeof valid; len++) {
		CLEANUP(freep) char *text = xmalloc(len);
		CLEANUP(freep) char *out = xmalloc(DECODED_SIZE(len));
		ptrdiff_t n;

		memcpy(text, valid, len);
		n = base64_decode(out, text, len);
		assert_int_equal(n, len % 4 == 1 ? -EINVAL : (ptrdiff_t)(len * 3 / 4));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64_vectors_go_both_ways),
		cmocka_unit_test(test_base64_decode_accepts_as_proto3_json_does),
		cmocka_unit_test(test_base64_all_lengths_return_in_place),
		cmocka_unit_test(test_base64_mutated_byte_is_refused_or_read_as_written),
		cmocka_unit_test(test_base64_truncated_text_is_read_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
