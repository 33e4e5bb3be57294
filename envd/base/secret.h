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

/* Overwrites memory that a compiler may not leave as it is. */
void secret_wipe(void *p, size_t len);
