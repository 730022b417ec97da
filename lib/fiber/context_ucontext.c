/* SPDX-License-Identifier: MIT */
/* context_ucontext.c - the context switch by ucontext(3), for machines without one of ours.
 *
 * A suspended context is a ucontext_t on its own stack. swapcontext() keeps more than we
 * ask for: the signal mask, by a system call. In knit the mask belongs to the thread, so
 * the mask of the moment is written into the context that is about to be resumed.
 *
 * Not instrumented, as the other functions of a switch in fiber.c. */
#include "fiber/context.h"

#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#include "base/error.h"
#include "fiber/stack_annotate.h"

/* At the top of a fresh stack. */
struct start {
	ucontext_t context;
	kn_context_main *main;
	kn_fiber_entry *entry;
	void *arg;
};

/* makecontext() passes ints only. */
KN_NO_SANITIZE static void start_main(unsigned high, unsigned low)
{
	struct start *start = (struct start *)(uintptr_t)((uint64_t)high << 32 | low);

	start->main(start->entry, start->arg);
	kn_context_returned();
}

void *kn_context_make(void *high, kn_context_main *main, kn_fiber_entry *entry, void *arg,
                      uint64_t control)
{
	/* A cache line is at least the alignment that a ucontext_t asks for. */
	uintptr_t top = ((uintptr_t)high - sizeof(struct start)) & ~(uintptr_t)63;
	struct start *start = (struct start *)top;

	(void)control;
	memset(start, 0, sizeof(*start));
	start->main = main;
	start->entry = entry;
	start->arg = arg;
	kn_assert(getcontext(&start->context) == 0);
	/* Only the upper end counts, and glibc wants to hear of a size. */
	start->context.uc_stack.ss_sp = (void *)(top - 4096);
	start->context.uc_stack.ss_size = 4096;
	start->context.uc_link = NULL;
	makecontext(&start->context, (void (*)(void))start_main, 2, (unsigned)((uint64_t)top >> 32),
	            (unsigned)top);
	return &start->context;
}

uint64_t kn_context_control(void)
{
	return 0;
}

KN_NO_SANITIZE void kn_context_switch(void **save, void *to)
{
	ucontext_t here, *there = to;

	*save = &here;
	pthread_sigmask(SIG_BLOCK, NULL, &there->uc_sigmask);
	kn_assert(swapcontext(&here, there) == 0);
}

const char kn_context_inspected[1];

/* There is no unwind information that leads from one ucontext to another. */
void kn_context_inspect(void *to, void (*function)(void *arg), void *arg)
{
	(void)to;
	(void)function;
	(void)arg;
}
