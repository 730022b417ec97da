/* SPDX-License-Identifier: MIT */
/* test_wheel.c - the timers of a loop: order, stopping, jumps of time, memory, against a model. */
#include <errno.h>
#include <knit.h>
#include <stdlib.h>
#include "base/alloc.h"
#include "loop/loop.h"
#include "test.h"

#define TICK (INT64_C(1) << KN_WHEEL_TICK_BITS)

struct item {
	struct kn_timer timer;
	int64_t when;
	uint64_t order; /* of its start */
};

static struct kn_wheel wheel;

static void make_wheel(void)
{
	kn_wheel_init(&wheel);
}

static void drop_wheel(void)
{
	kn_wheel_done(&wheel);
}

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void start(struct item *item, int64_t when, uint64_t order)
{
	item->when = when;
	item->order = order;
	item->timer.id = KN_HEAP_NONE;
	kn_list_init(&item->timer.ready.link);
	cr_assert_eq(kn_wheel_start(&wheel, &item->timer, when), 0);
	cr_assert_neq(item->timer.id, KN_HEAP_NONE);
	cr_assert_eq(kn_wheel_when(&wheel, &item->timer), when == INT64_MIN ? INT64_MIN + 1 : when);
}

static void stop(struct item *item)
{
	kn_wheel_stop(&wheel, &item->timer);
	cr_assert_eq(item->timer.id, KN_HEAP_NONE);
	cr_assert(kn_list_empty(&item->timer.ready.link));
}

static struct item *pop(int64_t now)
{
	struct kn_timer *timer = kn_wheel_pop_due(&wheel, now);

	if (!timer)
		return NULL;
	cr_assert_eq(timer->id, KN_HEAP_NONE);
	return kn_container_of(timer, struct item, timer);
}

/* As a loop with a virtual clock does. */
static int64_t exact_next(void)
{
	int64_t next, before = INT64_MIN;
	bool exact;

	while (next = kn_wheel_next(&wheel, &exact), !exact) {
		cr_assert_gt(next, before, "looking brings us forward");
		before = next;
		cr_assert_not(kn_wheel_is_due(&wheel, next - 1));
		(void)kn_wheel_is_due(&wheel, next);
	}
	return next;
}

Test(wheel, an_empty_wheel_has_nothing_due, .init = make_wheel, .fini = drop_wheel)
{
	bool exact = false;

	cr_assert_eq(kn_wheel_next(&wheel, &exact), INT64_MAX);
	cr_assert(exact);
	cr_assert_null(pop(INT64_MAX - 1));
	cr_assert_eq(kn_alloc_count(), 0);
}

Test(wheel, a_timer_is_due_at_its_deadline_and_not_before, .init = make_wheel, .fini = drop_wheel)
{
	struct item item;

	/* From the past to centuries, around the ends of ticks and of blocks. */
	for (int bit = 0; bit < 63; bit++) {
		for (int64_t add = -1; add <= 1; add++) {
			int64_t when = (INT64_C(1) << bit) + add;

			kn_wheel_done(&wheel);
			start(&item, when, 0);
			cr_assert_null(pop(when - 1));
			cr_assert_eq(exact_next(), when);
			cr_assert_null(pop(when - 1));
			cr_assert_eq(pop(when), &item);
			cr_assert_eq(wheel.count, 0);
		}
	}
}

Test(wheel, deadlines_within_a_second_are_known_exactly, .init = make_wheel, .fini = drop_wheel)
{
	struct item items[1023];
	bool exact;

	for (int i = 1022; i >= 0; i--) {
		start(&items[i], (i + 1) * TICK + 17, 0);
		cr_assert_eq(kn_wheel_next(&wheel, &exact), (i + 1) * TICK + 17);
		cr_assert(exact);
	}
	for (int i = 0; i < 1022; i++) {
		stop(&items[i]);
		cr_assert_eq(kn_wheel_next(&wheel, &exact), (i + 2) * TICK + 17);
		cr_assert(exact);
	}
}

Test(wheel, equal_deadlines_pop_in_the_order_of_starting_from_however_far, .init = make_wheel,
     .fini = drop_wheel)
{
	static struct item items[600];
	const int64_t when = 5 * KNIT_S + 123;
	struct item far;

	start(&far, 3600 * KNIT_S, 0);
	for (unsigned i = 0; i < 600; i++) {
		cr_assert_null(pop(i * (when / 600)));
		start(&items[i], when, i);
	}
	stop(&items[17]);
	stop(&items[599]);
	start(&items[17], when, 600);
	for (unsigned i = 0; i < 599; i++)
		if (i != 17)
			cr_assert_eq(pop(when), &items[i], "number %u", i);
	cr_assert_eq(pop(when), &items[17]);
	cr_assert_null(pop(when));
}

Test(wheel, the_order_survives_the_wrap_of_its_numbers, .init = make_wheel, .fini = drop_wheel)
{
	static struct item items[1000];

	wheel.near.sequence = UINT32_MAX - 500;
	for (unsigned i = 0; i < 1000; i++)
		start(&items[i], KNIT_S, i);
	cr_assert_lt(wheel.near.sequence, 1000, "it has wrapped");
	for (unsigned i = 0; i < 1000; i++)
		cr_assert_eq(pop(KNIT_S), &items[i]);
}

Test(wheel, extreme_deadlines_keep_their_order, .init = make_wheel, .fini = drop_wheel)
{
	static const int64_t deadlines[] = {INT64_MAX,     INT64_MIN, 0,  INT64_MAX - 1,
	                                    INT64_MIN + 2, INT64_MIN, -1, 1};
	static const int popped[] = {1, 5, 4, 6, 2, 7, 3};
	struct item items[8];

	for (unsigned i = 0; i < 8; i++)
		start(&items[i], deadlines[i], i);
	cr_assert_eq(exact_next(), INT64_MIN + 1);
	for (unsigned i = 0; i < 7; i++)
		cr_assert_eq(pop(INT64_MAX - 1), &items[popped[i]]);
	cr_assert_null(pop(INT64_MAX - 1));
	cr_assert_eq(exact_next(), INT64_MAX, "the last one is for never");
	cr_assert_not(kn_wheel_expects_something(&wheel));
	cr_assert_eq(wheel.count, 1);
	stop(&items[0]);
	cr_assert_eq(wheel.count, 0);
}

Test(wheel, a_far_timer_does_not_make_near_ones_go_through_the_heap, .init = make_wheel,
     .fini = drop_wheel)
{
	static struct item items[1000];
	struct item hour;
	bool exact;

	start(&hour, 3600 * KNIT_S, 0);
	cr_assert_leq(kn_wheel_next(&wheel, &exact), 3600 * KNIT_S);
	cr_assert_not(exact, "it is not looked for before there is need");
	for (unsigned i = 0; i < 1000; i++)
		start(&items[i], 60 * KNIT_S + i, i);
	cr_assert_eq(wheel.near.count, 0);
	for (unsigned i = 0; i < 1000; i++)
		stop(&items[i]);
	cr_assert_eq(exact_next(), 3600 * KNIT_S);
	stop(&hour);
}

/* ---- the model: an array in order -------------------------------------------------- */

#define MODEL_ROOM 400

static struct item *model[MODEL_ROOM];
static unsigned model_count;
static int64_t now;

static bool earlier(const struct item *a, const struct item *b)
{
	return a->when != b->when ? a->when < b->when : a->order < b->order;
}

static void model_insert(struct item *item)
{
	unsigned at = model_count++;

	for (; at && earlier(item, model[at - 1]); at--)
		model[at] = model[at - 1];
	model[at] = item;
}

static struct item *model_remove(unsigned at)
{
	struct item *item = model[at];

	model_count--;
	for (; at < model_count; at++)
		model[at] = model[at + 1];
	return item;
}

/* Delays of all sizes, often equal deadlines, some in the past, some too far. */
static int64_t random_deadline(uint64_t *seed)
{
	uint64_t dice = next_random(seed) % 100;
	int64_t delay = (int64_t)(next_random(seed) >> (1 + next_random(seed) % 63)), when;

	if (dice < 10 && model_count)
		return model[next_random(seed) % model_count]->when;
	if (dice < 12)
		return dice == 10 ? INT64_MAX : INT64_MAX - 1;
	if (dice < 15)
		return now - delay / 2;
	if (dice < 30)
		delay = delay / TICK * TICK; /* at the ends of blocks */
	return __builtin_add_overflow(now, delay, &when) ? INT64_MAX - 1 : when;
}

/* Time goes on by anything between nothing and a century, or to the next deadline. */
static void pass_time(uint64_t *seed)
{
	uint64_t dice = next_random(seed) % 100;
	int64_t next = exact_next(), step;
	struct item *item;

	cr_assert_eq(next, model_count ? model[0]->when : INT64_MAX);
	if (dice < 50 && next != INT64_MAX) {
		now = next > now ? next : now;
	} else {
		step = (int64_t)(next_random(seed) >> (2 + next_random(seed) % 62));
		if (now < INT64_MAX / 2)
			now += step / 1024;
	}
	for (unsigned most = (unsigned)(next_random(seed) % 8); most; most--) {
		item = pop(now);
		if (!model_count || model[0]->when > now || model[0]->when == INT64_MAX) {
			cr_assert_null(item);
			return;
		}
		cr_assert_eq(item, model_remove(0));
	}
}

static void random_step(uint64_t *seed, struct item *pool, bool *used, uint64_t order)
{
	uint64_t dice = next_random(seed) % 100;
	unsigned at = (unsigned)(next_random(seed) % MODEL_ROOM);

	if (dice < 55) {
		if (used[at])
			return;
		used[at] = true;
		start(&pool[at], random_deadline(seed), order);
		model_insert(&pool[at]);
	} else if (dice < 75 && model_count) {
		stop(model_remove((unsigned)(next_random(seed) % model_count)));
	} else {
		pass_time(seed);
	}
	for (unsigned i = 0; i < MODEL_ROOM; i++)
		used[i] = pool[i].timer.id != KN_HEAP_NONE;
}

Test(wheel, random_starts_stops_and_jumps_agree_with_a_sorted_array, .fini = drop_wheel)
{
	static struct item pool[MODEL_ROOM];
	static bool used[MODEL_ROOM];
	long steps = test_scale(20000, 5000, 3000, 1000);

	for (uint64_t number = 1; number <= 20; number++) {
		uint64_t seed = number * 0x2545f4914f6cdd1du;

		kn_wheel_init(&wheel);
		wheel.near.sequence = (uint32_t)next_random(&seed);
		model_count = 0;
		now = number % 2 ? 0 : (int64_t)(next_random(&seed) >> 8);
		for (unsigned i = 0; i < MODEL_ROOM; i++) {
			pool[i].timer.id = KN_HEAP_NONE;
			used[i] = false;
		}
		for (long i = 0; i < steps; i++) {
			random_step(&seed, pool, used, (uint64_t)i);
			cr_assert_eq(wheel.count, model_count);
		}
		while (model_count && model[0]->when != INT64_MAX)
			cr_assert_eq(pop(INT64_MAX - 1), model_remove(0));
		while (model_count)
			stop(model_remove(0));
		cr_assert_eq(exact_next(), INT64_MAX);
		if (number < 20)
			kn_wheel_done(&wheel);
	}
}

/* ---- memory ------------------------------------------------------------------------ */

Test(wheel, without_memory_to_start_nothing_is_lost, .init = make_wheel, .fini = drop_wheel)
{
	static struct item items[3000];
	struct item extra = {.timer.id = KN_HEAP_NONE};
	unsigned failed = 0;

	for (unsigned i = 0; i < 3000; i++) {
		for (long allow = 0; allow < (i ? 1 : 2); allow++) {
			if (wheel.count < wheel.near.capacity && wheel.lists)
				break;
			kn_list_init(&extra.timer.ready.link);
			kn_alloc_fail_after(allow);
			cr_assert_eq(kn_wheel_start(&wheel, &extra.timer, 7), -ENOMEM);
			kn_alloc_fail_after(-1);
			cr_assert_eq(extra.timer.id, KN_HEAP_NONE);
			cr_assert_eq(wheel.count, i);
			failed++;
		}
		start(&items[i], (int64_t)i * 7919 % 3000 * KNIT_MS, i);
	}
	cr_assert_geq(failed, 7);
	/* All that follows needs none. */
	kn_alloc_fail_after(0);
	for (unsigned i = 0; i < 3000; i++)
		cr_assert_eq(pop(exact_next())->when, i * KNIT_MS);
	kn_alloc_fail_after(-1);
}

Test(wheel, what_a_burst_needed_is_given_back, .init = make_wheel, .fini = drop_wheel)
{
	unsigned count = (unsigned)test_scale(200000, 50000, 50000, 20000);
	struct item *items = calloc(count, sizeof(*items)), one;
	bool exact;

	cr_assert_not_null(items);
	for (int way = 0; way < 2; way++) {
		for (unsigned i = 0; i < count; i++)
			start(&items[i], way ? KNIT_S : 100 * KNIT_S + i, i);
		cr_assert_geq(wheel.near.capacity, count);
		for (unsigned i = 0; i < count; i++)
			if (way)
				cr_assert_eq(pop(KNIT_S), &items[i]);
			else
				stop(&items[i]);
		start(&one, KNIT_S, 0);
		stop(&one);
		kn_alloc_fail_after(0);
		(void)kn_wheel_next(&wheel, &exact);
		cr_assert_geq(wheel.near.capacity, count, "without memory it stays");
		kn_alloc_fail_after(-1);
		cr_assert_eq(kn_wheel_next(&wheel, &exact), INT64_MAX);
		cr_assert_leq(wheel.near.capacity, 4096);
	}
	free(items);
}

Test(wheel, once_warm_it_allocates_nothing, .init = make_wheel, .fini = drop_wheel)
{
	static struct item items[1000];
	uint64_t seed = 42, allocations;

	for (unsigned i = 0; i < 1000; i++)
		start(&items[i], (int64_t)(next_random(&seed) % (uint64_t)KNIT_S), i);
	allocations = kn_alloc_count();
	for (unsigned i = 0; i < 100000; i++) {
		struct item *item = i % 3 ? &items[i % 1000] : pop(exact_next());

		if (i % 3)
			stop(item);
		start(item, (int64_t)(next_random(&seed) >> (4 + i % 40)), i);
	}
	cr_assert_eq(kn_alloc_count(), allocations);
}

/* ---- in a loop --------------------------------------------------------------------- */

static intptr_t sleep_and_count(void *span)
{
	uint64_t passes = knit_get_running_loop()->counters.passes;
	int r = knit_sleep(*(int64_t *)span);

	return r < 0 ? r : (intptr_t)(knit_get_running_loop()->counters.passes - passes);
}

Test(wheel, a_long_sleep_takes_as_many_passes_as_a_short_one)
{
	int64_t spans[] = {KNIT_MS, 2 * KNIT_S, 3600 * KNIT_S, 366 * 24 * 3600 * KNIT_S};

	for (unsigned i = 0; i < KN_ARRAY_SIZE(spans); i++)
		cr_assert_eq(knit_run(sleep_and_count, &spans[i], .clock = KNIT_CLOCK_VIRTUAL), 2);
}

static intptr_t sleep_over_a_border(void *arg)
{
	knit_loop *loop = knit_get_running_loop();
	int64_t block = TICK * KN_WHEEL_SLOTS;
	int64_t border = (knit_loop_time(NULL) / block + 1) * block;
	uint64_t passes = loop->counters.passes;

	(void)arg;
	/* As if the timer had been started long before: its list is one of a whole block. */
	loop->timers.current = kn_wheel_tick(border) - 2 * KN_WHEEL_SLOTS;
	loop->timers.first = loop->timers.current;
	cr_assert_eq(knit_sleep_until(border + TICK / 2), 0);
	cr_assert_geq(knit_loop_time(NULL), border + TICK / 2);
	return (intptr_t)(loop->counters.passes - passes);
}

Test(wheel, looking_up_at_the_border_of_a_block_is_no_pass)
{
	cr_assert_leq(knit_run(sleep_over_a_border, NULL), 3);
}
