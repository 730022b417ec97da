/* SPDX-License-Identifier: MIT */
/* test_aside.c - fibers whose stacks are put aside: what is lost, and what must not be. */
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "coroutine.h"
#include "fiber/guard.h"
#include "memory.h"
#include "test.h"

static struct kn_stack_pool *pool;
static struct kn_stack_range range;

static struct kn_stack *get(void)
{
	struct kn_stack *stack = kn_stack_get(pool, 0);

	cr_assert_not_null(stack);
	return stack;
}

static void set_up(void)
{
	pool = kn_stack_pool_new(65536, false, KN_GUARD_BEST);
	cr_assert_not_null(pool);
}

static void tear_down(void)
{
	kn_stack_pool_free(pool);
}

/* Skips where frames of a sanitizer are too large, or the context does not tell what is in use. */
static void put_aside(struct coroutine *co)
{
	if (!kn_fiber_put_aside(&co->fiber, &range))
		test_skip("more than half a page in use");
	kn_stack_range_flush(&range);
	cr_assert(kn_fiber_is_aside(&co->fiber));
}

/* Leaves values in registers that a called function must keep, in locals, and behind pointers. */
static void count_up(struct coroutine *co)
{
	volatile long local = 1;
	volatile long *pointer = &local;
	long kept = co->value;

	for (int i = 0; i < 3; i++) {
		coroutine_yield(co);
		*pointer += ++kept;
	}
	co->value = local + kept;
}

Test(aside, locals_registers_and_addresses_survive, .init = set_up, .fini = tear_down)
{
	struct kn_stack *stack = get();
	struct coroutine co;
	char *sp;

	coroutine_init(&co, stack, count_up);
	co.value = 10;
	coroutine_resume(&co);
	for (int i = 0; i < 3; i++) {
		sp = co.fiber.sp;
		put_aside(&co);
		cr_expect_neq((char *)co.fiber.sp, sp);
		kn_fiber_bring_back(&co.fiber);
		cr_expect_not(kn_fiber_is_aside(&co.fiber));
		cr_expect_eq((char *)co.fiber.sp, sp, "the same address");
		coroutine_resume(&co);
	}
	cr_expect(co.done);
	cr_expect_eq(co.value, 1 + 11 + 12 + 13 + 13);
	kn_stack_put(pool, stack);
}

Test(aside, a_fiber_that_has_not_begun_begins, .init = set_up, .fini = tear_down)
{
	struct kn_stack *stack = get();
	struct coroutine co;

	coroutine_init(&co, stack, count_up);
	put_aside(&co);
	kn_fiber_bring_back(&co.fiber);
	coroutine_resume(&co);
	cr_expect_not(co.done);
	for (int i = 0; i < 3; i++)
		coroutine_resume(&co);
	cr_expect(co.done);
	kn_stack_put(pool, stack);
}

static void wait_once(struct coroutine *co)
{
	coroutine_yield(co);
}

Test(aside, pages_go_back_and_guards_stay, .init = set_up, .fini = tear_down)
{
	enum { COUNT = 40 };
	static struct coroutine all[COUNT];
	struct kn_stack *stacks[COUNT];
	int ends[2];

	for (int i = 0; i < COUNT; i++) {
		stacks[i] = get();
		coroutine_init(&all[i], stacks[i], wait_once);
		coroutine_resume(&all[i]);
	}
	/* Up, then down: neighbours on either side. */
	for (int i = 0; i < COUNT; i++) {
		struct kn_fiber *fiber = &all[i < 20 ? i : COUNT + 19 - i].fiber;

		if (!kn_fiber_put_aside(fiber, &range))
			test_skip("more than half a page in use");
	}
	kn_stack_range_flush(&range);
	cr_assert_eq(pipe(ends), 0);
	for (int i = 0; i < COUNT; i++) {
		const char *top = stacks[i]->high - 64;

		for (int j = 0; j < 64; j++)
			cr_assert_eq(((const volatile char *)top)[j], 0, "stack %d", i);
		if (stacks[i]->guard != KN_GUARD_CANARY && !test_scale(0, 0, 0, 1))
			cr_expect_eq(write(ends[1], kn_stack_low(stacks[i]) - 1, 1), -1);
	}
	close(ends[0]);
	close(ends[1]);
	for (int i = 0; i < COUNT; i++) {
		kn_fiber_bring_back(&all[i].fiber);
		coroutine_resume(&all[i]);
		cr_expect(all[i].done);
		kn_stack_put(pool, stacks[i]);
	}
}

/* Not inlined, so that the compiler has to keep the array, and in a frame that ends. */
__attribute__((noinline)) static void dirty(volatile char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)i;
}

__attribute__((noinline)) static void dive(void)
{
	volatile char frame[20000];

	dirty(frame, sizeof(frame));
}

static void dive_and_wait(struct coroutine *co)
{
	dive();
	coroutine_yield(co);
}

Test(aside, the_high_water_mark_is_kept_until_the_stack_is_put_back, .init = set_up,
     .fini = tear_down)
{
	struct kn_stack *stack;
	struct coroutine co;
	size_t before;

	if (test_scale(0, 1, 0, 0))
		test_skip("the tool may keep large frames elsewhere");
	stack = get();
	coroutine_init(&co, stack, dive_and_wait);
	coroutine_resume(&co);
	before = kn_stack_high_water(stack);
	cr_expect_geq(before, 20000u);
	put_aside(&co);
	cr_expect_eq(kn_stack_high_water(stack), before);
	kn_fiber_bring_back(&co.fiber);
	coroutine_resume(&co);
	cr_expect_eq(kn_stack_high_water(stack), before);
	kn_stack_put(pool, stack);
	cr_expect_eq(get(), stack);
	cr_expect_lt(kn_stack_high_water(stack), before, "another task's");
	kn_stack_put(pool, stack);
}

static void hold_much(struct coroutine *co)
{
	volatile char much[3000];

	dirty(much, sizeof(much));
	coroutine_yield(co);
	co->value = much[7] + much[1024 + 7];
}

static void expect_stays(struct coroutine *co)
{
	void *sp = co->fiber.sp;

	cr_expect_not(kn_fiber_put_aside(&co->fiber, &range));
	cr_expect_eq(co->fiber.sp, sp);
	cr_expect_null(range.low);
}

Test(aside, what_gains_little_stays, .init = set_up, .fini = tear_down)
{
	struct kn_stack *stack = get();
	struct coroutine co;

	coroutine_init(&co, stack, hold_much);
	coroutine_resume(&co);
	/* AddressSanitizer may keep the locals elsewhere. */
	if (!test_scale(0, 1, 0, 0))
		expect_stays(&co);
	coroutine_resume(&co);
	cr_expect_eq(co.value, 14);
	kn_stack_put(pool, stack);
}

Test(aside, without_memory_it_stays, .init = set_up, .fini = tear_down)
{
	struct kn_stack *stack = get();
	struct coroutine co;

	coroutine_init(&co, stack, wait_once);
	coroutine_resume(&co);
	kn_alloc_fail_after(0);
	expect_stays(&co);
	kn_alloc_fail_after(-1);
	coroutine_resume(&co);
	cr_expect(co.done);
	kn_stack_put(pool, stack);
}

Test(aside, painted_and_damaged_stacks_stay)
{
	struct kn_stack *stack;
	struct coroutine co;

	pool = kn_stack_pool_new(65536, true, KN_GUARD_BEST);
	cr_assert_not_null(pool);
	coroutine_init(&co, get(), wait_once);
	coroutine_resume(&co);
	expect_stays(&co);
	coroutine_resume(&co);
	kn_stack_put(pool, co.fiber.stack);
	kn_stack_pool_free(pool);

	pool = kn_stack_pool_new(65536, false, KN_GUARD_CANARY);
	cr_assert_not_null(pool);
	stack = get();
	coroutine_init(&co, stack, wait_once);
	coroutine_resume(&co);
	kn_stack_low(stack)[-8] = 1;
	expect_stays(&co);
	kn_stack_low(stack)[-8] = 0;
	coroutine_resume(&co);
	kn_stack_put(pool, stack);
	kn_stack_pool_free(pool);
}

Test(aside, a_backtrace_brings_it_back, .init = set_up, .fini = tear_down)
{
	struct kn_stack *stack = get();
	struct coroutine co;
	void *frames[16], *again[16];
	size_t count;

	coroutine_init(&co, stack, wait_once);
	coroutine_resume(&co);
	count = kn_fiber_backtrace(&co.fiber, frames, 16);
	put_aside(&co);
	cr_expect_eq(kn_fiber_backtrace(&co.fiber, again, 16), count);
	cr_expect_not(kn_fiber_is_aside(&co.fiber));
	cr_expect_eq(memcmp(frames, again, count * sizeof(frames[0])), 0);
	coroutine_resume(&co);
	kn_stack_put(pool, stack);
}

static void overflow(struct coroutine *co)
{
	volatile char frame[1024];

	frame[0] = 1;
	if (co->value++ < 1000)
		overflow(co);
	frame[1023] = frame[0];
}

static void overflow_later(struct coroutine *co)
{
	coroutine_yield(co);
	overflow(co);
}

static void overflow_after(void *arg)
{
	struct coroutine co;

	(void)arg;
	pool = kn_stack_pool_new(65536, false, KN_GUARD_BEST);
	cr_assert_eq(kn_overflow_arm_thread(), 0);
	coroutine_init(&co, get(), overflow_later);
	coroutine_resume(&co);
	put_aside(&co);
	kn_fiber_bring_back(&co.fiber);
	coroutine_resume(&co);
}

Test(aside, an_overflow_afterwards_is_reported)
{
	if (!KN_CONTEXT_IS_LOWEST || test_scale(0, 1, 1, 1))
		test_skip("guards and sanitizers: see test_overflow.c");
	test_death(overflow_after, NULL, "stack overflow in a task");
}
