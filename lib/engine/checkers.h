/* SPDX-License-Identifier: MIT */
/* checkers.h - what the checking tools cannot see of the kernel's doings.
 *
 * ThreadSanitizer: bytes that one thread sends through its ring and another receives
 * through its own are ordered by the kernel. One address stands for the kernel: whoever
 * submits releases to it, whoever completes acquires from it.
 *
 * valgrind: it does not know the system call's effects, so what the kernel wrote into an
 * operation's buffers still counts as undefined; kn_checkers_filled() tells it. */
#ifndef KN_ENGINE_CHECKERS_H
#define KN_ENGINE_CHECKERS_H
#include <stddef.h>
#include "base/compiler.h"
#include "engine/engine.h"

#if KN_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
extern char kn_checkers_kernel;
static inline void kn_checkers_release(void)
{
	__tsan_release(&kn_checkers_kernel);
}
static inline void kn_checkers_acquire(void)
{
	__tsan_acquire(&kn_checkers_kernel);
}
#else
static inline void kn_checkers_release(void) {}
static inline void kn_checkers_acquire(void) {}
#endif

/* Do we run under valgrind? */
bool kn_checkers_on_valgrind(void);

/* Marks defined what the kernel wrote for @op, which completed with @result. For valgrind
 * only: the caller has asked kn_checkers_on_valgrind() once and remembers. */
void kn_checkers_filled(const struct kn_op *op, int result);
#endif
