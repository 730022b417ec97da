/* SPDX-License-Identifier: MIT */
/* ticks.h - the processor's counter of time, where it can be trusted: less than half the price of a
 * look at the clock.
 *
 * It tells only that little time has passed since the clock was read, never what time it is. It can
 * be trusted where it counts at one rate on all processors, which the kernel shows by using it for
 * its own clock. Elsewhere it is 0 for ever, and nobody knows its rate. */
#ifndef KN_BASE_TICKS_H
#define KN_BASE_TICKS_H
#include <stdbool.h>
#include <stdint.h>

/* May kn_ticks() be used? The same answer always. */
bool kn_ticks_trusted(void);

static inline uint64_t kn_ticks(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#else
	return 0;
#endif
}
#endif
