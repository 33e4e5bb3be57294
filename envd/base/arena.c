#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define ARENA_ALIGN 16u

/* A request above this gets a block of its own, so that at most a quarter of a block is lost. */
#define ARENA_OWN_BLOCK (ARENA_BLOCK / 4)

struct arena_block {
	struct arena_block *older;
	_Alignas(ARENA_ALIGN) char data[];
};

static void arena_begin(struct arena *a)
{
	uintptr_t skip = -(uintptr_t)a->first % ARENA_ALIGN;

	a->blocks = NULL;
	a->at = a->end = NULL;
	a->used = 0;
	if (a->first && skip < a->first_size) {
		a->at = a->first + skip;
		a->end = a->first + a->first_size;
	}
}

void arena_init(struct arena *a, size_t max, void *first, size_t first_size)
{
	*a = (struct arena){ .max = max, .first = first, .first_size = first_size };
	arena_begin(a);
}

void arena_reset(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *b = a->blocks;

		a->blocks = b->older;
		free(b);
	}
	arena_begin(a);
}

void arena_deinit(struct arena *a)
{
	arena_reset(a);
	*a = (struct arena){ 0 };
}

static struct arena_block *arena_add_block(struct arena *a, size_t data_size)
{
	struct arena_block *b = try_malloc(sizeof *b + data_size);

	if (!b)
		return NULL;
	b->older = a->blocks;
	a->blocks = b;
	return b;
}

void *arena_alloc(struct arena *a, size_t size)
{
	struct arena_block *b;
	size_t charge;
	char *p;

	if (size > a->max - a->used)
		return NULL;
	charge = size ? (size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN : ARENA_ALIGN;
	if (charge < size || charge > a->max - a->used)
		return NULL;

	if (charge > (size_t)(a->end - a->at)) {
		bool own = charge > ARENA_OWN_BLOCK;
		size_t data_size = own ? charge : ARENA_BLOCK - sizeof *b;

		b = arena_add_block(a, data_size);
		if (!b)
			return NULL;
		if (own) {
			a->used += charge;
			return b->data;
		}
		a->at = b->data;
		a->end = b->data + data_size;
	}
	p = a->at;
	a->at += charge;
	a->used += charge;
	return p;
}

void *arena_calloc(struct arena *a, size_t size)
{
	void *p = arena_alloc(a, size);

	if (p)
		memset(p, 0, size);
	return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
	char *copy = len < SIZE_MAX ? arena_alloc(a, len + 1) : NULL;

	if (!copy)
		return NULL;
	mem_copy(copy, s, len);
	copy[len] = '\0';
	return copy;
}
