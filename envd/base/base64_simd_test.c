#include "base/base64_simd.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/macros.h"
#include "base/mem.h"
#include "tests/support/test.h"

#define LEN_MAX     300u /* bytes or characters: several blocks of every kind and all rests */
#define BLOCK_MAX   64u  /* bytes or characters that the widest kernel reads at once */
#define ALIGNMENTS  32u
#define UNTOUCHED   0xEE
#define DECODED(n)  ((n) / 4 * 3)
#define LETTERS     "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#define IS_IN(s, c) ((c) != 0 && strchr((s), (c)) != NULL)

/* A heap block whose last byte is the last of data: the sanitizers see a byte too far. */
struct exact {
	uint8_t *memory;
	uint8_t *data;
};

static struct exact exact_new(size_t offset, size_t len)
{
	struct exact x = { .memory = xmalloc(offset + len) };

	x.data = x.memory + offset;
	memset(x.memory, UNTOUCHED, offset + len);
	return x;
}

static void exact_deinit(struct exact *x)
{
	free(x->memory);
}

static void assert_untouched(const struct exact *x, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		assert_int_equal(x->data[i], UNTOUCHED);
}

/* Three bytes at once are too few for any kernel: by table. */
static void encode_by_table(char *out, const uint8_t *in, size_t len)
{
	for (size_t i = 0; i < len; i += 3)
		base64_encode(out + i / 3 * 4, in + i, MIN(len - i, 3));
}

static void assert_encodes(const struct base64_simd *simd, const uint8_t *data, size_t len,
                           size_t in_offset, size_t out_offset)
{
	CLEANUP(exact_deinit) struct exact in = exact_new(in_offset, len);
	CLEANUP(exact_deinit) struct exact out = exact_new(out_offset, BASE64_SIZE(len));
	char expected[BASE64_SIZE(LEN_MAX)];
	size_t taken;

	memcpy(in.data, data, len);
	encode_by_table(expected, data, len);
	taken = simd->encode((char *)out.data, in.data, len);
	assert_true(taken % 3 == 0 && taken <= len && len - taken < BLOCK_MAX);
	assert_memory_equal(out.data, expected, taken / 3 * 4);
	assert_untouched(&out, taken / 3 * 4, BASE64_SIZE(len));
}

static void fill(uint8_t *data, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1103515245u + 12345u;
		data[i] = (uint8_t)(seed >> 16);
	}
}

static void test_base64_simd_encodes_every_length_at_every_alignment(void **state)
{
	const struct base64_simd *simd;
	uint8_t data[LEN_MAX];

	UNUSED(state);
	for (size_t k = 0; (simd = base64_simd_get(k)); k++) {
		for (size_t len = 0; len <= LEN_MAX; len++) {
			fill(data, len, (unsigned)len);
			for (size_t offset = 0; offset < ALIGNMENTS; offset++)
				assert_encodes(simd, data, len, offset, ALIGNMENTS - 1 - offset);
		}
	}
}

static void test_base64_simd_encodes_every_byte_at_every_place(void **state)
{
	const struct base64_simd *simd;
	uint8_t data[2 * BLOCK_MAX];

	UNUSED(state);
	for (size_t k = 0; (simd = base64_simd_get(k)); k++) {
		for (unsigned byte = 0; byte < 256; byte++) {
			for (size_t at = 0; at < sizeof data; at++) {
				fill(data, sizeof data, byte);
				data[at] = (uint8_t)byte;
				assert_encodes(simd, data, sizeof data, 0, 0);
			}
		}
	}
}

/* Returns how many characters were taken. */
static size_t assert_decodes(const struct base64_simd *simd, const char *text, size_t len, bool url,
                             size_t in_offset, size_t out_offset)
{
	CLEANUP(exact_deinit) struct exact in = exact_new(in_offset, len);
	CLEANUP(exact_deinit) struct exact out = exact_new(out_offset, DECODED(len));
	uint8_t expected[DECODED(LEN_MAX) + 3];
	size_t taken;

	memcpy(in.data, text, len);
	taken = simd->decode(out.data, in.data, len, url);
	assert_true(taken % 4 == 0 && taken <= len);
	for (size_t i = 0; i < taken; i += 4) /* by table */
		assert_int_equal(base64_decode(expected + i / 4 * 3, text + i, 4), 3);
	assert_memory_equal(out.data, expected, DECODED(taken));
	assert_untouched(&out, DECODED(taken), DECODED(len));
	assert_int_equal(simd->decode(in.data, in.data, len, url), taken);
	assert_memory_equal(in.data, expected, DECODED(taken));
	return taken;
}

static void fill_text(char *text, size_t len, const char *alphabet, unsigned seed)
{
	fill((uint8_t *)text, len, seed);
	for (size_t i = 0; i < len; i++)
		text[i] = alphabet[(uint8_t)text[i] % strlen(alphabet)];
}

static void test_base64_simd_decodes_every_length_at_every_alignment(void **state)
{
	const struct base64_simd *simd;
	char text[LEN_MAX];

	UNUSED(state);
	for (size_t k = 0; (simd = base64_simd_get(k)); k++) {
		for (size_t len = 0; len <= LEN_MAX; len++) {
			bool url = len % 2 == 0;

			fill_text(text, len, url ? LETTERS "+/-_" : LETTERS "+/", (unsigned)len);
			for (size_t offset = 0; offset < ALIGNMENTS; offset++) {
				size_t taken = assert_decodes(simd, text, len, url, offset,
				                              ALIGNMENTS - 1 - offset);

				assert_true(len - taken < BLOCK_MAX);
			}
		}
	}
}

static void test_base64_simd_decodes_up_to_a_block_with_anything_else(void **state)
{
	const struct base64_simd *simd;
	char text[3 * BLOCK_MAX];

	UNUSED(state);
	fill_text(text, sizeof text, LETTERS, 1);
	for (size_t k = 0; (simd = base64_simd_get(k)); k++) {
		for (size_t at = 0; at < 2 * BLOCK_MAX; at++) {
			char was = text[at];

			for (int c = 0; c < 256; c++) {
				bool standard = IS_IN(LETTERS "+/", c);
				bool loose = standard || IS_IN("-_", c);
				size_t taken;

				text[at] = (char)c;
				taken = assert_decodes(simd, text, sizeof text, true, 0, 0);
				assert_true(loose ? taken == sizeof text
				                  : taken <= at && at - taken < BLOCK_MAX);
				taken = assert_decodes(simd, text, sizeof text, false, 0, 0);
				assert_true(standard ? taken == sizeof text
				                     : taken <= at && at - taken < BLOCK_MAX);
			}
			text[at] = was;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64_simd_encodes_every_length_at_every_alignment),
		cmocka_unit_test(test_base64_simd_encodes_every_byte_at_every_place),
		cmocka_unit_test(test_base64_simd_decodes_every_length_at_every_alignment),
		cmocka_unit_test(test_base64_simd_decodes_up_to_a_block_with_anything_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
