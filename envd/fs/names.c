#include "fs/names.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/quota.h"
#include "fs/dir_reader.h"

/* Eight bytes decide nearly always, without a look at the name. */
struct name_key {
	uint64_t head; /* its bytes behind what all names begin with, the first one highest */
	const char *name;
};

static struct quota quota = {
	.max = NAMES_TOTAL_MAX,
	.free = NAMES_FREE_MAX,
	.step = 65536,
};

size_t names_charged(void)
{
	return atomic_load(&quota.used);
}

static int append_name(struct names *names, const char *name, unsigned char type)
{
	const size_t size = strlen(name) + 2;
	int rc = quota_raise(&quota, &names->charged, names->bytes.len + size);

	if (rc == 0)
		rc = buf_reserve(&names->bytes, size);
	if (rc < 0)
		return rc;
	buf_append_byte(&names->bytes, type);
	buf_append(&names->bytes, name, size - 1);
	names->n++;
	return 0;
}

int names_read(struct names *names, int dir_fd, size_t max)
{
	struct dir_reader reader;
	const char *name;
	unsigned char type;
	int rc;

	buf_init(&names->bytes, max);
	dir_reader_init(&reader, dir_fd);
	while ((rc = dir_reader_next(&reader, &name, &type)) > 0) {
		rc = append_name(names, name, type);
		if (rc < 0)
			break;
	}
	quota_lower(&quota, &names->charged, names->bytes.len);
	return rc;
}

void names_deinit(struct names *names)
{
	quota_lower(&quota, &names->charged, 0);
	buf_deinit(&names->bytes);
	free(names->sorted);
	*names = (struct names){ 0 };
}

size_t names_memory(const struct names *names)
{
	return names->bytes.cap + (names->sorted ? names->n * sizeof *names->sorted : 0);
}

/* ---------------------------------------------------------------- order */

static bool is_before(const struct name_key *a, const struct name_key *b)
{
	if (a->head != b->head)
		return a->head < b->head;
	return strcmp(a->name, b->name) < 0;
}

/*
 * Merge sort; scratch has room for half of them. (The C library's may be smoothsort, which takes
 * five times as long.) As deep as n has bits.
 */
static void sort(struct name_key *keys, size_t n, struct name_key *scratch)
{
	const size_t half = n / 2;
	size_t low = 0, high = half, out = 0;

	if (n < 2)
		return;
	sort(keys, half, scratch);
	sort(keys + half, n - half, scratch);
	memcpy(scratch, keys, half * sizeof *keys);
	while (low < half && high < n)
		keys[out++] = is_before(&keys[high], &scratch[low]) ? keys[high++] : scratch[low++];
	memcpy(keys + out, scratch + low, (half - low) * sizeof *keys);
}

/* Bytes that all of them begin with. */
static size_t common_prefix(const struct name_key *keys, size_t n)
{
	size_t len = strlen(keys[0].name);

	for (size_t i = 1; i < n; i++) {
		size_t same = 0;

		while (same < len && keys[i].name[same] == keys[0].name[same])
			same++;
		len = same;
	}
	return len;
}

static uint64_t head_of(const char *rest)
{
	uint64_t head = 0;

	for (size_t i = 0; i < sizeof head; i++) {
		head = head << 8 | (uint8_t)*rest;
		rest += *rest != '\0';
	}
	return head;
}

static void fill_keys(const struct names *names, struct name_key *keys)
{
	const char *at = (const char *)names->bytes.data;
	size_t prefix;

	for (size_t i = 0; i < names->n; i++) {
		keys[i].name = at + 1;
		at += strlen(at + 1) + 2;
	}
	prefix = common_prefix(keys, names->n);
	for (size_t i = 0; i < names->n; i++)
		keys[i].head = head_of(keys[i].name + prefix);
}

int names_sort(struct names *names, size_t max)
{
	CLEANUP(freep) struct name_key *scratch = NULL;
	const size_t n_scratch = names->n / 2 + 1;
	const size_t n_order = (names->n + n_scratch) * sizeof *scratch;

	if (names->n == 0)
		return 0;
	if (names->bytes.cap + n_order > max ||
	    quota_raise(&quota, &names->charged, names->bytes.len + n_order) < 0)
		return -ENOBUFS;
	names->sorted = try_malloc(names->n * sizeof *names->sorted);
	scratch = try_malloc(n_scratch * sizeof *scratch);
	if (!names->sorted || !scratch)
		return -ENOMEM;
	fill_keys(names, names->sorted);
	sort(names->sorted, names->n, scratch);
	return 0;
}

/* ---------------------------------------------------------------- one by one */

const char *names_next(struct names *names, unsigned char *out_type)
{
	const char *name;

	if (names->n_next == names->n)
		return NULL;
	if (names->sorted) {
		name = names->sorted[names->n_next].name;
	} else {
		name = (const char *)names->bytes.data + names->at + 1;
		names->at += strlen(name) + 2;
	}
	names->n_next++;
	if (out_type)
		*out_type = (unsigned char)name[-1];
	return name;
}
