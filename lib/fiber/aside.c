/* SPDX-License-Identifier: MIT */
/* aside.c - a suspended fiber without its stack's pages.
 *
 * A fiber that is suspended needs the bytes from its stack pointer up, a few hundred mostly, and
 * holds the page that they lie on. So they are copied to memory of just that size, and the pages
 * go back to the kernel, those of neighbouring stacks in one call. Before the fiber goes on its
 * bytes are written back to the same addresses, so pointers into the stack stay true; but while
 * it is aside they lead to zeros, and what is written there is lost.
 *
 * The stack pointer of a fiber is even, so an odd one tells where the copy is: whoever is about
 * to switch to a fiber has loaded it anyway.
 *
 * What stays as it is: fibers with more than half a page in use, which gain little; painted
 * stacks, whose high-water mark is in the bytes; damaged ones, to be reported when they are put
 * back. Other stacks tell their touched pages before these go. */
#include "fiber/fiber.h"

#include <string.h>

#include "base/alloc.h"
#include "fiber/stack_annotate.h"
#include "fiber/stack_slab.h"

#define LIVE_MAX 2048

struct copy {
	void *sp;
	char bytes[];
};

/* Meets the red zones of AddressSanitizer. */
#if KN_ASAN || KN_TSAN
KN_NO_SANITIZE static void move(char *to, const char *from, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((volatile char *)to)[i] = ((const volatile char *)from)[i];
}
#else
#define move memcpy
#endif

bool kn_fiber_put_aside(struct kn_fiber *fiber, struct kn_stack_range *range)
{
	struct kn_stack *stack = fiber->stack;
	char *sp = fiber->sp;
	size_t size = (size_t)(stack->high - sp);
	struct copy *copy;

	/* Of a ucontext_t that is not its lowest byte we do not know what lies below. */
	if (!KN_CONTEXT_IS_LOWEST || size > LIVE_MAX || stack->painted || !kn_stack_intact(stack))
		return false;
	copy = kn_malloc(sizeof(*copy) + size);
	if (!copy)
		return false;
	copy->sp = sp;
	move(copy->bytes, sp, size);
	fiber->sp = (char *)copy + 1;
	kn_stack_note_touched(stack);
	kn_stack_range_add(range, stack);
	return true;
}

void kn_fiber_bring_back(struct kn_fiber *fiber)
{
	struct copy *copy = (struct copy *)(void *)((char *)fiber->sp - 1);
	char *sp = copy->sp;

	move(sp, copy->bytes, (size_t)(fiber->stack->high - sp));
	fiber->sp = sp;
	kn_free(copy);
}
