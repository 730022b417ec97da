/* SPDX-License-Identifier: MIT */
/* test_sanitizer.c - bugs seeded inside fibers are reported, with the fiber's own stack, and
 * fibers without bugs are not. Each test is for one tool; under others it is skipped. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coroutine.h"
#include "memory.h"
#include "test.h"

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

#if !KN_TSAN
static void run_twice(void *body)
{
	struct coroutine co;

	coroutine_init(&co, stack, (void (*)(struct coroutine *))body);
	coroutine_resume(&co);
	coroutine_resume(&co);
}
#endif

#if KN_ASAN

void *__asan_get_current_fake_stack(void);

__attribute__((noinline)) static void seeded_overrun(char *memory, size_t size)
{
	memory[size] = 1;
}

static void overrun_heap(struct coroutine *co)
{
	volatile size_t size = 100;
	char *memory = malloc(size);

	coroutine_yield(co);
	seeded_overrun(memory, size);
	free(memory);
}

Test(asan, bug_in_a_fiber_is_reported, .init = set_up, .fini = tear_down)
{
	test_death(run_twice, (void *)overrun_heap, "heap-buffer-overflow");
}

Test(asan, report_names_the_functions_of_the_fiber, .init = set_up, .fini = tear_down)
{
	test_death(run_twice, (void *)overrun_heap, " in seeded_overrun");
	test_death(run_twice, (void *)overrun_heap, " in overrun_heap");
#ifndef KN_FIBER_UCONTEXT
	test_death(run_twice, (void *)overrun_heap, " in kn_context_start");
#endif
}

static void overrun_local(struct coroutine *co)
{
	char local[16] = {0};

	coroutine_yield(co);
	seeded_overrun(local, sizeof(local));
}

Test(asan, overrun_of_a_local_is_reported, .init = set_up, .fini = tear_down)
{
	test_death(run_twice, (void *)overrun_local, "stack-buffer-overflow");
}

/* Not among the locals that live on the fake stack. */
__attribute__((noinline)) static void overrun_in_real_stack(void)
{
	volatile size_t size = 100;
	char *memory = __builtin_alloca(size);

	seeded_overrun(memory, size);
}

static void overrun_after_yield(struct coroutine *co)
{
	coroutine_yield(co);
	overrun_in_real_stack();
}

static void overrun_in_thread(void *arg)
{
	run_twice(arg);
	overrun_in_real_stack();
}

static void only_yield(struct coroutine *co)
{
	coroutine_yield(co);
}

/* It knows the stack that it is on, that of a fiber and the thread's own. */
Test(asan, addresses_are_found_on_either_stack, .init = set_up, .fini = tear_down)
{
	test_death(run_twice, (void *)overrun_after_yield, "is located in stack of thread T0");
	test_death(overrun_in_thread, (void *)only_yield, "is located in stack of thread T0");
}

/* A fake stack is some ten times the size of the stack. */
Test(asan, fake_stacks_go_with_their_fibers, .init = set_up, .fini = tear_down)
{
	size_t before = 0, after;

	for (int i = 0; i < 1000; i++) {
		struct coroutine co;

		if (i == 10)
			before = memory_status("VmSize");
		coroutine_init(&co, stack, only_yield);
		coroutine_resume(&co);
		if (i % 2)
			coroutine_resume(&co);
		else
			kn_fiber_abandon(&co.fiber);
	}
	after = memory_status("VmSize");
	cr_expect_lt(after, before + 50 * 65536);
}

static char *volatile escaped;

__attribute__((noinline)) static void let_escape(struct coroutine *co)
{
	char local[16];

	memset(local, 0, sizeof(local));
	escaped = local;
	coroutine_yield(co);
}

static void use_after_return(struct coroutine *co)
{
	let_escape(co);
	escaped[0] = 1;
}

Test(asan, use_after_return_is_reported_across_a_switch, .init = set_up, .fini = tear_down)
{
	if (!__asan_get_current_fake_stack())
		test_skip("detect_stack_use_after_return is off");
	test_death(run_twice, (void *)use_after_return, "stack-use-after-return");
}

static void keep_address(struct coroutine *co)
{
	escaped = (char *)co->fiber.stack->high - 200;
}

static void use_stack_after_put(void *arg)
{
	run_twice(arg);
	kn_stack_put(pool, stack);
	escaped[0] = 1;
}

static void keep_address_twice(struct coroutine *co)
{
	keep_address(co);
	coroutine_yield(co);
}

Test(asan, use_of_a_stack_that_was_put_back_is_reported, .init = set_up, .fini = tear_down)
{
	test_death(use_stack_after_put, (void *)keep_address_twice, "use-after-poison");
}

#elif KN_TSAN

static long shared;

static void count_often(struct coroutine *co)
{
	for (int i = 0; i < 1000; i++) {
		*(volatile long *)&shared += 1;
		coroutine_yield(co);
	}
}

static void count_in_fiber(struct kn_stack_pool *from)
{
	struct kn_stack *own = kn_stack_get(from, 0);
	struct coroutine co;

	coroutine_init(&co, own, count_often);
	while (!co.done)
		coroutine_resume(&co);
	kn_stack_put(from, own);
}

/* Relaxed: they put the threads' steps in order without the tool taking it for such. */
static _Atomic bool first_counted, second_counted;

static void wait_for(_Atomic bool *flag)
{
	while (!atomic_load_explicit(flag, memory_order_relaxed))
		sched_yield();
}

static void *count_first(void *from)
{
	count_in_fiber(from);
	atomic_store_explicit(&first_counted, true, memory_order_relaxed);
	/* What a thread did is forgotten some time after its end. */
	wait_for(&second_counted);
	return NULL;
}

static void race(void *arg)
{
	struct kn_stack_pool *other = kn_stack_pool_new(65536, false, KN_GUARD_BEST);
	pthread_t thread;

	(void)arg;
	if (pthread_create(&thread, NULL, count_first, other) != 0)
		_exit(0);
	wait_for(&first_counted);
	count_in_fiber(pool);
	atomic_store_explicit(&second_counted, true, memory_order_relaxed);
	pthread_join(thread, NULL);
}

Test(tsan, race_between_fibers_of_two_threads_is_reported, .init = set_up, .fini = tear_down)
{
	test_death(race, NULL, "data race");
	test_death(race, NULL, "count_often");
}

Test(tsan, fibers_of_one_thread_do_not_race, .init = set_up, .fini = tear_down)
{
	struct kn_stack *other = kn_stack_get(pool, 0);
	struct coroutine a, b;

	cr_assert_not_null(other);
	shared = 0;
	coroutine_init(&a, stack, count_often);
	coroutine_init(&b, other, count_often);
	while (!a.done) {
		coroutine_resume(&a);
		coroutine_resume(&b);
	}
	cr_expect_eq(shared, 2000);
	kn_stack_put(pool, other);
}

#else

static void leave_undefined_locals(struct coroutine *co)
{
	volatile char locals[1000];

	locals[0] = 1;
	coroutine_yield(co);
	co->value = locals[0];
}

/* Under valgrind each of these would be a report if it did not know the bounds of stacks
 * or took what an earlier user left for valid. */
Test(valgrind, stacks_are_used_one_after_another, .init = set_up, .fini = tear_down)
{
	for (int i = 0; i < 100; i++) {
		run_twice((void *)leave_undefined_locals);
		kn_stack_put(pool, stack);
		stack = kn_stack_get(pool, 0);
		cr_assert_not_null(stack);
	}
}

#endif
