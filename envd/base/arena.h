/*
 * Memory that lives and dies together: allocate freely, free once. A request's message is decoded
 * into one. Everything a peer can size comes from here, so the limit is charged before the
 * allocation and arena_alloc returns NULL at it.
 *
 * The first block may be the caller's (inside another object), so that small requests allocate
 * nothing. Results are aligned to 16 bytes.
 */
#pragma once

#include <stddef.h>

#include "base/macros.h"
#include "base/mem.h"

/* Bytes of a block of our own; larger requests get one of their size. */
#define ARENA_BLOCK MEM_BLOCK

struct arena_block;

struct arena {
	struct arena_block *blocks; /* newest first */
	char *at, *end;             /* free part of the current block */
	size_t used;                /* bytes charged */
	size_t max;                 /* bytes that may be charged */
	char *first;                /* the caller's own first block, or NULL */
	size_t first_size;
};

void arena_init(struct arena *a, size_t max, void *first, size_t first_size);
void arena_reset(struct arena *a); /* frees all blocks; ready for use again */
void arena_deinit(struct arena *a);

void *arena_alloc(struct arena *a, size_t size) MUST_CHECK; /* NULL at the limit */
void *arena_calloc(struct arena *a, size_t size) MUST_CHECK;
char *arena_strndup(struct arena *a, const char *s, size_t len) MUST_CHECK;
