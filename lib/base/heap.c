/* SPDX-License-Identifier: MIT */
/* heap.c - the timer heap: sifting, ids, growth.
 *
 * Four children a node, because a level costs one cache miss whether it has two
 * children or four, and four halve the number of levels. For that to hold, the four
 * must share a line: entries[1], and with it each group of siblings entries[4k + 1]
 * to entries[4k + 4], lies at a multiple of 64 bytes. So the array begins three
 * entries after a line does, and that is what seat() is for.
 *
 * Sifting moves a hole, not an entry: each level costs one copy of an entry and one
 * store of a position, and the entry in hand is written once, where the hole ends.
 *
 * Invariants: an id is in use, or in the free list, or not below fresh_id; hence
 * there is a free one whenever count < capacity. For each id in use,
 * entries[positions[id]].id == id; no unused id satisfies that, which is how
 * kn_heap_remove() notices a timer that is not there. */
#include <errno.h>
#include <string.h>
#include "base/alloc.h"
#include "base/error.h"
#include "base/heap.h"

#define ARITY          4
#define LINE           64
#define FIRST_CAPACITY 64
/* Room beside the entries: to reach the next line, and three entries beyond it. */
#define SLACK (LINE + (ARITY - 1) * sizeof(struct kn_heap_entry))

_Static_assert(ARITY * sizeof(struct kn_heap_entry) == LINE, "siblings fill one cache line");

void kn_heap_init(struct kn_heap *heap)
{
	*heap = (struct kn_heap){.free_id = KN_HEAP_NONE};
}

void kn_heap_done(struct kn_heap *heap)
{
	kn_free(heap->memory);
	kn_heap_init(heap);
}

/* Is @a due before @b? That is (a->when, a->sequence) < (b->when, b->sequence), without a
 * branch, because nobody can predict its outcome: between equal deadlines an earlier
 * sequence counts as one nanosecond. The difference of two sequences is right across the
 * wrap, as long as fewer than 2^31 pushes lie between them. No deadline is INT64_MIN. */
static inline bool before(const struct kn_heap_entry *a, const struct kn_heap_entry *b)
{
	return a->when - (int64_t)((a->sequence - b->sequence) >> 31) < b->when;
}

static inline void place(struct kn_heap *heap, uint32_t position, struct kn_heap_entry entry)
{
	heap->entries[position] = entry;
	heap->positions[entry.id] = position;
}

/* Moves the hole at @hole up until @entry fits into it. */
static inline void sift_up(struct kn_heap *heap, uint32_t hole, struct kn_heap_entry entry)
{
	while (hole) {
		uint32_t parent = (hole - 1) / ARITY;

		if (!before(&entry, &heap->entries[parent]))
			break;
		place(heap, hole, heap->entries[parent]);
		hole = parent;
	}
	place(heap, hole, entry);
}

/* The earliest of the four at @child: a tournament, with the winner of the final chosen by
 * arithmetic, because compilers turn ?: into a branch here. */
static inline const struct kn_heap_entry *earliest_of_four(const struct kn_heap_entry *child)
{
	size_t left = before(&child[1], &child[0]);
	size_t right = 2 + before(&child[3], &child[2]);
	size_t mask = -(size_t)before(&child[right], &child[left]);

	return &child[(right & mask) | (left & ~mask)];
}

/* Moves the hole at @hole down until @entry fits into it. */
static void sift_down(struct kn_heap *heap, uint32_t hole, struct kn_heap_entry entry)
{
	const struct kn_heap_entry *entries = heap->entries, *child, *best;

	/* In 64 bits, because the children of the last entries have no 32-bit index. */
	for (;;) {
		uint64_t first = (uint64_t)hole * ARITY + 1;

		if (first >= heap->count)
			break;
		child = &entries[first];
		if (kn_likely(first + ARITY <= heap->count)) {
			/* One of these four lines is next, whichever child wins. */
			if (first * ARITY + 1 + ARITY * ARITY <= heap->count)
				for (int i = 0; i < ARITY; i++)
					__builtin_prefetch(&entries[(first + i) * ARITY + 1]);
			best = earliest_of_four(child);
		} else {
			best = child;
			for (uint64_t i = 1; first + i < heap->count; i++)
				if (before(&child[i], best))
					best = &child[i];
		}
		if (!before(best, &entry))
			break;
		place(heap, hole, *best);
		hole = (uint32_t)(best - entries);
	}
	place(heap, hole, entry);
}

/* ---- memory ------------------------------------------------------------------- */

/* One block: the entries from where entries[1] is the first of a line, then the items, then the
 * positions. */
static bool size_of(size_t capacity, size_t *ret)
{
	const size_t each = sizeof(struct kn_heap_entry) + sizeof(void *) + sizeof(uint32_t);

	return !__builtin_mul_overflow(capacity, each, ret) &&
	       !__builtin_add_overflow(*ret, SLACK, ret);
}

static void seat(struct kn_heap *heap, char *memory, uint32_t capacity)
{
	uintptr_t line = ((uintptr_t)memory + LINE - 1) & ~(uintptr_t)(LINE - 1);

	heap->memory = memory;
	heap->capacity = capacity;
	heap->entries = (struct kn_heap_entry *)(memory + (line - (uintptr_t)memory)) + (ARITY - 1);
	heap->items = (void **)(heap->entries + capacity);
	heap->positions = (uint32_t *)(heap->items + capacity);
}

/* By hand, not by realloc(): what was reserved and never used must stay untouched. */
static int resize(struct kn_heap *heap, uint32_t capacity)
{
	struct kn_heap old = *heap;
	size_t size;
	char *memory;

	if (!size_of(capacity, &size))
		return -ENOMEM;
	memory = kn_malloc(size);
	if (!memory)
		return -ENOMEM;
	seat(heap, memory, capacity);
	if (old.memory) {
		memcpy(heap->entries, old.entries, old.count * sizeof(*old.entries));
		memcpy(heap->items, old.items, old.fresh_id * sizeof(*old.items));
		memcpy(heap->positions, old.positions, old.fresh_id * sizeof(*old.positions));
		kn_free(old.memory);
	}
	return 0;
}

int kn_heap_reserve(struct kn_heap *heap, uint32_t count)
{
	return count <= heap->capacity ? 0 : resize(heap, count);
}

bool kn_heap_grow(struct kn_heap *heap)
{
	uint32_t capacity = heap->capacity;

	if (capacity == UINT32_MAX)
		return false;
	if (capacity > UINT32_MAX / 2)
		capacity = UINT32_MAX;
	else
		capacity = capacity ? capacity * 2 : FIRST_CAPACITY;
	return kn_heap_reserve(heap, capacity) == 0;
}

void kn_heap_trim(struct kn_heap *heap, uint32_t count)
{
	kn_assert(!heap->count);
	heap->free_id = KN_HEAP_NONE;
	heap->fresh_id = 0;
	if (count < FIRST_CAPACITY)
		count = FIRST_CAPACITY;
	if (count < heap->capacity)
		(void)!resize(heap, count); /* without memory for that it stays as it is */
}

/* ---- timers ------------------------------------------------------------------- */

uint32_t kn_heap_push_as(struct kn_heap *heap, int64_t when, uint32_t sequence, void *item)
{
	uint32_t id;

	if (kn_unlikely(heap->count == heap->capacity) && !kn_heap_grow(heap))
		return KN_HEAP_NONE;
	id = heap->free_id;
	if (id != KN_HEAP_NONE)
		heap->free_id = heap->positions[id];
	else
		id = heap->fresh_id++;
	heap->items[id] = item;
	if (kn_unlikely(when == INT64_MIN))
		when++; /* see before() */
	sift_up(heap, heap->count++,
	        (struct kn_heap_entry){.when = when, .sequence = sequence, .id = id});
	return id;
}

uint32_t kn_heap_push(struct kn_heap *heap, int64_t when, void *item)
{
	uint32_t id = kn_heap_push_as(heap, when, heap->sequence, item);

	heap->sequence += id != KN_HEAP_NONE;
	return id;
}

/* Takes the entry at @hole out; the last one is put where it then belongs. */
static inline void *take_out(struct kn_heap *heap, uint32_t hole)
{
	uint32_t id = heap->entries[hole].id;
	struct kn_heap_entry last = heap->entries[--heap->count];

	/* Wanted at the end; among many timers both are far away. */
	__builtin_prefetch(&heap->items[id]);
	__builtin_prefetch(&heap->positions[id], 1);
	if (hole != heap->count) {
		if (hole && before(&last, &heap->entries[(hole - 1) / ARITY]))
			sift_up(heap, hole, last);
		else
			sift_down(heap, hole, last);
	}
	heap->positions[id] = heap->free_id;
	heap->free_id = id;
	return heap->items[id];
}

/* The position of the timer @id. That of an unused id is the number of another unused id,
 * or KN_HEAP_NONE, so the entry found there, if any, is not its own. */
static inline uint32_t position_of(const struct kn_heap *heap, uint32_t id)
{
	uint32_t position;

	kn_assert(id < heap->fresh_id);
	position = heap->positions[id];
	kn_assert(position < heap->count && heap->entries[position].id == id);
	return position;
}

void *kn_heap_remove(struct kn_heap *heap, uint32_t id)
{
	return take_out(heap, position_of(heap, id));
}

void *kn_heap_pop_due(struct kn_heap *heap, int64_t now)
{
	return heap->count && heap->entries[0].when <= now ? take_out(heap, 0) : NULL;
}

int64_t kn_heap_when(const struct kn_heap *heap, uint32_t id)
{
	return heap->entries[position_of(heap, id)].when;
}
