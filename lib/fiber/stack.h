/* SPDX-License-Identifier: MIT */
/* stack.h - stacks for coroutines: a pool for each loop.
 *
 * Stacks are carved out of large mappings ("slabs"), so that a million of them need
 * a few mappings only. The lowest page of each is a guard. Handed out last in first
 * out, so that short tasks keep running on the same warm pages. */
#ifndef KN_FIBER_STACK_H
#define KN_FIBER_STACK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"

enum kn_guard {
	KN_GUARD_BEST,     /* the best that works, in this order */
	KN_GUARD_INSTALL,  /* MADV_GUARD_INSTALL: no mapping of its own (Linux 6.13) */
	KN_GUARD_MPROTECT, /* two mappings a stack: up to half of vm.max_map_count */
	KN_GUARD_CANARY,   /* a word at the low end, checked at kn_stack_put() and at switches */
};

/* One stack. Lives in an array beside its slab, not on the stack's own pages. */
struct kn_stack {
	char *low;  /* lowest usable byte, above the guard */
	char *high; /* one past the highest usable byte: page top less the colour shift */
	struct kn_stack *next; /* free list */
	struct kn_stack_slab *slab;
	unsigned char guard;   /* enum kn_guard: what protects this one */
	unsigned char dirty;   /* touched since its memory was last given back */
	unsigned char painted; /* filled with the pattern for an exact high-water mark */
	unsigned char out;     /* handed out */
	unsigned valgrind_id;
	void *tsan_fiber; /* the thread sanitizer's view of what runs here; kept for reuse */
};

struct kn_stack_pool;

/* @stack_size: bytes of address space a stack by default, guard included, rounded up to
 * a power of two of at least 16 KiB. @paint: fill stacks with a pattern. @guard: best, or
 * one kind to try first (for tests). NULL without memory. */
struct kn_stack_pool *kn_stack_pool_new(size_t stack_size, bool paint, enum kn_guard guard);

/* All stacks must have been put back, but for those abandoned for good. */
void kn_stack_pool_free(struct kn_stack_pool *pool);

/* A stack of at least @size bytes (0: the pool's default), or NULL: no memory or no
 * address space. */
KN_NODISCARD struct kn_stack *kn_stack_get(struct kn_stack_pool *pool, size_t size);

/* Gives it back. Panics, naming kn_stack_owner_name(), if its canary is gone. */
void kn_stack_put(struct kn_stack_pool *pool, struct kn_stack *stack);

/* Called when the loop has nothing to do: returns to the kernel some of the memory of
 * stacks that a burst needed and that have not been used since. Cheap when there is
 * nothing to return; does a bounded amount of work. @all: everything that is free. */
void kn_stack_pool_trim(struct kn_stack_pool *pool, bool all);

/* Bytes of the stack that were ever touched: to the byte if painted, else by the page
 * (mincore). Includes what earlier tasks on this stack touched unless painted. */
size_t kn_stack_high_water(const struct kn_stack *stack);

/* Usable bytes. */
static inline size_t kn_stack_size(const struct kn_stack *stack)
{
	return (size_t)(stack->high - stack->low);
}

/* False if the canary of @stack is gone. Always true with a guard page. */
bool kn_stack_intact(const struct kn_stack *stack);

struct kn_stack_stats {
	size_t stacks;    /* made */
	size_t out;       /* handed out */
	size_t slabs;     /* mappings */
	size_t unguarded; /* of those made, protected by a canary only */
};
void kn_stack_pool_stats(const struct kn_stack_pool *pool, struct kn_stack_stats *ret);

/* ---- overflow report ---------------------------------------------------------- */

/* Installs the SIGSEGV/SIGBUS handler (once for the process, chaining to the one that was there)
 * and an alternate signal stack for this thread if it has none; freed at the thread's end.
 * 0 or a negative errno. */
int kn_overflow_arm_thread(void);

/* While the thread runs on @stack a fault in its guard is reported as the overflow of the
 * task with the name that @name_of tells (NULL: no name); async-signal-safe: writes one
 * line with write(2), then lets the default action end the process. */
void kn_overflow_set_current(const struct kn_stack *stack);
void kn_overflow_set_namer(void (*name_of)(char *buffer, size_t size));
#endif
