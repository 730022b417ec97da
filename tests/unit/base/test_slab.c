/* SPDX-License-Identifier: MIT */
/* test_slab.c - the slab: numbers, reuse, quarantine, poison, memory. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/alloc.h"
#include "base/slab.h"
#include "test.h"
#if KN_ASAN
#include <sanitizer/asan_interface.h>
#endif
#ifdef HAVE_VALGRIND_MEMCHECK_H
#include <valgrind/memcheck.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

struct object {
	void *first;
	uint64_t number;
	char rest[48];
};

static char poison; /* its address is what counts */
static struct kn_slab slab;

static void make_slab(void)
{
	kn_slab_init(&slab, sizeof(struct object), &poison, 0);
}

static void drop_slab(void)
{
	kn_slab_done(&slab);
}

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

Test(slab, objects_have_distinct_numbers_and_stay_where_they_are, .init = make_slab,
     .fini = drop_slab)
{
	uint32_t count = (uint32_t)test_scale(1000000, 200000, 200000, 20000);
	struct object **objects = calloc(count, sizeof(struct object *));

	cr_assert_not_null(objects);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t index;

		objects[i] = kn_slab_alloc(&slab, &index);
		cr_assert_not_null(objects[i]);
		cr_assert_eq(index, i, "numbers are dense");
		cr_assert_eq((uintptr_t)objects[i] % 64, 0, "objects of whole lines are aligned");
		cr_assert_null(objects[i]->first);
		memset(objects[i], 0x5a, sizeof(struct object));
		objects[i]->number = i;
	}
	cr_assert_eq(slab.live, count);
	for (uint32_t i = 0; i < count; i++) {
		cr_assert_eq(kn_slab_at(&slab, i), objects[i]);
		cr_assert_eq(objects[i]->number, i);
	}
	cr_assert_null(kn_slab_at(&slab, count));
	cr_assert_null(kn_slab_at(&slab, UINT32_MAX));
	/* Last in, first out, with the same numbers, and without more memory. */
	for (uint32_t i = 0; i < count; i++)
		kn_slab_free(&slab, objects[i], i);
	cr_assert_eq(slab.live, 0);
	uint64_t allocations = kn_alloc_count();
	for (uint32_t i = count; i-- > 0;) {
		uint32_t index;

		cr_assert_eq(kn_slab_alloc(&slab, &index), objects[i]);
		cr_assert_eq(index, i);
		cr_assert_eq(kn_slab_at(&slab, i), objects[i], "live or not");
	}
	cr_assert_eq(kn_alloc_count(), allocations);
	free(objects);
}

Test(slab, what_was_put_comes_again_as_it_was, .fini = drop_slab)
{
	struct object *objects[3];
	uint32_t index;

	kn_slab_init(&slab, sizeof(struct object), NULL, 0);
	if (slab.watched)
		test_skip("a tool watches");
	cr_assert_null(kn_slab_again(&slab));
	for (int i = 0; i < 3; i++) {
		objects[i] = kn_slab_alloc(&slab, &index);
		memset(objects[i], i + 1, sizeof(struct object));
	}
	for (int i = 0; i < 3; i++)
		kn_slab_put(&slab, objects[i]);
	cr_assert_eq(slab.live, 0);
	for (int i = 2; i >= 0; i--) {
		cr_assert_eq(kn_slab_again(&slab), objects[i]);
		cr_assert_eq((uintptr_t)objects[i]->first, 0x0101010101010101u * (unsigned)(i + 1));
		for (size_t k = 0; k < sizeof(objects[i]->rest); k++)
			cr_assert_eq(objects[i]->rest[k], i + 1);
	}
	cr_assert_eq(slab.live, 3);
	cr_assert_null(kn_slab_again(&slab));
	cr_assert_not_null(kn_slab_alloc(&slab, &index));
	cr_assert_eq(index, 3);
}

Test(slab, sizes_are_rounded_up_to_what_the_slab_needs)
{
	static const size_t asked[] = {0, 1, 31, 32, 33, 48, 100, 1000};
	static const size_t given[] = {32, 32, 32, 32, 48, 48, 112, 1008};

	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		char *objects[300];
		uint32_t index;

		kn_slab_init(&slab, asked[i], &poison, 0);
		cr_assert_eq(slab.size, given[i]);
		for (unsigned k = 0; k < 300; k++) {
			objects[k] = kn_slab_alloc(&slab, &index);
			cr_assert_eq((uintptr_t)objects[k] % 16, 0);
			memset(objects[k], (int)k, given[i]);
		}
		/* They do not overlap. */
		for (unsigned k = 0; k < 300; k++)
			for (size_t at = 0; at < given[i]; at++)
				cr_assert_eq(objects[k][at], (char)k);
		kn_slab_done(&slab);
	}
}

/* ---- quarantine -------------------------------------------------------------------- */

#define QUARANTINE 100
#define LIVE_MOST  700

struct history {
	uint32_t live[LIVE_MOST]; /* numbers */
	unsigned live_count;
	uint64_t *freed_at; /* by number: how many frees there had been; 0: live or new */
	uint64_t frees;
	uint32_t fresh;
	unsigned reused;
};

static void take_one(struct history *history)
{
	uint32_t index;
	struct object *object = kn_slab_alloc(&slab, &index);

	cr_assert_not_null(object);
	cr_assert_eq(kn_slab_at(&slab, index), object);
	if (index == history->fresh) {
		history->fresh++;
	} else {
		cr_assert_lt(index, history->fresh);
		cr_assert_neq(history->freed_at[index], 0, "it was free");
		/* As many others were freed after it. */
		cr_assert_geq(history->frees - history->freed_at[index], QUARANTINE);
		for (uint32_t i = 0; i < history->fresh; i++)
			cr_assert(!history->freed_at[i] ||
			                  history->freed_at[i] >= history->freed_at[index],
			          "an older one was free");
		history->reused++;
	}
	history->freed_at[index] = 0;
	object->number = index;
	history->live[history->live_count++] = index;
}

static void free_one(struct history *history, unsigned at)
{
	uint32_t index = history->live[at];
	struct object *object = kn_slab_at(&slab, index);

	cr_assert_eq(object->number, index);
	kn_slab_free(&slab, object, index);
	history->freed_at[index] = ++history->frees;
	history->live[at] = history->live[--history->live_count];
}

Test(slab, in_quarantine_others_are_freed_first_and_the_oldest_goes, .fini = drop_slab)
{
	static uint64_t freed_at[LIVE_MOST + 2 * QUARANTINE];
	struct history history = {.freed_at = freed_at};
	uint64_t seed = 0x853c49e6748fea9bu;
	long steps = test_scale(50000, 20000, 10000, 3000);

	kn_slab_init(&slab, sizeof(struct object), &poison, QUARANTINE);
	for (long i = 0; i < steps; i++) {
		/* Drifts between empty and full. */
		unsigned odds = i / 1000 % 2 ? 40 : 60;

		if (next_random(&seed) % 100 < odds && history.live_count < LIVE_MOST)
			take_one(&history);
		else if (history.live_count)
			free_one(&history, (unsigned)(next_random(&seed) % history.live_count));
		cr_assert_eq(slab.live, history.live_count);
		cr_assert_eq(slab.live + kn_slab_free_count(&slab), history.fresh);
		/* What is free and not reused is no more than the quarantine asks for and
		 * the drift leaves over. */
		cr_assert_leq(history.fresh, LIVE_MOST + QUARANTINE);
	}
	cr_assert_gt(history.reused, 1000, "reuse was seen");
}

Test(slab, a_stale_pointer_meets_the_poison_while_in_quarantine, .fini = drop_slab)
{
	struct object *stale, *other;
	uint32_t index, stale_index;

	kn_slab_init(&slab, sizeof(struct object), &poison, QUARANTINE);
	stale = kn_slab_alloc(&slab, &stale_index);
	stale->first = &slab;
	kn_slab_free(&slab, stale, stale_index);
	for (int i = 0; i < QUARANTINE; i++) {
		cr_assert_eq(stale->first, &poison);
		cr_assert_eq(kn_slab_at(&slab, stale_index), stale);
		other = kn_slab_alloc(&slab, &index);
		cr_assert_neq(other, stale);
		other->first = &slab;
		kn_slab_free(&slab, other, index);
	}
	cr_assert_eq(stale->first, &poison);
	cr_assert_eq(kn_slab_alloc(&slab, &index), stale);
	cr_assert_eq(index, stale_index);
	cr_assert_null(stale->first);
}

/* ---- what tools see ---------------------------------------------------------------- */

static bool may_be_touched(char *byte)
{
#if KN_ASAN
	return !__asan_address_is_poisoned(byte);
#endif
#ifdef HAVE_VALGRIND_MEMCHECK_H
	unsigned char bits;

	return VALGRIND_GET_VBITS(byte, &bits, 1) != 3;
#endif
	return byte != NULL;
}

Test(slab, tools_see_only_the_header_of_what_is_free, .init = make_slab, .fini = drop_slab)
{
	char *object, *fresh;
	uint32_t index;

	if (!KN_ASAN && !RUNNING_ON_VALGRIND)
		test_skip("needs AddressSanitizer or valgrind");
	object = kn_slab_alloc(&slab, &index);
	fresh = object + sizeof(struct object);
	for (size_t at = 0; at < sizeof(struct object); at++) {
		cr_assert(may_be_touched(object + at));
		cr_assert_not(may_be_touched(fresh + at), "never handed out");
	}
	kn_slab_free(&slab, object, index);
	for (size_t at = 0; at < sizeof(struct object); at++)
		cr_assert_eq(may_be_touched(object + at), at < KN_SLAB_HEADER);
	cr_assert_eq(kn_slab_alloc(&slab, &index), object);
	for (size_t at = 0; at < sizeof(struct object); at++)
		cr_assert(may_be_touched(object + at));
}

#if KN_ASAN
static void touch_freed(void *arg)
{
	struct object *object;
	uint32_t index;

	(void)arg;
	make_slab();
	object = kn_slab_alloc(&slab, &index);
	kn_slab_free(&slab, object, index);
	*(volatile char *)&object->rest[40] = 1;
}

Test(slab, writing_to_a_freed_object_is_reported)
{
	test_death(touch_freed, NULL, "use-after-poison");
}
#endif

/* ---- memory and misuse ------------------------------------------------------------- */

Test(slab, without_memory_alloc_fails_and_nothing_is_lost, .init = make_slab, .fini = drop_slab)
{
	/* Past the first growth of the table of chunks. */
	static struct object *objects[KN_SLAB_CHUNK * 20];
	uint32_t count = 0, failed = 0, index;

	for (; count < KN_SLAB_CHUNK * 20; count++) {
		if (count % KN_SLAB_CHUNK == 0) {
			long needed = slab.chunk_count == slab.chunk_room ? 2 : 1;

			for (long allow = 0; allow < needed; allow++) {
				kn_alloc_fail_after(allow);
				cr_assert_null(kn_slab_alloc(&slab, &index));
				kn_alloc_fail_after(-1);
				cr_assert_eq(slab.live, count);
				/* The table may have grown, which needs no repetition. */
				needed = slab.chunk_count == slab.chunk_room ? 2 : 1;
				failed++;
			}
		}
		objects[count] = kn_slab_alloc(&slab, &index);
		cr_assert_not_null(objects[count]);
		cr_assert_eq(index, count);
		objects[count]->number = count;
	}
	cr_assert_geq(failed, 20);
	for (uint32_t i = 0; i < count; i++) {
		cr_assert_eq(kn_slab_at(&slab, i), objects[i]);
		cr_assert_eq(objects[i]->number, i);
	}
	/* What is free can be had without memory. */
	kn_slab_free(&slab, objects[7], 7);
	kn_alloc_fail_after(0);
	cr_assert_eq(kn_slab_alloc(&slab, &index), objects[7]);
	cr_assert_null(kn_slab_alloc(&slab, &index));
	kn_alloc_fail_after(-1);
}

Test(slab, done_leaves_a_slab_that_can_be_used_again, .init = make_slab, .fini = drop_slab)
{
	uint32_t index;

	for (int i = 0; i < 1000; i++)
		cr_assert_not_null(kn_slab_alloc(&slab, &index));
	kn_slab_done(&slab);
	cr_assert_eq(slab.live, 0);
	cr_assert_null(kn_slab_at(&slab, 0));
	cr_assert_not_null(kn_slab_alloc(&slab, &index));
	cr_assert_eq(index, 0);
}

static void free_twice(void *arg)
{
	struct object *object, *other;
	uint32_t index, other_index, quarantine = *(uint32_t *)arg;

	kn_slab_init(&slab, sizeof(struct object), &poison, quarantine);
	object = kn_slab_alloc(&slab, &index);
	other = kn_slab_alloc(&slab, &other_index);
	kn_slab_free(&slab, object, index);
	kn_slab_free(&slab, other, other_index);
	kn_slab_free(&slab, object, index);
}

Test(slab, freeing_twice_panics)
{
	uint32_t quarantines[] = {0, 100};

	test_death(free_twice, &quarantines[0], "was freed twice");
	test_death(free_twice, &quarantines[1], "was freed twice");
}

Test(slab, without_a_poison_the_first_word_may_be_null, .fini = drop_slab)
{
	uint32_t index, again;
	struct object *object;

	kn_slab_init(&slab, sizeof(struct object), NULL, 0);
	object = kn_slab_alloc(&slab, &index);
	cr_assert_null(object->first);
	kn_slab_free(&slab, object, index);
	cr_assert_eq(kn_slab_alloc(&slab, &again), object);
	cr_assert_eq(again, index);
}
