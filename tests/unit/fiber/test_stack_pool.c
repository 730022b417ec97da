/* SPDX-License-Identifier: MIT */
/* test_stack_pool.c - order, sizes, colours, exhaustion and trimming of the pool. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/alloc.h"
#include "fiber/stack.h"
#include "memory.h"
#include "test.h"

static struct kn_stack_pool *pool;

static void set_up(void)
{
	pool = kn_stack_pool_new(65536, false, KN_GUARD_BEST);
	cr_assert_not_null(pool);
}

static void tear_down(void)
{
	kn_stack_pool_free(pool);
}

static struct kn_stack *get(size_t size)
{
	struct kn_stack *stack = kn_stack_get(pool, size);

	cr_assert_not_null(stack);
	return stack;
}

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* Writes to the topmost @pages pages of the stack. */
static void touch(struct kn_stack *stack, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		*(volatile char *)(stack->high - 1 - i * page_size()) = 1;
}

/* ---- handing out ------------------------------------------------------------------ */

Test(stack_pool, last_in_is_first_out, .init = set_up, .fini = tear_down)
{
	struct kn_stack *a = get(0), *b = get(0), *c = get(0);

	cr_expect(a != b && b != c && a != c);
	kn_stack_put(pool, b);
	kn_stack_put(pool, a);
	cr_expect_eq(get(0), a);
	cr_expect_eq(get(0), b);
	kn_stack_put(pool, c);
	cr_expect_eq(get(0), c);
	kn_stack_put(pool, a);
	kn_stack_put(pool, b);
	kn_stack_put(pool, c);
}

Test(stack_pool, sizes_are_rounded_up_to_a_power_of_two, .init = set_up, .fini = tear_down)
{
	static const size_t sizes[][2] = {
	        {1, 16384},      {16384, 16384},     {16385, 32768},           {65536, 65536},
	        {65537, 131072}, {1 << 20, 1 << 20}, {(1 << 20) + 1, 1 << 21}, {100000000, 1 << 27},
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t want = sizes[i][1] < 4 * page_size() ? 4 * page_size() : sizes[i][1];
		struct kn_stack *stack = get(sizes[i][0]);

		cr_expect_leq(kn_stack_size(stack), want - page_size());
		cr_expect_gt(kn_stack_size(stack), want - page_size() - page_size() / 2);
		touch(stack, 1);
		*(volatile char *)kn_stack_low(stack) = 1;
		kn_stack_put(pool, stack);
		cr_expect_eq(get(want), stack, "the same class");
		kn_stack_put(pool, stack);
	}
}

Test(stack_pool, zero_asks_for_the_default_size)
{
	struct kn_stack *stack;

	pool = kn_stack_pool_new(200000, false, KN_GUARD_BEST);
	cr_assert_not_null(pool);
	stack = get(0);
	cr_expect_gt(kn_stack_size(stack), 131072);
	cr_expect_lt(kn_stack_size(stack), 262144);
	kn_stack_put(pool, stack);
	cr_expect_eq(get(262144), stack);
	kn_stack_put(pool, stack);
	kn_stack_pool_free(pool);
}

Test(stack_pool, stacks_do_not_overlap_and_tops_are_coloured, .init = set_up, .fini = tear_down)
{
	enum { COUNT = 150 };
	struct kn_stack *stacks[COUNT];
	bool seen[64] = {false};
	int colours = 0;

	for (int i = 0; i < COUNT; i++) {
		size_t shift;

		stacks[i] = get(0);
		shift = (size_t) - (uintptr_t)stacks[i]->high % page_size();
		cr_expect_eq((uintptr_t)kn_stack_low(stacks[i]) % page_size(), 0);
		cr_expect_eq(shift % 64, 0);
		cr_expect_lt(shift, page_size() / 2, "stack %d", i);
		if (shift / 64 < 64 && !seen[shift / 64]) {
			seen[shift / 64] = true;
			colours++;
		}
	}
	cr_expect_geq(colours, 31);
	for (int i = 0; i < COUNT; i++) {
		/* The guard below belongs to the stack too. */
		for (int j = 0; j < i; j++)
			cr_assert(stacks[i]->high <= kn_stack_low(stacks[j]) - page_size() ||
			          stacks[j]->high <= kn_stack_low(stacks[i]) - page_size());
		kn_stack_put(pool, stacks[i]);
	}
}

Test(stack_pool, statistics_count_what_is_made_and_out, .init = set_up, .fini = tear_down)
{
	enum { COUNT = 65 };
	struct kn_stack *stacks[COUNT];
	struct kn_stack_stats stats;

	for (int i = 0; i < COUNT; i++)
		stacks[i] = get(0);
	kn_stack_put(pool, stacks[0]);
	kn_stack_pool_stats(pool, &stats);
	cr_expect_eq(stats.stacks, COUNT);
	cr_expect_eq(stats.out, COUNT - 1);
	cr_expect_eq(stats.slabs, 2, "64 stacks to a slab");
	for (int i = 1; i < COUNT; i++)
		kn_stack_put(pool, stacks[i]);
	kn_stack_pool_stats(pool, &stats);
	cr_expect_eq(stats.out, 0);
}

static void put_twice(void *arg)
{
	struct kn_stack *stack = get(0);

	(void)arg;
	kn_stack_put(pool, stack);
	kn_stack_put(pool, stack);
}

Test(stack_pool, putting_back_twice_ends_the_process, .init = set_up, .fini = tear_down)
{
	test_death(put_twice, NULL, "broken invariant: stack->out");
}

static void put_elsewhere(void *arg)
{
	struct kn_stack_pool *other = kn_stack_pool_new(65536, false, KN_GUARD_BEST);

	(void)arg;
	kn_stack_put(other, get(0));
}

Test(stack_pool, putting_into_a_foreign_pool_ends_the_process, .init = set_up, .fini = tear_down)
{
	test_death(put_elsewhere, NULL, "broken invariant");
}

/* ---- when there is no more ---------------------------------------------------------- */

Test(stack_pool, sizes_beyond_all_reason_are_refused, .init = set_up, .fini = tear_down)
{
	cr_expect_null(kn_stack_get(pool, SIZE_MAX));
	cr_expect_null(kn_stack_get(pool, ((size_t)1 << 40) + 1));
	cr_expect_null(kn_stack_pool_new(SIZE_MAX, false, KN_GUARD_BEST));
}

/* Asks until there is no more, then gives one back: that one is to be had again. */
static void exhaust(size_t size, int at_most)
{
	struct kn_stack **stacks = calloc((size_t)at_most, sizeof(struct kn_stack *));
	struct kn_stack_stats before, after;
	int count = 0;

	cr_assert_not_null(stacks);
	kn_stack_pool_stats(pool, &before);
	while (count < at_most && (stacks[count] = kn_stack_get(pool, size)))
		count++;
	cr_assert_lt(count, at_most, "it never ended");
	cr_assert_gt(count, 0, "it never began");
	kn_stack_pool_stats(pool, &after);
	cr_expect_eq(after.out, before.out + (size_t)count, "what failed does not count");
	kn_stack_put(pool, stacks[count - 1]);
	cr_expect_eq(get(size), stacks[count - 1]);
	cr_expect_null(kn_stack_get(pool, size));
	for (int i = 0; i < count; i++)
		kn_stack_put(pool, stacks[i]);
	free(stacks);
}

Test(stack_pool, exhausted_address_space_is_an_error_return, .init = set_up, .fini = tear_down)
{
	if (test_scale(0, 1, 1, 1))
		test_skip("sanitizers and valgrind have an address space of their own");
	exhaust((size_t)1 << 40, 1000);
	/* What is small enough fits into the rest. */
	kn_stack_put(pool, get(0));
}

Test(stack_pool, limit_of_address_space_is_an_error_return_and_can_be_lifted, .init = set_up,
     .fini = tear_down)
{
	struct rlimit old, tight;
	struct kn_stack *held;

	if (test_scale(0, 1, 1, 1))
		test_skip("sanitizers and valgrind do not run under RLIMIT_AS");
	held = get(0);
	getrlimit(RLIMIT_AS, &old);
	tight = old;
	tight.rlim_cur = memory_status("VmSize") + 20 * 1048576;
	cr_assert_eq(setrlimit(RLIMIT_AS, &tight), 0);
	exhaust(0, 2000);
	cr_assert_eq(setrlimit(RLIMIT_AS, &old), 0);
	kn_stack_put(pool, get(1 << 26));
	kn_stack_put(pool, held);
}

Test(stack_pool, every_failed_allocation_is_an_error_return)
{
	bool all_succeeded = false;

	for (long allowed = 0; !all_succeeded; allowed++) {
		int count = 0;

		cr_assert_lt(allowed, 20, "there are not so many allocations");
		kn_alloc_fail_after(allowed);
		pool = kn_stack_pool_new(65536, false, KN_GUARD_BEST);
		if (pool) {
			struct kn_stack *stacks[65];

			while (count < 65 && (stacks[count] = kn_stack_get(pool, 0)))
				count++;
			all_succeeded = count == 65;
			kn_alloc_fail_after(-1);
			/* The next try succeeds where one failed. */
			kn_stack_put(pool, get(0));
			for (int i = 0; i < count; i++)
				kn_stack_put(pool, stacks[i]);
		}
		kn_alloc_fail_after(-1);
		cr_expect_eq(pool == NULL, allowed == 0);
		kn_stack_pool_free(pool);
	}
}

Test(stack_pool, slabs_of_abandoned_stacks_stay_mapped)
{
	size_t page = page_size();
	unsigned char in_memory;
	char *kept, *gone;

	pool = kn_stack_pool_new(65536, false, KN_GUARD_BEST);
	cr_assert_not_null(pool);
	kept = kn_stack_low(get(0));
	struct kn_stack *other = get(131072);
	gone = kn_stack_low(other);
	kn_stack_put(pool, other);
	kn_stack_pool_free(pool);
	cr_expect_eq(mincore(kept, page, &in_memory), 0, "somebody may still write there");
	cr_expect_neq(mincore(gone, page, &in_memory), 0);
}

/* ---- giving memory back --------------------------------------------------------------- */

/* Pages of the stacks that are in memory. */
static size_t pages_of(struct kn_stack **stacks, int count)
{
	size_t sum = 0;

	for (int i = 0; i < count; i++)
		sum += (kn_stack_high_water(stacks[i]) + page_size() - 1) / page_size();
	return sum;
}

static void get_all(struct kn_stack **stacks, int count, size_t pages)
{
	for (int i = 0; i < count; i++) {
		stacks[i] = get(0);
		touch(stacks[i], pages);
	}
}

static void put_all(struct kn_stack **stacks, int count)
{
	for (int i = 0; i < count; i++)
		kn_stack_put(pool, stacks[i]);
}

/* The bound: a burst of 5000 falls below 1 in ln(5000) / ln(8/7) = 64 calls, and 512 a call
 * are 10 calls. */
static int trim_until_done(void)
{
	int calls = 1;

	while (kn_stack_pool_trim(pool, false))
		cr_assert_lt(calls++, 200, "it never ends");
	return calls;
}

Test(stack_pool, trim_gives_back_what_a_burst_needed, .init = set_up, .fini = tear_down)
{
	enum { COUNT = 1000, PAGES = 3 };
	static struct kn_stack *stacks[COUNT];
	size_t before = memory_status("VmRSS"), burst, after;

	get_all(stacks, COUNT, PAGES);
	burst = memory_status("VmRSS") - before;
	put_all(stacks, COUNT);
	cr_expect_geq(pages_of(stacks, COUNT), COUNT * PAGES);
	trim_until_done();
	cr_expect_leq(pages_of(stacks, COUNT), 16 * (PAGES + 1), "16 stay warm");
	after = memory_status("VmRSS");
	/* The kernel's count lags behind by some pages for each processor. */
	if (!test_scale(0, 1, 1, 1)) {
		cr_expect_geq(burst, COUNT * PAGES * page_size() * 9 / 10);
		cr_expect_lt(after, before + burst / 10 + 1048576, "before %zu burst %zu after %zu",
		             before, burst, after);
	}
	/* They are as good as new, and so is what they give back. */
	get_all(stacks, COUNT, PAGES);
	put_all(stacks, COUNT);
	cr_expect_geq(pages_of(stacks, COUNT), COUNT * PAGES);
	trim_until_done();
	cr_expect_leq(pages_of(stacks, COUNT), 16 * (PAGES + 1));
}

/* Two sizes, since the bound is for both together. */
Test(stack_pool, trim_gives_back_512_stacks_a_call_at_most, .init = set_up, .fini = tear_down)
{
	enum { COUNT = 5000 };
	static struct kn_stack *small[COUNT], *large[COUNT];
	size_t pages, most = 0;
	bool more = true;

	get_all(small, COUNT, 1);
	for (int i = 0; i < COUNT; i++)
		touch(large[i] = get(131072), 1);
	put_all(small, COUNT);
	put_all(large, COUNT);
	pages = pages_of(small, COUNT) + pages_of(large, COUNT);
	for (int calls = 0; more && calls < 200; calls++) {
		size_t left;

		more = kn_stack_pool_trim(pool, false);
		left = pages_of(small, COUNT) + pages_of(large, COUNT);
		if (pages - left > most)
			most = pages - left;
		pages = left;
	}
	cr_expect_not(more);
	cr_expect_eq(most, 512);
	cr_expect_eq(pages, 2 * 16);
}

Test(stack_pool, trim_of_all_gives_back_everything_that_is_free, .init = set_up, .fini = tear_down)
{
	enum { COUNT = 200 };
	struct kn_stack *stacks[COUNT];

	get_all(stacks, COUNT, 2);
	put_all(stacks + 1, COUNT - 1);
	cr_expect_not(kn_stack_pool_trim(pool, true));
	cr_expect_eq(pages_of(stacks + 1, COUNT - 1), 0);
	cr_expect_geq(pages_of(stacks, 1), 2, "the one in use is left alone");
	kn_stack_put(pool, stacks[0]);
}

Test(stack_pool, trim_leaves_what_is_used_again_and_again, .init = set_up, .fini = tear_down)
{
	enum { COUNT = 200 };
	struct kn_stack *stacks[COUNT];

	/* Every other interval is quiet. */
	for (int round = 0; round < 50; round++) {
		get_all(stacks, COUNT, 1);
		put_all(stacks, COUNT);
		kn_stack_pool_trim(pool, false);
		kn_stack_pool_trim(pool, false);
		cr_assert_geq(pages_of(stacks, COUNT), COUNT * 3 / 4, "round %d", round);
	}
}

Test(stack_pool, trim_keeps_the_warmest, .init = set_up, .fini = tear_down)
{
	enum { COUNT = 200 };
	struct kn_stack *stacks[COUNT];

	get_all(stacks, COUNT, 1);
	put_all(stacks, COUNT);
	trim_until_done();
	cr_expect_eq(pages_of(stacks, COUNT - 16), 0);
	cr_expect_eq(pages_of(stacks + COUNT - 16, 16), 16);
	cr_expect_eq(get(0), stacks[COUNT - 1]);
	kn_stack_put(pool, stacks[COUNT - 1]);
}

Test(stack_pool, trim_of_a_quiet_pool_leaves_its_few_stacks_warm, .init = set_up, .fini = tear_down)
{
	struct kn_stack *stack = get(0);

	touch(stack, 2);
	kn_stack_put(pool, stack);
	for (int i = 0; i < 100; i++)
		cr_expect_not(kn_stack_pool_trim(pool, false));
	cr_expect_eq(pages_of(&stack, 1), 2, "its page is still there");
}

Test(stack_pool, what_is_beyond_the_use_and_some_is_spare, .init = set_up, .fini = tear_down)
{
	enum { COUNT = 100 };
	struct kn_stack *stacks[COUNT];

	cr_expect_not(kn_stack_pool_has_spare(pool), "an empty pool");
	get_all(stacks, COUNT, 1);
	cr_expect_not(kn_stack_pool_has_spare(pool), "all are in use");
	put_all(stacks, 16);
	cr_expect_not(kn_stack_pool_has_spare(pool), "16 stay warm");
	put_all(stacks + 16, COUNT - 16);
	cr_expect(kn_stack_pool_has_spare(pool));
	trim_until_done();
	cr_expect_not(kn_stack_pool_has_spare(pool));
}

Test(stack_pool, guards_survive_trimming, .init = set_up, .fini = tear_down)
{
	enum { COUNT = 100 };
	struct kn_stack *stacks[COUNT];

	get_all(stacks, COUNT, 1);
	put_all(stacks, COUNT);
	kn_stack_pool_trim(pool, true);
	for (int i = 0; i < COUNT; i++) {
		if (stacks[i]->guard == KN_GUARD_CANARY)
			continue;
		/* The kernel cannot read there: write(2) says EFAULT. */
		int ends[2];
		cr_assert_eq(pipe(ends), 0);
		cr_expect_eq(write(ends[1], kn_stack_low(stacks[i]) - 1, 1), -1, "stack %d", i);
		close(ends[0]);
		close(ends[1]);
	}
}
