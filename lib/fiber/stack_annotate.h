/* SPDX-License-Identifier: MIT */
/* stack_annotate.h - what checking tools must be told of the memory of stacks.
 *
 * AddressSanitizer: a stack that is not handed out may not be touched, and one that is
 * handed out carries no red zones of those who ran there before.
 *
 * valgrind: the same; and it has to know the bounds of each stack, to tell a switch from
 * a function with very large locals. */
#ifndef KN_FIBER_STACK_ANNOTATE_H
#define KN_FIBER_STACK_ANNOTATE_H
#include "fiber/stack.h"

#if KN_ASAN
void __asan_poison_memory_region(const volatile void *memory, size_t size);
void __asan_unpoison_memory_region(const volatile void *memory, size_t size);
#endif
#if KN_TSAN
void __tsan_destroy_fiber(void *fiber);
#endif
#ifdef HAVE_VALGRIND_MEMCHECK_H
#include <valgrind/memcheck.h>
#endif

/* For functions that look at memory of others: whatever the tools think of that. Not inline,
 * because clang checks what was inlined as it checks the caller. */
#if defined(__clang__)
#define KN_NO_SANITIZE                                                                      \
	__attribute__((no_sanitize("address", "thread"), disable_sanitizer_instrumentation, \
	               noinline))
#else
#define KN_NO_SANITIZE __attribute__((no_sanitize_address, no_sanitize_thread, noinline))
#endif

/* Is a tool there that wants to hear of stacks handed out and put back? */
static inline bool kn_stack_watched(void)
{
#ifdef HAVE_VALGRIND_MEMCHECK_H
	if (RUNNING_ON_VALGRIND)
		return true;
#endif
	return KN_ASAN;
}

/* @stack is handed out for the first time. */
static inline void kn_stack_annotate_new(struct kn_stack *stack)
{
#ifdef HAVE_VALGRIND_MEMCHECK_H
	stack->valgrind_id = VALGRIND_STACK_REGISTER(kn_stack_low(stack), stack->high);
#endif
	(void)stack;
}

/* Its memory is about to be unmapped. */
static inline void kn_stack_annotate_end(struct kn_stack *stack)
{
#if KN_ASAN
	__asan_unpoison_memory_region(kn_stack_low(stack), kn_stack_size(stack));
#endif
#if KN_TSAN
	if (stack->tsan_fiber)
		__tsan_destroy_fiber(stack->tsan_fiber);
#endif
#ifdef HAVE_VALGRIND_MEMCHECK_H
	VALGRIND_STACK_DEREGISTER(stack->valgrind_id);
#endif
	(void)stack;
}

static inline void kn_stack_annotate_get(struct kn_stack *stack)
{
#if KN_ASAN
	__asan_unpoison_memory_region(kn_stack_low(stack), kn_stack_size(stack));
#endif
#ifdef HAVE_VALGRIND_MEMCHECK_H
	VALGRIND_MAKE_MEM_UNDEFINED(kn_stack_low(stack), kn_stack_size(stack));
#endif
	(void)stack;
}

static inline void kn_stack_annotate_put(struct kn_stack *stack)
{
#if KN_ASAN
	__asan_poison_memory_region(kn_stack_low(stack), kn_stack_size(stack));
#endif
#ifdef HAVE_VALGRIND_MEMCHECK_H
	VALGRIND_MAKE_MEM_NOACCESS(kn_stack_low(stack), kn_stack_size(stack));
#endif
	(void)stack;
}

/* Around code that reads memory below a stack pointer, which valgrind takes for a mistake. */
static inline void kn_stack_annotate_peek(bool begin)
{
#ifdef HAVE_VALGRIND_MEMCHECK_H
	if (begin)
		VALGRIND_DISABLE_ERROR_REPORTING;
	else
		VALGRIND_ENABLE_ERROR_REPORTING;
#endif
	(void)begin;
}
#endif
