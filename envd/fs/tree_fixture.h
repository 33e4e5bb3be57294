/*
 * A directory of its own for a test of trees, and what is made in it. Its end removes it, however deep
 * it has become, and asserts that no descriptor is open that was not open before.
 *
 *     cmocka_unit_test_setup_teardown(test_x, tree_setup, tree_teardown)
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

#define TREE_PATH_MAX 4096u

struct tree {
	char *top; /* absolute, without links */
	int fd;    /* of the top */
	unsigned n_fds;
	char path[TREE_PATH_MAX];
};

int tree_setup(void **state);
int tree_teardown(void **state);

/* "top/name", good until the next one. */
const char *tree_in(struct tree *t, const char *name);

void tree_dir(struct tree *t, const char *name);
void tree_file(struct tree *t, const char *name, const char *text);
void tree_link(struct tree *t, const char *name, const char *text);
bool tree_has(struct tree *t, const char *name);

/* n directories of that name, one in the other, the first in the open directory; the descriptor of the
 * last one. */
int tree_nested(int dir_fd, const char *name, unsigned n);

/* A file in an open directory. */
void tree_file_at(int dir_fd, const char *name, const char *text);

/*
 * Mounts that end with the test's process: once, in main. False: this process may not mount; what needs
 * it says so and skips.
 */
bool tree_own_mounts(void);

/* A file system of that size ("64k") at the directory, which tree_unmount takes away. */
bool tree_mount(struct tree *t, const char *name, const char *size);
void tree_unmount(struct tree *t, const char *name);

/* Asserts that two trees look the same to whoever looks at all there is. */
void tree_check_same(int dir_fd, const char *name, int other_dir_fd, const char *other_name);

/* What is refused, and in which words; e is cleared. Each %s is the top. */
void tree_check_error(struct tree *t, struct err *e, enum err_kind kind, const char *format);
