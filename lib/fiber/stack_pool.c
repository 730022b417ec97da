/* SPDX-License-Identifier: MIT */
/* stack_pool.c - stacks by size class, handed out last in first out.
 *
 * A class is a power of two. Its free stacks stand in an array that is used as a stack, so
 * the end holds the warmest and the beginning the coldest:
 *
 *     free[0 .. clean)             memory given back to the kernel
 *     free[clean .. free_count)    memory still there
 *     free[0 .. low)               not used since the last trim
 *
 * Whatever was made has room in the array, so putting back cannot fail.
 *
 * Trimming. made - low is how many stacks were in use at once since the last trim.
 * "demand" follows it: at once upwards, by an eighth a trim downwards, so that an
 * alternation of busy and quiet passes does not give back now what it needs in the next
 * pass: giving back one stack and faulting it in again costs 2.6 us, about what it costs
 * to run twenty tasks. What is above the demand goes, coldest first. Neighbours in the array
 * are mostly neighbours in memory and go in one system call.
 *
 * Invariants of a class: clean <= free_count, low <= free_count <= made <= free_room. New
 * stacks are made when none is free, so low is 0 then. */
#include "fiber/stack.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "fiber/guard.h"
#include "fiber/stack_annotate.h"
#include "fiber/stack_slab.h"

#define SLOT_BITS_MIN 14 /* 16 KiB */
#define SLOT_BITS_MAX 40
#define CLASSES       (SLOT_BITS_MAX - SLOT_BITS_MIN + 1)

#define SLAB_STACKS 64                /* at most */
#define SLAB_BYTES  ((size_t)1 << 24) /* if that is more than one stack */

/* Tops of stacks that all lie at the same offset of a page share a few cache sets. */
#define COLOURS     32
#define COLOUR_STEP 64

#define TRIM_MAX  512 /* stacks a call: a fraction of a millisecond */
#define TRIM_KEEP 16  /* free stacks of a class that stay warm */

struct size_class {
	struct kn_stack **free; /* [free_room], owned; the stacks are borrowed from the slabs */
	size_t free_count, free_room;
	size_t clean, low;
	size_t made;
	size_t demand;
	struct kn_stack_slab *slab; /* borrowed: the one with stacks never used, or NULL */
};

struct kn_stack_pool {
	struct kn_stack *at_hand; /* free, but counted as out; the first member: see stack.h */
	struct size_class classes[CLASSES];
	uint32_t classes_used; /* a bit for each class that has stacks */
	unsigned default_class;
	unsigned colour; /* of the next stack made */
	enum kn_guard guard;
	bool paint;
	bool watched;                /* by a checking tool */
	struct kn_stack_slab *slabs; /* owned */
	struct kn_stack_stats stats;
};
_Static_assert(offsetof(struct kn_stack_pool, at_hand) == 0, "see kn_stack_get_quickly()");

/* ---- classes -------------------------------------------------------------------- */

/* CLASSES if @size is more than there is a class for. */
static unsigned class_of(size_t size)
{
	/* Guard and stack need a page each, and pages may have 64 KiB. */
	size_t least = 4 * (size_t)sysconf(_SC_PAGESIZE);
	unsigned bits;

	if (size < least)
		size = least;
	if (size > (size_t)1 << SLOT_BITS_MAX)
		return CLASSES;
	bits = 64 - (unsigned)__builtin_clzll(size - 1);
	return bits < SLOT_BITS_MIN ? 0 : bits - SLOT_BITS_MIN;
}

/* Room in the free list for one more stack. */
static bool reserve(struct size_class *class)
{
	size_t room = class->free_room ? class->free_room * 2 : SLAB_STACKS;
	struct kn_stack **list;

	if (class->made < class->free_room)
		return true;
	list = kn_realloc(class->free, room * sizeof(struct kn_stack *));
	if (!list)
		return false;
	class->free = list;
	class->free_room = room;
	return true;
}

static bool add_slab(struct kn_stack_pool *pool, unsigned number)
{
	size_t slot_size = (size_t)1 << (number + SLOT_BITS_MIN);
	size_t count = SLAB_BYTES / slot_size;
	struct kn_stack_slab *slab;

	if (count > SLAB_STACKS)
		count = SLAB_STACKS;
	slab = kn_stack_slab_new(slot_size, count ? (unsigned)count : 1);
	if (!slab)
		return false;
	slab->pool = pool;
	slab->size_class = number;
	slab->next = pool->slabs;
	pool->slabs = slab;
	pool->classes[number].slab = slab;
	pool->classes_used |= (uint32_t)1 << number;
	pool->stats.slabs++;
	return true;
}

/* A stack that nobody has used yet, or NULL. */
static struct kn_stack *make_stack(struct kn_stack_pool *pool, unsigned number)
{
	struct size_class *class = &pool->classes[number];
	struct kn_stack *stack;

	if (!reserve(class))
		return NULL;
	if (!class->slab && !add_slab(pool, number))
		return NULL;
	stack = kn_stack_slab_take(class->slab, pool->guard, pool->colour++ % COLOURS * COLOUR_STEP,
	                           class->made);
	if (class->slab->used == class->slab->count)
		class->slab = NULL;
	class->made++;
	pool->stats.stacks++;
	pool->stats.unguarded += stack->guard == KN_GUARD_CANARY;
	stack->plain = number == pool->default_class && stack->guard != KN_GUARD_CANARY &&
	               !pool->watched && !pool->paint;
	return stack;
}

/* What is at hand goes where it belongs. */
static void put_away(struct kn_stack_pool *pool)
{
	struct kn_stack *stack = pool->at_hand;

	if (!stack)
		return;
	pool->at_hand = NULL;
	kn_stack_put(pool, stack);
}

/* ---- the pool ------------------------------------------------------------------- */

struct kn_stack_pool *kn_stack_pool_new(size_t stack_size, bool paint, enum kn_guard guard)
{
	unsigned number = class_of(stack_size);
	struct kn_stack_pool *pool;

	if (number == CLASSES)
		return NULL;
	pool = kn_calloc(1, sizeof(*pool));
	if (!pool)
		return NULL;
	pool->default_class = number;
	pool->paint = paint;
	pool->watched = kn_stack_watched();
	pool->guard = guard;
	return pool;
}

void kn_stack_pool_free(struct kn_stack_pool *pool)
{
	struct kn_stack_slab *slab, *next;

	if (!pool)
		return;
	put_away(pool);
	for (slab = pool->slabs; slab; slab = next) {
		next = slab->next;
		kn_stack_slab_free(slab);
	}
	for (unsigned i = 0; i < CLASSES; i++)
		kn_free(pool->classes[i].free);
	kn_free(pool);
}

struct kn_stack *kn_stack_get(struct kn_stack_pool *pool, size_t size)
{
	unsigned number = size ? class_of(size) : pool->default_class;
	struct size_class *class;
	struct kn_stack *stack;

	if (number == CLASSES)
		return NULL;
	class = &pool->classes[number];
	if (kn_likely(class->free_count)) {
		stack = class->free[--class->free_count];
		if (class->low > class->free_count)
			class->low = class->free_count;
		if (class->clean > class->free_count)
			class->clean = class->free_count;
	} else {
		stack = make_stack(pool, number);
		if (!stack)
			return NULL;
	}
	stack->out = true;
	pool->stats.out++;
	if (kn_unlikely(pool->watched))
		kn_stack_annotate_get(stack);
	if (pool->paint)
		kn_stack_paint(stack);
	return stack;
}

KN_COLD KN_NORETURN static void report_damage(const struct kn_stack *stack)
{
	char line[256];

	kn_overflow_describe(stack, line, sizeof(line));
	kn_panic("%s", line);
}

void kn_stack_put(struct kn_stack_pool *pool, struct kn_stack *stack)
{
	struct kn_stack_slab *slab = kn_stack_slab_of(stack);
	struct size_class *class = &pool->classes[slab->size_class];

	kn_assert(slab->pool == pool);
	kn_assert(stack->out);
	if (kn_unlikely(!kn_stack_intact(stack)))
		report_damage(stack);
	if (kn_unlikely(pool->watched))
		kn_stack_annotate_put(stack);
	stack->out = false;
	stack->touched = 0;
	pool->stats.out--;
	class->free[class->free_count++] = stack;
}

void kn_stack_pool_stats(const struct kn_stack_pool *pool, struct kn_stack_stats *ret)
{
	*ret = pool->stats;
	ret->out -= pool->at_hand != NULL;
}

/* ---- giving back ---------------------------------------------------------------- */

/* The guards in it survive. Where it fails (locked memory), so be it. */
void kn_stack_range_flush(struct kn_stack_range *range)
{
	if (range->low)
		(void)madvise(range->low, (size_t)(range->end - range->low), MADV_DONTNEED);
	range->low = range->end = NULL;
}

void kn_stack_range_add(struct kn_stack_range *range, const struct kn_stack *stack)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *low = kn_stack_low(stack), *end = kn_stack_slot_end(stack);

	if (range->low && low == range->end + page) {
		range->end = end;
	} else if (range->low && end + page == range->low) {
		range->low = low;
	} else {
		kn_stack_range_flush(range);
		range->low = low;
		range->end = end;
	}
}

/* Gives back the @count coldest stacks that still have memory. */
static void class_give_back(struct kn_stack_pool *pool, struct size_class *class, size_t count)
{
	struct kn_stack_range range = {NULL, NULL};

	pool->stats.trimmed += count;
	for (; count; count--)
		kn_stack_range_add(&range, class->free[class->clean++]);
	kn_stack_range_flush(&range);
}

/* How many stacks have memory beyond the @keep warmest. */
static size_t class_beyond(const struct size_class *class, size_t keep)
{
	size_t warm = class->made - class->clean;

	return warm > keep ? warm - keep : 0;
}

/* How many stacks are more than those in use and some to spare. */
static size_t class_spare(const struct size_class *class)
{
	return class_beyond(class, class->made - class->free_count + TRIM_KEEP);
}

/* Begins a new interval. Returns how many stacks are not needed any more, and in
 * *@ret_later how many will not be if it stays as quiet as it is now. */
static size_t class_surplus(struct size_class *class, size_t *ret_later)
{
	size_t peak = class->made - class->low;
	size_t least = class->made - class->free_count + TRIM_KEEP;

	class->demand -= (class->demand + 7) / 8;
	if (class->demand < peak)
		class->demand = peak;
	class->low = class->free_count;
	*ret_later = class_spare(class);
	return class_beyond(class, class->demand > least ? class->demand : least);
}

bool kn_stack_pool_trim(struct kn_stack_pool *pool, bool all)
{
	size_t budget = TRIM_MAX;
	bool more = false;

	put_away(pool);

	for (uint32_t left = pool->classes_used; left; left &= left - 1) {
		struct size_class *class = &pool->classes[__builtin_ctz(left)];
		size_t later, count = class_surplus(class, &later);

		if (all) {
			class_give_back(pool, class, class->free_count - class->clean);
			continue;
		}
		if (count > budget)
			count = budget;
		class_give_back(pool, class, count);
		budget -= count;
		more |= later > count;
	}
	return more;
}

KN_HOT bool kn_stack_pool_has_spare(const struct kn_stack_pool *pool)
{
	for (uint32_t left = pool->classes_used; left; left &= left - 1)
		if (class_spare(&pool->classes[__builtin_ctz(left)]))
			return true;
	return false;
}
