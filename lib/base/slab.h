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
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"

/* The first bytes of an object: the slab uses none of them while the object is
 * live, and keeps them readable, with @poison in the first word, while it is free. */
#define KN_SLAB_HEADER 32

struct kn_slab {
	size_t size;   /* of an object, a multiple of 16, at least KN_SLAB_HEADER */
	void *poison;  /* what the first word of a freed object is set to */
	char **chunks; /* owned; KN_SLAB_CHUNK objects each */
	uint32_t chunk_count, chunk_room;
	uint32_t fresh; /* indices below this have been handed out at least once */
	uint32_t live;  /* objects handed out now */
	uint32_t idle;  /* objects in the free list */
	uint32_t quarantine;
	void *free_first, *free_last; /* free list, linked through the header */
};

#define KN_SLAB_CHUNK 256 /* objects */

/* @poison may be NULL; @quarantine in objects. */
void kn_slab_init(struct kn_slab *slab, size_t size, void *poison, uint32_t quarantine);

/* Frees all memory; live objects go with it. */
void kn_slab_done(struct kn_slab *slab);

/* An object with undefined content, or NULL. Its index is kept in the header while
 * it is free and passed on here: the caller stores it if it wants it. */
KN_NODISCARD void *kn_slab_alloc(struct kn_slab *slab, uint32_t *ret_index);

/* @index as told by kn_slab_alloc(). */
void kn_slab_free(struct kn_slab *slab, void *object, uint32_t index);

/* The object with this index, live or not; NULL if there never was one. */
void *kn_slab_at(const struct kn_slab *slab, uint32_t index);
#endif
