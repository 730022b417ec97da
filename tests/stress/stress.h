/* SPDX-License-Identifier: MIT */
/* stress.h - how much of everything. */
#ifndef TEST_STRESS_STRESS_H
#define TEST_STRESS_STRESS_H
#include "unit/loop/rig.h"

/* test_scale(), times KNIT_STRESS from the environment if it is there. */
long stress_count(long plain, long asan, long tsan, long valgrind);

/* A little pseudo-random number, 0 <= n < @below. Each thread has a state of its own. */
unsigned stress_random(unsigned *state, unsigned below);

/* Spins for a moment that differs each time. */
void stress_delay(unsigned *state);

#endif
