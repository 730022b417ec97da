/* SPDX-License-Identifier: MIT */
/* list.h - an intrusive, circular, doubly linked list.
 *
 * A head is a node that points to itself when the list is empty, so that adding
 * and removing have no special case. A node that is in no list points to itself
 * too (kn_list_init()), which makes kn_list_del() harmless to repeat. */
#ifndef KN_BASE_LIST_H
#define KN_BASE_LIST_H
#include <stdbool.h>
#include <stddef.h>
#include "base/compiler.h"

struct kn_list {
	struct kn_list *next, *prev;
};

#define KN_LIST_INIT(name)       \
	{                        \
		&(name), &(name) \
	}

static inline void kn_list_init(struct kn_list *list)
{
	list->next = list->prev = list;
}

static inline bool kn_list_empty(const struct kn_list *list)
{
	return list->next == list;
}

static inline void kn_list_insert(struct kn_list *node, struct kn_list *prev, struct kn_list *next)
{
	node->prev = prev;
	node->next = next;
	prev->next = node;
	next->prev = node;
}

/* Adds @node at the end of @head. */
static inline void kn_list_add_tail(struct kn_list *head, struct kn_list *node)
{
	kn_list_insert(node, head->prev, head);
}

/* Adds @node at the beginning of @head. */
static inline void kn_list_add_head(struct kn_list *head, struct kn_list *node)
{
	kn_list_insert(node, head, head->next);
}

/* Takes @node out of the list it is in, and leaves it as it is: for one that is linked anew, or
 * freed, before anybody asks where it is. */
static inline void kn_list_unlink(struct kn_list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
}

/* Takes @node out of the list it is in, if any. */
static inline void kn_list_del(struct kn_list *node)
{
	kn_list_unlink(node);
	kn_list_init(node);
}

/* Takes the first out of @head, which is not empty. */
static inline struct kn_list *kn_list_pop(struct kn_list *head)
{
	struct kn_list *first = head->next, *next = first->next;

	head->next = next;
	next->prev = head;
	kn_list_init(first);
	return first;
}

/* Takes the first out of @from, which is not empty, and moves the others to @to, which is. */
static inline struct kn_list *kn_list_pop_move(struct kn_list *to, struct kn_list *from)
{
	struct kn_list *first = from->next, *second = first->next, *last = from->prev;

	if (second != from) {
		to->next = second;
		to->prev = last;
		second->prev = to;
		last->next = to;
	}
	kn_list_init(from);
	kn_list_init(first);
	return first;
}

/* Moves all of @from, which is not empty, to @to, which is; @from is empty afterwards. */
static inline void kn_list_move(struct kn_list *to, struct kn_list *from)
{
	struct kn_list *first = from->next, *last = from->prev;

	to->next = first;
	to->prev = last;
	first->prev = to;
	last->next = to;
	kn_list_init(from);
}

/* Moves all of @from to the end of @to; @from is empty afterwards. */
static inline void kn_list_splice_tail(struct kn_list *to, struct kn_list *from)
{
	if (kn_list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	kn_list_init(from);
}

#define kn_list_entry(node, type, member) kn_container_of(node, type, member)

#define kn_list_first(head, type, member) \
	(kn_list_empty(head) ? NULL : kn_list_entry((head)->next, type, member))

#define kn_list_for_each(node, head) \
	for (struct kn_list *node = (head)->next; node != (head); node = node->next)

/* As above; the body may take @node out of the list, but no other. */
#define kn_list_for_each_safe(node, head)                                                    \
	for (struct kn_list *node = (head)->next, *node##_next = node->next; node != (head); \
	     node = node##_next, node##_next = node->next)
#endif
