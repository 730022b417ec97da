/* SPDX-License-Identifier: MIT */
/* test_stack_usage.c - the high-water mark, by the page and to the byte. */
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "coroutine.h"
#include "test.h"

static struct kn_stack_pool *pool;
static size_t page;

static void set_up(bool paint)
{
	page = (size_t)sysconf(_SC_PAGESIZE);
	pool = kn_stack_pool_new(64 * page, paint, KN_GUARD_BEST);
	cr_assert_not_null(pool);
}

static struct kn_stack *get(void)
{
	struct kn_stack *stack = kn_stack_get(pool, 0);

	cr_assert_not_null(stack);
	return stack;
}

static void touch(struct kn_stack *stack, size_t depth)
{
	*(volatile char *)(stack->high - depth) = 1;
}

static void expect_by_the_page(void)
{
	struct kn_stack *stack = get();

	cr_expect_eq(kn_stack_high_water(stack), 0, "nobody touched it");
	for (size_t pages = 1; pages < 60; pages += 7) {
		size_t depth = pages * page - page / 2, mark;

		touch(stack, depth);
		mark = kn_stack_high_water(stack);
		cr_expect_geq(mark, depth);
		cr_expect_lt(mark, depth + page);
	}
	touch(stack, kn_stack_size(stack));
	cr_expect_eq(kn_stack_high_water(stack), kn_stack_size(stack));
	kn_stack_put(pool, stack);
	cr_expect_eq(kn_stack_high_water(get()), kn_stack_size(stack), "earlier use counts");
	kn_stack_put(pool, stack);
	kn_stack_pool_trim(pool, true);
	cr_expect_eq(kn_stack_high_water(get()), 0, "its memory was given back");
	kn_stack_put(pool, stack);
	kn_stack_pool_free(pool);
}

Test(stack_usage, told_by_the_page)
{
	set_up(false);
	expect_by_the_page();
}

/* Without descriptors there is no /proc/self/pagemap: mincore() answers. */
Test(stack_usage, told_by_the_page_without_proc)
{
	struct rlimit old, none;

	set_up(false);
	getrlimit(RLIMIT_NOFILE, &old);
	none = (struct rlimit){0, old.rlim_max};
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	expect_by_the_page();
	setrlimit(RLIMIT_NOFILE, &old);
}

/* More pages than are asked for at once. */
Test(stack_usage, told_for_large_stacks)
{
	struct kn_stack *stack;
	size_t mark;

	set_up(false);
	stack = kn_stack_get(pool, 1000 * page);
	cr_assert_not_null(stack);
	touch(stack, 1);
	cr_expect_leq(kn_stack_high_water(stack), page);
	touch(stack, 700 * page);
	mark = kn_stack_high_water(stack);
	cr_expect_geq(mark, 700 * page);
	cr_expect_lt(mark, 701 * page);
	kn_stack_put(pool, stack);
	kn_stack_pool_free(pool);
}

Test(stack_usage, told_to_the_byte_if_painted)
{
	struct kn_stack *stack;

	set_up(true);
	stack = get();
	cr_expect_eq(kn_stack_high_water(stack), 0);
	touch(stack, 1);
	cr_expect_eq(kn_stack_high_water(stack), 1);
	touch(stack, 12345);
	cr_expect_eq(kn_stack_high_water(stack), 12345);
	touch(stack, 5000);
	cr_expect_eq(kn_stack_high_water(stack), 12345);
	kn_stack_put(pool, stack);
	cr_expect_eq(kn_stack_high_water(stack), 12345, "it can be asked after the end");
	cr_expect_eq(kn_stack_high_water(get()), 0, "each use is painted afresh");
	touch(stack, kn_stack_size(stack));
	cr_expect_eq(kn_stack_high_water(stack), kn_stack_size(stack));
	kn_stack_put(pool, stack);
	kn_stack_pool_free(pool);
}

__attribute__((noinline)) static void fill_frame(size_t size)
{
	volatile char *frame = __builtin_alloca(size);

	for (size_t i = 0; i < size; i++)
		frame[i] = 1;
}

static void use_some(struct coroutine *co)
{
	fill_frame(20000);
	coroutine_yield(co);
	fill_frame(2000);
}

Test(stack_usage, of_a_running_coroutine_is_what_it_used)
{
	struct coroutine co;
	struct kn_stack *stack;
	size_t mark;

	set_up(true);
	stack = get();
	coroutine_init(&co, stack, use_some);
	coroutine_resume(&co);
	mark = kn_stack_high_water(stack);
	cr_expect_geq(mark, 20000);
	cr_expect_leq(mark, 40000);
	coroutine_resume(&co);
	cr_expect_eq(kn_stack_high_water(stack), mark, "less deep the second time");
	kn_stack_put(pool, stack);
	kn_stack_pool_free(pool);
}
