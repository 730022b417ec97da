/* SPDX-License-Identifier: MIT */
/* coroutine.h - the smallest coroutine on top of lib/fiber, for its tests. */
#ifndef TEST_FIBER_COROUTINE_H
#define TEST_FIBER_COROUTINE_H
#include <stdbool.h>
#include "fiber/fiber.h"

struct coroutine {
	struct kn_fiber fiber;
	struct kn_fiber *resumer; /* who waits for it */
	void (*body)(struct coroutine *);
	void *arg;
	long value; /* for the body and the test */
	bool done;
};

/* The fiber that runs in this thread: its own stack's, outside coroutines. */
extern __thread struct kn_fiber *coroutine_current;

/* Prepares @co to run @body on @stack, at the first resume. */
void coroutine_init(struct coroutine *co, struct kn_stack *stack, void (*body)(struct coroutine *));

/* Runs it until it yields or ends. */
void coroutine_resume(struct coroutine *co);

void coroutine_yield(struct coroutine *co);

#endif
