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
#include <stdint.h>

typedef void kn_fiber_entry(void *arg);

/* What a context runs: must not return. If it does, kn_context_returned() ends the process. */
typedef void kn_context_main(kn_fiber_entry *entry, void *arg);

__attribute__((noreturn)) void kn_context_returned(void);

/* The caller's floating-point control words, as a context begins with them. */
uint64_t kn_context_control(void);

#if defined(__x86_64__) && !defined(__ILP32__) && !defined(KN_FIBER_UCONTEXT)
#define KN_CONTEXT_X86_64 1
#else
#define KN_CONTEXT_X86_64 0
#endif

/* Where a context begins, as backtraces show it. Not there with ucontext. */
extern const char kn_context_start[];

/* Prepares a context on the stack that ends at @high, suspended just before it calls
 * @main(@entry, @arg), with the floating-point control words @control. (With ucontext: with the
 * caller's.) */
#if KN_CONTEXT_X86_64
static inline void *kn_context_make(void *high, kn_context_main *main, kn_fiber_entry *entry,
                                    void *arg, uint64_t control)
{
	uint64_t *frame = (uint64_t *)((uintptr_t)high & ~(uintptr_t)15) - 8;

	frame[0] = control;
	frame[1] = 0;                               /* rbp: ends a chain of frame pointers */
	frame[2] = (uintptr_t)kn_context_start + 1; /* past its nop */
	frame[3] = (uintptr_t)main;
	frame[4] = (uintptr_t)entry;
	frame[5] = (uintptr_t)arg;
	frame[6] = frame[7] = 0; /* for tools that look here for a return address */
	return frame;
}
#else
void *kn_context_make(void *high, kn_context_main *main, kn_fiber_entry *entry, void *arg,
                      uint64_t control);
#endif

/* Is the pointer that stands for a suspended context the lowest byte of its stack in use? */
#if defined(KN_FIBER_UCONTEXT) || \
        (!defined(__aarch64__) && (!defined(__x86_64__) || defined(__ILP32__)))
#define KN_CONTEXT_IS_LOWEST 0
#else
#define KN_CONTEXT_IS_LOWEST 1
#endif

/* Suspends the running context, stores it in *@save and resumes @to. */
void kn_context_switch(void **save, void *to);

/* Resumes @to; the running context never runs again. */
#if KN_CONTEXT_X86_64
__attribute__((noreturn)) void kn_context_leave(void *to);
#else
__attribute__((noreturn)) static inline void kn_context_leave(void *to)
{
	void *lost;

	kn_context_switch(&lost, to);
	__builtin_unreachable();
}
#endif

/* Calls @function(@arg) on the caller's stack, in a frame from which a backtrace goes on into the
 * frames of the suspended context @to, where its return address is kn_context_inspected. Does not
 * call it where that cannot be done (context_ucontext.c). */
void kn_context_inspect(void *to, void (*function)(void *arg), void *arg);
extern const char kn_context_inspected[];

/* The same without a call. Processors predict returns from the calls they have seen; the call
 * of a switch is one that is never returned from, and puts out of step all returns that
 * follow on the other side. Without it, a task returns as predicted from a function that
 * another task has called at the same place, which is what tasks do that wait in turn
 * (35 against 41 ns for a task that yields through three functions to a loop and comes back).
 *
 * Needs -mno-red-zone: compilers keep locals below the stack pointer of functions that call
 * nothing, as which they see those with a switch. */
#if KN_CONTEXT_X86_64
#if defined(__AVX512F__)
#define KN_CONTEXT_CLOBBERS_AVX512                                                               \
	, "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24",       \
	        "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k0", "k1", "k2", \
	        "k3", "k4", "k5", "k6", "k7"
#else
#define KN_CONTEXT_CLOBBERS_AVX512
#endif
static inline void kn_context_switch_inline(void **save, void *to)
{
	/* All registers are lost but rbp, which not every compiler lets go. */
	__asm__ volatile("lea 1f(%%rip), %%rax\n\t"
	                 "jmp kn_context_jump\n"
	                 "1:"
	                 : "+D"(save), "+S"(to)
	                 :
	                 : "rax", "rbx", "rcx", "rdx", "r12", "r13", "r14", "r15", "r8", "r9",
	                   "r10", "r11", "cc", "memory", "st", "st(1)", "st(2)", "st(3)", "st(4)",
	                   "st(5)", "st(6)", "st(7)", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",
	                   "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
	                   "xmm13", "xmm14", "xmm15" KN_CONTEXT_CLOBBERS_AVX512);
}
#else
#define kn_context_switch_inline kn_context_switch
#endif
#endif
