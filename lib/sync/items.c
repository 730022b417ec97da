/* SPDX-License-Identifier: MIT */
/* items.c - the three orders of a queue's items: see items.h. */
#include "sync/items.h"
#include <errno.h>
#include <string.h>
#include "base/alloc.h"

#define FIRST_CAPACITY 8

/* The ring begins anywhere; grown, it begins at 0. */
static void unwrap(const struct kn_items *items, char *to)
{
	size_t size = items->order->item_size, tail = items->capacity - items->head;
	const char *from = items->memory;

	if (tail > items->count)
		tail = items->count;
	memcpy(to, from + items->head * size, tail * size);
	memcpy(to + tail * size, from, (items->count - tail) * size);
}

int kn_items_grow(struct kn_items *items)
{
	size_t capacity = items->capacity ? items->capacity * 2 : FIRST_CAPACITY;
	char *memory;

	if (capacity > SIZE_MAX / 2 / items->order->item_size)
		return -ENOMEM;
	memory = kn_malloc(capacity * items->order->item_size);
	if (!memory)
		return -ENOMEM;
	if (items->count)
		unwrap(items, memory);
	kn_free(items->memory);
	items->memory = memory;
	items->capacity = capacity;
	items->head = 0;
	return 0;
}

void kn_items_done(struct kn_items *items)
{
	kn_free(items->memory);
	items->memory = NULL;
	items->capacity = 0;
}

/* ---- first in, first out --------------------------------------------------------------- */

const struct kn_order kn_order_fifo = {sizeof(intptr_t), kn_ring_push, kn_ring_pop};

/* ---- last in, first out ---------------------------------------------------------------- */

static intptr_t lifo_pop(struct kn_items *items)
{
	intptr_t *stack = items->memory;

	return stack[--items->count];
}

/* The head of a stack stays 0. */
const struct kn_order kn_order_lifo = {sizeof(intptr_t), kn_ring_push, lifo_pop};

/* ---- smallest first -------------------------------------------------------------------- */

struct ranked {
	intptr_t item;
	uint64_t sequence;
};

static bool precedes(const struct kn_items *items, const struct ranked *one,
                     const struct ranked *other)
{
	int order;

	if (items->compare)
		order = items->compare(one->item, other->item);
	else
		order = (one->item > other->item) - (one->item < other->item);
	return order ? order < 0 : one->sequence < other->sequence;
}

static void priority_push(struct kn_items *items, intptr_t item)
{
	struct ranked *heap = items->memory, new = {item, items->sequence++};
	size_t at = items->count++;

	while (at > 0) {
		size_t parent = (at - 1) / 2;

		if (!precedes(items, &new, &heap[parent]))
			break;
		heap[at] = heap[parent];
		at = parent;
	}
	heap[at] = new;
}

static intptr_t priority_pop(struct kn_items *items)
{
	struct ranked *heap = items->memory, last;
	intptr_t first = heap[0].item;
	size_t at = 0, child;

	last = heap[--items->count];
	while ((child = 2 * at + 1) < items->count) {
		if (child + 1 < items->count && precedes(items, &heap[child + 1], &heap[child]))
			child++;
		if (!precedes(items, &heap[child], &last))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = last;
	return first;
}

const struct kn_order kn_order_priority = {sizeof(struct ranked), priority_push, priority_pop};
