/*
 * The methods are those of W. Muła and D. Lemire, "Faster Base64 Encoding and Decoding Using AVX2
 * Instructions", ACM Transactions on the Web 12 (2018), arXiv 1704.00605.
 *
 *   encode   a shuffle gives each 32-bit lane its three bytes, two multiplications shift the four
 *            groups of six bits to its four bytes, and a table has what to add, by a group's range
 *   decode   two tables, one for each half of a character, have a bit in common if it is not of the
 *            alphabet, a third one what to add; two multiply-adds and a shuffle join the groups
 *
 * A register of 256 bits works as two of 128. NEON loads and stores every third or fourth byte by
 * itself, so plain shifts do there.
 */
#include "base/base64_simd.h"

#include <string.h>

#include "base/macros.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define SSSE3 __attribute__((target("ssse3")))
#define AVX2  __attribute__((target("avx2")))

/* clang-format off */
/* Bytes a b c as b a c b: two 16-bit numbers, in each of which two groups are whole. */
#define ENCODE_ORDER 1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10
/* By range: a to z, each of ten digits, plus, slash, A to Z. */
#define ENCODE_ADD 71, -4, -4, -4, -4, -4, -4, -4, -4, -4, -4, -19, -16, 65, 0, 0

/* By the halves of a character. */
#define ALIEN_LOW  0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, \
		   0x11, 0x11, 0x13, 0x1A, 0x1B, 0x1B, 0x1B, 0x1A
#define ALIEN_HIGH 0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, \
		   0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10
/* By the high half; the slash shares its own with the plus and goes one before. */
#define DECODE_ADD   0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0
#define DECODE_ORDER 2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1
/* clang-format on */

/* ---- 128 bits ---- */

static SSSE3 __m128i load_16(const uint8_t *from)
{
	return _mm_loadu_si128((const void *)from);
}

static SSSE3 void store_12(uint8_t *to, __m128i v)
{
	const int last = _mm_cvtsi128_si32(_mm_srli_si128(v, 8));

	_mm_storel_epi64((void *)to, v);
	memcpy(to + 8, &last, sizeof last);
}

static SSSE3 __m128i encode_12(__m128i in)
{
	const __m128i bytes = _mm_shuffle_epi8(in, _mm_setr_epi8(ENCODE_ORDER));
	const __m128i groups =
		_mm_mulhi_epu16(bytes & _mm_set1_epi32(0x0FC0FC00), _mm_set1_epi32(0x04000040)) |
		_mm_mullo_epi16(bytes & _mm_set1_epi32(0x003F03F0), _mm_set1_epi32(0x01000010));
	const __m128i range = _mm_subs_epu8(groups, _mm_set1_epi8(51)) |
	                      (_mm_cmpgt_epi8(_mm_set1_epi8(26), groups) & _mm_set1_epi8(13));

	return _mm_add_epi8(groups, _mm_shuffle_epi8(_mm_setr_epi8(ENCODE_ADD), range));
}

static SSSE3 size_t encode_ssse3(char *out, const uint8_t *in, size_t len)
{
	size_t at = 0;

	for (; len - at >= 16; at += 12, out += 16)
		_mm_storeu_si128((void *)out, encode_12(load_16(in + at)));
	return at;
}

static SSSE3 __m128i from_url_16(__m128i v)
{
	return v ^ (_mm_cmpeq_epi8(v, _mm_set1_epi8('-')) & _mm_set1_epi8('-' ^ '+')) ^
	       (_mm_cmpeq_epi8(v, _mm_set1_epi8('_')) & _mm_set1_epi8('_' ^ '/'));
}

static SSSE3 __m128i high_halves_16(__m128i v)
{
	return _mm_srli_epi32(v, 4) & _mm_set1_epi8(15);
}

static SSSE3 bool has_alien_16(__m128i v)
{
	const __m128i low = v & _mm_set1_epi8(15);
	const __m128i alien = _mm_shuffle_epi8(_mm_setr_epi8(ALIEN_LOW), low) &
	                      _mm_shuffle_epi8(_mm_setr_epi8(ALIEN_HIGH), high_halves_16(v));

	return _mm_movemask_epi8(_mm_cmpeq_epi8(alien, _mm_setzero_si128())) != 0xFFFF;
}

static SSSE3 __m128i decode_16(__m128i v)
{
	const __m128i index =
		_mm_add_epi8(high_halves_16(v), _mm_cmpeq_epi8(v, _mm_set1_epi8('/')));
	const __m128i groups = _mm_add_epi8(v, _mm_shuffle_epi8(_mm_setr_epi8(DECODE_ADD), index));
	const __m128i pairs = _mm_maddubs_epi16(groups, _mm_set1_epi16(0x0140));
	const __m128i bytes = _mm_madd_epi16(pairs, _mm_set1_epi32(0x00011000));

	return _mm_shuffle_epi8(bytes, _mm_setr_epi8(DECODE_ORDER));
}

static SSSE3 size_t decode_ssse3(uint8_t *out, const uint8_t *in, size_t len, bool url)
{
	size_t at = 0;

	for (; len - at >= 16; at += 16, out += 12) {
		__m128i v = load_16(in + at);

		if (has_alien_16(v)) {
			v = from_url_16(v);
			if (!url || has_alien_16(v))
				break;
		}
		store_12(out, decode_16(v));
	}
	return at;
}

static const struct base64_simd ssse3 = { "ssse3", encode_ssse3, decode_ssse3 };

/* ---- 256 bits ---- */

static AVX2 __m256i twice(__m128i v)
{
	return _mm256_broadcastsi128_si256(v);
}

static AVX2 __m256i encode_24(__m256i in)
{
	const __m256i bytes = _mm256_shuffle_epi8(in, twice(_mm_setr_epi8(ENCODE_ORDER)));
	const __m256i groups = _mm256_mulhi_epu16(bytes & _mm256_set1_epi32(0x0FC0FC00),
	                                          _mm256_set1_epi32(0x04000040)) |
	                       _mm256_mullo_epi16(bytes & _mm256_set1_epi32(0x003F03F0),
	                                          _mm256_set1_epi32(0x01000010));
	const __m256i range =
		_mm256_subs_epu8(groups, _mm256_set1_epi8(51)) |
		(_mm256_cmpgt_epi8(_mm256_set1_epi8(26), groups) & _mm256_set1_epi8(13));

	return _mm256_add_epi8(groups,
	                       _mm256_shuffle_epi8(twice(_mm_setr_epi8(ENCODE_ADD)), range));
}

static AVX2 size_t encode_avx2(char *out, const uint8_t *in, size_t len)
{
	size_t at = 0;

	for (; len - at >= 28; at += 24, out += 32) {
		const __m256i v = _mm256_set_m128i(load_16(in + at + 12), load_16(in + at));

		_mm256_storeu_si256((void *)out, encode_24(v));
	}
	return at;
}

static AVX2 __m256i from_url_32(__m256i v)
{
	return v ^ (_mm256_cmpeq_epi8(v, _mm256_set1_epi8('-')) & _mm256_set1_epi8('-' ^ '+')) ^
	       (_mm256_cmpeq_epi8(v, _mm256_set1_epi8('_')) & _mm256_set1_epi8('_' ^ '/'));
}

static AVX2 __m256i high_halves_32(__m256i v)
{
	return _mm256_srli_epi32(v, 4) & _mm256_set1_epi8(15);
}

static AVX2 bool has_alien_32(__m256i v)
{
	const __m256i low = v & _mm256_set1_epi8(15);
	const __m256i alien =
		_mm256_shuffle_epi8(twice(_mm_setr_epi8(ALIEN_LOW)), low) &
		_mm256_shuffle_epi8(twice(_mm_setr_epi8(ALIEN_HIGH)), high_halves_32(v));

	return !_mm256_testz_si256(alien, alien);
}

static AVX2 __m256i decode_32(__m256i v)
{
	const __m256i index =
		_mm256_add_epi8(high_halves_32(v), _mm256_cmpeq_epi8(v, _mm256_set1_epi8('/')));
	const __m256i groups =
		_mm256_add_epi8(v, _mm256_shuffle_epi8(twice(_mm_setr_epi8(DECODE_ADD)), index));
	const __m256i pairs = _mm256_maddubs_epi16(groups, _mm256_set1_epi16(0x0140));
	const __m256i bytes = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00011000));

	return _mm256_shuffle_epi8(bytes, twice(_mm_setr_epi8(DECODE_ORDER)));
}

static AVX2 size_t decode_avx2(uint8_t *out, const uint8_t *in, size_t len, bool url)
{
	size_t at = 0;

	for (; len - at >= 32; at += 32, out += 24) {
		__m256i v = _mm256_loadu_si256((const void *)(in + at));

		if (has_alien_32(v)) {
			v = from_url_32(v);
			if (!url || has_alien_32(v))
				break;
		}
		v = decode_32(v);
		store_12(out, _mm256_castsi256_si128(v));
		store_12(out + 12, _mm256_extracti128_si256(v, 1));
	}
	return at;
}

static const struct base64_simd avx2 = { "avx2", encode_avx2, decode_avx2 };

const struct base64_simd *base64_simd_get(size_t i)
{
	const struct base64_simd *found[3] = { NULL };
	size_t n = 0;

	if (__builtin_cpu_supports("avx2"))
		found[n++] = &avx2;
	if (__builtin_cpu_supports("ssse3"))
		found[n++] = &ssse3;
	return found[MIN(i, n)];
}

#elif defined(__aarch64__)

#include <arm_neon.h>

static size_t encode_neon(char *out, const uint8_t *in, size_t len)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				       "0123456789+/";
	const uint8x16x4_t table = vld1q_u8_x4((const uint8_t *)alphabet);
	const uint8x16_t group = vdupq_n_u8(63);
	size_t at = 0;

	for (; len - at >= 48; at += 48, out += 64) {
		const uint8x16x3_t b = vld3q_u8(in + at);
		const uint8x16_t second = vsliq_n_u8(vshrq_n_u8(b.val[1], 4), b.val[0], 4);
		const uint8x16_t third = vsliq_n_u8(vshrq_n_u8(b.val[2], 6), b.val[1], 2);
		const uint8x16x4_t text = { {
			vqtbl4q_u8(table, vshrq_n_u8(b.val[0], 2)),
			vqtbl4q_u8(table, vandq_u8(second, group)),
			vqtbl4q_u8(table, vandq_u8(third, group)),
			vqtbl4q_u8(table, vandq_u8(b.val[2], group)),
		} };

		vst4q_u8((uint8_t *)out, text);
	}
	return at;
}

static uint8x16_t is_between(uint8x16_t v, char first, char last)
{
	return vandq_u8(vcgeq_u8(v, vdupq_n_u8((uint8_t)first)),
	                vcleq_u8(v, vdupq_n_u8((uint8_t)last)));
}

static uint8x16_t is_either(uint8x16_t v, char a, char b)
{
	return vorrq_u8(vceqq_u8(v, vdupq_n_u8((uint8_t)a)), vceqq_u8(v, vdupq_n_u8((uint8_t)b)));
}

/* The groups; all bits of *known stay set if every character is of the alphabet. */
static uint8x16_t decode_16(uint8x16_t v, bool url, uint8x16_t *known)
{
	const uint8x16_t upper = is_between(v, 'A', 'Z'), lower = is_between(v, 'a', 'z');
	const uint8x16_t digit = is_between(v, '0', '9');
	const uint8x16_t plus = is_either(v, '+', url ? '-' : '+');
	const uint8x16_t slash = is_either(v, '/', url ? '_' : '/');
	uint8x16_t groups = vandq_u8(upper, vsubq_u8(v, vdupq_n_u8('A')));

	groups = vorrq_u8(groups, vandq_u8(lower, vsubq_u8(v, vdupq_n_u8('a' - 26))));
	groups = vorrq_u8(groups, vandq_u8(digit, vaddq_u8(v, vdupq_n_u8(52 - '0'))));
	groups = vorrq_u8(groups, vandq_u8(plus, vdupq_n_u8(62)));
	groups = vorrq_u8(groups, vandq_u8(slash, vdupq_n_u8(63)));
	*known = vandq_u8(*known,
	                  vorrq_u8(vorrq_u8(vorrq_u8(upper, lower), digit), vorrq_u8(plus, slash)));
	return groups;
}

static size_t decode_neon(uint8_t *out, const uint8_t *in, size_t len, bool url)
{
	size_t at = 0;

	for (; len - at >= 64; at += 64, out += 48) {
		const uint8x16x4_t text = vld4q_u8(in + at);
		uint8x16_t known = vdupq_n_u8(0xFF);
		const uint8x16_t a = decode_16(text.val[0], url, &known);
		const uint8x16_t b = decode_16(text.val[1], url, &known);
		const uint8x16_t c = decode_16(text.val[2], url, &known);
		const uint8x16_t d = decode_16(text.val[3], url, &known);
		const uint8x16x3_t bytes = { {
			vsliq_n_u8(vshrq_n_u8(b, 4), a, 2),
			vsliq_n_u8(vshrq_n_u8(c, 2), b, 4),
			vsliq_n_u8(d, c, 6),
		} };

		if (vminvq_u8(known) != 0xFF)
			break;
		vst3q_u8(out, bytes);
	}
	return at;
}

/* Every 64-bit Arm has it. */
const struct base64_simd *base64_simd_get(size_t i)
{
	static const struct base64_simd neon = { "neon", encode_neon, decode_neon };

	return i == 0 ? &neon : NULL;
}

#else

const struct base64_simd *base64_simd_get(size_t i)
{
	UNUSED(i);
	return NULL;
}

#endif
