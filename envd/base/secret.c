#include "base/secret.h"

#include <errno.h>
#include <string.h>

#include <sodium.h>

#include "base/macros.h"

int secret_set(struct secret *s, struct span value)
{
	unsigned char *bytes;

	if (sodium_init() < 0)
		return -ENOMEM;
	bytes = sodium_malloc(MAX(value.len, 1u));
	if (!bytes)
		return -ENOMEM;
	if (value.len > 0)
		memcpy(bytes, value.at, value.len);
	secret_clear(s);
	s->bytes = bytes;
	s->len = value.len;
	return 0;
}

void secret_clear(struct secret *s)
{
	sodium_free(s->bytes);
	s->bytes = NULL;
	s->len = 0;
}

bool secret_is_set(const struct secret *s)
{
	return s->bytes != NULL;
}

bool secret_equals(const struct secret *s, struct span value)
{
	return s->bytes && s->len == value.len && sodium_memcmp(s->bytes, value.at, s->len) == 0;
}

void secret_wipe(void *p, size_t len)
{
	sodium_memzero(p, len);
}
