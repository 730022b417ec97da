/* SPDX-License-Identifier: MIT */
/* wheel.c - the timers of a loop: into lists, from lists to lists and to the heap.
 *
 * Level 0 has a list for each of the 1023 ticks after the current one, level 1 for each of the 1023
 * blocks of 1024 ticks after the current block, and so on. A timer goes to the lowest level that
 * reaches far enough. When the current tick enters a block, its list is taken apart, into the
 * levels below. So a timer is moved at most once a level, and most are stopped before.
 *
 * A list is doubly linked, through the timer: it needs no memory, so only the heap can fail to
 * grow, and room for all timers is reserved there when they are started. What was reserved and
 * not used is not touched. Lists keep no order: each timer carries its place in the order of
 * starting, which the heap needs where deadlines are equal. Therefore a list can be walked from
 * both ends at once, two cache misses at a time.
 *
 * Invariants:
 *   - A timer in a list of level n is in one of the 1023 blocks after the current one of that
 *     level, hence alone with those of its own block.
 *   - The current tick only rises, and never past what is in a list; so it rises to where a list
 *     begins, and then that list is emptied, with those of other levels that begin there. The
 *     heap may have timers beyond it.
 *   - No list has a timer of a tick before wheel->first; so the first of the heap is the first of
 *     all if its tick is earlier.
 *   - A bit of a list may be set when it is empty, since stopping does not look; never the reverse.
 *     Its head means something only if the bit is set.
 *   - The heap has room for all timers in lists. */
#include "loop/wheel.h"
#include <errno.h>
#include <string.h>
#include "base/alloc.h"
#include "base/error.h"

#define WORDS (KN_WHEEL_SLOTS / 64)

/* A heap that is as small as this is not worth giving memory back. */
#define ROOM_KEPT 4096

struct kn_wheel_lists {
	uint64_t used[KN_WHEEL_LEVELS][WORDS];
	struct kn_list heads[KN_WHEEL_LEVELS][KN_WHEEL_SLOTS]; /* untouched until used */
};

void kn_wheel_init(struct kn_wheel *wheel)
{
	*wheel = (struct kn_wheel){.first = INT64_MAX};
	kn_heap_init(&wheel->near);
	kn_list_init(&wheel->never);
}

void kn_wheel_done(struct kn_wheel *wheel)
{
	kn_heap_done(&wheel->near);
	kn_free(wheel->lists);
	kn_wheel_init(wheel);
}

/* ---- lists --------------------------------------------------------------------------- */

static inline int64_t block_of(int64_t tick, unsigned level)
{
	return tick >> (KN_WHEEL_BITS * level);
}

/* Where the list of @block begins. In unsigned numbers, because blocks may be negative. */
static inline int64_t tick_of(int64_t block, unsigned level)
{
	return (int64_t)((uint64_t)block << (KN_WHEEL_BITS * level));
}

static bool make_lists(struct kn_wheel *wheel)
{
	wheel->lists = kn_malloc(sizeof(*wheel->lists));
	if (!wheel->lists)
		return false;
	memset(wheel->lists->used, 0, sizeof(wheel->lists->used));
	return true;
}

/* Puts @timer, whose tick is after the current one, into its list. */
static inline void put(struct kn_wheel *wheel, struct kn_timer *timer, int64_t tick)
{
	unsigned level = 0, slot;
	struct kn_list *head;
	uint64_t *word, bit;

	while (block_of(tick, level) - block_of(wheel->current, level) >= KN_WHEEL_SLOTS)
		level++;
	slot = (unsigned)block_of(tick, level) % KN_WHEEL_SLOTS;
	head = &wheel->lists->heads[level][slot];
	word = &wheel->lists->used[level][slot / 64];
	bit = UINT64_C(1) << slot % 64;
	if (!(*word & bit)) {
		*word |= bit;
		wheel->levels |= 1u << level;
		kn_list_init(head);
	}
	kn_list_add_tail(head, &timer->ready.link);
	tick = tick_of(block_of(tick, level), level);
	if (tick < wheel->first)
		wheel->first = tick;
}

/* Puts @timer, which was in a list, into the heap, which has room for it. */
static inline void put_near(struct kn_wheel *wheel, struct kn_timer *timer)
{
	kn_list_init(&timer->ready.link);
	timer->id = kn_heap_push_as(&wheel->near, timer->when, timer->id, timer);
	timer->when = KN_TIMER_IN_HEAP;
}

/* Puts it where it belongs now; the heap takes what is due until the tick @reach. */
static inline void put_again(struct kn_wheel *wheel, struct kn_list *link, int64_t reach)
{
	struct kn_timer *timer = kn_list_entry(link, struct kn_timer, ready.link);
	int64_t tick = kn_wheel_tick(timer->when);

	if (tick <= reach)
		put_near(wheel, timer);
	else
		put(wheel, timer, tick);
}

/* Empties the list at @head, from both ends: a list of many timers is a chain of cache misses, and
 * two chains take the time of one. */
static void empty(struct kn_wheel *wheel, struct kn_list *head, int64_t reach)
{
	struct kn_list *front = head->next, *back = head->prev;

	while (front != back) {
		struct kn_list *next = front->next, *prev = back->prev;

		__builtin_prefetch(next, 1);
		__builtin_prefetch(prev, 1);
		put_again(wheel, front, reach);
		put_again(wheel, back, reach);
		if (next == back)
			return;
		front = next;
		back = prev;
	}
	put_again(wheel, front, reach);
}

/* ---- the first list ------------------------------------------------------------------ */

/* How many slots after @from, in circles, is one with a bit? KN_WHEEL_SLOTS: none has. */
static unsigned distance(const uint64_t *used, unsigned from)
{
	unsigned word = from / 64;
	uint64_t bits = used[word] >> from % 64 << from % 64;

	for (unsigned i = 0; i <= WORDS; i++) {
		if (bits)
			return (word * 64 + (unsigned)__builtin_ctzll(bits) - from) %
			       KN_WHEEL_SLOTS;
		word = (word + 1) % WORDS;
		bits = used[word];
	}
	return KN_WHEEL_SLOTS;
}

static void forget_slot(struct kn_wheel *wheel, unsigned level, unsigned slot)
{
	wheel->lists->used[level][slot / 64] &= ~(UINT64_C(1) << slot % 64);
}

/* The block of the first list of @level that is not empty. False if there is none. */
static bool first_of_level(struct kn_wheel *wheel, unsigned level, int64_t *ret_block)
{
	int64_t after = block_of(wheel->current, level) + 1;

	for (;;) {
		unsigned from = (unsigned)after % KN_WHEEL_SLOTS;
		unsigned steps = distance(wheel->lists->used[level], from);
		unsigned slot = (from + steps) % KN_WHEEL_SLOTS;

		if (steps == KN_WHEEL_SLOTS) {
			wheel->levels &= ~(1u << level);
			return false;
		}
		*ret_block = after + steps;
		if (!kn_list_empty(&wheel->lists->heads[level][slot]))
			return true;
		forget_slot(wheel, level, slot); /* all were stopped */
	}
}

/* Finds the first list that is not empty, and sets wheel->first to where it begins; INT64_MAX:
 * there is none. Returns its level; of several that begin in one tick, the highest. */
static unsigned find_first(struct kn_wheel *wheel)
{
	unsigned found = 0;
	int64_t block;

	wheel->first = INT64_MAX;
	for (unsigned level = 0; wheel->levels >> level; level++) {
		if (!(wheel->levels >> level & 1) || !first_of_level(wheel, level, &block))
			continue;
		if (tick_of(block, level) <= wheel->first) {
			wheel->first = tick_of(block, level);
			found = level;
		}
	}
	return found;
}

/* Empties the list of @level that begins at the tick wheel->first, if one does. */
static void take(struct kn_wheel *wheel, unsigned level)
{
	int64_t block = block_of(wheel->first, level);
	unsigned slot = (unsigned)block % KN_WHEEL_SLOTS;
	struct kn_list *head = &wheel->lists->heads[level][slot];

	if (tick_of(block, level) != wheel->first ||
	    !(wheel->lists->used[level][slot / 64] >> slot % 64 & 1))
		return;
	forget_slot(wheel, level, slot);
	if (!kn_list_empty(head))
		empty(wheel, head, wheel->first);
}

/* The heap is empty: gives back what a burst needed. */
static void trim(struct kn_wheel *wheel)
{
	if (kn_unlikely(wheel->near.capacity > ROOM_KEPT &&
	                wheel->count < wheel->near.capacity / 8))
		kn_heap_trim(&wheel->near,
		             2 * wheel->count > ROOM_KEPT ? 2 * wheel->count : ROOM_KEPT);
}

/* Is the first of the heap the first of all? */
static inline bool heap_is_first(const struct kn_wheel *wheel)
{
	return wheel->near.count && kn_wheel_tick(kn_heap_next(&wheel->near)) < wheel->first;
}

/* Something may be due in the tick wheel->first: brings it nearer, or finds when there is. */
static KN_NOINLINE void bring_nearer(struct kn_wheel *wheel, int64_t until)
{
	(void)find_first(wheel);
	if (!wheel->near.count)
		trim(wheel);
	if (wheel->first > until)
		return;
	wheel->current = wheel->first;
	for (unsigned level = KN_WHEEL_LEVELS; level-- > 0;)
		take(wheel, level);
	(void)find_first(wheel);
}

/* ---- timers -------------------------------------------------------------------------- */

/* Room in the heap, and lists. */
static inline bool make_room(struct kn_wheel *wheel)
{
	if (kn_unlikely(wheel->count == wheel->near.capacity) && !kn_heap_grow(&wheel->near))
		return false;
	return kn_likely(wheel->lists != NULL) || make_lists(wheel);
}

int kn_wheel_start(struct kn_wheel *wheel, struct kn_timer *timer, int64_t when)
{
	int64_t tick = kn_wheel_tick(when);

	if (kn_unlikely(!make_room(wheel)))
		return -ENOMEM;
	if (kn_unlikely(wheel->near.sequence == KN_HEAP_NONE))
		wheel->near.sequence++; /* in a list that would mean "not waiting" */
	timer->when = when;
	timer->id = wheel->near.sequence++;
	wheel->count++;
	if (kn_unlikely(when == INT64_MAX))
		kn_list_add_tail(&wheel->never, &timer->ready.link);
	else if (tick <= wheel->current)
		put_near(wheel, timer);
	else
		put(wheel, timer, tick);
	return 0;
}

void kn_wheel_stop(struct kn_wheel *wheel, struct kn_timer *timer)
{
	if (timer->when == KN_TIMER_IN_HEAP)
		kn_heap_remove(&wheel->near, timer->id);
	else
		kn_list_del(&timer->ready.link);
	timer->id = KN_HEAP_NONE;
	wheel->count--;
}

bool kn_wheel_is_due(struct kn_wheel *wheel, int64_t now)
{
	int64_t tick = kn_wheel_tick(now);

	while (!heap_is_first(wheel)) {
		if (wheel->first > tick) {
			kn_wheel_turn(wheel, now);
			return false;
		}
		bring_nearer(wheel, tick);
	}
	return kn_heap_next(&wheel->near) <= now;
}

struct kn_timer *kn_wheel_pop_due(struct kn_wheel *wheel, int64_t now)
{
	struct kn_timer *timer;

	if (!kn_wheel_is_due(wheel, now))
		return NULL;
	timer = kn_heap_pop_due(&wheel->near, now);
	timer->id = KN_HEAP_NONE;
	wheel->count--;
	return timer;
}

KN_HOT int64_t kn_wheel_next(struct kn_wheel *wheel, bool *ret_exact)
{
	*ret_exact = true;
	while (!heap_is_first(wheel)) {
		unsigned level = find_first(wheel);

		if (heap_is_first(wheel))
			break;
		if (!wheel->near.count)
			trim(wheel);
		if (wheel->first == INT64_MAX)
			return INT64_MAX;
		if (level) {
			*ret_exact = false;
			return (int64_t)((uint64_t)wheel->first << KN_WHEEL_TICK_BITS);
		}
		/* One tick only, whose timers are looked at long before time gets there: so the
		 * current tick does not move there, for what is started next would have to be put
		 * in order too. */
		take(wheel, 0);
	}
	return kn_heap_next(&wheel->near);
}

int64_t kn_wheel_when(const struct kn_wheel *wheel, const struct kn_timer *timer)
{
	return timer->when == KN_TIMER_IN_HEAP ? kn_heap_when(&wheel->near, timer->id)
	                                       : timer->when;
}
