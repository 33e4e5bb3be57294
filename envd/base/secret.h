/*
 * A secret in memory that is locked, kept out of core dumps and fenced by guard pages (libsodium),
 * and wiped when it goes. Without the right to lock memory it is still wiped.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

struct secret {
	unsigned char *bytes; /* NULL: not set */
	size_t len;
};

/* Replaces the value; -ENOMEM leaves the old one. */
int secret_set(struct secret *s, struct span value) __attribute__((warn_unused_result));
void secret_clear(struct secret *s);
bool secret_is_set(const struct secret *s);

/* In time that depends on the lengths only. An unset secret equals nothing. */
bool secret_equals(const struct secret *s, struct span value);

/*
 * SHA-256 of the texts before the secret, the secret and the text behind it, as unpadded base64 with
 * a NUL; in time that depends on the lengths only. Of a secret that is set.
 */
#define SECRET_SIGNATURE_SIZE 44u /* bytes */
void secret_sign(const struct secret *s, const struct span *before, size_t n_before,
                 struct span behind, char out_text[SECRET_SIGNATURE_SIZE]);

/* Whether both are the same bytes, in time that depends on len only. */
bool secret_same(const void *a, const void *b, size_t len);

/* Overwrites memory that a compiler may not leave as it is. */
void secret_wipe(void *p, size_t len);
