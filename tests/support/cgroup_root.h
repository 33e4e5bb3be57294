/*
 * A sub-tree of its own in the machine's cgroup2 hierarchy, which is not touched elsewhere.
 */
#pragma once

/*
 * The path of a new cgroup, or NULL where there is no writable cgroup2 tree: then the test says why
 * on stderr, and skips.
 */
char *cgroup_root_new(void);

/* Thaws and removes it with what is below, once the processes in it are gone. */
void cgroup_root_free(char *root);

/* Reads or writes a file below it, "user/cgroup.freeze"; read text is valid until the next call. */
const char *cgroup_root_read(const char *root, const char *file);
void cgroup_root_write(const char *root, const char *file, const char *text);

/* Waits until reading the file gives a text that contains this one. */
void cgroup_root_wait(const char *root, const char *file, const char *text);
