/* SPDX-License-Identifier: MIT */
/* test_heap.c - the timer heap: order, removal, numbers, growth, against a plain model. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include "base/alloc.h"
#include "base/heap.h"
#include "test.h"

struct timer {
	int64_t when;
	uint64_t order; /* of its push */
	uint32_t id;
};

static struct kn_heap heap;

static void make_heap(void)
{
	kn_heap_init(&heap);
}

static void drop_heap(void)
{
	kn_heap_done(&heap);
}

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void push(struct timer *timer, int64_t when, uint64_t order)
{
	*timer = (struct timer){.when = when, .order = order};
	timer->id = kn_heap_push(&heap, when, timer);
	cr_assert_neq(timer->id, KN_HEAP_NONE);
}

static int64_t signed_order(const struct timer *a, const struct timer *b)
{
	if (a->when != b->when)
		return a->when < b->when ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

/* What heap.c promises of its insides. */
static void check_structure(void)
{
	for (uint32_t i = 0; i < heap.count; i++) {
		const struct kn_heap_entry *entry = &heap.entries[i];
		const struct kn_heap_entry *parent = &heap.entries[i ? (i - 1) / 4 : 0];
		const struct timer *timer = heap.items[entry->id];

		cr_assert_eq(heap.positions[entry->id], i);
		cr_assert_eq(timer->id, entry->id);
		cr_assert_leq(parent->when, entry->when);
		if (i && parent->when == entry->when)
			cr_assert_lt((int32_t)(parent->sequence - entry->sequence), 0);
	}
	if (heap.count)
		cr_assert_eq((uintptr_t)&heap.entries[1] % 64, 0, "siblings share a line");
}

Test(heap, an_empty_heap_has_nothing_due, .init = make_heap, .fini = drop_heap)
{
	cr_assert_eq(kn_heap_next(&heap), INT64_MAX);
	cr_assert_null(kn_heap_pop_due(&heap, INT64_MAX));
}

Test(heap, a_timer_is_due_at_its_deadline_and_not_before, .init = make_heap, .fini = drop_heap)
{
	struct timer timer;

	push(&timer, 1000, 0);
	cr_assert_eq(kn_heap_next(&heap), 1000);
	cr_assert_eq(kn_heap_when(&heap, timer.id), 1000);
	cr_assert_null(kn_heap_pop_due(&heap, 999));
	cr_assert_eq(kn_heap_pop_due(&heap, 1000), &timer);
	cr_assert_null(kn_heap_pop_due(&heap, INT64_MAX));
}

Test(heap, random_timers_pop_by_deadline_then_push_order, .init = make_heap, .fini = drop_heap)
{
	uint64_t seed = 0x9e3779b97f4a7c15u;
	long count = test_scale(1000000, 300000, 200000, 20000);
	struct timer *timers = calloc((size_t)count, sizeof(*timers)), *last = NULL;

	cr_assert_not_null(timers);
	/* Each deadline about four times. */
	for (long i = 0; i < count; i++)
		push(&timers[i], (int64_t)(next_random(&seed) % (uint64_t)(count / 4)),
		     (uint64_t)i);
	for (long i = 0; i < count; i++) {
		int64_t due = kn_heap_next(&heap);
		struct timer *timer = kn_heap_pop_due(&heap, due);

		cr_assert_not_null(timer);
		cr_assert_eq(timer->when, due);
		if (last)
			cr_assert_lt(signed_order(last, timer), 0, "number %ld", i);
		last = timer;
	}
	cr_assert_null(kn_heap_pop_due(&heap, INT64_MAX));
	free(timers);
}

Test(heap, equal_deadlines_pop_in_push_order, .init = make_heap, .fini = drop_heap)
{
	static struct timer timers[1000];

	for (unsigned i = 0; i < 1000; i++)
		push(&timers[i], 5, i);
	for (unsigned i = 0; i < 1000; i++)
		cr_assert_eq(kn_heap_pop_due(&heap, 5), &timers[i]);
}

Test(heap, push_order_survives_the_wrap_of_the_sequence, .init = make_heap, .fini = drop_heap)
{
	static struct timer timers[1000];

	heap.sequence = UINT32_MAX - 500;
	for (unsigned i = 0; i < 1000; i++)
		push(&timers[i], i % 3, i);
	cr_assert_lt(heap.sequence, 1000, "it has wrapped");
	check_structure();
	for (unsigned when = 0; when < 3; when++)
		for (unsigned i = when; i < 1000; i += 3)
			cr_assert_eq(kn_heap_pop_due(&heap, INT64_MAX), &timers[i]);
}

Test(heap, extreme_deadlines_keep_their_order, .init = make_heap, .fini = drop_heap)
{
	static const int64_t deadlines[] = {INT64_MAX, INT64_MIN, 0, INT64_MAX - 1, INT64_MIN + 2,
	                                    INT64_MIN, -1,        1, INT64_MAX};
	static const int popped[] = {1, 5, 4, 6, 2, 7, 3, 0, 8};
	struct timer timers[9];

	for (unsigned i = 0; i < 9; i++)
		push(&timers[i], deadlines[i], i);
	for (unsigned i = 0; i < 9; i++)
		cr_assert_eq(kn_heap_pop_due(&heap, INT64_MAX), &timers[popped[i]]);
}

Test(heap, a_timer_can_be_removed_from_any_position, .init = make_heap, .fini = drop_heap)
{
	static struct timer timers[70];
	unsigned most = (unsigned)test_scale(70, 50, 50, 20);

	for (unsigned count = 1; count <= most; count++) {
		for (unsigned out = 0; out < count; out++) {
			/* In an order that is neither up nor down. */
			for (unsigned i = 0; i < count; i++)
				push(&timers[i], i * 37 % count, i);
			cr_assert_eq(kn_heap_remove(&heap, timers[out].id), &timers[out]);
			check_structure();
			for (int64_t last = -1; heap.count;) {
				struct timer *timer = kn_heap_pop_due(&heap, INT64_MAX);

				cr_assert_neq(timer, &timers[out]);
				cr_assert_leq(last, timer->when);
				last = timer->when;
			}
		}
	}
}

/* ---- the model: an array in order -------------------------------------------------- */

#define MODEL_ROOM 600

static struct timer *model[MODEL_ROOM];
static unsigned model_count;

static void model_insert(struct timer *timer)
{
	unsigned at = model_count++;

	for (; at && signed_order(timer, model[at - 1]) < 0; at--)
		model[at] = model[at - 1];
	model[at] = timer;
}

static void model_remove(unsigned at)
{
	model_count--;
	for (; at < model_count; at++)
		model[at] = model[at + 1];
}

static void random_step(uint64_t *seed, struct timer *pool, unsigned *pool_free, uint64_t order)
{
	uint64_t dice = next_random(seed) % 100;

	/* More pushes than removals until it is full, so that all sizes are met. */
	if (dice < 52 && model_count < MODEL_ROOM) {
		struct timer *timer = &pool[pool_free[model_count]];

		push(timer, (int64_t)(next_random(seed) % 200), order);
		model_insert(timer);
	} else if (dice < 80 && model_count) {
		unsigned at = (unsigned)(next_random(seed) % model_count);
		struct timer *timer = model[at];

		cr_assert_eq(kn_heap_when(&heap, timer->id), timer->when);
		cr_assert_eq(kn_heap_remove(&heap, timer->id), timer);
		model_remove(at);
		pool_free[model_count] = (unsigned)(timer - pool);
	} else if (model_count) {
		int64_t now = (int64_t)(next_random(seed) % 200);
		struct timer *timer = kn_heap_pop_due(&heap, now);

		if (model[0]->when > now) {
			cr_assert_null(timer);
			return;
		}
		cr_assert_eq(timer, model[0]);
		model_remove(0);
		pool_free[model_count] = (unsigned)(timer - pool);
	}
}

Test(heap, random_pushes_removals_and_pops_agree_with_a_sorted_array, .fini = drop_heap)
{
	static struct timer pool[MODEL_ROOM];
	static unsigned pool_free[MODEL_ROOM];
	long steps = test_scale(30000, 10000, 5000, 2000);

	for (uint64_t seed_number = 1; seed_number <= 10; seed_number++) {
		uint64_t seed = seed_number * 0x2545f4914f6cdd1du;

		kn_heap_init(&heap);
		heap.sequence = (uint32_t)next_random(&seed);
		model_count = 0;
		for (unsigned i = 0; i < MODEL_ROOM; i++)
			pool_free[i] = i;
		for (long i = 0; i < steps; i++) {
			random_step(&seed, pool, pool_free, (uint64_t)i);
			cr_assert_eq(heap.count, model_count);
			cr_assert_eq(kn_heap_next(&heap), model_count ? model[0]->when : INT64_MAX);
			if (i % 100 == 0)
				check_structure();
		}
		while (model_count) {
			cr_assert_eq(kn_heap_pop_due(&heap, INT64_MAX), model[0]);
			model_remove(0);
		}
		if (seed_number < 10)
			kn_heap_done(&heap);
	}
}

/* ---- memory ------------------------------------------------------------------------ */

Test(heap, numbers_and_memory_are_used_again, .init = make_heap, .fini = drop_heap)
{
	struct timer timers[50];
	uint64_t allocations;

	for (unsigned i = 0; i < 50; i++)
		push(&timers[i], i, i);
	allocations = kn_alloc_count();
	for (unsigned i = 0; i < 100000; i++) {
		struct timer *timer = &timers[i % 50];

		if (i % 2)
			cr_assert_eq(kn_heap_remove(&heap, timer->id), timer);
		else
			cr_assert_eq(kn_heap_pop_due(&heap, INT64_MAX), timer);
		push(timer, 50 + i, i);
		cr_assert_lt(timer->id, 50);
	}
	cr_assert_eq(kn_alloc_count(), allocations);
}

Test(heap, without_memory_to_grow_nothing_is_lost, .init = make_heap, .fini = drop_heap)
{
	static struct timer timers[5000];
	unsigned count = 0, failed = 0;

	for (; count < 5000; count++) {
		if (heap.count == heap.capacity) {
			uint32_t sequence = heap.sequence;

			kn_alloc_fail_after(0);
			cr_assert_eq(kn_heap_push(&heap, 7, NULL), KN_HEAP_NONE);
			kn_alloc_fail_after(-1);
			failed++;
			cr_assert_eq(heap.count, count);
			cr_assert_eq(heap.sequence, sequence);
			check_structure();
		}
		push(&timers[count], count * 7919 % 5000, count);
	}
	cr_assert_geq(failed, 5);
	for (unsigned i = 0; i < count; i++)
		cr_assert_eq(((struct timer *)kn_heap_pop_due(&heap, INT64_MAX))->when, i);
}

Test(heap, what_was_reserved_needs_no_memory_later, .init = make_heap, .fini = drop_heap)
{
	static struct timer timers[1000];
	uint64_t allocations;

	cr_assert_eq(kn_heap_reserve(&heap, 1000), 0);
	allocations = kn_alloc_count();
	kn_alloc_fail_after(0);
	for (unsigned i = 0; i < 1000; i++)
		push(&timers[i], i, i);
	cr_assert_eq(kn_heap_reserve(&heap, 10), 0, "less is there already");
	cr_assert_eq(kn_heap_reserve(&heap, 1000), 0);
	cr_assert_eq(kn_alloc_count(), allocations);
	cr_assert_eq(kn_heap_reserve(&heap, 1001), -ENOMEM);
	kn_alloc_fail_after(-1);
	cr_assert_eq(kn_heap_reserve(&heap, 1001), 0);
	check_structure();
	for (unsigned i = 0; i < 1000; i++)
		cr_assert_eq(kn_heap_pop_due(&heap, INT64_MAX), &timers[i]);
}

Test(heap, an_empty_heap_gives_memory_back, .init = make_heap, .fini = drop_heap)
{
	static struct timer timers[10000];

	for (unsigned i = 0; i < 10000; i++)
		push(&timers[i], i, i);
	for (unsigned i = 0; i < 10000; i++)
		cr_assert_eq(kn_heap_pop_due(&heap, INT64_MAX), &timers[i]);
	kn_alloc_fail_after(0);
	kn_heap_trim(&heap, 100);
	cr_assert_geq(heap.capacity, 10000, "without memory it stays");
	kn_alloc_fail_after(-1);
	kn_heap_trim(&heap, 100);
	cr_assert_eq(heap.capacity, 100);
	for (unsigned i = 0; i < 1000; i++)
		push(&timers[i], 1000 - i, i);
	check_structure();
	for (unsigned i = 1000; i-- > 0;)
		cr_assert_eq(kn_heap_pop_due(&heap, INT64_MAX), &timers[i]);
}

Test(heap, siblings_stay_in_one_line_through_growth, .init = make_heap, .fini = drop_heap)
{
	static struct timer timers[40000];

	for (unsigned i = 0; i < 40000; i++) {
		push(&timers[i], (int64_t)i * 7919 % 40000, i);
		cr_assert_eq((uintptr_t)&heap.entries[1] % 64, 0);
	}
	check_structure();
}

Test(heap, a_heap_can_be_used_again_after_done, .init = make_heap, .fini = drop_heap)
{
	struct timer timer;

	push(&timer, 1, 0);
	kn_heap_done(&heap);
	cr_assert_eq(kn_heap_next(&heap), INT64_MAX);
	push(&timer, 2, 0);
	cr_assert_eq(kn_heap_pop_due(&heap, 2), &timer);
}

/* ---- misuse ------------------------------------------------------------------------ */

static void remove_twice(void *arg)
{
	struct timer timers[3];

	(void)arg;
	make_heap();
	for (unsigned i = 0; i < 3; i++)
		push(&timers[i], i, i);
	kn_heap_remove(&heap, timers[1].id);
	kn_heap_remove(&heap, timers[1].id);
}

static void remove_unknown(void *arg)
{
	struct timer timer;

	make_heap();
	push(&timer, 1, 0);
	kn_heap_remove(&heap, *(uint32_t *)arg);
}

Test(heap, removing_a_timer_that_is_not_there_panics)
{
	uint32_t unknown[] = {1, 63, 64, KN_HEAP_NONE};

	test_death(remove_twice, NULL, "broken invariant");
	for (unsigned i = 0; i < 4; i++)
		test_death(remove_unknown, &unknown[i], "broken invariant");
}
