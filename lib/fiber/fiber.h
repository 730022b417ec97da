/* SPDX-License-Identifier: MIT */
/* fiber.h - contexts that run on stacks of their own, and the switch between them.
 *
 * Symmetric: a switch names both sides. The sanitizers, valgrind, errno and the C++
 * exception globals are told or saved here, so nobody above needs to know of them. */
#ifndef KN_FIBER_FIBER_H
#define KN_FIBER_FIBER_H
#include "fiber/stack.h"

typedef void kn_fiber_entry(void *arg);

struct kn_fiber {
	void *sp;               /* where it is suspended */
	struct kn_stack *stack; /* borrowed; NULL for a thread's own stack */
	void *asan_fake_stack;  /* AddressSanitizer's frames of the suspended side */
	const void *asan_bottom;
	size_t asan_size;
	void *tsan_fiber;
};

/* Makes @fiber stand for the calling thread's own stack. */
void kn_fiber_init_thread(struct kn_fiber *fiber);

/* Prepares @fiber to run @entry(@arg) on @stack at the first switch to it. @entry must not
 * return: it ends in kn_fiber_exit(). */
void kn_fiber_init(struct kn_fiber *fiber, struct kn_stack *stack, kn_fiber_entry *entry,
                   void *arg);

/* Suspends @from, which is the running one, and resumes @to. Returns when somebody
 * switches back. Keeps errno and, in C++ programs, the exceptions being handled. */
void kn_fiber_switch(struct kn_fiber *from, struct kn_fiber *to);

/* As above, but @from never runs again, so its stack may be put back by @to. */
KN_NORETURN void kn_fiber_exit(struct kn_fiber *from, struct kn_fiber *to);

/* Drops what the annotations keep for a fiber that will never be resumed again. */
void kn_fiber_abandon(struct kn_fiber *fiber);
#endif
