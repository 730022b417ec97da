/* SPDX-License-Identifier: MIT */
/* stack_slab.c - mapping a slab, and carving stacks out of it.
 *
 * A slot is a power of two of address space: the guard page at its low end, the stack
 * above it. Stacks are touched at their top only, nearly always, so
 *
 *   - the mapping has no huge pages, else the first touch of a 2 MiB range would take all
 *     of it; and it reserves no swap space;
 *   - guards are put up when slots are first handed out, for some of the next ones too: the
 *     first of a range costs a page table, as the first touch of a stack does, and a system
 *     call for each costs 0.9 us where many in one call cost 0.55 us each;
 *   - the book-keeping lies in an array outside, which no overflow reaches. */
#include "fiber/stack_slab.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "fiber/guard.h"
#include "fiber/stack_annotate.h"

/* What one page table maps: guards put up ahead of need cost no more than one of those. */
#define GUARDS_SPAN ((size_t)1 << 21)

/* Slabs that had stacks out when their pool went. Kept where leak checkers and a reader
 * of core files find them. */
static _Atomic(struct kn_stack_slab *) abandoned;

static struct kn_stack_slab *slab_map(size_t slot_size, unsigned count)
{
	size_t size = slot_size * count;
	struct kn_stack_slab *slab = kn_calloc(1, sizeof(*slab) + count * sizeof(slab->stacks[0]));

	if (!slab)
		return NULL;
	slab->base = mmap(NULL, size, PROT_READ | PROT_WRITE,
	                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (slab->base == MAP_FAILED) {
		kn_free(slab);
		return NULL;
	}
	/* EINVAL from a kernel without huge pages is as good. */
	(void)madvise(slab->base, size, MADV_NOHUGEPAGE);
	slab->slot_size = slot_size;
	slab->count = count;
	return slab;
}

struct kn_stack_slab *kn_stack_slab_new(size_t slot_size, unsigned count)
{
	for (; count; count /= 8) {
		struct kn_stack_slab *slab = slab_map(slot_size, count);

		if (slab)
			return slab;
	}
	return NULL;
}

static void keep_for_good(struct kn_stack_slab *slab)
{
	slab->next = atomic_load_explicit(&abandoned, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&abandoned, &slab->next, slab,
	                                              memory_order_release, memory_order_relaxed))
		continue;
}

static bool any_out(const struct kn_stack_slab *slab)
{
	for (unsigned i = 0; i < slab->used; i++)
		if (slab->stacks[i].out)
			return true;
	return false;
}

void kn_stack_slab_free(struct kn_stack_slab *slab)
{
	size_t size = slab->slot_size * slab->count;

	if (any_out(slab)) {
		keep_for_good(slab);
		return;
	}
	for (unsigned i = 0; i < slab->used; i++) {
		kn_stack_annotate_end(&slab->stacks[i]);
		kn_guard_forget(slab->stacks[i].guard);
	}
	/* The kernel may have merged the mapping with its neighbours. Splitting it again can
	 * fail at the limit of mappings; then at least the memory goes. */
	if (munmap(slab->base, size) < 0)
		(void)madvise(slab->base, size, MADV_DONTNEED);
	kn_free(slab);
}

/* Puts up the guards of the next @count stacks, or of some of them. */
static void add_guards(struct kn_stack_slab *slab, enum kn_guard guard, size_t count)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), done = 0;
	char *slot = slab->base + slab->guarded * slab->slot_size;

	if (count > slab->count - slab->guarded)
		count = slab->count - slab->guarded;
	if (count > 1 && guard <= KN_GUARD_INSTALL)
		done = kn_guard_install_many(slot, page, slab->slot_size, count);
	for (size_t i = 0; i < done; i++)
		slab->stacks[slab->guarded++].guard = KN_GUARD_INSTALL;
	if (!done)
		slab->stacks[slab->guarded++].guard = kn_guard_protect(slot, page, guard) & 3;
}

struct kn_stack *kn_stack_slab_take(struct kn_stack_slab *slab, enum kn_guard guard, size_t shift,
                                    size_t made)
{
	size_t ahead = GUARDS_SPAN / slab->slot_size;
	struct kn_stack *stack;

	kn_assert(slab->used < slab->count);
	if (slab->used == slab->guarded)
		add_guards(slab, guard, made < ahead ? made : ahead);
	stack = &slab->stacks[slab->used];
	stack->index = (uint8_t)slab->used;
	slab->used++;
	stack->high = slab->base + slab->used * slab->slot_size - shift;
	kn_stack_annotate_new(stack);
	return stack;
}

char *kn_stack_low(const struct kn_stack *stack)
{
	const struct kn_stack_slab *slab = kn_stack_slab_of(stack);

	return slab->base + stack->index * slab->slot_size + sysconf(_SC_PAGESIZE);
}

char *kn_stack_slot_end(const struct kn_stack *stack)
{
	const struct kn_stack_slab *slab = kn_stack_slab_of(stack);

	return slab->base + (stack->index + (size_t)1) * slab->slot_size;
}

bool kn_stack_intact(const struct kn_stack *stack)
{
	return stack->guard != KN_GUARD_CANARY || kn_guard_canary_intact(kn_stack_low(stack));
}
