/* SPDX-License-Identifier: MIT */
/* context.h - the bare context switch, one implementation for each machine.
 *
 * A suspended context is one pointer into its own stack. A switch keeps what the ABI
 * asks a called function to keep, the floating-point control words included, and
 * nothing else: errno, the C++ exception globals and the annotations for checking
 * tools are fiber.h's. The signal mask belongs to the thread and is not touched.
 *
 * switch_x86_64.S, switch_aarch64.S, and context_ucontext.c for all other machines. */
#ifndef KN_FIBER_CONTEXT_H
#define KN_FIBER_CONTEXT_H

typedef void kn_fiber_entry(void *arg);

/* What a context runs: must not return. */
typedef void kn_context_main(kn_fiber_entry *entry, void *arg);

/* Prepares a context on the stack that ends at @high, suspended just before it calls
 * @main(@entry, @arg), with the floating-point environment of the caller. */
void *kn_context_make(void *high, kn_context_main *main, kn_fiber_entry *entry, void *arg);

/* Suspends the running context, stores it in *@save and resumes @to. */
void kn_context_switch(void **save, void *to);
#endif
