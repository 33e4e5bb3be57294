#include "tests/support/pattern_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/macros.h"
#include "tests/support/test.h"

#define PATTERN_PERIOD 251u

int pattern_file(size_t len)
{
	int fd = memfd_create("pattern", MFD_CLOEXEC);
	unsigned char piece[PATTERN_PERIOD * 256];

	assert_true(fd >= 0);
	for (size_t i = 0; i < sizeof piece; i++)
		piece[i] = (unsigned char)(i % PATTERN_PERIOD);
	while (len > 0) {
		size_t n = MIN(len, sizeof piece);

		assert_int_equal(write(fd, piece, n), n);
		len -= n;
	}
	return fd;
}

void pattern_check(const void *data, size_t len, size_t from)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < len; i++)
		if (bytes[i] != (from + i) % PATTERN_PERIOD)
			fail_msg("byte %zu is %d", from + i, bytes[i]);
}
