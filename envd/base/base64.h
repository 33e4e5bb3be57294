/*
 * Base64 (RFC 4648) in vector registers and by table, far faster than the constant-time kind; for
 * payloads, never for secrets.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

#define BASE64_SIZE(n) ((((n) + 2) / 3) * 4) /* padded characters for n bytes */

/* Writes exactly BASE64_SIZE(len) characters, standard alphabet, no NUL. */
void base64_encode(char *out, const void *data, size_t len);

/* As above without padding; returns the characters written. */
size_t base64_encode_unpadded(char *out, const void *data, size_t len);

/*
 * Accepts the standard and the URL alphabet, padded or not (proto3 JSON). out has room for
 * len / 4 * 3 + 3 bytes and may be the input's own memory. Returns the bytes written, or -EINVAL;
 * what then stands in out is undefined. Unused bits of the last character are not looked at, as in
 * the reference.
 */
ptrdiff_t base64_decode(void *out, const char *text, size_t len) MUST_CHECK;

/* Standard alphabet with exact padding only (HTTP Basic). */
ptrdiff_t base64_decode_strict(void *out, const char *text, size_t len) MUST_CHECK;
