/*
 * Intrusive doubly linked list. A head and an unlinked node both point at themselves, so removing
 * twice is harmless. A zeroed node counts as unlinked.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"

struct list {
	struct list *next;
	struct list *prev;
};

#define LIST_INIT(head)                                                                            \
	{                                                                                          \
		&(head), &(head)                                                                   \
	}

static inline void list_init(struct list *l)
{
	l->next = l;
	l->prev = l;
}

static inline bool list_is_empty(const struct list *head)
{
	return !head->next || head->next == head;
}

#define list_is_linked(node) (!list_is_empty(node))

static inline void list_insert_before(struct list *at, struct list *node)
{
	ASSERT(list_is_empty(node));
	node->prev = at->prev;
	node->next = at;
	at->prev->next = node;
	at->prev = node;
}

#define list_append(head, node) list_insert_before((head), (node))

static inline void list_remove(struct list *node)
{
	if (!node->next)
		return;
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

/* Takes the first node off; NULL if there is none. */
static inline struct list *list_take_first(struct list *head)
{
	struct list *node = head->next;

	if (list_is_empty(head))
		return NULL;
	head->next = node->next;
	node->next->prev = head;
	list_init(node);
	return node;
}

/* Moves all nodes to the empty head to. */
static inline void list_take_all(struct list *from, struct list *to)
{
	list_init(to);
	if (list_is_empty(from))
		return;
	list_insert_before(from, to);
	list_remove(from);
}

#define LIST_FIRST(head, type, mem)                                                                \
	(list_is_empty(head) ? NULL : CONTAINER_OF((head)->next, type, mem))

/* The current entry may be removed inside the loop; its neighbours may not. */
#define LIST_FOR_EACH(head, it, type, mem)                                                         \
	for (struct list *cur_##it = (head)->next, *next_##it = cur_##it->next;                    \
	     cur_##it != (head) ? ((it) = CONTAINER_OF(cur_##it, type, mem), 1) : 0;               \
	     cur_##it = next_##it, next_##it = cur_##it->next)
