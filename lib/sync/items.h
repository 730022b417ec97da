/* SPDX-License-Identifier: MIT */
/* items.h - what a queue has, in one of three orders.
 *
 * An order is a pair of functions on an array that grows. First in first out is a ring, last in
 * first out its one end, smallest first a binary heap in which equal items keep the order of
 * their arrival. */
#ifndef KN_SYNC_ITEMS_H
#define KN_SYNC_ITEMS_H
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"
#include "knit/queue.h"

struct kn_items;

struct kn_order {
	size_t item_size;
	/* There is room / there is an item. */
	void (*push)(struct kn_items *items, intptr_t item);
	intptr_t (*pop)(struct kn_items *items);
};

extern const struct kn_order kn_order_fifo, kn_order_lifo, kn_order_priority;

struct kn_items {
	const struct kn_order *order;
	knit_item_compare *compare; /* priority: NULL: items are numbers */
	void *memory;               /* owned: [capacity] of the order's item_size */
	size_t capacity;            /* a power of two, or 0 */
	size_t count;
	size_t head;       /* fifo: the index of the oldest */
	uint64_t sequence; /* priority: of the next push */
};

KN_COLD KN_NODISCARD int kn_items_grow(struct kn_items *items);

/* Sees to it that the next push has room. 0 or -ENOMEM; nothing is lost. */
KN_NODISCARD static inline int kn_items_reserve(struct kn_items *items)
{
	return kn_likely(items->count < items->capacity) ? 0 : kn_items_grow(items);
}

/* First in first out, which nearly all queues are. */
static inline void kn_ring_push(struct kn_items *items, intptr_t item)
{
	intptr_t *ring = items->memory;

	ring[(items->head + items->count++) & (items->capacity - 1)] = item;
}

static inline intptr_t kn_ring_pop(struct kn_items *items)
{
	intptr_t *ring = items->memory;
	intptr_t item = ring[items->head];

	items->head = (items->head + 1) & (items->capacity - 1);
	items->count--;
	return item;
}

/* There is room. */
static inline void kn_items_push(struct kn_items *items, intptr_t item)
{
	if (kn_likely(items->order == &kn_order_fifo))
		kn_ring_push(items, item);
	else
		items->order->push(items, item);
}

/* There is an item. */
static inline intptr_t kn_items_pop(struct kn_items *items)
{
	if (kn_likely(items->order == &kn_order_fifo))
		return kn_ring_pop(items);
	return items->order->pop(items);
}

/* Frees the memory; the items themselves are the queue's business. */
void kn_items_done(struct kn_items *items);
#endif
