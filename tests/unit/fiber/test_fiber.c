/* SPDX-License-Identifier: MIT */
/* test_fiber.c - fibers: what is kept over a switch, chains, reuse, the end. */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coroutine.h"
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

static struct kn_stack *get_stack(void)
{
	struct kn_stack *stack = kn_stack_get(pool, 0);

	cr_assert_not_null(stack);
	return stack;
}

/* ---- the C++ exception globals, played by us -------------------------------------- */

/* As in a program with a C++ run-time library: fiber.c refers to it weakly. */
struct kn_exceptions *__cxa_get_globals(void);
static __thread struct kn_exceptions exceptions;

struct kn_exceptions *__cxa_get_globals(void)
{
	return &exceptions;
}

static void see_and_set_exceptions(struct coroutine *co)
{
	co->value = exceptions.caught == NULL && exceptions.uncaught == 0;
	exceptions.caught = co;
	exceptions.uncaught = 7;
	coroutine_yield(co);
	co->value = exceptions.caught == co && exceptions.uncaught == 7;
	exceptions.uncaught = 9;
}

Test(fiber, exception_globals_are_each_fibers_own_and_start_at_zero, .init = set_up,
     .fini = tear_down)
{
	struct kn_stack *stack = get_stack();
	struct coroutine co;

	coroutine_init(&co, stack, see_and_set_exceptions);
	exceptions.caught = stack;
	exceptions.uncaught = 3;
	coroutine_resume(&co);
	cr_expect_eq(co.value, 1, "a fresh fiber handles no exception");
	cr_expect_eq(exceptions.caught, (void *)stack);
	cr_expect_eq(exceptions.uncaught, 3);
	exceptions.uncaught = 4;
	coroutine_resume(&co);
	cr_expect_eq(co.value, 1);
	cr_expect(co.done);
	cr_expect_eq(exceptions.uncaught, 4);
	kn_stack_put(pool, stack);
}

/* ---- errno, signals --------------------------------------------------------------- */

static void see_and_set_errno(struct coroutine *co)
{
	co->value = errno;
	errno = ENOENT;
	coroutine_yield(co);
	co->value = errno;
	errno = EPIPE;
}

Test(fiber, errno_is_each_fibers_own_and_starts_at_zero, .init = set_up, .fini = tear_down)
{
	struct kn_stack *stack = get_stack();
	struct coroutine co;

	coroutine_init(&co, stack, see_and_set_errno);
	errno = EBADF;
	coroutine_resume(&co);
	cr_expect_eq(errno, EBADF);
	cr_expect_eq(co.value, 0);
	errno = EINTR;
	coroutine_resume(&co);
	cr_expect_eq(errno, EINTR);
	cr_expect_eq(co.value, ENOENT);
	kn_stack_put(pool, stack);
}

static bool is_blocked(int number)
{
	sigset_t set;

	pthread_sigmask(SIG_BLOCK, NULL, &set);
	return sigismember(&set, number);
}

static void change_mask(struct coroutine *co)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	coroutine_yield(co);
	co->value = is_blocked(SIGUSR2);
}

Test(fiber, signal_mask_belongs_to_the_thread, .init = set_up, .fini = tear_down)
{
	struct kn_stack *stack = get_stack();
	struct coroutine co;
	sigset_t set;

	coroutine_init(&co, stack, change_mask);
	coroutine_resume(&co);
	cr_expect(is_blocked(SIGUSR1));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	coroutine_resume(&co);
	cr_expect_eq(co.value, 1);
	kn_stack_put(pool, stack);
}

/* ---- alignment and floating point -------------------------------------------------- */

typedef float vector __attribute__((vector_size(16)));

static void use_aligned_locals(struct coroutine *co)
{
	volatile vector local = {1, 2, 3, 4};
	char text[64];

	local = local + (vector){1, 1, 1, 1};
	/* Variable arguments in vector registers are saved by aligned stores. */
	snprintf(text, sizeof(text), "%.1f %.1f", (double)local[0], (double)local[3]);
	co->value = (uintptr_t)&local % 16 == 0 && strcmp(text, "2.0 5.0") == 0;
}

Test(fiber, entry_has_an_aligned_stack, .init = set_up, .fini = tear_down)
{
	/* One of each colour: their tops differ. */
	enum { COUNT = 33 };
	struct kn_stack *stacks[COUNT];

	for (int i = 0; i < COUNT; i++) {
		struct coroutine co;

		stacks[i] = get_stack();
		coroutine_init(&co, stacks[i], use_aligned_locals);
		coroutine_resume(&co);
		cr_expect_eq(co.value, 1, "stack %d", i);
	}
	for (int i = 0; i < COUNT; i++)
		kn_stack_put(pool, stacks[i]);
}

static void add_up(struct coroutine *co)
{
	double sum = 0, step = *(double *)co->arg;

	for (int i = 0; i < 100; i++) {
		sum += step;
		coroutine_yield(co);
	}
	*(double *)co->arg = sum;
}

Test(fiber, floating_point_values_survive, .init = set_up, .fini = tear_down)
{
	enum { COUNT = 8 };
	struct coroutine co[COUNT];
	struct kn_stack *stacks[COUNT];
	double values[COUNT];

	for (int i = 0; i < COUNT; i++) {
		stacks[i] = get_stack();
		coroutine_init(&co[i], stacks[i], add_up);
		values[i] = i + 0.25;
		co[i].arg = &values[i];
	}
	for (int round = 0; round < 101; round++)
		for (int i = 0; i < COUNT; i++)
			coroutine_resume(&co[i]);
	for (int i = 0; i < COUNT; i++) {
		cr_expect(co[i].done);
		cr_expect_float_eq(values[i], 100 * (i + 0.25), 1e-9);
		kn_stack_put(pool, stacks[i]);
	}
}

/* ---- chains, reuse, the end --------------------------------------------------------- */

/* Each resumes the next and yields once on the way down and once on the way up. */
static void resume_next(struct coroutine *co)
{
	struct coroutine *next = co->arg;

	if (next) {
		coroutine_resume(next);
		coroutine_resume(next);
		co->value = next->value + 1;
	}
	coroutine_yield(co);
}

Test(fiber, chains_of_fibers_unwind_in_order, .init = set_up, .fini = tear_down)
{
	long count = test_scale(2000, 2000, 2000, 100);
	struct coroutine *co = calloc((size_t)count, sizeof(*co));

	cr_assert_not_null(co);
	for (long i = 0; i < count; i++) {
		coroutine_init(&co[i], get_stack(), resume_next);
		co[i].arg = i + 1 < count ? &co[i + 1] : NULL;
	}
	coroutine_resume(&co[0]);
	cr_expect_eq(co[0].value, count - 1);
	cr_expect_not(co[0].done);
	coroutine_resume(&co[0]);
	for (long i = 0; i < count; i++) {
		cr_expect(co[i].done, "fiber %ld", i);
		kn_stack_put(pool, co[i].fiber.stack);
	}
	free(co);
}

static void count_deeply(struct coroutine *co, int depth)
{
	volatile char frame[32] = {0};

	if (depth)
		count_deeply(co, depth - 1);
	else
		co->value++;
	(void)frame[0];
}

static void end_after_some_calls(struct coroutine *co)
{
	count_deeply(co, 3);
	coroutine_yield(co);
	count_deeply(co, 3);
}

/* ThreadSanitizer's view of a stack is reused as well: its shadow of the call stack has
 * 65,536 entries, so what a fiber leaves behind there shows. */
Test(fiber, one_stack_serves_a_million_fibers, .init = set_up, .fini = tear_down)
{
	long count = test_scale(1000000, 1000000, 200000, 10000);
	struct kn_stack_stats stats;
	long sum = 0;

	for (long i = 0; i < count; i++) {
		struct kn_stack *stack = get_stack();
		struct coroutine co;

		coroutine_init(&co, stack, end_after_some_calls);
		coroutine_resume(&co);
		coroutine_resume(&co);
		cr_assert(co.done);
		sum += co.value;
		kn_stack_put(pool, stack);
	}
	cr_expect_eq(sum, 2 * count);
	kn_stack_pool_stats(pool, &stats);
	cr_expect_eq(stats.stacks, 1);
}

/* Bodies whose frames are in use when they are left behind for good. */
Test(fiber, abandoned_fibers_leave_the_stack_usable, .init = set_up, .fini = tear_down)
{
	long count = test_scale(10000, 10000, 200000, 100);
	long sum = 0;

	for (long i = 0; i < count; i++) {
		struct kn_stack *stack = get_stack();
		struct coroutine co;

		coroutine_init(&co, stack, end_after_some_calls);
		coroutine_resume(&co);
		sum += co.value;
		kn_fiber_abandon(&co.fiber);
		kn_stack_put(pool, stack);
	}
	cr_expect_eq(sum, count);
}

static void just_return(void *arg)
{
	(void)arg;
}

static void run_entry_that_returns(void *arg)
{
	struct kn_fiber thread, fiber;

	(void)arg;
	kn_fiber_init_thread(&thread);
	kn_fiber_init(&fiber, get_stack(), just_return, NULL);
	kn_fiber_switch(&thread, &fiber);
}

Test(fiber, entry_that_returns_ends_the_process, .init = set_up, .fini = tear_down)
{
	test_death(run_entry_that_returns, NULL, "knit: the entry of a fiber returned");
}
