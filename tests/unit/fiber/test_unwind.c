/* SPDX-License-Identifier: MIT */
/* test_unwind.c - a call stack inside a fiber can be walked, and ends at its entry. */
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>
#include <unwind.h>

#include "coroutine.h"
#include "test.h"

#define FRAMES_MAX 64

/* Where the assembler begins, and where a context does. */
#ifndef KN_FIBER_UCONTEXT
extern char kn_context_jump[];
#endif

static struct kn_stack_pool *pool;
static struct kn_stack *stack;

static void set_up(void)
{
	pool = kn_stack_pool_new(65536, false, KN_GUARD_BEST);
	cr_assert_not_null(pool);
	stack = kn_stack_get(pool, 0);
	cr_assert_not_null(stack);
}

static void tear_down(void)
{
	kn_stack_put(pool, stack);
	kn_stack_pool_free(pool);
}

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
	/* The fiber's first function goes on by a jump, if compilers are let. */
	cr_assert_geq(walk->count, at + 7 + 2);
	cr_expect_geq(walk->places[walk->count - 1], (uintptr_t)kn_context_start);
	cr_expect_leq(walk->places[walk->count - 1], (uintptr_t)kn_context_start + 32);
#endif
}

Test(unwind, ends_at_the_entry_of_the_fiber, .init = set_up, .fini = tear_down)
{
	struct coroutine co;
	struct walk walk;

	coroutine_init(&co, stack, walk_and_walk_again);
	co.arg = &walk;
#if defined(__x86_64__) && !defined(KN_FIBER_UCONTEXT)
	/* Above the entry lies nothing that is meant for unwinders. */
	memset(stack->high - 16, 0x55, 16);
#endif
	coroutine_resume(&co);
	expect_whole(&walk);
	coroutine_resume(&co);
	expect_whole(&walk);
	cr_expect_eq(co.value, 12);
}

#if defined(__x86_64__) && !defined(KN_FIBER_UCONTEXT)
/* The processor stops after each instruction while its trap flag is set. A debugger or a
 * profiler may look at each of those moments, so the call stack must be whole at each. */
static unsigned steps, steps_on_fiber, steps_broken;

__attribute__((noinline)) static void step_in_fiber(struct coroutine *co)
{
	for (int i = 0; i < 3; i++)
		coroutine_yield(co);
	co->value++;
}

__attribute__((noinline)) static void step_in_thread(struct coroutine *co)
{
	while (!co->done)
		coroutine_resume(co);
	co->value++;
}

static bool has_function(const struct walk *walk, uintptr_t function)
{
	for (int i = 0; i < walk->count; i++)
		if (walk->functions[i] == function)
			return true;
	return false;
}

static void on_step(int number, siginfo_t *info, void *context)
{
	uintptr_t at = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
	struct walk walk = {.count = 0};
	bool on_fiber, on_thread;

	(void)number;
	(void)info;
	/* Elsewhere the compiler is responsible. */
	if (at - (uintptr_t)kn_context_jump >= 64 && at - (uintptr_t)kn_context_leave >= 32 &&
	    at - (uintptr_t)kn_context_start >= 32)
		return;
	walk.end = _Unwind_Backtrace(note_frame, &walk);
	on_fiber = has_function(&walk, (uintptr_t)kn_context_start);
	on_thread = has_function(&walk, (uintptr_t)step_in_thread);
	steps++;
	steps_on_fiber += on_fiber;
	steps_broken += walk.end != _URC_END_OF_STACK || on_fiber == on_thread;
}

static void set_trap_flag(bool on)
{
	/* Past the red zone, where the compiler may keep locals. */
	if (on)
		__asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq;"
		                 "lea 128(%%rsp), %%rsp" ::
		                         : "cc", "memory");
	else
		__asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; andq $~0x100, (%%rsp); popfq;"
		                 "lea 128(%%rsp), %%rsp" ::
		                         : "cc", "memory");
}

static void handle_steps(void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};

	if (test_scale(0, 1, 1, 1))
		test_skip("tools have no trap flag, or put off signals");
	sigemptyset(&action.sa_mask);
	cr_assert_eq(sigaction(SIGTRAP, &action, NULL), 0);
}

Test(unwind, is_whole_at_every_instruction_of_a_switch, .init = set_up, .fini = tear_down)
{
	struct coroutine co;

	handle_steps(on_step);
	coroutine_init(&co, stack, step_in_fiber);
	set_trap_flag(true);
	step_in_thread(&co);
	set_trap_flag(false);
	cr_expect_eq(co.value, 2);
	cr_expect_eq(steps_broken, 0, "of %u", steps);
	/* 7 switches of 13 instructions, each half on either side, a start and an end of 7. */
	cr_expect_geq(steps, 7 * 13 + 7 + 7);
	cr_expect_geq(steps_on_fiber, steps / 4);
	cr_expect_leq(steps_on_fiber, steps * 3 / 4);
}

/* Variables of suspended functions live in callee-saved registers, which a debugger finds by
 * the same tables. In test_context.c. */
void switch_with_registers(void **save, void *to, const uint64_t *in, uint64_t *out);

#define REGISTERS 6
/* rbx, rbp, r12 .. r15, as the unwinder numbers them */
static const int register_numbers[REGISTERS] = {3, 6, 12, 13, 14, 15};

static void *contexts[2];
static uint64_t values[2][REGISTERS];
static unsigned seen[2], unlike;

static void switch_back(kn_fiber_entry *entry, void *arg)
{
	uint64_t out[REGISTERS];

	(void)entry;
	(void)arg;
	for (;;)
		switch_with_registers(&contexts[1], contexts[0], values[1], out);
}

struct look {
	uintptr_t at; /* the instruction that is next in the switch */
	bool found;
};

static _Unwind_Reason_Code look_at_registers(struct _Unwind_Context *context, void *arg)
{
	unsigned side = _Unwind_GetGR(context, register_numbers[0]) == values[1][0];
	struct look *look = arg;

	/* The next frame but those of the switch is the caller's. */
	if (!look->found) {
		look->found = _Unwind_GetIP(context) == look->at;
		return _URC_NO_REASON;
	}
	if (_Unwind_GetIP(context) - (uintptr_t)kn_context_switch < 64)
		return _URC_NO_REASON;
	seen[side]++;
	for (int i = 0; i < REGISTERS; i++)
		unlike += _Unwind_GetGR(context, register_numbers[i]) != values[side][i];
	return _URC_NORMAL_STOP;
}

static void on_step_with_registers(int number, siginfo_t *info, void *context)
{
	uintptr_t at = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
	struct look look = {.at = at};

	(void)number;
	(void)info;
	if ((at >= (uintptr_t)kn_context_switch && at < (uintptr_t)kn_context_switch + 64) ||
	    (at >= (uintptr_t)kn_context_jump && at < (uintptr_t)kn_context_jump + 64))
		_Unwind_Backtrace(look_at_registers, &look);
}

Test(unwind, finds_the_callers_registers_at_every_instruction_of_a_switch, .init = set_up,
     .fini = tear_down)
{
	uint64_t out[REGISTERS];

	handle_steps(on_step_with_registers);
	for (int i = 0; i < REGISTERS; i++) {
		values[0][i] = (uint64_t)i + 1000;
		values[1][i] = (uint64_t)i + 2000;
	}
	contexts[1] = kn_context_make(stack->high, switch_back, NULL, NULL, kn_context_control());
	/* The first switch is to a side that has no registers yet. */
	switch_with_registers(&contexts[0], contexts[1], values[0], out);
	set_trap_flag(true);
	switch_with_registers(&contexts[0], contexts[1], values[0], out);
	set_trap_flag(false);
	cr_expect_eq(unlike, 0);
	cr_expect_geq(seen[0], 15, "%u", seen[0]);
	cr_expect_geq(seen[1], 15, "%u", seen[1]);
}
#endif
