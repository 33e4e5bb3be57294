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

static void hash_add(crypto_hash_sha256_state *hash, const void *data, size_t len)
{
	if (len > 0)
		crypto_hash_sha256_update(hash, data, len);
}

void secret_sign(const struct secret *s, const struct span *before, size_t n_before,
                 struct span behind, char out_text[SECRET_SIGNATURE_SIZE])
{
	const int variant = sodium_base64_VARIANT_ORIGINAL_NO_PADDING;
	unsigned char digest[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state hash;

	ASSERT(secret_is_set(s));
	crypto_hash_sha256_init(&hash);
	for (size_t i = 0; i < n_before; i++)
		hash_add(&hash, before[i].at, before[i].len);
	hash_add(&hash, s->bytes, s->len);
	hash_add(&hash, behind.at, behind.len);
	crypto_hash_sha256_final(&hash, digest);
	sodium_bin2base64(out_text, SECRET_SIGNATURE_SIZE, digest, sizeof digest, variant);
	sodium_memzero(&hash, sizeof hash);
}

bool secret_same(const void *a, const void *b, size_t len)
{
	return sodium_memcmp(a, b, len) == 0;
}

void secret_wipe(void *p, size_t len)
{
	sodium_memzero(p, len);
}
