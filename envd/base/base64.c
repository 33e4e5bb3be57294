/*
 * What vector registers do not take goes by table. Three bytes become two table entries of two
 * characters each; four characters become three bytes through one table of 256. The tables are
 * constants: nothing of them is in memory before first use, and no thread has to be first.
 */
#include "base/base64.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/base64_simd.h"

/* clang-format off */
/* 4096 pairs: all second characters for each first one. */
#define PAIRS_8(x, a, b, c, d, e, f, g, h) x a x b x c x d x e x f x g x h
#define PAIRS_64(x)                                                                                \
	PAIRS_8(x, "A", "B", "C", "D", "E", "F", "G", "H")                                         \
	PAIRS_8(x, "I", "J", "K", "L", "M", "N", "O", "P")                                         \
	PAIRS_8(x, "Q", "R", "S", "T", "U", "V", "W", "X")                                         \
	PAIRS_8(x, "Y", "Z", "a", "b", "c", "d", "e", "f")                                         \
	PAIRS_8(x, "g", "h", "i", "j", "k", "l", "m", "n")                                         \
	PAIRS_8(x, "o", "p", "q", "r", "s", "t", "u", "v")                                         \
	PAIRS_8(x, "w", "x", "y", "z", "0", "1", "2", "3")                                         \
	PAIRS_8(x, "4", "5", "6", "7", "8", "9", "+", "/")
#define PAIRS_512(a, b, c, d, e, f, g, h)                                                          \
	PAIRS_64(a) PAIRS_64(b) PAIRS_64(c) PAIRS_64(d)                                            \
	PAIRS_64(e) PAIRS_64(f) PAIRS_64(g) PAIRS_64(h)

static const char pairs[4096 * 2 + 1] =
	PAIRS_512("A", "B", "C", "D", "E", "F", "G", "H")
	PAIRS_512("I", "J", "K", "L", "M", "N", "O", "P")
	PAIRS_512("Q", "R", "S", "T", "U", "V", "W", "X")
	PAIRS_512("Y", "Z", "a", "b", "c", "d", "e", "f")
	PAIRS_512("g", "h", "i", "j", "k", "l", "m", "n")
	PAIRS_512("o", "p", "q", "r", "s", "t", "u", "v")
	PAIRS_512("w", "x", "y", "z", "0", "1", "2", "3")
	PAIRS_512("4", "5", "6", "7", "8", "9", "+", "/");

/*
 * Six bits of each character, a mark that it is one, and a mark that only the URL alphabet has it.
 * The marks stand where they do not meet when four entries are shifted together into 64 bits.
 */
#define VALID    (1u << 24)
#define URL_ONLY (1u << 25)
#define V(bits)  ((bits) | VALID)

static const uint32_t values[256] = {
	['A'] = V(0), ['B'] = V(1), ['C'] = V(2), ['D'] = V(3),
	['E'] = V(4), ['F'] = V(5), ['G'] = V(6), ['H'] = V(7),
	['I'] = V(8), ['J'] = V(9), ['K'] = V(10), ['L'] = V(11),
	['M'] = V(12), ['N'] = V(13), ['O'] = V(14), ['P'] = V(15),
	['Q'] = V(16), ['R'] = V(17), ['S'] = V(18), ['T'] = V(19),
	['U'] = V(20), ['V'] = V(21), ['W'] = V(22), ['X'] = V(23),
	['Y'] = V(24), ['Z'] = V(25), ['a'] = V(26), ['b'] = V(27),
	['c'] = V(28), ['d'] = V(29), ['e'] = V(30), ['f'] = V(31),
	['g'] = V(32), ['h'] = V(33), ['i'] = V(34), ['j'] = V(35),
	['k'] = V(36), ['l'] = V(37), ['m'] = V(38), ['n'] = V(39),
	['o'] = V(40), ['p'] = V(41), ['q'] = V(42), ['r'] = V(43),
	['s'] = V(44), ['t'] = V(45), ['u'] = V(46), ['v'] = V(47),
	['w'] = V(48), ['x'] = V(49), ['y'] = V(50), ['z'] = V(51),
	['0'] = V(52), ['1'] = V(53), ['2'] = V(54), ['3'] = V(55),
	['4'] = V(56), ['5'] = V(57), ['6'] = V(58), ['7'] = V(59),
	['8'] = V(60), ['9'] = V(61), ['+'] = V(62), ['/'] = V(63),
	['-'] = V(62) | URL_ONLY, ['_'] = V(63) | URL_ONLY,
};
/* clang-format on */

#define IN_EACH(mark) (((uint64_t)(mark) << 18) | ((uint64_t)(mark) << 12) | ((mark) << 6) | (mark))

size_t base64_encode_unpadded(char *out, const void *data, size_t len)
{
	const struct base64_simd *simd = base64_simd_get(0);
	const uint8_t *in = data;
	size_t i = simd ? simd->encode(out, in, len) : 0;
	char *at = out + i / 3 * 4;
	uint8_t rest[3] = { 0 };
	uint32_t bits;

	for (; len - i >= 3; i += 3, at += 4) {
		bits = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 | in[i + 2];
		memcpy(at, &pairs[(bits >> 12) * 2], 2);
		memcpy(at + 2, &pairs[(bits & 0xFFF) * 2], 2);
	}
	if (i == len)
		return (size_t)(at - out);

	memcpy(rest, in + i, len - i);
	bits = (uint32_t)rest[0] << 16 | (uint32_t)rest[1] << 8;
	memcpy(at, &pairs[(bits >> 12) * 2], 2);
	if (len - i == 2)
		at[2] = pairs[(bits & 0xFFF) * 2];
	return (size_t)(at - out) + (len - i) + 1;
}

void base64_encode(char *out, const void *data, size_t len)
{
	size_t n = base64_encode_unpadded(out, data, len);

	while (n < BASE64_SIZE(len))
		out[n++] = '=';
}

static uint64_t join(const uint8_t *in)
{
	return (uint64_t)values[in[0]] << 18 | (uint64_t)values[in[1]] << 12 |
	       (uint64_t)values[in[2]] << 6 | values[in[3]];
}

/* len without padding. Four characters are read before the three bytes are written: out may be in. */
static ptrdiff_t decode(uint8_t *out, const uint8_t *in, size_t len, bool url)
{
	const struct base64_simd *simd = base64_simd_get(0);
	const size_t n = simd ? simd->decode(out, in, len, url) : 0;
	const uint64_t forbidden = url ? 0 : IN_EACH((uint64_t)URL_ONLY);
	uint8_t last[4] = { 'A', 'A', 'A', 'A' };
	uint8_t *at = out + n / 4 * 3;
	uint64_t all = IN_EACH((uint64_t)VALID), any = 0, x;

	in += n;
	for (len -= n; len >= 4; len -= 4, in += 4, at += 3) {
		x = join(in);
		all &= x;
		any |= x;
		at[0] = (uint8_t)(x >> 16);
		at[1] = (uint8_t)(x >> 8);
		at[2] = (uint8_t)x;
	}
	if (len == 1)
		return -EINVAL;
	memcpy(last, in, len);
	x = join(last);
	all &= x;
	any |= x;
	if ((all & IN_EACH((uint64_t)VALID)) != IN_EACH((uint64_t)VALID) || (any & forbidden))
		return -EINVAL;
	if (len >= 2)
		*at++ = (uint8_t)(x >> 16);
	if (len == 3)
		*at++ = (uint8_t)(x >> 8);
	return at - out;
}

static size_t without_padding(const char *text, size_t len)
{
	size_t n = len;

	if (len == 0 || len % 4 != 0)
		return len;
	while (n > len - 2 && text[n - 1] == '=')
		n--;
	return n;
}

ptrdiff_t base64_decode(void *out, const char *text, size_t len)
{
	return decode(out, (const uint8_t *)text, without_padding(text, len), true);
}

ptrdiff_t base64_decode_strict(void *out, const char *text, size_t len)
{
	if (len % 4 != 0)
		return -EINVAL;
	return decode(out, (const uint8_t *)text, without_padding(text, len), false);
}
