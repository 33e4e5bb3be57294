/*
 * A directory of its own for a test, removed with all that is in it.
 *
 *     char *dir = temp_dir_new();      ...      temp_dir_free(dir);
 */
#pragma once

#include <sys/types.h>

/* A new empty directory with mode 0700 below $TMPDIR or /tmp, absolute; never NULL. */
char *temp_dir_new(void);
void temp_dir_free(char *dir);

/* "dir/name"; free() it. */
char *temp_dir_path(const char *dir, const char *name);

/* Writes a file "dir/name" with this text and mode and returns its path; free() it. */
char *temp_dir_file(const char *dir, const char *name, const char *text, mode_t mode);
