/* SPDX-License-Identifier: MIT */
/* fiber.h - contexts that run on stacks of their own, and the switch between them.
 *
 * Symmetric: a switch names both sides. The sanitizers, valgrind, errno and the C++
 * exception globals are told or saved here, so nobody above needs to know of them.
 *
 * A fiber stays on the thread that first runs it: compilers keep the addresses of
 * thread-local variables, that of errno included, in registers over a call. */
#ifndef KN_FIBER_FIBER_H
#define KN_FIBER_FIBER_H
#include <errno.h>
#include "base/compiler.h"
#include "fiber/context.h"
#include "fiber/stack.h"

struct kn_fiber {
	void *sp;               /* where it is suspended; odd: put aside */
	struct kn_stack *stack; /* borrowed; NULL for a thread's own stack */
#if KN_ASAN
	void *asan_fake_stack; /* AddressSanitizer's frames of the suspended side */
	const void *asan_bottom;
	size_t asan_size;
#endif
#if KN_TSAN
	void *tsan_fiber; /* borrowed from the stack, or the thread's own */
	void *tsan_exit;  /* self: jmp_buf at the top of its stack */
#endif
};

/* Makes @fiber stand for the calling thread's own stack. Call it in the thread that
 * will switch, before the first switch there. */
void kn_fiber_init_thread(struct kn_fiber *fiber);

/* Prepares @fiber to run @entry(@arg) on @stack at the first switch to it, with errno
 * 0, no exception being handled and the rounding and the like that the thread had at
 * kn_fiber_init_thread(). @entry must not return, nor may an exception leave it: it ends in
 * kn_fiber_exit(). */
static inline void kn_fiber_init(struct kn_fiber *fiber, struct kn_stack *stack,
                                 kn_fiber_entry *entry, void *arg);

/* Suspends @from, which is the running one, and resumes @to. Returns when somebody
 * switches back. Keeps errno and, in C++ programs, the exceptions being handled. */
static inline void kn_fiber_switch(struct kn_fiber *from, struct kn_fiber *to);

/* As above, but @from never runs again, so its stack may be put back by @to. */
KN_NORETURN static inline void kn_fiber_exit(struct kn_fiber *from, struct kn_fiber *to);

/* May a fiber put its stack back and go on for a moment: to kn_fiber_exit(), even to a fiber that
 * has been prepared on that very stack? Not under tools that watch who touches what. */
bool kn_fiber_exits_in_place(void);

/* Drops what the annotations keep for a suspended fiber that will never be resumed again. Its stack
 * stays, with all that is on it: brings it back if it is aside. */
void kn_fiber_abandon(struct kn_fiber *fiber);

/* Moves what the suspended @fiber has in use of its stack elsewhere, and gives the stack's pages to
 * the kernel, which happens at kn_stack_range_flush(@range) at the latest. True if so: then
 * nothing may touch the stack, nor may anybody switch to the fiber, before kn_fiber_bring_back().
 * False: there is nothing to be gained, or no memory. */
KN_NODISCARD bool kn_fiber_put_aside(struct kn_fiber *fiber, struct kn_stack_range *range);

/* Puts it back to where it was. Needs no memory but for the pages. */
void kn_fiber_bring_back(struct kn_fiber *fiber);

static inline bool kn_fiber_is_aside(const struct kn_fiber *fiber)
{
	return (uintptr_t)fiber->sp & 1;
}

/* Where a suspended fiber is: return addresses, the innermost first, @room at most. Returns how
 * many; 0 if it cannot be told. Allocates at its first call in the process. Brings it back if it is
 * aside. */
size_t kn_fiber_backtrace(struct kn_fiber *fiber, void **frames, size_t room);

/* Writes where a suspended fiber is as text, cut to @size: "function+0x1c < file(+0x12ab) < ...";
 * what is not exported has no name, but a place in its file, for addr2line. */
void kn_fiber_describe(struct kn_fiber *fiber, char *text, size_t size);

/* ---- the inline part ------------------------------------------------------------ */

/* Inline, because the return from a function that switched is mispredicted: the calls
 * that the processor has seen since are the other side's. A switch out of line costs one
 * such return more (16 ns against 6). */

/* What the C++ ABI keeps for each thread: the first two words of __cxa_eh_globals. */
struct kn_exceptions {
	void *caught;
	unsigned uncaught;
};

/* What else a thread has that is each fiber's own. Set by kn_fiber_init_thread(). */
struct kn_fiber_thread {
	struct kn_exceptions *exceptions; /* NULL in programs without a C++ run-time library */
	int *error;                       /* errno: asking for its address is a call */
	uint64_t control; /* the floating-point control words that fibers begin with */
};
extern __thread struct kn_fiber_thread kn_fiber_thread __attribute__((tls_model("initial-exec")));

/* The first function of every fiber. Never returns, but is not to know that: it goes to @entry by
 * a jump then, for the sake of predicted returns as in kn_context_start(). */
void kn_fiber_main(kn_fiber_entry *entry, void *arg);

/* What sanitizer builds do besides, where speed is not the point. */
void kn_fiber_init_annotated(struct kn_fiber *fiber, struct kn_stack *stack);
void kn_fiber_switch_annotated(struct kn_fiber *from, struct kn_fiber *to);
KN_NORETURN void kn_fiber_exit_annotated(struct kn_fiber *from, struct kn_fiber *to);

static inline void kn_fiber_init(struct kn_fiber *fiber, struct kn_stack *stack,
                                 kn_fiber_entry *entry, void *arg)
{
	fiber->stack = stack;
	fiber->sp = kn_context_make(stack->high, kn_fiber_main, entry, arg,
	                            kn_fiber_thread.control);
#if KN_ASAN || KN_TSAN
	kn_fiber_init_annotated(fiber, stack);
#endif
}

static inline void kn_fiber_switch(struct kn_fiber *from, struct kn_fiber *to)
{
	const struct kn_fiber_thread *thread = &kn_fiber_thread;
	struct kn_exceptions kept = {NULL, 0};
	int error = *thread->error;

	if (kn_unlikely(thread->exceptions != NULL))
		kept = *thread->exceptions;
#if KN_ASAN || KN_TSAN
	kn_fiber_switch_annotated(from, to);
#else
	kn_context_switch_inline(&from->sp, to->sp);
#endif
	if (kn_unlikely(thread->exceptions != NULL))
		*thread->exceptions = kept;
	*thread->error = error;
}

KN_NORETURN static inline void kn_fiber_exit(struct kn_fiber *from, struct kn_fiber *to)
{
#if KN_ASAN || KN_TSAN
	kn_fiber_exit_annotated(from, to);
#else
	(void)from;
	kn_context_leave(to->sp);
#endif
}
#endif
