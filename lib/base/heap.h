/* SPDX-License-Identifier: MIT */
/* heap.h - the timer heap: earliest deadline first, equal deadlines in the order
 * in which they were pushed.
 *
 * A 4-ary heap of 16-byte entries. An entry names its timer by a small number,
 * and the timer's position in the heap is kept in a dense array beside it, not in
 * the timer: moving an entry then touches 4 bytes in a cached array instead of a
 * line of its own in a million scattered timers. The number is what cancels. */
#ifndef KN_BASE_HEAP_H
#define KN_BASE_HEAP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"

#define KN_HEAP_NONE UINT32_MAX /* no timer has this number */

struct kn_heap_entry {
	int64_t when;      /* ns */
	uint32_t sequence; /* order of equal deadlines; compared modulo 2^32 */
	uint32_t id;
};

struct kn_heap {
	struct kn_heap_entry *entries; /* [capacity]; the root is entries[0] */
	void **items;                  /* [capacity], by id; borrowed */
	uint32_t *positions;           /* [capacity], by id: the index in entries; the next unused
	                                * id while unused */
	void *memory;                  /* owned: what these three lie in, see heap.c */
	uint32_t count, capacity;
	uint32_t free_id;  /* head of the list of ids that were used and are not now */
	uint32_t fresh_id; /* ids from here on were never used */
	uint32_t sequence; /* of the next push */
};

void kn_heap_init(struct kn_heap *heap);
void kn_heap_done(struct kn_heap *heap);

/* Makes room for @count timers in all. 0 or -ENOMEM. What is not used yet is not touched. */
KN_NODISCARD int kn_heap_reserve(struct kn_heap *heap, uint32_t count);

/* Makes room for more. False without memory. */
KN_NODISCARD KN_COLD bool kn_heap_grow(struct kn_heap *heap);

/* Gives memory back but for the room for @count timers. The heap must be empty. */
void kn_heap_trim(struct kn_heap *heap, uint32_t count);

/* Adds @item with deadline @when. Returns its id, which is its until it is popped
 * or removed, or KN_HEAP_NONE where there is no memory. O(log n). */
KN_NODISCARD uint32_t kn_heap_push(struct kn_heap *heap, int64_t when, void *item);

/* The same for one that has got its place in the order of pushes before: a heap->sequence of
 * then, which the caller has counted on. */
KN_NODISCARD uint32_t kn_heap_push_as(struct kn_heap *heap, int64_t when, uint32_t sequence,
                                      void *item);

/* Takes the timer @id out; returns its item. O(log n). */
void *kn_heap_remove(struct kn_heap *heap, uint32_t id);

/* Takes the earliest timer out if its deadline is <= @now; NULL if there is none. */
void *kn_heap_pop_due(struct kn_heap *heap, int64_t now);

/* The deadline of the timer @id. */
int64_t kn_heap_when(const struct kn_heap *heap, uint32_t id);

/* The earliest deadline, INT64_MAX if the heap is empty. */
static inline int64_t kn_heap_next(const struct kn_heap *heap)
{
	return heap->count ? heap->entries[0].when : INT64_MAX;
}
#endif
