/* SPDX-License-Identifier: MIT */
/* compiler.h - attributes, container_of, and which sanitizer this build runs under. */
#ifndef KN_BASE_COMPILER_H
#define KN_BASE_COMPILER_H
#include <stddef.h>

#define kn_likely(x)   __builtin_expect(!!(x), 1)
#define kn_unlikely(x) __builtin_expect(!!(x), 0)

#define KN_INLINE       inline __attribute__((always_inline))
#define KN_NOINLINE     __attribute__((noinline))
#define KN_COLD         __attribute__((cold, noinline))
#define KN_HOT          __attribute__((hot)) /* laid out together: see lib/README.md */
#define KN_NORETURN     __attribute__((noreturn))
#define KN_NODISCARD    __attribute__((warn_unused_result))
#define KN_MALLOC       __attribute__((malloc, warn_unused_result))
#define KN_CONSTRUCT    __attribute__((constructor))
#define KN_PRINTF(f, a) __attribute__((format(printf, f, a)))

#define KN_CACHE_LINE 64

/* What two threads write lies at least this far apart: two lines, because the
 * prefetcher of x86-64 fetches them in pairs. */
#define KN_CACHE_PAIR 128

#define kn_container_of(pointer, type, member) \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define KN_ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* What a thread says to its core while it spins. */
static inline void kn_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb");
#endif
}

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define KN_ASAN 1
#else
#define KN_ASAN 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define KN_TSAN 1
#else
#define KN_TSAN 0
#endif
#endif
