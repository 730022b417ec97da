/* SPDX-License-Identifier: MIT */
/* stress.c - see stress.h. */
#include "stress/stress.h"
#include <sched.h>
#include <stdlib.h>

long stress_count(long plain, long asan, long tsan, long valgrind)
{
	const char *factor = getenv("KNIT_STRESS");
	long count = test_scale(plain, asan, tsan, valgrind);

	return factor && atol(factor) > 0 ? count * atol(factor) : count;
}

unsigned stress_random(unsigned *state, unsigned below)
{
	*state = *state * 1103515245u + 12345u;
	return (*state >> 16) % below;
}

void stress_delay(unsigned *state)
{
	static atomic_uint sink;

	for (unsigned i = stress_random(state, 64); i > 0; i--)
		atomic_load_explicit(&sink, memory_order_relaxed);
	if (stress_random(state, 16) == 0)
		sched_yield();
}
