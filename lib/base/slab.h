/* SPDX-License-Identifier: MIT */
/* slab.h - objects of one size, in chunks, numbered.
 *
 * A slab belongs to one thread. An object has an index, so that a handle can name
 * it by number. Freed objects are reused last in, first out; with a quarantine,
 * first in, first out and not before that many others have been freed since, so
 * that a stale pointer still meets a poisoned object. Freed bytes beyond the first
 * KN_SLAB_HEADER are poisoned for AddressSanitizer and valgrind. */
#ifndef KN_BASE_SLAB_H
#define KN_BASE_SLAB_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"

/* The first bytes of an object: the slab uses none of them while the object is
 * live, and keeps them readable, with @poison in the first word, while it is free. */
#define KN_SLAB_HEADER 32
#define KN_SLAB_CHUNK  256 /* objects */

/* What the header of a free object holds. */
struct kn_slab_idle {
	void *poison;
	struct kn_slab_idle *next;
	uint64_t left_alone; /* as the last user left it */
	uint32_t index;
} __attribute__((may_alias));

struct kn_slab {
	/* Valid while there are any; without a quarantine the first is NULL else. */
	struct kn_slab_idle *free_first, *free_last;
	void *poison;        /* what the first word of a freed object is set to */
	uint32_t live;       /* objects handed out now */
	uint32_t fresh;      /* indices below this have been handed out at least once */
	uint32_t quarantine; /* as many stay in the free list */
	uint32_t slow_until; /* so many free ones: kn_slab_alloc() has to look closer */
	size_t size;         /* of an object, a multiple of 16, at least KN_SLAB_HEADER */
	char **chunks;       /* owned; KN_SLAB_CHUNK objects each */
	uint32_t chunk_count, chunk_room;
	bool watched; /* a tool is told what may be touched: all goes the slow way */
};

/* @size is rounded up to what the slab needs; where it is a multiple of 64, objects start at
 * cache lines. @poison may be NULL; @quarantine in objects. */
void kn_slab_init(struct kn_slab *slab, size_t size, void *poison, uint32_t quarantine);

/* Frees all memory; live objects go with it. */
void kn_slab_done(struct kn_slab *slab);

/* Objects in the free list. */
static inline uint32_t kn_slab_free_count(const struct kn_slab *slab)
{
	return slab->fresh - slab->live;
}

/* The parts of the two functions below that need not be fast. */
KN_NODISCARD void *kn_slab_alloc_slow(struct kn_slab *slab, uint32_t *ret_index);
void kn_slab_free_watched(struct kn_slab *slab, void *object, uint32_t index);
KN_COLD KN_NORETURN void kn_slab_freed_twice(const struct kn_slab *slab, const void *object);

/* An object with undefined content, but for the first word, which is NULL; or NULL without
 * memory. Its index is kept in the header while it is free and passed on here: the caller
 * stores it if it wants it. */
KN_NODISCARD static inline void *kn_slab_alloc(struct kn_slab *slab, uint32_t *ret_index)
{
	struct kn_slab_idle *object;

	if (kn_unlikely(kn_slab_free_count(slab) <= slab->slow_until))
		return kn_slab_alloc_slow(slab, ret_index);
	object = slab->free_first;
	slab->free_first = object->next;
	slab->live++;
	object->poison = NULL; /* so that kn_slab_free() can tell a live one from a free one */
	*ret_index = object->index;
	return object;
}

/* @index as told by kn_slab_alloc(). Panics if @object is free already, which its first
 * word tells if the slab has a poison. */
static inline void kn_slab_free(struct kn_slab *slab, void *object, uint32_t index)
{
	struct kn_slab_idle *freed = object;

	if (kn_unlikely(freed->poison == slab->poison) && slab->poison)
		kn_slab_freed_twice(slab, object);
	freed->poison = slab->poison;
	freed->index = index;
	if (slab->quarantine && kn_slab_free_count(slab)) {
		slab->free_last->next = freed;
		slab->free_last = freed;
	} else {
		freed->next = slab->free_first;
		slab->free_first = freed;
		slab->free_last = freed; /* as the only one; without a quarantine nobody asks */
	}
	slab->live--;
	if (kn_unlikely(slab->watched))
		kn_slab_free_watched(slab, object, index);
}

/* The same two where it has to be quick: in a slab without poison and quarantine that no tool
 * watches, for a user who keeps the index in the object. What is freed by the second comes back
 * from the first, but for its second word as it was left; NULL: none is free. Then, and only then,
 * kn_slab_alloc() gives a new one. */
static inline void *kn_slab_again(struct kn_slab *slab)
{
	struct kn_slab_idle *object = slab->free_first;

	if (kn_unlikely(!object))
		return NULL;
	slab->free_first = object->next;
	slab->live++;
	return object;
}

static inline void kn_slab_put(struct kn_slab *slab, void *object)
{
	struct kn_slab_idle *freed = object;

	freed->next = slab->free_first;
	slab->free_first = freed;
	slab->live--;
}

/* The object with this index, live or not; NULL if there never was one. */
static inline void *kn_slab_at(const struct kn_slab *slab, uint32_t index)
{
	if (kn_unlikely(index >= slab->fresh))
		return NULL;
	return slab->chunks[index / KN_SLAB_CHUNK] + index % KN_SLAB_CHUNK * slab->size;
}
#endif
