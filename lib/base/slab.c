/* SPDX-License-Identifier: MIT */
/* slab.c - the slow ways of the slab: chunks, tools that watch, misuse.
 *
 * A chunk is one aligned block of KN_SLAB_CHUNK objects and is never given back before the
 * slab is, so an index and a pointer name the same object for good, and reading the header
 * of a stale one is never a read of unmapped memory. Object i is in chunk i / KN_SLAB_CHUNK.
 *
 * Invariants: fresh <= chunk_count * KN_SLAB_CHUNK, and what is not live of that is in the free
 * list, oldest first with a quarantine, newest first without.
 *
 * AddressSanitizer and valgrind are told what may be touched: nothing of what was never
 * handed out, the header of what is free, all of what is live. Under one of them
 * ("watched") every call comes here; else nothing of this costs more than one test. */
#include <errno.h>
#include "base/alloc.h"
#include "base/error.h"
#include "base/slab.h"
#if KN_ASAN
#include <sanitizer/asan_interface.h>
#endif
#ifdef HAVE_VALGRIND_MEMCHECK_H
#include <valgrind/memcheck.h>
#endif

#define CACHE_LINE 64

/* ---- what the tools are told ---------------------------------------------------- */

static bool tool_is_there(void)
{
#ifdef HAVE_VALGRIND_MEMCHECK_H
	if (RUNNING_ON_VALGRIND)
		return true;
#endif
	return KN_ASAN;
}

static void forbid(void *memory, size_t size)
{
#if KN_ASAN
	ASAN_POISON_MEMORY_REGION(memory, size);
#endif
#ifdef HAVE_VALGRIND_MEMCHECK_H
	VALGRIND_MAKE_MEM_NOACCESS(memory, size);
#endif
	(void)memory;
	(void)size;
}

static void permit(void *memory, size_t size)
{
#if KN_ASAN
	ASAN_UNPOISON_MEMORY_REGION(memory, size);
#endif
#ifdef HAVE_VALGRIND_MEMCHECK_H
	VALGRIND_MAKE_MEM_UNDEFINED(memory, size);
#endif
	(void)memory;
	(void)size;
}

/* ---- chunks --------------------------------------------------------------------- */

void kn_slab_init(struct kn_slab *slab, size_t size, void *poison, uint32_t quarantine)
{
	size = (size + 15) & ~(size_t)15;
	*slab = (struct kn_slab){
	        .size = size < KN_SLAB_HEADER ? KN_SLAB_HEADER : size,
	        .poison = poison,
	        .quarantine = quarantine,
	        .slow_until = tool_is_there() ? UINT32_MAX : quarantine,
	        .watched = tool_is_there(),
	};
	kn_assert(size <= SIZE_MAX / KN_SLAB_CHUNK);
}

void kn_slab_done(struct kn_slab *slab)
{
	for (uint32_t i = 0; i < slab->chunk_count; i++) {
		if (slab->watched)
			permit(slab->chunks[i], slab->size * KN_SLAB_CHUNK);
		kn_free(slab->chunks[i]);
	}
	kn_free(slab->chunks);
	kn_slab_init(slab, slab->size, slab->poison, slab->quarantine);
}

static bool grow_table(struct kn_slab *slab)
{
	uint32_t room = slab->chunk_room ? slab->chunk_room * 2 : 8;
	char **chunks;
	size_t size;

	/* Indices have 32 bits. */
	if (room > UINT32_MAX / KN_SLAB_CHUNK ||
	    __builtin_mul_overflow(room, sizeof(*chunks), &size))
		return false;
	chunks = kn_realloc(slab->chunks, size);
	if (!chunks)
		return false;
	slab->chunks = chunks;
	slab->chunk_room = room;
	return true;
}

static bool add_chunk(struct kn_slab *slab)
{
	char *chunk;

	if (slab->chunk_count == slab->chunk_room && !grow_table(slab))
		return false;
	chunk = kn_memalign(CACHE_LINE, slab->size * KN_SLAB_CHUNK);
	if (!chunk)
		return false;
	if (slab->watched)
		forbid(chunk, slab->size * KN_SLAB_CHUNK);
	slab->chunks[slab->chunk_count++] = chunk;
	return true;
}

/* ---- objects -------------------------------------------------------------------- */

/* One that was never handed out before, or NULL. */
static struct kn_slab_idle *take_fresh(struct kn_slab *slab, uint32_t *ret_index)
{
	if (slab->fresh / KN_SLAB_CHUNK == slab->chunk_count && !add_chunk(slab))
		return NULL;
	*ret_index = slab->fresh++;
	return kn_slab_at(slab, *ret_index);
}

void *kn_slab_alloc_slow(struct kn_slab *slab, uint32_t *ret_index)
{
	struct kn_slab_idle *object;

	if (kn_slab_free_count(slab) > slab->quarantine) {
		object = slab->free_first;
		slab->free_first = object->next;
		*ret_index = object->index;
	} else {
		object = take_fresh(slab, ret_index);
		if (!object)
			return NULL;
	}
	if (slab->watched)
		permit(object, slab->size);
	object->poison = NULL;
	slab->live++;
	return object;
}

void kn_slab_free_watched(struct kn_slab *slab, void *object, uint32_t index)
{
	kn_assert(kn_slab_at(slab, index) == object);
	forbid((char *)object + KN_SLAB_HEADER, slab->size - KN_SLAB_HEADER);
}

void kn_slab_freed_twice(const struct kn_slab *slab, const void *object)
{
	const struct kn_slab_idle *idle = object;

	kn_panic("object %u at %p, of %zu bytes, was freed twice", idle->index, object, slab->size);
}
