#include "fs/metadata.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/mem.h"
#include "base/text.h"

#define PREFIX_LEN (sizeof METADATA_PREFIX - 1)

/* Most files have none, and most that have some have few. */
#define NAMES_FIRST 1024u /* bytes */

/* Bytes of a value that is shown. Ours are shorter; others may have been set by other means. */
#define VALUE_MAX 65536u

/* ---------------------------------------------------------------- what a client may set */

/* Go's %02x of the first byte that is not printable; true if there is one. */
static bool find_unprintable(const char *s, size_t *out_at)
{
	for (size_t i = 0; s[i] != '\0'; i++) {
		if (s[i] >= 0x20 && s[i] <= 0x7e)
			continue;
		*out_at = i;
		return true;
	}
	return false;
}

static int pair_check(const struct metadata_pair *pair, struct err *e)
{
	size_t at;

	if (strlen(pair->key) > METADATA_KEY_MAX)
		return err_set(e, ERR_INVALID, "metadata key \"%s\" exceeds %u bytes", pair->key,
		               METADATA_KEY_MAX);
	if (find_unprintable(pair->key, &at))
		return err_set(
			e, ERR_INVALID,
			"metadata key contains non-printable-ASCII byte 0x%02x at offset %zu",
			(unsigned char)pair->key[at], at);
	if (find_unprintable(pair->value, &at))
		return err_set(e, ERR_INVALID,
		               "metadata value for key \"%s\" contains non-printable-ASCII byte "
		               "0x%02x at offset %zu",
		               pair->key, (unsigned char)pair->value[at], at);
	return 0;
}

int metadata_check(const struct metadata *m, struct err *e)
{
	size_t total = 0;

	for (size_t i = 0; i < m->n; i++) {
		if (pair_check(&m->pairs[i], e) < 0)
			return -1;
		total += PREFIX_LEN + strlen(m->pairs[i].key) + strlen(m->pairs[i].value);
	}
	if (total > METADATA_TOTAL_MAX)
		return err_set(e, ERR_INVALID, "total metadata size %zu exceeds %u bytes", total,
		               METADATA_TOTAL_MAX);
	return 0;
}

/* ---------------------------------------------------------------- the attributes of a file */

/* Their names, each ended by a NUL. */
struct attributes {
	char first[NAMES_FIRST];
	char *more; /* when first is too small */
	size_t len;
};

static void attributes_deinit(struct attributes *names)
{
	free(names->more);
}

static const char *attributes_text(const struct attributes *names)
{
	return names->more ? names->more : names->first;
}

typedef ssize_t list_attributes(const void *file, char *out, size_t size);

static ssize_t list_of_path(const void *file, char *out, size_t size)
{
	return listxattr(file, out, size);
}

static ssize_t list_of_fd(const void *file, char *out, size_t size)
{
	return flistxattr(*(const int *)file, out, size);
}

static int attributes_read(struct attributes *names, list_attributes *list, const void *file)
{
	ssize_t len = list(file, names->first, sizeof names->first);

	if (len < 0 && errno == ERANGE) {
		names->more = try_malloc(METADATA_NAMES_MAX);
		if (!names->more)
			return -ENOMEM;
		len = list(file, names->more, METADATA_NAMES_MAX);
	}
	if (len < 0)
		return -errno;
	names->len = (size_t)len;
	return 0;
}

/* The next name of ours at *at, without anything that is not; NULL at the end. */
static const char *attributes_next(const struct attributes *names, size_t *at)
{
	while (*at < names->len) {
		const char *name = attributes_text(names) + *at;

		*at += strlen(name) + 1;
		if (strncmp(name, METADATA_PREFIX, PREFIX_LEN) == 0)
			return name;
	}
	return NULL;
}

/* ---------------------------------------------------------------- reading */

static const char *value_read(const char *path, const char *name, struct arena *memory)
{
	char *value;
	ssize_t len = getxattr(path, name, NULL, 0), room = len + 1;

	if (len < 0 || (size_t)len > VALUE_MAX)
		return NULL;
	value = arena_alloc(memory, (size_t)room);
	if (!value)
		return NULL;
	/* It may have become longer, and no room would be the question for its length again. */
	len = getxattr(path, name, value, (size_t)room);
	if (len < 0 || len == room || memchr(value, '\0', (size_t)len) ||
	    !utf8_is_valid(value, (size_t)len))
		return NULL;
	value[len] = '\0';
	return value;
}

struct metadata metadata_read(const char *path, struct arena *memory)
{
	CLEANUP(attributes_deinit) struct attributes names;
	struct metadata m = { 0 };
	struct metadata_pair *pairs = NULL;
	const char *name;
	size_t at = 0, n_max = 0;

	names.more = NULL;
	if (attributes_read(&names, list_of_path, path) < 0)
		return m;
	while (attributes_next(&names, &at))
		n_max++;
	if (n_max > 0)
		pairs = arena_alloc(memory, n_max * sizeof *pairs);
	if (!pairs)
		return m;
	for (at = 0; (name = attributes_next(&names, &at));) {
		size_t len = strlen(name) - PREFIX_LEN;
		char *key = arena_strndup(memory, name + PREFIX_LEN, len);
		const char *value;

		if (!key || !utf8_is_valid(key, len))
			continue;
		value = value_read(path, name, memory);
		if (value)
			pairs[m.n++] = (struct metadata_pair){ key, value };
	}
	m.pairs = pairs;
	return m;
}

/* ---------------------------------------------------------------- writing */

static bool metadata_has(const struct metadata *m, const char *key)
{
	for (size_t i = 0; i < m->n; i++) {
		if (strcmp(m->pairs[i].key, key) == 0)
			return true;
	}
	return false;
}

static int remove_others(int fd, const struct attributes *names, const struct metadata *m)
{
	const char *name;

	for (size_t at = 0; (name = attributes_next(names, &at));) {
		if (metadata_has(m, name + PREFIX_LEN))
			continue;
		if (fremovexattr(fd, name) < 0 && errno != ENODATA)
			return -errno;
	}
	return 0;
}

static int set_all(int fd, const struct metadata *m)
{
	char name[PREFIX_LEN + METADATA_KEY_MAX + 1] = METADATA_PREFIX;

	for (size_t i = 0; i < m->n; i++) {
		const struct metadata_pair *pair = &m->pairs[i];
		size_t len = strlen(pair->key);

		ASSERT(len <= METADATA_KEY_MAX);
		memcpy(name + PREFIX_LEN, pair->key, len + 1);
		if (fsetxattr(fd, name, pair->value, strlen(pair->value), 0) < 0)
			return -errno;
	}
	return 0;
}

int metadata_write(int fd, const struct metadata *m)
{
	CLEANUP(attributes_deinit) struct attributes names;
	int rc;

	names.more = NULL;
	rc = attributes_read(&names, list_of_fd, &fd);
	if (rc == 0)
		rc = remove_others(fd, &names, m);
	if (rc == 0)
		rc = set_all(fd, m);
	return rc == -ENOTSUP ? 0 : rc;
}
