/* SPDX-License-Identifier: MIT */
/* test_unwind.c - a call stack inside a fiber can be walked, and ends at its entry. */
#include <dlfcn.h>
#include <stdint.h>
#include <unwind.h>

#include "coroutine.h"
#include "test.h"

#define FRAMES_MAX 64

#ifndef KN_FIBER_UCONTEXT
extern char kn_context_start[];
#endif

struct walk {
	uintptr_t places[FRAMES_MAX], functions[FRAMES_MAX];
	int count;
	_Unwind_Reason_Code end;
};

static _Unwind_Reason_Code note_frame(struct _Unwind_Context *context, void *arg)
{
	struct walk *walk = arg;

	/* The end is told once more, as a frame at 0. */
	if (_Unwind_GetIP(context) == 0)
		return _URC_NO_REASON;
	if (walk->count == FRAMES_MAX)
		return _URC_NORMAL_STOP;
	walk->places[walk->count] = _Unwind_GetIP(context);
	walk->functions[walk->count++] = _Unwind_GetRegionStart(context);
	return _URC_NO_REASON;
}

__attribute__((noinline)) static void walk_here(struct coroutine *co)
{
	struct walk *walk = co->arg;

	walk->count = 0;
	walk->end = _Unwind_Backtrace(note_frame, walk);
}

/* Volatile, so that compilers do not make a loop of it. */
__attribute__((noinline)) static int descend(struct coroutine *co, int depth)
{
	volatile int below = 0;

	if (depth)
		below = descend(co, depth - 1);
	else
		walk_here(co);
	return below + 1;
}

static void walk_and_walk_again(struct coroutine *co)
{
	co->value = descend(co, 5);
	coroutine_yield(co);
	co->value += descend(co, 5);
}

static void expect_whole(const struct walk *walk)
{
	int at = 0;

	cr_expect_eq(walk->end, _URC_END_OF_STACK);
	cr_assert_lt(walk->count, FRAMES_MAX);
	while (at < walk->count && walk->functions[at] != (uintptr_t)descend)
		at++;
	/* descend() six times, the body, the fiber's functions; nothing of the thread's. */
	for (int i = 0; i < 6; i++)
		cr_expect_eq(walk->functions[at + i], (uintptr_t)descend, "frame %d", i);
	cr_expect_eq(walk->functions[at + 6], (uintptr_t)walk_and_walk_again);
	cr_expect_leq(walk->count, at + 7 + 4);
#ifndef KN_FIBER_UCONTEXT
	cr_assert_eq(walk->count, at + 7 + 3);
	cr_expect_geq(walk->places[walk->count - 1], (uintptr_t)kn_context_start);
	cr_expect_leq(walk->places[walk->count - 1], (uintptr_t)kn_context_start + 16);
#endif
}

Test(unwind, ends_at_the_entry_of_the_fiber)
{
	struct kn_stack_pool *pool = kn_stack_pool_new(65536, false, KN_GUARD_BEST);
	struct kn_stack *stack;
	struct coroutine co;
	struct walk walk;

	cr_assert_not_null(pool);
	stack = kn_stack_get(pool, 0);
	cr_assert_not_null(stack);
	coroutine_init(&co, stack, walk_and_walk_again);
	co.arg = &walk;
	coroutine_resume(&co);
	expect_whole(&walk);
	coroutine_resume(&co);
	expect_whole(&walk);
	cr_expect_eq(co.value, 12);
	kn_stack_put(pool, stack);
	kn_stack_pool_free(pool);
}
