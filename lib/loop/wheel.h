/* SPDX-License-Identifier: MIT */
/* wheel.h - all timers of a loop: a heap of those that are due soon, and behind it lists, by time,
 * of those that are not.
 *
 * Most timers never fire: they guard something that ends before. So starting one and stopping it
 * is what must be cheap: a list that it is linked into and out of, at any number of timers and
 * without memory of its own. Only what the next millisecond or so brings is put in order, in a
 * small heap that stays in the cache.
 *
 * Order is exact all the same: by deadline, and by the order of starting where that is equal. */
#ifndef KN_LOOP_WHEEL_H
#define KN_LOOP_WHEEL_H
#include <stdint.h>
#include "base/compiler.h"
#include "base/heap.h"
#include "base/list.h"

/* Something that can be put into the ready list. */
struct kn_ready {
	struct kn_list link; /* in the ready list, or alone */
	void (*run)(struct kn_ready *ready);
};

/* A deadline that makes something ready. Where it is:
 *   not waiting   id is KN_HEAP_NONE, and the link is the owner's
 *   in the heap   when is KN_TIMER_IN_HEAP, id is its number there
 *   in a list     by the link; id is its place in the order of starting */
struct kn_timer {
	struct kn_ready ready;
	int64_t when; /* ns */
	uint32_t id;
	uint32_t index; /* for whoever embeds it: here it fills a hole */
};

#define KN_TIMER_IN_HEAP INT64_MIN

/* A tick is 2^20 ns, about a millisecond. A level has 1024 lists: of the first, each is for one
 * tick; of the next, for 1024 of them; and so on. Five levels reach over all of int64_t. */
#define KN_WHEEL_TICK_BITS 20
#define KN_WHEEL_BITS      10
#define KN_WHEEL_SLOTS     (1 << KN_WHEEL_BITS)
#define KN_WHEEL_LEVELS    5

struct kn_wheel_lists;

struct kn_wheel {
	struct kn_heap near;
	int64_t current; /* a tick; what is due in it or before is in the heap */
	int64_t first;   /* a tick; what is in lists is due in it or later. INT64_MAX: there is none
	                  */
	uint32_t count;  /* of timers */
	uint32_t levels; /* bit n: level n may have timers */
	struct kn_wheel_lists *lists; /* owned; NULL until one is needed */
	struct kn_list never;         /* those due at INT64_MAX */
};

void kn_wheel_init(struct kn_wheel *wheel);
void kn_wheel_done(struct kn_wheel *wheel);

/* Starts @timer, which does not wait. 0 or -ENOMEM. Its link must be alone. */
KN_NODISCARD int kn_wheel_start(struct kn_wheel *wheel, struct kn_timer *timer, int64_t when);

/* Stops @timer, which waits. Its link is alone then. */
void kn_wheel_stop(struct kn_wheel *wheel, struct kn_timer *timer);

/* Is there one to be stopped by the next call? Looks at what is due until @now. */
bool kn_wheel_is_due(struct kn_wheel *wheel, int64_t now);

/* Stops the first timer if its deadline is <= @now, and returns it; NULL if there is none. */
struct kn_timer *kn_wheel_pop_due(struct kn_wheel *wheel, int64_t now);

/* When to look again: the earliest deadline, INT64_MAX if there is none. Where that is a second or
 * more away, it may be a time before it: *@ret_exact is false then, and there is a better answer
 * after kn_wheel_is_due() at that time. */
int64_t kn_wheel_next(struct kn_wheel *wheel, bool *ret_exact);

/* The deadline of @timer, which waits. */
int64_t kn_wheel_when(const struct kn_wheel *wheel, const struct kn_timer *timer);

static inline int64_t kn_wheel_tick(int64_t time)
{
	return time >> KN_WHEEL_TICK_BITS;
}

/* May anything be due, at whatever time? */
static inline bool kn_wheel_expects_something(const struct kn_wheel *wheel)
{
	return wheel->near.count || wheel->first != INT64_MAX;
}

/* No timer is due before that. */
static inline int64_t kn_wheel_not_before(const struct kn_wheel *wheel)
{
	int64_t near = kn_heap_next(&wheel->near), far = INT64_MAX;

	if (wheel->first != INT64_MAX)
		far = (int64_t)((uint64_t)wheel->first << KN_WHEEL_TICK_BITS);
	return near < far ? near : far;
}

/* It is @now: only a matter of speed, for timers that are started next. */
static inline void kn_wheel_turn(struct kn_wheel *wheel, int64_t now)
{
	int64_t tick = kn_wheel_tick(now);

	if (tick > wheel->current && tick < wheel->first)
		wheel->current = tick;
}
#endif
