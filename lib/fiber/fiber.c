/* SPDX-License-Identifier: MIT */
/* fiber.c - preparing fibers, and what checking tools must be told of a switch.
 *
 * In a plain build a switch is inline in fiber.h and nothing of it is here.
 *
 * AddressSanitizer knows one stack a thread, and keeps the locals of functions on a "fake
 * stack" when it looks for use after return. A switch is announced with the bounds of the
 * stack it goes to and completed on the other side; the fake stack of the suspended side
 * is kept with it. A fiber that ends announces without keeping, which frees it.
 *
 * ThreadSanitizer has a context of its own for each fiber: a shadow of the call stack and
 * a clock. It is dear to make, so it stays with the stack and serves all fibers that run
 * there one after another. Therefore its shadow of the call stack must be empty when a
 * fiber ends, but kn_fiber_exit() is called deep inside functions that never return. The
 * one way to empty it is longjmp() to the top of the fiber, which the tool understands.
 * All switches happen in one function, so what it pushes on one fiber's shadow it pops on
 * the same: nothing underflows.
 *
 * The functions of a switch are not instrumented: they run half on one stack, half on another. */
#include "fiber/fiber.h"

#include <string.h>

#include "base/error.h"
#include "fiber/stack_annotate.h"

#if KN_TSAN
/* The checking variant of longjmp() is not known to ThreadSanitizer. */
#undef _FORTIFY_SOURCE
#include <setjmp.h>
#endif

#if KN_ASAN || KN_TSAN
#define HALF_AND_HALF KN_NO_SANITIZE
#else
#define HALF_AND_HALF
#endif

/* Weak: there only if the program has a C++ run-time library. */
extern struct kn_exceptions *__cxa_get_globals(void) __attribute__((weak));

__thread struct kn_fiber_thread kn_fiber_thread;

#if KN_ASAN
void __sanitizer_start_switch_fiber(void **save, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake_stack, const void **ret_bottom, size_t *ret_size);

/* Whose bounds the other side of the switch is about to learn; NULL if it has ended. */
static __thread struct kn_fiber *suspended;

HALF_AND_HALF static void asan_leave(struct kn_fiber *from, struct kn_fiber *to, bool ends)
{
	suspended = ends ? NULL : from;
	__sanitizer_start_switch_fiber(ends ? NULL : &from->asan_fake_stack, to->asan_bottom,
	                               to->asan_size);
}

HALF_AND_HALF static void asan_arrive(void *fake_stack)
{
	const void *bottom;
	size_t size;

	__sanitizer_finish_switch_fiber(fake_stack, &bottom, &size);
	/* The bounds of a thread's own stack are learned when it is left first. */
	if (suspended && !suspended->stack) {
		suspended->asan_bottom = bottom;
		suspended->asan_size = size;
	}
}
#endif

#if KN_TSAN
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);

/* The sides of the switch that is under way, for those who cannot be told otherwise. */
static __thread struct kn_fiber *started, *ended, *next;
#endif

HALF_AND_HALF void kn_fiber_main(kn_fiber_entry *entry, void *arg)
{
#if KN_ASAN
	asan_arrive(NULL);
#endif
#if KN_TSAN
	jmp_buf top;

	if (_setjmp(top)) {
		__tsan_switch_to_fiber(next->tsan_fiber, 0);
		kn_context_switch(&ended->sp, next->sp);
		__builtin_unreachable();
	}
	started->tsan_exit = &top;
#endif
	if (kn_fiber_thread.exceptions)
		memset(kn_fiber_thread.exceptions, 0, sizeof(*kn_fiber_thread.exceptions));
	*kn_fiber_thread.error = 0;
	entry(arg);
}

void kn_context_returned(void)
{
	kn_panic("the entry of a fiber returned");
}

void kn_fiber_init_thread(struct kn_fiber *fiber)
{
	memset(fiber, 0, sizeof(*fiber));
	kn_fiber_thread.error = &errno;
	kn_fiber_thread.control = kn_context_control();
	if (__cxa_get_globals)
		kn_fiber_thread.exceptions = __cxa_get_globals();
#if KN_TSAN
	fiber->tsan_fiber = __tsan_get_current_fiber();
#endif
}

#if KN_ASAN || KN_TSAN
void kn_fiber_init_annotated(struct kn_fiber *fiber, struct kn_stack *stack)
{
#if KN_ASAN
	fiber->asan_fake_stack = NULL;
	fiber->asan_bottom = kn_stack_low(stack);
	fiber->asan_size = kn_stack_size(stack);
#endif
#if KN_TSAN
	if (!stack->tsan_fiber)
		stack->tsan_fiber = __tsan_create_fiber(0);
	fiber->tsan_fiber = stack->tsan_fiber;
#endif
}
#endif

bool kn_fiber_exits_in_place(void)
{
#ifdef KN_FIBER_UCONTEXT
	return false; /* makecontext() has its own ideas of where a frame goes */
#else
	return !KN_ASAN && !KN_TSAN && !kn_stack_watched();
#endif
}

#if KN_ASAN || KN_TSAN
HALF_AND_HALF void kn_fiber_switch_annotated(struct kn_fiber *from, struct kn_fiber *to)
{
#if KN_ASAN
	asan_leave(from, to, false);
#endif
#if KN_TSAN
	started = to;
	__tsan_switch_to_fiber(to->tsan_fiber, 0);
#endif
	kn_context_switch(&from->sp, to->sp);
#if KN_ASAN
	asan_arrive(from->asan_fake_stack);
#endif
}

KN_NORETURN HALF_AND_HALF void kn_fiber_exit_annotated(struct kn_fiber *from, struct kn_fiber *to)
{
#if KN_ASAN
	asan_leave(from, to, true);
	kn_context_switch(&from->sp, to->sp);
	__builtin_unreachable();
#else
	ended = from;
	next = to;
	longjmp(*(jmp_buf *)from->tsan_exit, 1);
#endif
}
#endif

#if KN_ASAN
/* A fake stack can be freed only by the one it belongs to: for a moment we say that we
 * are on that fiber, and that it ends. */
HALF_AND_HALF static void asan_free_fake_stack(struct kn_fiber *fiber)
{
	const void *bottom;
	size_t size;
	void *own;

	__sanitizer_start_switch_fiber(&own, fiber->asan_bottom, fiber->asan_size);
	__sanitizer_finish_switch_fiber(fiber->asan_fake_stack, &bottom, &size);
	__sanitizer_start_switch_fiber(NULL, bottom, size);
	__sanitizer_finish_switch_fiber(own, NULL, NULL);
}
#endif

void kn_fiber_abandon(struct kn_fiber *fiber)
{
	if (kn_fiber_is_aside(fiber))
		kn_fiber_bring_back(fiber);
#if KN_ASAN
	asan_free_fake_stack(fiber);
#endif
#if KN_TSAN
	/* Its shadow of the call stack is not empty, so nobody else can use it. */
	__tsan_destroy_fiber(fiber->tsan_fiber);
	fiber->stack->tsan_fiber = NULL;
#endif
	fiber->sp = NULL;
}
