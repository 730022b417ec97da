/* SPDX-License-Identifier: MIT */
/* stack_slab.h - one mapping that stacks are carved out of. */
#ifndef KN_FIBER_STACK_SLAB_H
#define KN_FIBER_STACK_SLAB_H
#include <stddef.h>
#include "fiber/stack.h"

struct kn_stack_slab {
	struct kn_stack_slab *next; /* owned: all slabs of the pool */
	struct kn_stack_pool *pool; /* borrowed: whose it is */
	char *base;                 /* of the mapping: count * slot_size bytes */
	size_t slot_size;
	unsigned size_class;
	unsigned count;   /* stacks in it */
	unsigned used;    /* of those, the first so many were handed out at least once */
	unsigned guarded; /* of those, the first so many have a guard already */
	struct kn_stack stacks[];
};

static inline struct kn_stack_slab *kn_stack_slab_of(const struct kn_stack *stack)
{
	const struct kn_stack *first = stack - stack->index;

	return (struct kn_stack_slab *)((char *)(uintptr_t)first -
	                                offsetof(struct kn_stack_slab, stacks));
}

/* Maps a slab of about @count stacks (at most 256), less if that is too much for the address space.
 * NULL if not even one is to be had. */
struct kn_stack_slab *kn_stack_slab_new(size_t slot_size, unsigned count);

/* Unmaps it; if some of its stacks are still out, keeps it for good. */
void kn_stack_slab_free(struct kn_stack_slab *slab);

/* The next stack that was never handed out, with a guard of the kind @guard or of the next
 * best. Its top lies @shift bytes lower than it could. There must be one. @made stacks of its
 * size exist: guards are put up for as many more at once, so that few stacks get few, and many
 * get theirs with few system calls. */
struct kn_stack *kn_stack_slab_take(struct kn_stack_slab *slab, enum kn_guard guard, size_t shift,
                                    size_t made);

/* The end of the stack's slot: above it the next one begins. */
char *kn_stack_slot_end(const struct kn_stack *stack);

/* Notes which pages are in use, for its high-water mark, before they go. */
void kn_stack_note_touched(struct kn_stack *stack);

/* Fills the stack with the pattern that its high-water mark is found by. */
void kn_stack_paint(struct kn_stack *stack);

/* The text of an overflow report for @stack, into @line, without a line break. For signal
 * handlers too. */
void kn_overflow_describe(const struct kn_stack *stack, char *line, size_t size);
#endif
