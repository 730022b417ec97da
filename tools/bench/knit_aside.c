/* SPDX-License-Identifier: MIT */
/* knit_aside.c - what a task that sleeps for long costs when stacks are put aside. */
#include <knit.h>
#include "knit_rows.h"

#define AFTER   (100 * KNIT_MS)
#define LOOKS   600 /* at most: a minute */
#define SETTLED 5   /* looks without a change */

static long idle_tasks;

static intptr_t sleep_an_hour(void *arg)
{
	(void)arg;
	(void)!knit_sleep(3600 * KNIT_S);
	return 0;
}

/* Until the stacks have gone: the memory does not become less any more. */
static long settled_memory(void)
{
	long least = bench_mem_bytes(), now;
	int same = 0;

	for (int i = 0; i < LOOKS && same < SETTLED; i++) {
		must(knit_sleep(AFTER));
		now = bench_mem_bytes();
		same = now < least ? 0 : same + 1;
		least = now < least ? now : least;
	}
	return least;
}

static intptr_t idle_main(void *ret_value)
{
	long before = bench_mem_bytes();

	for (long i = 0; i < idle_tasks; i++) {
		must(knit_spawn(sleep_an_hour, NULL, .stack_private = 1));
		must(knit_sleep(0));
	}
	*(double *)ret_value = (double)(settled_memory() - before) / (double)idle_tasks;
	return 0;
}

int knit_idle_aside(const struct workload *workload, double *ret_value)
{
	idle_tasks = bench_divided(workload->argument);
	/* For a moment each has its page. */
	if (bench_mem_available() < idle_tasks * 8192)
		return bench_skip("not enough memory");
	must(knit_run(idle_main, ret_value, .stack_aside_after = AFTER));
	return 0;
}
