/* SPDX-License-Identifier: MIT */
/* stack.h - stacks for coroutines: a pool for each loop.
 *
 * Stacks are carved out of large mappings ("slabs"), so that a million of them need
 * a few mappings only. The lowest page of each is a guard. Handed out last in first
 * out, so that short tasks keep running on the same warm pages.
 *
 * Sizes that come in (of a pool, of one stack) are of address space: guard page and colour
 * shift, together less than a page and a half, go off. They are rounded up to a power of
 * two of at least 16 KiB; a user who doubles .stack_size gets the double. */
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
	KN_GUARD_CANARY,   /* bytes below the low end that must stay 0, checked at
	                    * kn_stack_put() and where kn_stack_intact() is called */
};

/* One stack. Lives in an array of its slab, not on the stack's own pages; a million of them
 * do, so what can be derived is not kept. */
struct kn_stack {
	char *high; /* one past the highest usable byte: page top less the colour shift */
#ifdef HAVE_VALGRIND_MEMCHECK_H
	unsigned valgrind_id; /* of the registration of [low, high) */
#endif
	uint16_t touched;  /* pages that were once in use, as far as was seen: stack_usage.c */
	uint8_t index;     /* in its slab */
	uint8_t guard : 2; /* enum kn_guard: what protects this one; 0 before its first use */
	bool out : 1;      /* handed out */
	bool painted : 1;  /* was filled with the pattern when it was handed out */
	bool plain : 1;    /* of the default size; nothing is to be done when it comes and goes */
#if KN_TSAN
	void *tsan_fiber; /* owned: ThreadSanitizer's view of what runs here; kept for reuse */
#endif
};

struct kn_stack_pool;

/* @stack_size: of a stack by default. @paint: fill stacks with a pattern when they are
 * handed out, for exact high-water marks. @guard: best, or one kind to try first (for
 * tests). NULL without memory. A pool is used by one thread at a time. */
struct kn_stack_pool *kn_stack_pool_new(size_t stack_size, bool paint, enum kn_guard guard);

/* All stacks must have been put back, but for those abandoned for good: the slabs
 * that those lie in stay mapped as long as the process lives, since the kernel or a
 * stray pointer may still write there. */
void kn_stack_pool_free(struct kn_stack_pool *pool);

/* A stack of @size (0: the pool's default), or NULL: no memory, no address space, or more
 * than can be. Its content is undefined. */
KN_NODISCARD struct kn_stack *kn_stack_get(struct kn_stack_pool *pool, size_t size);

/* Gives it back. Panics with the text of an overflow report if its canary is gone. */
void kn_stack_put(struct kn_stack_pool *pool, struct kn_stack *stack);

/* The same for those who come often. The last plain stack that was put back is kept at hand, as if
 * it were still out; it is the first member of a pool. */
KN_NODISCARD static inline struct kn_stack *kn_stack_get_quickly(struct kn_stack_pool *pool,
                                                                 size_t size)
{
	struct kn_stack **at_hand = (struct kn_stack **)pool, *stack = *at_hand;

	if (kn_unlikely(!stack) || kn_unlikely(size))
		return kn_stack_get(pool, size);
	*at_hand = NULL;
	return stack;
}

static inline void kn_stack_put_quickly(struct kn_stack_pool *pool, struct kn_stack *stack)
{
	struct kn_stack **at_hand = (struct kn_stack **)pool;

	if (kn_unlikely(*at_hand != NULL) || kn_unlikely(!stack->plain)) {
		kn_stack_put(pool, stack);
		return;
	}
	stack->touched = 0;
	*at_hand = stack;
}

/* Returns to the kernel some of the memory of stacks that a burst needed and that have
 * not been used since. To be called when the loop has nothing to do; cheap when there is
 * nothing to return; else at most 512 stacks a call. How much stays warm follows the use
 * between calls: the highest number of stacks in use at once, which each call without such
 * use lowers by an eighth; 16 of a size always stay. Address space stays mapped.
 * @all: everything that is free, at once.
 * Returns true if there is more that later calls would return. */
bool kn_stack_pool_trim(struct kn_stack_pool *pool, bool all);

/* Is there more warm than is in use, so that calls of the above would in time return something? */
bool kn_stack_pool_has_spare(const struct kn_stack_pool *pool);

/* Bytes of the stack that were ever touched: to the byte if painted, else by the page.
 * Includes what earlier tasks on this stack touched unless painted. */
size_t kn_stack_high_water(const struct kn_stack *stack);

/* Its lowest usable byte, above the guard; at the start of a page. */
char *kn_stack_low(const struct kn_stack *stack);

/* Usable bytes. */
static inline size_t kn_stack_size(const struct kn_stack *stack)
{
	return (size_t)(stack->high - kn_stack_low(stack));
}

/* False if the canary of @stack is gone. Always true with a guard page. */
bool kn_stack_intact(const struct kn_stack *stack);

struct kn_stack_stats {
	size_t stacks;    /* made: handed out at least once */
	size_t out;       /* handed out */
	size_t slabs;     /* mappings made */
	size_t unguarded; /* of those made, protected by a canary only */
	size_t trimmed;   /* times that kn_stack_pool_trim() gave back a stack's memory */
};
void kn_stack_pool_stats(const struct kn_stack_pool *pool, struct kn_stack_stats *ret);

/* Neighbouring stacks whose memory is about to go back to the kernel. All zero: none. */
struct kn_stack_range {
	char *low, *end;
};

/* Adds @stack, whose content is lost. Gives back what was there before if that is not next to it.
 */
void kn_stack_range_add(struct kn_stack_range *range, const struct kn_stack *stack);
void kn_stack_range_flush(struct kn_stack_range *range);

/* ---- overflow report ---------------------------------------------------------- */

/* Installs the SIGSEGV/SIGBUS handler (once for the process, chaining to the one that was there)
 * and an alternate signal stack for this thread if it has none; freed at the thread's end.
 * 0 or a negative errno. */
int kn_overflow_arm_thread(void);

/* What the calling thread runs on; for kn_overflow_set_current() and the handler only. */
extern __thread const struct kn_stack *kn_overflow_stack __attribute__((tls_model("initial-exec")));

/* While the thread runs on @stack (NULL: its own) a fault in its guard is reported, in one
 * line on stderr, as the overflow of the task with the name that the namer tells. The
 * handler that was there before ours is called next, then the default action ends
 * the process. */
static inline void kn_overflow_set_current(const struct kn_stack *stack)
{
	kn_overflow_stack = stack;
}

/* @name_of writes the name of the calling thread's running task, cut to @size with its
 * final 0, and must be async-signal-safe. NULL: no name. Process-wide. */
void kn_overflow_set_namer(void (*name_of)(char *buffer, size_t size));
#endif
