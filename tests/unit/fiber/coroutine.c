/* SPDX-License-Identifier: MIT */
/* coroutine.c - the smallest coroutine on top of lib/fiber, for its tests. */
#include "coroutine.h"

#include <string.h>

__thread struct kn_fiber *coroutine_current;
static __thread struct kn_fiber thread_fiber;

static void coroutine_main(void *arg)
{
	struct coroutine *co = arg;

	co->body(co);
	co->done = true;
	kn_overflow_set_current(co->resumer->stack);
	coroutine_current = co->resumer;
	kn_fiber_exit(&co->fiber, co->resumer);
}

void coroutine_init(struct coroutine *co, struct kn_stack *stack, void (*body)(struct coroutine *))
{
	if (!coroutine_current) {
		kn_fiber_init_thread(&thread_fiber);
		coroutine_current = &thread_fiber;
	}
	memset(co, 0, sizeof(*co));
	co->body = body;
	kn_fiber_init(&co->fiber, stack, coroutine_main, co);
}

void coroutine_resume(struct coroutine *co)
{
	co->resumer = coroutine_current;
	coroutine_current = &co->fiber;
	kn_overflow_set_current(co->fiber.stack);
	kn_fiber_switch(co->resumer, &co->fiber);
}

void coroutine_yield(struct coroutine *co)
{
	coroutine_current = co->resumer;
	kn_overflow_set_current(co->resumer->stack);
	kn_fiber_switch(&co->fiber, co->resumer);
}
