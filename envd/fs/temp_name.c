#include "fs/temp_name.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/macros.h"

void temp_name_make(char out[TEMP_NAME_SIZE])
{
	uint64_t random = 0;
	ssize_t n = getrandom(&random, sizeof random, 0);

	ASSERT(n == sizeof random); /* so few bytes are never cut short */
	(void)snprintf(out, TEMP_NAME_SIZE, TEMP_NAME_PREFIX "%0*" PRIx64, (int)TEMP_NAME_DIGITS,
	               random);
}
