/* SPDX-License-Identifier: MIT */
/* ticks.c - whether the processor's counter can be trusted.
 *
 * That it counts on at the same rate, whatever the processor does, is a bit of its own. That the
 * processors agree, only the kernel has tested: it gives up the counter where they do not. */
#include "base/ticks.h"
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define SOURCE "/sys/devices/system/clocksource/clocksource0/current_clocksource"

#if defined(__x86_64__)
static bool is_invariant(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(0x80000007, &a, &b, &c, &d) && d >> 8 & 1;
}
#else
static bool is_invariant(void)
{
	return false;
}
#endif

static bool kernel_uses_it(void)
{
	char text[8] = "";
	int fd = open(SOURCE, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	return n > 0 && strcmp(text, "tsc\n") == 0;
}

bool kn_ticks_trusted(void)
{
	static atomic_int known; /* 0: not yet; 1: no; 2: yes */
	int answer = atomic_load_explicit(&known, memory_order_relaxed);

	/* Threads that ask at once find the same. */
	if (!answer) {
		answer = is_invariant() && kernel_uses_it() ? 2 : 1;
		atomic_store_explicit(&known, answer, memory_order_relaxed);
	}
	return answer == 2;
}
